"""What the audit finds in damaged shards, and in tables that do not tell one story."""

import json
import tarfile
from pathlib import Path

import pytest

from pipelines import audit
from pipelines.corpus import load_corpus
from pipelines.shard_folder import read_folder, read_shard_rows
from pipelines.verification import verify_one
from tests.shards_factory import (
    Members,
    edit_json,
    edit_parquet,
    edit_tar,
    make_shards,
    read_tar,
    reseal,
)
from transforms.audit import checks
from transforms.audit.verify import verify_shard

TRAIN = "train/demo-train-000000.tar"


@pytest.fixture
def shards(tmp_path):
    """A folder of whole shards."""
    return make_shards(tmp_path / "shards")


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


def test_whole_tables_have_no_gaps(shards):
    assert find_gaps(shards) == []


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
