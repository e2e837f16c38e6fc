"""The experiment: what it plants, what twins share, and its intervals."""

import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from schemas.params_training import ExperimentParams, StageParams, TrainParams
from tests.shards_factory import Corpus, make_shards
from training import experiment
from training.asking.evidence import read_landmarks
from training.twins.artefacts import KINDS, plant
from training.twins.memory import Images, MemoryBatches
from training.twins.plan import SETTINGS, Unit, plan_units
from training.twins.tables import pigeonhole
from training.twins.unit import background, run_unit

TRAIN = TrainParams(stage1=StageParams(epochs=1), stage2=StageParams(epochs=1), size=64, batch=8, labelled=2)
EDGE = 72
POINTS = [[92.0, 92.0], [163.0, 93.0], [127.0, 144.0], [92.0, 174.0], [164.0, 175.0]]


def images(people=4, methods=("FaceSwap", "Deepfakes"), frames=4, seed=0):
    """Smooth pictures; fakes have rough faces."""
    rng = np.random.default_rng(seed)
    rows, pictures, masks = [], [], []
    y, x = np.mgrid[:EDGE, :EDGE] / EDGE - 0.5
    face = (x / 0.25) ** 2 + (y / 0.3) ** 2 < 1
    for person in range(people):
        for method in ("real", *methods):
            for frame in range(frames):
                picture = cv2.GaussianBlur(rng.uniform(0, 255, (EDGE, EDGE, 3)), (0, 0), 4)
                if method != "real":
                    picture[face] += rng.normal(0, 25, (face.sum(), 3))
                pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
                masks.append((face & (method != "real")) * np.uint8(255))
                clip = f"{method}/{person}"
                rows.append(
                    {
                        "key": f"{clip}/{frame}",
                        "dataset": "d",
                        "clip": clip,
                        "label": "real" if method == "real" else "fake",
                        "method": method,
                        "split": "train",
                        "target": f"{person}",
                        "source": "" if method == "real" else f"{(person + 1) % people}",
                        "size": 256,
                        "landmarks": POINTS,
                    }
                )
    image = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    mask = torch.from_numpy(np.stack(masks))
    return Images(pa.Table.from_pylist(rows), image, mask, torch.ones(len(rows), dtype=torch.bool))


@pytest.mark.parametrize("kind", KINDS)
def test_an_artefact_changes_the_background_of_each_image_and_never_the_face_or_the_forged_region(kind):
    some = images(people=2)
    before = some.image.permute(0, 2, 3, 1).numpy()
    where = background(some)
    assert (where[some.mask.numpy() > 127] == 0).all()
    after = plant(before, where, kind, 0)
    changed = (after != before).any(-1)
    assert changed.any((1, 2)).all()
    assert not changed[where == 0].any()
    assert (plant(before, where, kind, 0) == after).all()


def test_batches_are_half_real_and_twins_with_as_many_masks_share_all_others():
    some = images()
    fakes = np.flatnonzero(some.fake)
    first, second = (MemoryBatches(some, 64, 8, 5, 3, rows, 2) for rows in (fakes[:3], fakes[-3:]))
    for a, b in zip(first.epoch(0), second.epoch(0), strict=True):
        assert a.fake.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
        assert a.labelled.tolist() == [False] * 6 + [True] * 2
        assert {*a.rows[6:].tolist()} <= {*fakes[:3].tolist()}
        assert (a.rows[:6] == b.rows[:6]).all()
        assert (a.image[:6] == b.image[:6]).all()


def test_a_crop_and_a_mirror_move_image_and_mask_together():
    some = images()
    marked = Images(some.table, some.mask[:, None].repeat(1, 3, 1, 1), some.mask, some.known)
    seen = set()
    for batch in MemoryBatches(marked, 64, 8, 6, 0).epoch(0):
        assert (batch.image[:, 0] == batch.mask).all()
        seen |= {tuple(mask.float().mean(0).tolist()) for mask in batch.mask if mask.any()}
    assert len(seen) > 3


def test_an_epoch_goes_on_where_it_was_left():
    batches = MemoryBatches(images(), 64, 8, 5, 0)
    whole = list(batches.epoch(1))[2:]
    for a, b in zip(whole, batches.epoch(1, 2), strict=True):
        assert (a.image == b.image).all()


def test_every_seed_artefact_and_variant_has_a_unit():
    units = plan_units(ExperimentParams(seeds=2), ("A", "B"), SETTINGS)
    counts = {name: sum(unit.setting == name for unit in units) for name in SETTINGS}
    assert counts == {"shortcut": 6, "plain": 4, "budgets": 2, "variants": 12}
    assert len({unit.name for unit in units}) == len(units)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(2, 8), st.floats(-1, 1), st.floats(0.01, 1))
def test_the_interval_holds_the_mean_and_grows_with_what_people_differ_by(rows, columns, shift, spread):
    rng = np.random.default_rng(0)
    table = shift + spread * rng.normal(size=(1, columns)).repeat(rows, 0)
    low, high = pigeonhole(table, 500, 0)
    assert low <= table.mean() <= high
    wider = pigeonhole(shift + 2 * (table - shift), 500, 0)
    assert wider[1] - wider[0] == pytest.approx(2 * (high - low))
    assert pigeonhole(np.full((rows, columns), shift), 100, 0) == pytest.approx((shift, shift))


