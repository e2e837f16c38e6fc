import json
import re
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds

from pipelines import audit, pictures, publish, report
from pipelines.corpus import load_corpus
from pipelines.errors import UsageError
from pipelines.remedies import REMEDIES
from pipelines.shard_folder import read_folder, read_shard_rows
from pipelines.verification import verify_one
from schemas.leak import Leak
from schemas.outcome import Outcome, Reason
from tests.shards_factory import (
    Corpus,
    Members,
    edit_json,
    edit_parquet,
    edit_tar,
    make_shards,
    read_tar,
    reseal,
    write_tar,
)
from transforms.audit import checks, plots, summary
from transforms.audit.checks import percent
from transforms.audit.gallery import draw_strip, pick_examples, pick_worst, why_weak
from transforms.audit.verify import verify_shard

TINY = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()
METHOD = "Deepfakes"
TRAIN = "train/demo-train-000000.tar"
BEAM = ("--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")


def run_audit(tmp_path: Path, *flags: str, shards: tuple[str, ...] = ("shards",), out: str = "report") -> int:
    folders = [argument for name in shards for argument in ("--shards", str(tmp_path / name))]
    return audit.main([*folders, "--out", str(tmp_path / out), *flags, *BEAM])


def read_metrics(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "report/metrics.json").read_bytes())


@pytest.fixture
def real_plots():
    """For tests that look at plots: others get by without, since drawing takes most of the time."""


@pytest.fixture(autouse=True)
def _maybe_no_plots(request, monkeypatch):
    if "real_plots" not in request.fixturenames:
        monkeypatch.setattr(plots, "_draw", lambda *arguments: TINY)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("made") / "shards")


@pytest.fixture
def shards(made, tmp_path):
    """A folder of whole shards of its own."""
    return Path(shutil.copytree(made, tmp_path / "shards"))


def test_whole_shards_pass(shards, tmp_path, capsys):
    assert run_audit(tmp_path) == 0
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("pass")] == [
        "pass balance",
        "pass integrity",
        "pass leaks",
        "pass counts",
    ]
    metrics = read_metrics(tmp_path)
    table = pq.read_table(shards / "index.parquet")
    assert metrics["samples"] == table.num_rows == metrics["samples_real"] + metrics["samples_fake"]
    assert metrics["clips"] == len(set(table["clip"].to_pylist()))
    assert metrics["shard_failed"] == 1
    assert metrics["findings_integrity"] == metrics["leaks"] == 0
    assert publish.read_rows(tmp_path / "report/leaks.parquet", Leak) == []


@pytest.mark.usefixtures("real_plots")
def test_same_shards_give_the_same_bytes_and_are_not_read_again(shards, tmp_path, monkeypatch):
    def made_files(out: str) -> dict[str, bytes]:
        folder = tmp_path / out
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and ".verified" not in path.parts
        }

    assert run_audit(tmp_path) == run_audit(tmp_path, out="other") == 0
    assert made_files("report") == made_files("other")
    monkeypatch.setattr(plots, "_draw", lambda *arguments: TINY)
    assert run_audit(tmp_path) == 0
    without_plots = made_files("report")
    verified = {path: path.stat().st_mtime_ns for path in (tmp_path / "report/.verified").rglob("*.json")}
    assert len(verified) == 3
    (tmp_path / "report/plots/stale.png").write_bytes(b"")
    assert run_audit(tmp_path) == 0
    assert made_files("report") == without_plots
    assert verified == {path: path.stat().st_mtime_ns for path in verified}
    assert run_audit(tmp_path, "--reverify") == 0
    assert all(path.stat().st_mtime_ns > before for path, before in verified.items())


def test_report_stands_alone_and_answers_what_a_person_asks(shards, tmp_path):
    run_audit(tmp_path)
    html = (tmp_path / "report/report.html").read_text("utf-8")
    assert not re.search(r"<script|<link|@import|url\(|src=\"(?!data:)|srcset=\"(?!data:)|href=\"(?!#)", html)
    sections = re.findall(r'<section id="(\w+)">', html)
    assert set(sections) == set(re.findall(r'href="#(\w+)"', html))
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img[^>]*>", html))
    for text in ("decode_error", "Made up; use as you like.", "wds.WebDataset(", "all 4 checks passed"):
        assert text.lower() in html.lower()


def test_the_snippet_of_the_report_reads_a_shard(shards):
    folder = read_folder(shards)
    pattern, image = report._reading(folder)
    (sample, *_) = wds.WebDataset(str(shards / pattern), shardshuffle=False).decode("rgb8")
    assert sample[image].shape == sample["mask.png"].shape == (64, 64, 3)
    assert sample["json"]["key"] == sample["__key__"]


