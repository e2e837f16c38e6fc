"""The report: what a person may ask of a data set, answered in one file."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds

from pipelines import report
from pipelines.corpus import load_corpus
from pipelines.remedies import REMEDIES
from pipelines.shard_folder import read_folder
from schemas.outcome import Outcome, Reason
from tests.shards_factory import (
    Corpus,
    make_shards,
    run_audit,
)
from transforms.audit import plots, summary
from transforms.audit.checks import percent
from transforms.audit.notes import count_notes, kind_of, split_note

METHOD = "Deepfakes"
ROOT = Path(__file__).parents[1]
MOVED = "0.81 px from its original (shift +0.50, +0.60 px, scale 1, turn +0.00°): registered before comparing"


@pytest.fixture
def shards(tmp_path):
    """A folder of whole shards."""
    return make_shards(tmp_path / "shards")


class Report(HTMLParser):
    """What a person sees: each section's text and captions, and every address in the page."""

    def __init__(self, path: Path):
        super().__init__()
        self.text: dict[str, str] = {}
        self.captions: dict[str, list[str]] = {}
        self.pictures: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self._section, self._caption = "", False
        self.html = path.read_text("utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.add(tag)
        self.addresses += [v for n, v in attrs if n in ("src", "srcset", "href", "action", "data", "poster")]
        if tag == "img":
            self.pictures.append(values)
        if tag == "section":
            self._section = values["id"]
        if tag == "figcaption":
            self._caption = True
            self.captions.setdefault(self._section, []).append("")

    def handle_endtag(self, tag):
        self._section = "" if tag == "section" else self._section
        self._caption = self._caption and tag != "figcaption"

    def handle_data(self, data):
        self.text[self._section] = f"{self.text.get(self._section, '')} {data}"
        if self._caption:
            self.captions[self._section][-1] += data

    def said(self, section: str) -> str:
        return " ".join(self.text[section].split())


def audited(tmp_path: Path, corpus: Corpus | None = None) -> Report:
    make_shards(tmp_path / "shards", corpus)
    run_audit(tmp_path)
    return Report(tmp_path / "report/report.html")


def test_report_stands_alone(tmp_path):
    page = audited(tmp_path)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"@import|url\(", page.html)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= page.text.keys()
    assert all(picture["alt"] for picture in page.pictures)
    assert "default-src 'none'" in page.html


def test_report_answers_what_a_person_asks(tmp_path):
    page = audited(tmp_path)
    assert "All 4 checks passed" in page.html
    assert "decode_error" in page.said("outcomes")
    assert "Copy or download the file again" in page.said("outcomes")
    assert "Made up; use as you like." in page.said("terms")
    assert "wds.WebDataset(" in page.said("reading")
    assert "No identity" in page.said("leaks")
    assert "no truth" in page.said("agreement")
    table = pq.read_table(tmp_path / "shards/index.parquet").to_pylist()
    train = [row["label"] for row in table if row["split"] == "train"]
    groups, clips = 2, 2 * 2 * 3
    sizes = f"train {groups} {clips} {train.count('real')} {train.count('fake')} 1 "
    assert sizes in page.said("shards")


def test_every_method_and_compression_has_pictures(tmp_path):
    methods, compressions = ("Deepfakes", "Face2Face", "FaceShifter"), ("raw", "c23", "c40")
    page = audited(tmp_path, Corpus(methods=methods, compressions=compressions, frames=2))
    shown = Counter(" ".join(caption.split()[:2]) for caption in page.captions["samples"])
    assert shown == {f"{method} {c}": 3 for method in methods for c in compressions}


def test_every_one_of_the_worst_masks_has_a_reason(tmp_path):
    page = audited(tmp_path, Corpus(groups=8, frames=8, unknown=0.4, notes=(*[""] * 3, MOVED)))
    captions = [" ".join(caption.split()) for caption in page.captions["worst"]]
    reasons = (
        r"below mask\.gate|near the gate|agrees \d|flickers|px shift|covers|uncertain|"
        "no figure is weak|registered before"
    )
    assert len(captions) == 24
    assert all(re.search(reasons, caption) for caption in captions)
    assert any(caption.split(" · ")[1].startswith("unknown") for caption in captions)


