"""The galleries: which masks are shown, how, and why they are weak."""

import re
from collections import Counter

import numpy as np
import pytest

from pipelines import pictures
from pipelines.corpus import load_corpus
from pipelines.shard_folder import read_folder
from schemas.params import MaskParams
from tests.shards_factory import (
    Corpus,
    make_shards,
)
from transforms.audit.gallery import (
    MOST,
    draw_strip,
    pick_examples,
    pick_unknown,
    pick_worst,
    why_unknown,
    why_weak,
)


@pytest.fixture
def shards(tmp_path):
    """A folder of whole shards."""
    return make_shards(tmp_path / "shards")


def test_galleries_pair_frames_and_are_always_the_same(shards):
    masks = load_corpus([read_folder(shards)]).masks
    rows = masks.to_pylist()
    picks = pick_examples(masks, 6)
    assert picks == pick_examples(masks, 6)
    assert Counter((rows[p.row]["method"], rows[p.row]["compression"]) for p in picks) == dict.fromkeys(
        [(m, c) for m in ("Deepfakes", "NeuralTextures") for c in ("c23", "c40")], 2
    )
    for best, worse in ((0, 1), (2, 3)):  # The same group and frame at both compressions.
        assert [rows[picks[best].row][name] for name in ("group", "method", "frame")] == [
            rows[picks[worse].row][name] for name in ("group", "method", "frame")
        ]
    for pick in picks:
        assert pick.real is not None
        fake, real = rows[pick.row], rows[pick.real]
        assert real["label"] == "real"
        assert [real[name] for name in ("group", "compression", "frame")] == [
            fake[name] for name in ("group", "compression", "frame")
        ]
    worst = pick_worst(masks, 5)
    scores = [rows[pick.row]["score"] for pick in worst]
    assert scores == sorted(scores)
    assert len({(rows[pick.row]["group"], rows[pick.row]["method"]) for pick in worst}) == 5
    known = [row["score"] for row in rows if row["label"] == "fake" and row["mask_kind"] != "unknown"]
    assert scores[0] == min(known)
    assert pick_examples(masks, 0) == pick_worst(masks, 0) == pick_unknown(masks, 0) == []


def test_galleries_stay_within_their_budget(shards, monkeypatch):
    corpus = load_corpus([read_folder(shards)])
    every = pictures.example_pictures(corpus, 8, MaskParams())
    turns = [every[0], every[1], every[4], every[5]]  # The first of each combination is read before a second.
    monkeypatch.setattr(pictures, "_BUDGET", sum(len(picture.data) for picture in turns))
    assert pictures.example_pictures(corpus, 8, MaskParams()) == turns


def test_many_methods_are_each_shown_as_far_as_the_bound(tmp_path):
    methods = tuple(f"method {n}" for n in range(20))
    make_shards(tmp_path / "shards", Corpus(methods=methods, frames=1, failed=0))
    masks = load_corpus([read_folder(tmp_path / "shards")]).masks
    shown = [
        (masks["method"][p.row].as_py(), masks["compression"][p.row].as_py()) for p in pick_examples(masks, 1)
    ]
    assert sorted(shown) == sorted((method, c) for method in methods for c in ("c23", "c40"))
    assert len(pick_examples(masks, 1000)) == MOST // 40 * 40


def test_unknown_masks_say_why_and_come_first(tmp_path):
    note = "frame i shows frame i+1 of its original: masks are unknown"
    make_shards(tmp_path / "shards", Corpus(groups=8, frames=8, notes=("", "", "", note), unknown=0.4))
    corpus = load_corpus([read_folder(tmp_path / "shards")])
    unknown, known = pictures.worst_pictures(corpus, 12, MaskParams())
    assert (len(unknown), len(known)) == (4, 8)
    assert all(picture.kind == "unknown" for picture in unknown)
    said = [picture.said for picture in unknown]
    assert note in said
    assert any(re.match(r"signal 0\.\d\d nepers, below mask\.gate \(1\)", text) for text in said)
    assert [picture.score for picture in known] == sorted(picture.score for picture in known)
    assert all(picture.said for picture in known)


def test_pictures_that_cannot_be_read_are_said_to_be(shards):
    corpus = load_corpus([read_folder(shards)])
    for path in shards.glob("*/*.tar"):
        path.write_bytes(b"")
    (picture, *_) = pictures.example_pictures(corpus, 1, MaskParams())
    assert "image cannot be read" in picture.missing


def test_strips_show_the_mask_and_the_official_one():
    face = np.full((64, 64, 3), 90, np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    plain, drawn = draw_strip(face, face, mask, None), draw_strip(None, face, mask, mask)
    assert plain.shape == drawn.shape
    tile = plain.shape[0]
    assert (plain[:, :tile] == 90).all()
    assert plain[tile // 2, -tile // 2].tolist() != [90, 90, 90]
    assert plain[4, -4].tolist() == [90, 90, 90]
    assert (drawn != plain).any()


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        ({"snr": 1.2}, "near the gate"),
        ({"official_iou": 0.2, "temporal_iou": 0.3}, "dataset's mask; flickers"),
        ({"residual": 2.34}, "2.34 px"),
        ({"area": 0.001}, "0.1% of the crop"),
        ({"area": 0.9, "snr": None}, "90% of the crop"),
        ({}, "no figure is weak"),
        ({"score": 0.2}, "outline is uncertain"),
    ],
)
def test_weak_masks_say_why(quality, said):
    assert said in why_weak(quality, gate=1.0)
    assert why_weak(quality, 1.0, "moved: registered before comparing").endswith(
        "registered before comparing"
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((0.42, "raw", "difference", 1.0), "signal 0.42 nepers, below mask.gate (1)"),
        ((None, "raw", "difference", 1.0, "it shakes"), "it shakes"),
        ((None, None, "difference", 1.0), "its original is not there"),
        ((None, "raw", "difference", 1.0), "this frame could not be compared"),
        ((2.5, "raw", "difference", 1.0), "no region stands out"),
        ((0.42, None, "official", 1.0), "the dataset has no mask of it"),
    ],
)
def test_unknown_masks_have_a_reason(row, said):
    assert said in why_unknown(*row)