@pytest.mark.parametrize("unit", ["frame", "sequence"])
def test_both_units_pass(tmp_path, unit):
    make_shards(tmp_path / "shards", Corpus(unit=unit, groups=4, frames=2))
    assert run_audit(tmp_path) == 0
    metrics = read_metrics(tmp_path)
    assert metrics["images"] == metrics["samples"] * (2 if unit == "sequence" else 1)
    assert b"data:image/jpeg" in (tmp_path / "report/report.html").read_bytes()


def without(part: str):
    return lambda members: [m for m in members if not m[0].endswith(part)]


def change(part: str, data: bytes):
    def edit(members: Members) -> Members:
        first = next(name for name, _ in members if name.endswith(part))
        return [(name, data if name == first else old) for name, old in members]

    return edit


def record_of_another_clip(members: Members) -> Members:
    name, data = next(m for m in members if m[0].endswith(".json"))
    record = json.loads(data) | {"method": "Other"}
    return change(name, json.dumps(record).encode())(members)


WRONG_MASK = b"\x89PNG\r\n\x1a\n" + bytes(8) + (32).to_bytes(4) * 2


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (without("000000.jpg"), "missing_member"),
        (without("000000.json"), "missing_member"),
        (without("000000.mask.png"), "missing_member"),
        (change(".jpg", b"other"), "crop_sha256"),
        (change(".json", b"{"), "bad_record"),
        (change(".json", b"[]"), "bad_record"),
        (change(".json", b"[" * 100_000), "bad_record"),
        (change(".json", b"{}"), "bad_record"),
        (record_of_another_clip, "record_differs"),
        (change(".mask.png", WRONG_MASK), "mask"),
        (change(".mask.png", b"not a picture"), "mask"),
        (lambda members: [*members[:2], (f"{members[0][0][:-5]}.txt", b""), *members[2:]], "extra_member"),
        (lambda members: [*members[:2], (f"{members[0][0][:-5]}.png", b""), *members[2:]], "extra_member"),
        (lambda members: [*members[:2], members[1], *members[2:]], "duplicate_member"),
        (lambda members: [*members, *members[:3]], "duplicate_key"),
        (lambda members: members[3:], "missing_sample"),
        (lambda members: [*members, ("demo/other/00/000000.json", b"{}")], "extra_sample"),
        (lambda members: members[:-4], "samples"),
    ],
)
def test_wrong_members_are_found(shards, edit, problem):
    edit_tar(shards, TRAIN, edit)
    problems = {finding.problem for finding in verify(shards)}
    assert problem in problems
    assert not problems & {"unreadable", "sha256", "size"}


def verify(shards: Path, url: str = TRAIN) -> list:
    folder = read_folder(shards)
    entry = next(entry for entry in folder.entries if entry.url == url)
    return list(verify_one(shards, entry)[0])


def test_a_real_sample_whose_mask_is_not_zeros_is_found(shards):
    mask = next(data for name, data in read_tar(shards / TRAIN) if name.endswith("mask.difference.png"))
    edit_tar(shards, TRAIN, change(".mask.png", mask))
    assert any(f.problem == "mask" and "not all 0" in f.detail for f in verify(shards))


@pytest.mark.parametrize("keep", [0, 100, 512, 5000, 20_480, 100_000])
def test_truncated_tars_are_found_even_when_vouched_for(shards, keep):
    path = shards / TRAIN
    path.write_bytes(path.read_bytes()[:keep])
    assert "size" in {finding.problem for finding in verify(shards)}
    reseal(shards, TRAIN)
    problems = {finding.problem for finding in verify(shards)}
    assert problems
    assert problems <= {"unreadable", "samples", "missing_sample", "missing_member", "duplicate_key"}


@pytest.mark.parametrize("offset", [0, 300, 1000, 30_000])
def test_flipped_bytes_are_found(shards, offset):
    data = bytearray((shards / TRAIN).read_bytes())
    data[offset] ^= 0xFF
    (shards / TRAIN).write_bytes(data)
    assert "sha256" in {finding.problem for finding in verify(shards)}


def test_bytes_that_a_reader_would_skip_are_found(shards):
    data = (shards / TRAIN).read_bytes()
    middle = len(data) // 2 // 512 * 512
    (shards / TRAIN).write_bytes(data[:middle] + b"\xff" * 512 + data[middle:])
    reseal(shards, TRAIN)
    assert {"unreadable", "missing_sample"} <= {finding.problem for finding in verify(shards)}