def test_agreement_and_unknown_masks_are_those_of_numpy(tmp_path):
    page = audited(tmp_path, Corpus(methods=(METHOD, "FaceShifter")))
    rows = pq.read_table(tmp_path / "shards/index.parquet").to_pylist()
    mine = [row for row in rows if (row["method"], row["compression"]) == (METHOD, "c40")]
    known = [row["mask_quality"]["official_iou"] for row in mine if row["mask_kind"] != "unknown"]
    quartiles = " ".join(f"{q:.2f}" for q in np.quantile(known, summary.QUANTILES))
    assert f"{METHOD} c40 {quartiles} {len(known)} of {len(known)} known" in page.said("agreement")
    assert re.search(r"FaceShifter c40 – – – – – 0 of \d+ known", page.said("agreement"))
    part, whole = len(mine) - len(known), len(mine)
    assert f"{percent(part, whole)} {part} of {whole}" in page.said("unknown")


def test_notes_of_what_went_well_are_counted_by_kind(tmp_path):
    shifted = "frame i shows frame i-2 of its original: masks are unknown"
    short = "2 of 3 samples: 90 frames, fewer than its original"
    page = audited(tmp_path, Corpus(failed=0, notes=(shifted, f"{short}; {MOVED}", "something new", "")))
    said = page.said("notes")
    for kind, note in (
        ("shifted in time", shifted),
        ("fewer samples", short),
        ("registered first", MOVED),
        ("other", "something new"),
    ):
        assert note in said
        assert f"shard {kind} 4 of 24 ok" in said
    assert "No outcome" not in said


def test_notes_that_the_stages_make_have_a_kind():
    noted = re.findall(r"ok, \"([^\"]+)\"", (ROOT / "docs/bad-input.md").read_text("utf-8"))
    assert noted
    for note in noted:
        for part in split_note(note):
            assert kind_of("shard", part) is not None, part
    official = "official mask: other_size: a.mp4: 3x3; re-encode it"
    assert split_note(f"{official}; {MOVED}") == [official, MOVED]
    said = "00:12:cut 01:30:switch passed over c23/a b.mp4 (decode_error)"
    outcomes = [Outcome("track", "demo", "a", "a", "ok", detail=said, made=3)]
    assert [row.kind for row in count_notes(outcomes)] == ["cut", "passed over", "switch"]


def test_without_pictures_the_report_says_so(tmp_path):
    make_shards(tmp_path / "shards", Corpus(frames=1))
    (tmp_path / "params.yaml").write_text("audit: {gallery: 0}")
    run_audit(tmp_path, "--params", str(tmp_path / "params.yaml"))
    page = Report(tmp_path / "report/report.html")
    assert not page.captions
    for section in ("samples", "worst"):
        assert "No pictures: audit.gallery is 0." in page.said(section)


def test_the_report_does_not_grow_with_the_samples(tmp_path):
    small = audited(tmp_path / "few", Corpus(groups=12, frames=1))
    large = audited(tmp_path / "many", Corpus(groups=24, frames=6, failed=9))
    assert len(small.captions["samples"]) == len(large.captions["samples"])
    assert len(large.captions["worst"]) == len(small.captions["worst"]) == 24
    assert len(large.html) < 1.1 * len(small.html)


def test_the_snippet_of_the_report_reads_a_shard(shards):
    folder = read_folder(shards)
    pattern, image = report._reading(folder)
    (sample, *_) = wds.WebDataset(str(shards / pattern), shardshuffle=False).decode("rgb8")
    assert sample[image].shape == sample["mask.png"].shape == (64, 64, 3)
    assert sample["json"]["key"] == sample["__key__"]


