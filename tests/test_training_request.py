import dataclasses
import errno
import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from schemas import SCHEMA_VERSION
from schemas.convert import to_row
from schemas.errors import StoppedError, UsageError
from schemas.files import file_sha256, read_metadata, read_rows, write_json, write_rows
from schemas.label import Label
from schemas.params_training import TrainParams
from schemas.request import LabelRequest
from schemas.run import Run
from tests.shards_factory import Corpus, edit_parquet, edit_tar, make_shards, read_tar
from training import request
from training.asking import writing
from training.asking.evidence import gather_evidence
from training.data import EvaluationBatches
from training.lae.model import LAE, ModelConfig
from training.loading.pool import read_pool

# 8 groups in train, of 3 clips each at 2 compressions and 4 frames: 192 images, so that 3% are 5.
CORPUS = Corpus(groups=16, frames=4, per_shard=4, failed=0)
IMAGES = 192


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return make_shards(tmp_path_factory.mktemp("request") / "shards", CORPUS)


def make_run(folder: Path, shards: Path, labels: list[Label] | None = None, **values) -> Path:
    """A run folder with a model that nobody trained."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = LAE(ModelConfig(64, 4, 8, True))
    if values.pop("broken", False):
        next(model.encoder.parameters()).data.fill_(float("nan"))
    config = dataclasses.asdict(model.config)
    torch.save({"config": config, "state_dict": model.state_dict()}, folder / "model.pt")
    run = Run(
        **{
            "schema_version": SCHEMA_VERSION,
            "round": 0,
            "stage": 1,
            "settings": "s",
            "init": "",
            "shards": (str(shards),),
            "where": "",
            "train": TrainParams(size=64, width=4, latent=8),
            "images": IMAGES,
            "requested": len(labels or []),
            "labelled": 0,
            "methods": ("Deepfakes",),
            "sources": (),
            "epochs": 1,
            "best_epoch": 1,
            "model_sha256": file_sha256(folder / "model.pt"),
            "validation": {},
            **values,
        }
    )
    write_json(folder / "run.json", to_row(run))
    write_rows(folder / "labels/labels.parquet", Label, labels or [])
    return folder


def ask(shards, run, out, *flags):
    if "--params" not in flags:
        flags = ("--params", out.parent / "params.yaml", *flags)
        flags[1].write_text("train: {workers: 0}\n")
    arguments = ["--shards", shards, "--run", run, "--out", out, "--device", "cpu", *flags]
    return request.main([str(argument) for argument in arguments])


def rows_of(out: Path) -> list[LabelRequest]:
    return read_rows(out / "requests.parquet", LabelRequest)


def as_label(row: LabelRequest, state="labelled") -> Label:
    shared = {
        name: getattr(row, name) for name in ("request_id", "round", "key", "crop_sha256", "dataset", "clip")
    }
    rest = {"source": "human", "state": state, "verdict": "forged", "mask": "", "area": 0.1, "annotations": 1}
    return Label(**shared, **rest, annotators=("x",), agreement=None, reason="", detail="")


@pytest.fixture(scope="module")
def asked(shards, tmp_path_factory) -> Path:
    """A work folder with a run and what it asks for."""
    work = tmp_path_factory.mktemp("asked")
    make_run(work / "r0", shards)
    assert ask(shards, work / "r0", work / "r1") == 0
    return work


def test_requests_are_rows_pictures_and_a_sheet(shards, asked):
    rows, out = rows_of(asked / "r1"), asked / "r1"
    index = {row["key"]: row for row in read_index(shards)}
    assert len(rows) == int(0.03 * IMAGES) == 5
    assert [row.rank for row in rows] == [1, 2, 3, 4, 5]
    assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)
    assert len({row.request_id for row in rows}) == len({(row.dataset, row.clip) for row in rows}) == 5
    encoded = images_of(shards)
    for row in rows:
        sample = index[row.key]
        assert (sample["label"], sample["split"]) == ("fake", "train")
        assert row.crop_sha256 == sample["crop_sha256"] == hashlib.sha256(encoded[row.key]).hexdigest()
        assert [list(point) for point in row.landmarks] == sample["landmarks"]
        assert (row.round, row.strategy, row.size) == (1, "ranking", 64)
        crop = cv2.imread(str(out / row.crop), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(crop, cv2.imdecode(np.frombuffer(encoded[row.key], np.uint8), cv2.IMREAD_COLOR))
        proposal = cv2.imread(str(out / row.proposal), cv2.IMREAD_UNCHANGED)
        assert proposal.shape == (64, 64)
        assert proposal.dtype == np.uint8
    assert cv2.imread(str(out / "requests.png")).shape[1] > 5 * 176
    assert {path.name for path in out.iterdir()} == {
        "requests.parquet",
        "requests.png",
        "crops",
        "proposals",
    }
    assert {path.stem for path in out.glob("*/*.png")} == {row.request_id for row in rows}


def test_proposals_and_scores_are_the_models(shards, asked):
    saved = torch.load(asked / "r0/model.pt", weights_only=True)
    model = LAE(ModelConfig(**saved["config"])).eval()
    model.load_state_dict(saved["state_dict"])
    for row in rows_of(asked / "r1"):
        crop = cv2.imread(str(asked / "r1" / row.crop))[..., ::-1]
        with torch.no_grad():
            activity, _ = model(torch.from_numpy(crop.copy()).permute(2, 0, 1)[None])
        assert row.fake_score == pytest.approx(float(activity.score), abs=1e-4)
        expected = writing.propose(activity.fake_map[0].numpy(), 64)
        proposal = cv2.imread(str(asked / "r1" / row.proposal), cv2.IMREAD_UNCHANGED)
        assert np.abs(proposal.astype(int) - expected).max() <= 1


def test_the_table_says_how_it_was_made(asked):
    said = read_metadata(asked / "r1/requests.parquet")
    run = json.loads((asked / "r0/run.json").read_bytes())
    assert said["run"] == run["model_sha256"] == rows_of(asked / "r1")[0].model_sha256
    wanted = {"images": "192", "spent": "0", "budget": "0.03", "strategy": "ranking", "seed": "0"}
    assert wanted.items() <= said.items()
    assert float(said["mean_score"]) >= float(said["mean_score_random"])


@pytest.mark.parametrize("strategy", ["ranking", "uncertainty", "mislocalisation", "random"])
def test_every_strategy_gives_the_same_bytes_again(shards, asked, tmp_path, strategy):
    for name in ("a", "b"):
        assert ask(shards, asked / "r0", tmp_path / name, "--strategy", strategy) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert ask(shards, asked / "r0", tmp_path / "a", "--strategy", strategy) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert {row.strategy for row in rows_of(tmp_path / "a")} == {strategy}


def test_loading_processes_do_not_change_the_choice(shards, asked, tmp_path):
    params = tmp_path / "two.yaml"
    params.write_text("train: {workers: 2}\n")
    assert ask(shards, asked / "r0", tmp_path / "q", "--params", params) == 0
    assert [row.key for row in rows_of(tmp_path / "q")] == [row.key for row in rows_of(asked / "r1")]


def test_rounds_share_the_budget_and_never_ask_twice(shards, tmp_path, capsys):
    labels, states = [], ["waiting", "skipped", "labelled", "disputed", "rejected"]
    for number, budget in ((1, "0.012"), (2, "0.02"), (3, "0.03")):
        run = make_run(tmp_path / f"r{number - 1}", shards, labels, round=number - 1)
        out = tmp_path / f"q{number}"
        assert ask(shards, run, out, "--budget", budget) == 0
        rows = rows_of(out)
        assert {row.round for row in rows} == {number}
        labels += [as_label(row, state) for row, state in zip(rows, states, strict=False)]
        assert len(labels) == int(float(budget) * IMAGES)
    assert len({label.key for label in labels}) == len({label.clip for label in labels}) == 5
    run = make_run(tmp_path / "r3", shards, labels, round=3)
    with pytest.raises(UsageError, match=r"192 training images that is 5, and 5 were spent"):
        ask(shards, run, tmp_path / "q4")
    assert not (tmp_path / "q4").exists()


def test_the_cap_counts_frames_of_earlier_rounds(shards, tmp_path):
    run = make_run(tmp_path / "r0", shards)
    flags = ("--exceed-budget", "--budget", "0.5", "--strategy", "random")
    assert ask(shards, run, tmp_path / "q1", *flags, "--count", "20") == 0
    first = rows_of(tmp_path / "q1")
    run = make_run(tmp_path / "r1", shards, [as_label(row) for row in first], round=1)
    assert ask(shards, run, tmp_path / "q2", *flags, "--per-clip", "2") == 0
    both = [*first, *rows_of(tmp_path / "q2")]
    # 32 clips of fakes; each is full.
    assert set(Counter((row.dataset, row.clip) for row in both).values()) == {2}
    assert len(both) == 64


def test_a_budget_above_the_limit_must_be_meant(shards, asked, tmp_path):
    with pytest.raises(UsageError, match="--exceed-budget"):
        ask(shards, asked / "r0", tmp_path / "q", "--budget", "0.031")
    params = tmp_path / "params.yaml"
    params.write_text("request: {budget: 0.5}\n")
    with pytest.raises(UsageError, match="--exceed-budget"):
        ask(shards, asked / "r0", tmp_path / "q", "--params", params)
    assert ask(shards, asked / "r0", tmp_path / "q", "--budget", "0.05", "--exceed-budget") == 0
    assert len(rows_of(tmp_path / "q")) == int(0.05 * IMAGES)


def test_validation_and_test_are_never_asked_about(shards, asked, tmp_path):
    for split in ("val", "test"):
        with pytest.raises(UsageError):
            ask(shards, asked / "r0", tmp_path / "q", "--where", f"split == '{split}'")
    flags = (
        "--where",
        "split in ('train', 'val', 'test')",
        "--exceed-budget",
        "--budget",
        "1",
        "--per-clip",
        "1",
    )
    assert ask(shards, asked / "r0", tmp_path / "q", *flags) == 0
    splits = {row["key"]: row["split"] for row in read_index(shards)}
    rows = rows_of(tmp_path / "q")
    assert len(rows) == 8 * 2 * 2  # every clip of the training split
    assert {splits[row.key] for row in rows} == {"train"}


def test_the_filter_is_the_runs_unless_another_is_given(shards, tmp_path, capsys):
    run = make_run(tmp_path / "r0", shards, where="compression == 'c23'", images=IMAGES // 2)
    assert ask(shards, run, tmp_path / "q") == 0
    assert {row.compression for row in rows_of(tmp_path / "q")} == {"c23"}
    assert len(rows_of(tmp_path / "q")) == 2
    assert "note:" not in capsys.readouterr().out
    assert ask(shards, run, tmp_path / "q", "--where", "") == 0
    assert len(rows_of(tmp_path / "q")) == 2
    assert "trained on 96 images, and these shards have 192" in capsys.readouterr().out


def test_requests_of_another_run_are_replaced(shards, asked, tmp_path, capsys):
    assert ask(shards, asked / "r0", tmp_path / "q", "--strategy", "random") == 0
    (tmp_path / "q/crops/mine.png").write_bytes(b"not a request")
    capsys.readouterr()
    before = {row.request_id for row in rows_of(tmp_path / "q")}
    assert ask(shards, asked / "r0", tmp_path / "q", "--strategy", "uncertainty") == 0
    after = {row.request_id for row in rows_of(tmp_path / "q")}
    assert f"{len(before - after)} earlier requests" in capsys.readouterr().out
    assert {path.stem for path in (tmp_path / "q/proposals").iterdir()} == after
    assert {path.stem for path in (tmp_path / "q/crops").iterdir()} == after | {"mine"}


def test_a_dry_run_writes_nothing(shards, asked, tmp_path, capsys):
    assert ask(shards, asked / "r0", tmp_path / "q", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "128 fakes of 32 clips" in said
    assert "5 requests, 0 spent, 5 left" in said
    assert not (tmp_path / "q").exists()


def test_the_summary_compares_with_lots(shards, asked, tmp_path, capsys):
    assert ask(shards, asked / "r0", tmp_path / "q") == 0
    said = capsys.readouterr().out
    assert "5 requests by ranking" in said
    assert "separates most" in said
    assert "drawn by lot it would be" in said
    counts = [
        int(line.split(": ")[1]) for line in said.splitlines() if line.startswith(("  Deep", "  Neural"))
    ]
    assert sum(counts) == 5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--budget", "0"), "above 0"),
        (("--budget", "nan"), "above 0"),
        (("--budget", "0.002"), "nothing is left"),
        (("--per-clip", "0"), "at least 1"),
        (("--count", "0"), "at least 1"),
        (("--count", "6"), "leaves 5 of 5"),
        (("--where", "label == 'real'"), "no fake"),
        (("--where", "label == 'fake'"), "no real"),
        (("--device", "cuda:99"), "--device"),
    ],
)
def test_bad_usage(shards, asked, tmp_path, flags, said):
    with pytest.raises(UsageError, match=said):
        ask(shards, asked / "r0", tmp_path / "q", *flags)
    assert not (tmp_path / "q/requests.parquet").exists()


def test_bad_folders(shards, asked, tmp_path):
    with pytest.raises(UsageError, match="none"):
        ask(shards, tmp_path / "none", tmp_path / "q")
    with pytest.raises(UsageError, match="none"):
        ask(tmp_path / "none", asked / "r0", tmp_path / "q")
    for inside in (shards / "q", asked / "r0", asked / "r0/labels"):
        with pytest.raises(UsageError, match="inside"):
            ask(shards, asked / "r0", inside)


def test_a_run_that_lost_its_labels_may_not_ask(shards, asked, tmp_path):
    labels = [as_label(row) for row in rows_of(asked / "r1")]
    run = make_run(tmp_path / "r1", shards, labels, round=1)
    (run / "labels/labels.parquet").unlink()
    with pytest.raises(UsageError, match=r"labels\.parquet"):
        ask(shards, run, tmp_path / "q")
    run = make_run(tmp_path / "r1", shards, labels, round=1, requested=2)
    with pytest.raises(UsageError, match="counts 2 requests, its labels 5"):
        ask(shards, run, tmp_path / "q")


def test_a_diverged_model_may_not_ask(shards, tmp_path):
    with pytest.raises(UsageError, match="not finite"):
        ask(shards, make_run(tmp_path / "r0", shards, broken=True), tmp_path / "q")


def test_a_crop_of_other_bytes_is_refused(asked, tmp_path):
    shards = make_shards(tmp_path / "shards", CORPUS)
    url = "train/demo-train-000000.tar"

    def swap(members):
        return [
            (name, cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
            if name.endswith(".jpg")
            else (name, data)
            for name, data in members
        ]

    for tar in sorted((shards / "train").glob("*.tar")):
        edit_tar(shards, f"{url[:6]}{tar.name}", swap)
    with pytest.raises(UsageError, match="SHA-256"):
        ask(shards, asked / "r0", tmp_path / "q", "--strategy", "random")
    assert not (tmp_path / "q/requests.parquet").exists()


def test_a_crop_that_is_not_as_large_as_the_index_says_is_refused(asked, tmp_path):
    shards = make_shards(tmp_path / "shards", CORPUS)
    edit_parquet(shards / "index.parquet", lambda rows: [{**row, "size": 48} for row in rows])
    with pytest.raises(UsageError):
        ask(shards, asked / "r0", tmp_path / "q", "--strategy", "random")


def test_a_blank_map_proposes_nothing():
    assert not writing.propose(np.zeros((16, 16), np.float16), 64).any()
    found = np.zeros((16, 16), np.float16)
    found[4, 12] = 0.25
    proposal = writing.propose(found, 256)
    assert proposal[72, 200] > 230
    assert not proposal[:, :160].any()


def test_the_score_is_the_strategys(shards, asked, tmp_path):
    assert ask(shards, asked / "r0", tmp_path / "q", "--strategy", "uncertainty") == 0
    for row in rows_of(tmp_path / "q"):
        assert row.score == pytest.approx(-abs(row.fake_score))


def test_evidence_does_not_depend_on_the_order_of_batches(shards):
    pool = read_pool([shards])
    torch.manual_seed(1)
    model = LAE(ModelConfig(64, 4, 8, True))
    batches = list(EvaluationBatches(pool, 64, 50, 0))
    found = gather_evidence(model, pool.table, batches, "cpu")
    other = gather_evidence(model, pool.table, batches[::-1], "cpu")
    assert found.rows.tolist() == list(range(IMAGES))
    assert np.array_equal(found.channels, other.channels)
    assert np.array_equal(found.outside, other.outside)
    # A half's score is the mean of its channels.
    assert np.allclose(found.channels[:, :4].mean(1), found.real, atol=1e-6)
    assert np.allclose(found.channels[:, 4:].mean(1), found.fake, atol=1e-6)
    part = gather_evidence(model, pool.table, batches[1:], "cpu")
    assert len(part.rows) == IMAGES - 50
    assert np.array_equal(part.fake, found.fake[part.rows])


def test_broken_shards_are_errors_unless_they_may_be_skipped(asked, tmp_path, capsys):
    shards = make_shards(tmp_path / "shards", CORPUS)
    tars = sorted((shards / "train").glob("*.tar"))
    with tars[0].open("r+b") as file:
        file.truncate(tars[0].stat().st_size // 2)
    with pytest.raises(UsageError, match=tars[0].name):
        ask(shards, asked / "r0", tmp_path / "q")
    assert not (tmp_path / "q/requests.parquet").exists()
    assert ask(shards, asked / "r0", tmp_path / "q", "--skip-broken") == 0
    assert "could not be read and were skipped" in capsys.readouterr().out
    assert len(rows_of(tmp_path / "q")) == 5
    for tar in tars:
        tar.write_bytes(b"")
    with pytest.raises(UsageError):
        ask(shards, asked / "r0", tmp_path / "q", "--skip-broken")


def test_a_full_disk_stops_and_says_so(shards, asked, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, "no space", str(tmp_path / "q/crops"))

    monkeypatch.setattr(writing, "_write_png", refuse)
    with pytest.raises(StoppedError, match="make room"):
        ask(shards, asked / "r0", tmp_path / "q")


def read_index(shards: Path) -> list[dict]:
    return pq.read_table(shards / "index.parquet").to_pylist()


def images_of(shards: Path) -> dict[str, bytes]:
    members = [member for tar in shards.rglob("*.tar") for member in read_tar(tar)]
    return {name.removesuffix(".jpg"): data for name, data in members if name.endswith(".jpg")}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