def test_a_sidecar_that_vouches_for_another_tar_is_found(shards):
    edit_json(
        (shards / TRAIN).with_suffix(".json"), lambda sidecar: sidecar["files"][0].update(sha256="0" * 64)
    )
    assert [finding.problem for finding in verify(shards)] == ["sidecar"]


def test_a_cut_off_end_marker_is_found(shards):
    data = (shards / TRAIN).read_bytes().rstrip(b"\0")
    (shards / TRAIN).write_bytes(data + bytes(-len(data) % 512 + 512))
    reseal(shards, TRAIN)
    assert [finding.problem for finding in verify(shards)] == ["unreadable"]


def test_a_directory_in_a_tar_is_no_member(shards):
    rows = read_shard_rows((shards / TRAIN).with_suffix(".parquet"), "frame")
    with tarfile.open(shards / TRAIN, "a") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    reseal(shards, TRAIN)
    entry = next(entry for entry in read_folder(shards).entries if entry.url == TRAIN)
    with (shards / TRAIN).open("rb") as file:
        problems = {finding.problem for finding in verify_shard(file, entry, rows)[0]}
    assert problems == {"extra_member"}


def test_damage_fails_the_run_and_is_named(shards, tmp_path, capsys):
    (shards / TRAIN).write_bytes((shards / TRAIN).read_bytes()[:-4096])
    (shards / "val/demo-val-000000.tar").unlink()
    (shards / "test/demo-test-000000.parquet").write_bytes(b"not Parquet")
    write_tar(shards / "test/old.tar", [])
    assert run_audit(tmp_path) == 3
    said = capsys.readouterr()
    assert "failed: integrity" in said.err
    for place in (
        "train/demo-train-000000.tar: unreadable stops after",
        "val/demo-val-000000.tar: missing No such file",
        "test/demo-test-000000.tar: rows demo-test-000000.parquet: ",
        "demo: stray test/old.tar",
    ):
        assert place in said.out
    assert read_metrics(tmp_path)["findings_integrity"] >= 4


def test_retry_failed_reads_only_shards_with_findings(shards, tmp_path):
    whole = (shards / TRAIN).read_bytes()
    (shards / TRAIN).write_bytes(whole[:-4096])
    assert run_audit(tmp_path) == 3
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "report/.verified").rglob("*.json")}
    assert run_audit(tmp_path) == 3
    assert before == {path: path.stat().st_mtime_ns for path in before}
    (shards / TRAIN).write_bytes(whole)
    assert run_audit(tmp_path, "--retry-failed") == 0
    again = [path.stem for path, time in before.items() if path.stat().st_mtime_ns > time]
    assert again == ["demo-train-000000"]
    assert not list((tmp_path / "report/.verified").rglob("*.parquet"))


def test_shards_that_were_never_read_are_said_to_be(shards, tmp_path, capsys):
    assert run_audit(tmp_path, "--retry-failed") == 3
    assert "not_verified" in capsys.readouterr().out


def drop_first(rows: list[dict]) -> list[dict]:
    return rows[1:]


def repeat_first(rows: list[dict]) -> list[dict]:
    return [rows[0], *rows]


def other_shard(rows: list[dict]) -> list[dict]:
    return [row | {"shard": "train/elsewhere.tar"} for row in rows]


def one_more_made(rows: list[dict]) -> list[dict]:
    return [row | {"made": row["made"] + (row["status"] == "ok")} for row in rows]


def other_score(rows: list[dict]) -> list[dict]:
    return [rows[0] | {"target": "other"}, *rows[1:]]


@pytest.mark.parametrize(
    ("name", "edit", "problem"),
    [
        ("outcomes.parquet", drop_first, "no_outcome"),
        ("outcomes.parquet", repeat_first, "several_outcomes"),
        ("outcomes.parquet", one_more_made, "made"),
        ("clips.parquet", drop_first, "unknown_clip"),
        ("plan.parquet", drop_first, "not_planned"),
        ("plan.parquet", other_shard, "other_shard"),
        ("index.parquet", drop_first, "made"),
        ("index.parquet", drop_first, "shard_samples"),
        ("index.parquet", drop_first, "index_rows"),
        ("index.parquet", repeat_first, "duplicate_key"),
        ("index.parquet", other_score, "index_rows"),
    ],
)
def test_gaps_between_the_tables_are_found(shards, name, edit, problem):
    edit_parquet(shards / name, edit)
    assert problem in {finding.problem for finding in find_gaps(shards)}