def test_the_twin_differs_from_random_by_its_masks_alone():
    """With weights of 0 on what masks do, every arm that chooses by lot ends as the twin without masks."""
    torch.set_num_threads(1)
    train, judged = images(), images(people=2, seed=1)
    loss = {"attention": 0.0, "outside": 0.0}
    blind = TrainParams(**{**_fields(TRAIN), "loss": TRAIN.loss.__class__(**loss)})
    unit = Unit("shortcut", "noise", "FaceSwap", "base", 0, ("none", "random"), (0.1,))
    lengths = ExperimentParams(steps1=2, steps2=2)
    found = run_unit(unit, train, judged, blind, lengths)
    figures = {(f.arm, f.identity, f.figure): f.value for f in found}
    for (arm, identity, name), value in figures.items():
        if arm == "random":
            assert value == pytest.approx(figures["none", identity, name], nan_ok=True)
    seeing = {(f.arm, f.identity, f.figure): f.value for f in run_unit(unit, train, judged, TRAIN, lengths)}
    assert seeing["none", "", "outside_unseen"] == figures["none", "", "outside_unseen"]
    assert seeing["random", "", "outside_unseen"] != figures["random", "", "outside_unseen"]
    assert {f.identity for f in found} == {"", "0", "1"}


def _fields(params):
    return {name: getattr(params, name) for name in TrainParams.__dataclass_fields__}


def test_the_command_writes_tables_and_does_nothing_twice(tmp_path, capsys):
    make_shards(tmp_path / "shards", Corpus(groups=8, methods=("Deepfakes", "FaceSwap"), unknown=0, failed=0))
    params = {
        "train": {"batch": 8, "labelled": 2, "workers": 0},
        "experiment": {
            "seeds": 2,
            "steps1": 2,
            "steps2": 2,
            "compression": "c23",
            "seen": "FaceSwap",
            "artefacts": ["noise"],
            "arms": ["none", "random", "paper"],
            "budgets": [0.1, 0.2],
            "variants": ["base", "rgb"],
            "resamples": 50,
            "workers": 1,
        },
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    out = tmp_path / "out"
    command = ["--shards", str(tmp_path / "shards"), "--out", str(out), "--on", "test"]
    command += ["--params", str(tmp_path / "params.yaml")]
    assert experiment.main(command) == 0
    figures = pq.read_table(out / "figures.parquet").to_pylist()
    assert {row["setting"] for row in figures} == {*SETTINGS}
    assert all(0 <= row["value"] <= 1 for row in figures if not np.isnan(row["value"]))
    tables = json.loads((out / "tables.json").read_bytes())
    assert {row["arm"] for row in tables["rows"]} >= {"none", "random", "paper"}
    assert "false_alarms_marked" in tables["rows"][1]["paired"]
    titles = {(row["setting"], row["seen"], row["variant"]) for row in tables["rows"]}
    assert (out / "tables.md").read_text().count("### ") == len(titles) + 1
    assert (out / "differences.png").stat().st_size
    assert (out / "budgets.png").stat().st_size
    before = {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    capsys.readouterr()
    assert experiment.main(command) == 0
    assert f"{len(before)} of them done before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()} == before


def test_the_middle_keeps_landmarks_on_the_face():
    """What is at a landmark is there in the middle, too; both in pixels of their crop."""
    some = images(people=2)
    whole = read_landmarks(some.table) / some.table["size"].to_numpy()[:, None, None] * EDGE
    middle = some.centre(64)
    cut = read_landmarks(middle.table) / middle.table["size"].to_numpy()[:, None, None] * 64
    assert cut == pytest.approx(whole - (EDGE - 64) / 2)
    assert (middle.image[0, :, 20, 30] == some.image[0, :, 24, 34]).all()


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        ("experiment", "artefacts", ["jpeg"], "artefacts"),
        ("experiment", "variants", ["widest"], "variants"),
        ("experiment", "seen", "FaceSwapp", "the shards have"),
        ("experiment", "seeds", 1, "at least 2"),
        ("experiment", "budgets", [0.03, 0.01], "rising"),
        ("experiment", "arms", ["random"], "none"),
        ("train", "labelled", 17, "from 1 to 4"),
        ("train", "size", 65, "multiple of 16"),
    ],
)
def test_what_cannot_be_tried_is_refused_at_once(tmp_path, section, name, value, message):
    if not (tmp_path / "shards").exists():
        make_shards(tmp_path / "shards", Corpus(methods=("Deepfakes", "FaceSwap")))
    params = {"train": {"batch": 8, "labelled": 2}, "experiment": {"seen": "FaceSwap"}}
    params[section][name] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    where = ["--shards", str(tmp_path / "shards"), "--out", str(tmp_path / "out")]
    with pytest.raises(UsageError, match=message):
        experiment.main([*where, "--params", str(tmp_path / "params.yaml")])
    assert not (tmp_path / "out").exists()


def test_masks_that_are_all_unknown_are_no_arm(tmp_path):
    some = images()
    blind = Images(some.table, some.image, some.mask, torch.zeros(len(some), dtype=torch.bool))
    unit = Unit("plain", "", "FaceSwap", "base", 0, ("random",), (0.1,))
    with pytest.raises(UsageError, match="none of them has a mask"):
        run_unit(unit, blind, images(people=2, seed=1), TRAIN, ExperimentParams(steps1=1, steps2=1))