def test_hostile_names_stay_text(tmp_path):
    hostile = "<script>alert('$x_')</script>"
    corpus = Corpus(
        groups=4, frames=1, methods=(f'{hostile}"',), prefix=hostile, terms=f"{hostile}\x1b", leak=True
    )
    make_shards(tmp_path / "shards", corpus)
    assert run_audit(tmp_path) == 3
    html = (tmp_path / "report/report.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_figures_are_those_of_numpy(shards):
    corpus = load_corpus([read_folder(shards)])
    rows = pq.read_table(shards / "index.parquet").to_pylist()
    found = summary.summarise(corpus.samples, corpus.masks)
    spread = next(s for s in found.spreads if (s.figure, s.method, s.compression) == ("snr", METHOD, "c40"))
    of_method = [row for row in rows if (row["method"], row["compression"]) == (METHOD, "c40")]
    values = [row["mask_quality"]["snr"] for row in of_method if row["mask_kind"] == "difference"]
    assert spread.count == len(values)
    np.testing.assert_allclose(spread.quantiles, np.quantile(values, summary.QUANTILES))
    assert sum(cell.samples for cell in found.cells) == corpus.samples.num_rows
    assert sum(kinds.unknown for kinds in found.kinds) == sum(
        row["mask_kind"] == "unknown" for row in corpus.masks.to_pylist()
    )


def test_masks_of_sequences_are_rows(tmp_path):
    folder = read_folder(make_shards(tmp_path / "shards", Corpus(unit="sequence", length=3, frames=2)))
    masks = load_corpus([folder]).masks.to_pylist()
    table = pq.read_table(tmp_path / "shards/index.parquet").to_pylist()
    assert [(m["sample"], m["place"], m["frame"], m["mask_kind"], m["score"], m["clip"]) for m in masks] == [
        (n, i, row["frame"][i], row["mask_kind"][i], row["mask_quality"][i]["score"], row["clip"])
        for n, row in enumerate(table)
        for i in range(3)
    ]


def test_every_reason_has_a_remedy():
    assert set(REMEDIES) == set(get_args(Reason)) - {""}


def test_outcomes_are_grouped_with_failures_first():
    outcomes = [Outcome("index", "demo", f"{n}.txt", "", "skipped", "not_in_layout") for n in range(5)]
    outcomes += [Outcome("shard", "demo", "a.mp4", "a", "failed", "decode_error")]
    outcomes += [Outcome("shard", "demo", "b.mp4", "b", "ok")]
    failed, skipped = summary.fates(outcomes)
    assert (failed.reason, failed.count) == ("decode_error", 1)
    assert (skipped.count, len(skipped.examples)) == (5, 3)


def test_numbers_for_people():
    assert [percent(*pair) for pair in ((0, 5), (1, 5000), (1, 30), (3, 4), (0, 0))] == [
        "0%",
        "<0.1%",
        "3.3%",
        "75%",
        "–",
    ]
    assert [report.human_bytes(n) for n in (5, 1500, 25e6, 3.2e9, 7e12)] == [
        "5 bytes",
        "1.5 kB",
        "25 MB",
        "3.2 GB",
        "7.0 TB",
    ]


def test_shard_patterns_have_no_gaps(shards):
    folder = read_folder(shards)
    entries = [replace(folder.entries[0], url=f"train/d-train-{n:06d}.tar") for n in range(12)]
    assert report._reading(replace(folder, entries=entries))[0] == "train/d-train-{000000..000011}.tar"
    del entries[3]
    pattern = "train/d-train-{000000..000002}.tar::train/d-train-{000004..000011}.tar"
    assert report._reading(replace(folder, entries=entries)) == (pattern, "jpg")


def test_plots_are_the_same_bytes_and_take_any_name():
    names = ["a" * 60, "$x^", "\U0001f600", "line\nbreak", *(f"method {n}" for n in range(40))]
    cells = [summary.Cell("fake", name, "c23", "train", n) for n, name in enumerate(names)]
    kinds = [summary.Kinds(name, "c23", {"difference": 3, "unknown": 1}) for name in names]
    spreads = [summary.Spread("score", name, "odd", 5, (0.1, 0.2, 0.3, 0.4, 0.5)) for name in names[:6]]
    for draw in (
        lambda: plots.plot_balance(cells, plots.LIGHT),
        lambda: plots.plot_kinds(kinds, plots.DARK),
        lambda: plots.plot_spread(spreads, "score", plots.LIGHT),
        lambda: plots.plot_spread(spreads, "snr", plots.DARK),
        lambda: plots.plot_balance([], plots.LIGHT),
        lambda: plots.plot_kinds([], plots.LIGHT),
        lambda: plots.plot_spread([], "score", plots.LIGHT),
        lambda: plots.plot_shards([], plots.LIGHT),
    ):
        first = draw()
        assert first == draw()
        assert b"tEXt" not in first
        height, width = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert width == 792
        assert height < 4000