def find_gaps(shards: Path) -> list:
    folder = read_folder(shards)
    corpus = load_corpus([folder])
    return [*audit.compare(folder, corpus, 0), *checks.check_keys("all", corpus.keys)]


def test_whole_tables_have_no_gaps(made):
    assert find_gaps(made) == []


def test_index_json_must_count_the_rows(shards):
    edit_json(shards / "index.json", lambda index: index["shardlist"].pop())
    assert {"stray", "shard_samples"} <= {finding.problem for finding in find_gaps(shards)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label": "fake", "mask_kind": "all_zero"}, "fake_zero"),
        ({"label": "fake", "mask_kind": "difference"}, "fake_zero"),
        ({"label": "real", "mask_kind": "unknown"}, "real_not_zero"),
    ],
)
def test_masks_that_do_not_fit_their_class_are_found(shards, change, problem):
    def edit(rows: list[dict]) -> list[dict]:
        first = next(row for row in rows if row["label"] == "real")  # Its mask's area is 0.
        return [row | change if row is first else row for row in rows]

    edit_parquet(shards / "index.parquet", edit)
    assert problem in {finding.problem for finding in find_gaps(shards)}


def write_params(tmp_path: Path, text: str) -> tuple[str, str]:
    (tmp_path / "params.yaml").write_text(text)
    return "--params", str(tmp_path / "params.yaml")


def test_leaks_fail_above_the_limit_and_say_which(tmp_path, capsys):
    make_shards(tmp_path / "shards", Corpus(leak=True))
    assert run_audit(tmp_path) == 3
    said = capsys.readouterr().out
    assert "youtube:straddler" in said
    assert "6 of 6 test clips (100%)" in said
    assert "split: repaired" in said
    (leak,) = publish.read_rows(tmp_path / "report/leaks.parquet", Leak)
    assert (leak.identity, leak.splits, leak.counts) == ("youtube:straddler", ("train", "test"), (6, 6))
    html = (tmp_path / "report/report.html").read_text()
    assert "6 of\n  6 test clips (100%)" in html
    for limit in (1, -1):
        assert run_audit(tmp_path, *write_params(tmp_path, f"audit: {{max_leaks: {limit}}}")) == 0
        assert "youtube:straddler" in (tmp_path / "report/report.html").read_text()


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


def test_several_datasets_in_one_report(tmp_path):
    for name in ("one", "two"):
        make_shards(tmp_path / name, Corpus(dataset=name, frames=1, terms=f"Terms of {name}."))
    assert run_audit(tmp_path, shards=("one", "two")) == 0
    html = (tmp_path / "report/report.html").read_text()
    assert "Audit of one, two" in html
    assert "Terms of one." in html
    assert "Terms of two." in html
    single = pq.read_metadata(tmp_path / "one/index.parquet").num_rows
    assert read_metrics(tmp_path)["samples"] == 2 * single


def test_one_dataset_twice_has_duplicate_keys(tmp_path, capsys):
    for name in ("one", "two"):
        make_shards(tmp_path / name, Corpus(frames=1))
    assert run_audit(tmp_path, shards=("one", "two")) == 3
    assert "all datasets: duplicate_key" in capsys.readouterr().out


def test_shards_without_samples_make_a_report(tmp_path):
    make_shards(tmp_path / "shards", Corpus(frames=0))
    assert run_audit(tmp_path) == 0
    assert read_metrics(tmp_path)["samples"] == 0
    make_shards(tmp_path / "nothing", Corpus(groups=0))
    assert run_audit(tmp_path, shards=("nothing",)) == 0


def test_only_real_clips_make_a_report(tmp_path):
    make_shards(tmp_path / "shards", Corpus(methods=(), failed=0))
    assert run_audit(tmp_path) == 0
    assert "There are no fakes." in (tmp_path / "report/report.html").read_text()


def test_dry_run_writes_nothing(shards, tmp_path, capsys):
    assert run_audit(tmp_path, "--dry-run") == 0
    assert "would read 3 of 3 shards" in capsys.readouterr().out
    assert not (tmp_path / "report").exists()


def test_show_says_what_a_report_says(shards, tmp_path, capsys):
    (shards / "val/demo-val-000000.tar").unlink()
    assert run_audit(tmp_path) == 3
    capsys.readouterr()
    assert audit.main(["--show", str(tmp_path / "report")]) == 3
    said = capsys.readouterr().out
    assert re.search(r"^Samples +\d+  \d+ real, \d+ fake$", said, re.MULTILINE)
    assert re.search(r"^Shards are whole +FAILED$", said, re.MULTILINE)
    with pytest.raises(UsageError, match="no report in it"):
        audit.main(["--show", str(shards)])
    with pytest.raises(SystemExit, match="2"):
        audit.main(["--shards", str(shards)])


def version(shards: Path) -> None:
    edit_json(shards / "index.json", lambda index: index.update(schema_version=99))


def kind(shards: Path) -> None:
    edit_json(shards / "index.json", lambda index: index.update(unit="video"))


def escape(shards: Path) -> None:
    edit_json(shards / "index.json", lambda index: index["shardlist"][0].update(url="../../x.tar"))


def columns(shards: Path) -> None:
    table = pq.read_table(shards / "index.parquet")
    pq.write_table(table.drop_columns("method"), shards / "index.parquet")


def types(shards: Path) -> None:
    table = pq.read_table(shards / "index.parquet")
    pq.write_table(table.set_column(11, "track", table["track"].cast("string")), shards / "index.parquet")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda shards: (shards / "index.json").unlink(), r"index\.json: no such file.*the shard stage"),
        (lambda shards: (shards / "index.json").write_text("{"), r"index\.json: not readable JSON"),
        (lambda shards: (shards / "index.json").write_text("[]"), r"holds a list, not an index"),
        (lambda shards: (shards / "index.json").write_text("{}"), r"not an index of our shards"),
        (version, r"schema_version is 99, this code reads 1"),
        (kind, r"unit 'video'"),
        (escape, r"not a shard: .*\.\./\.\./x\.tar"),
        (lambda shards: (shards / "index.parquet").unlink(), r"index\.parquet: no such file"),
        (lambda shards: (shards / "index.parquet").write_text("x"), r"not a readable Parquet file"),
        (columns, r"index\.parquet: its columns are not those of Sample .*method"),
        (types, r"index\.parquet: its columns are not those of Sample .*track"),
        (lambda shards: (shards / "clips.parquet").unlink(), r"clips\.parquet: no such file"),
    ],
)
def test_a_folder_that_is_not_shards_is_refused(shards, tmp_path, harm, message):
    harm(shards)
    with pytest.raises(UsageError, match=message):
        run_audit(tmp_path)
    assert not (tmp_path / "report").exists()


def test_other_bad_usage_is_refused(shards, tmp_path):
    with pytest.raises(UsageError, match="nothing: no such folder"):
        run_audit(tmp_path, shards=("nothing",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no finished shards"):
        run_audit(tmp_path, shards=("empty",))
    with pytest.raises(UsageError, match="give another folder"):
        run_audit(tmp_path, out="shards/report")


def test_figures_are_those_of_numpy(made):
    corpus = load_corpus([read_folder(made)])
    rows = pq.read_table(made / "index.parquet").to_pylist()
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


def test_galleries_pair_frames_and_are_always_the_same(made):
    masks = load_corpus([read_folder(made)]).masks
    rows = masks.to_pylist()
    picks = pick_examples(masks, 6)
    assert picks == pick_examples(masks, 6)
    assert sorted(rows[p.row]["method"] for p in picks) == ["Deepfakes"] * 3 + ["NeuralTextures"] * 3
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
    assert pick_examples(masks, 0) == pick_worst(masks, 0) == []


def test_galleries_stay_within_their_budget(made, monkeypatch):
    corpus = load_corpus([read_folder(made)])
    every = pictures.example_pictures(corpus, 8)
    monkeypatch.setattr(pictures, "_BUDGET", sum(len(picture.data) for picture in every[:3]))
    assert pictures.example_pictures(corpus, 8) == every[:3]


def test_pictures_that_cannot_be_read_are_said_to_be(shards):
    corpus = load_corpus([read_folder(shards)])
    for path in shards.glob("*/*.tar"):
        path.write_bytes(b"")
    (picture, *_) = pictures.example_pictures(corpus, 1)
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
        ({"residual": 2.34}, "2.3 px"),
        ({"area": 0.001}, "0.1% of the crop"),
        ({"area": 0.9, "snr": None}, "90% of the crop"),
        ({}, "no other figure is weak"),
    ],
)
def test_weak_masks_say_why(quality, said):
    assert said in why_weak(quality, gate=1.0)


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


def test_shard_patterns_have_no_gaps(made):
    folder = read_folder(made)
    entries = [replace(folder.entries[0], url=f"train/d-train-{n:06d}.tar") for n in range(12)]
    assert report._reading(replace(folder, entries=entries))[0] == "train/d-train-{000000..000011}.tar"
    del entries[3]
    assert report._reading(replace(folder, entries=entries)) == ("train/d-train-000000.tar", "jpg")


@pytest.mark.usefixtures("real_plots")
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
