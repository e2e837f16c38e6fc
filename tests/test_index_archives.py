"""A WildDeepfake tree through the index stage, as a user runs it."""

import os
import shutil
import tarfile
from dataclasses import replace

import pytest

import pipelines.archives
from pipelines.archives import Contents
from pipelines.index import main
from pipelines.index_facts import known_facts
from pipelines.index_plan import open_dataset, plan
from pipelines.probing import Probed
from pipelines.stamps import LocalStamps
from schemas import Clip, Outcome
from schemas.errors import UsageError
from schemas.files import read_rows, write_rows
from schemas.params import DatasetParams
from tests import dying_probe
from tests.tars import entry, png, sequence, write
from transforms.indexing.probe import probe

ONE = ["--direct_num_workers=1"]
TOP = "deepfake_in_the_wild"


@pytest.fixture
def tree(tmp_path):
    """Four archives, five sequences."""
    root = tmp_path / "tree"
    for place in ("real_train", "fake_train", "real_test", "fake_test"):
        write(root / TOP / f"{place}/1.tar.gz", sequence(f"./1/{place[:4]}/7", [100, 9, 20]))
    write(
        root / TOP / "fake_train/12.tar.gz",
        [*sequence("./12/fake/131", range(4)), *sequence("./12/fake/9", [5, 6])],
    )
    return root


def index(root, out, *flags):
    return main(["--dataset", "wilddeepfake", "--root", str(root), "--out", str(out), *flags, *ONE])


def read(out):
    outcomes = read_rows(out.with_name(f"{out.stem}.outcomes.parquet"), Outcome)
    assert len(outcomes) == len({outcome.unit for outcome in outcomes})
    return {clip.clip: clip for clip in read_rows(out, Clip)}, {outcome.unit: outcome for outcome in outcomes}


def bad(outcomes):
    return {unit: outcome.reason for unit, outcome in outcomes.items() if outcome.status != "ok"}


@pytest.fixture
def scanned(monkeypatch):
    """Archives that are read from now on."""
    paths = []
    real = pipelines.archives.run

    def run(work, *arguments):
        paths.extend(item.unit.path.removeprefix(f"{TOP}/") for item in work)
        return real(work, *arguments)

    monkeypatch.setattr(pipelines.archives, "run", run)
    return paths


def test_sequences_are_clips_with_facts(tree, tmp_path):
    out = tmp_path / "work/clips.parquet"
    assert index(tree, out) == 0
    clips, outcomes = read(out)
    assert len(clips) == 6
    assert bad(outcomes) == {}
    clip = clips[f"{TOP}/fake_train/12.tar.gz/12/fake/131"]
    assert (clip.frames, clip.width, clip.height, clip.fps, clip.rotation) == (4, 24, 16, 0, 0)
    on_disk = tmp_path / "131"
    on_disk.mkdir()
    for frame in range(4):
        (on_disk / f"{frame}.png").write_bytes(png(frame))
    assert (clip.bytes, clip.sha256) == (probe(on_disk).bytes, probe(on_disk).sha256)
    assert {path: outcome.made for path, outcome in outcomes.items()} == {
        path: clip.frames for path, clip in clips.items()
    }
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "clips.outcomes.parquet",
        "clips.parquet",
        "clips.parquet.archives",
        "clips.parquet.status.json",
    ]


def test_every_member_is_a_clip_s_or_an_outcome(tree, tmp_path):
    hostile = [
        entry("/etc/passwd"),
        entry("../../7.png"),
        entry("./1/fake/7/8.png", tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry("./1/fake/7/\udcff.png"),
        ("./1/fake/7/notes.txt", b""),
        ("./1/fake/7/1.png", png(0)),
    ]
    good = sequence("./1/fake/7", [1, 2])
    odd = [*sequence("./1/real/8", [1]), *sequence("./else/1", [1]), ("./1/fake/9/1.png", b"text")]
    write(tree / TOP / "fake_test/1.tar.gz", [*good, *hostile, *odd])
    cut_off = write(tree / TOP / "real_test/1.tar.gz", sequence("./1/real/7", range(100)))
    cut_off.write_bytes(cut_off.read_bytes()[:-100])
    (tree / TOP / "real_test/2.tar.gz").write_bytes(b"PK\3\4")
    (tree / TOP / "real_test/3.tar.gz").write_bytes(b"")
    write(tree / "backup.tar.gz", [entry("/etc/passwd"), *sequence("a", [1])])
    (tree / "README.md").write_text("hello")
    out = tmp_path / "clips.parquet"
    assert index(tree, out) == 3
    clips, outcomes = read(out)
    inside = f"{TOP}/fake_test/1.tar.gz"
    assert bad(outcomes) == {
        f"{inside}//etc/passwd": "unsafe_member",
        f"{inside}/../../7.png": "unsafe_member",
        f"{inside}/1/fake/7/8.png": "unsafe_member",
        f"{inside}/1/fake/7/\\xff.png": "bad_name",
        f"{inside}/1/fake/7/notes.txt": "not_in_layout",
        f"{inside}/1/fake/7/1.png": "unsafe_member",
        f"{inside}/1/real/8": "not_in_layout",
        f"{inside}/else/1": "not_in_layout",
        f"{inside}/1/fake/9": "not_image",
        f"{TOP}/real_test/1.tar.gz": "decode_error",
        f"{TOP}/real_test/1.tar.gz/1/real/7": "decode_error",
        f"{TOP}/real_test/2.tar.gz": "decode_error",
        f"{TOP}/real_test/3.tar.gz": "empty_file",
        "backup.tar.gz": "not_in_layout",
        "README.md": "not_in_layout",
    }
    assert clips[f"{inside}/1/fake/7"].frames == 2
    assert {*clips} == {unit for unit, outcome in outcomes.items() if outcome.status == "ok"}
    assert str(tree) not in " ".join(outcome.detail for outcome in outcomes.values())


def test_an_interrupted_run_continues_and_archives_are_read_once(tree, tmp_path, scanned):
    out = tmp_path / "clips.parquet"
    assert index(tree, out) == 0
    assert len(scanned) == 5
    made = out.read_bytes()
    results = tmp_path / "clips.parquet.archives"
    for path in tmp_path.glob("clips*.parquet"):
        path.unlink()
    (lost, *_) = sorted(results.rglob("*.json"))
    lost.unlink()
    scanned.clear()
    assert index(tree, out) == 0
    assert len(scanned) == 1
    assert out.read_bytes() == made
    # What was touched is read again, even at its old size and time; what is gone is forgotten.
    changed, gone = (tree / TOP / f"{place}/1.tar.gz" for place in ("real_train", "real_test"))
    time = changed.stat().st_mtime_ns
    changed.write_bytes(changed.read_bytes())
    os.utime(changed, ns=(time, time))
    gone.unlink()
    scanned.clear()
    assert index(tree, out) == 0
    assert scanned == ["real_train/1.tar.gz"]
    assert len(read(out)[0]) == 5
    assert len([*results.rglob("*.json")]) == 4


def test_retry_failed_reads_what_failed(tree, tmp_path, scanned):
    broken = tree / TOP / "real_train/1.tar.gz"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-100])
    out = tmp_path / "clips.parquet"
    assert index(tree, out) == 3
    scanned.clear()
    assert index(tree, out) == 3
    assert scanned == []
    assert index(tree, out, "--retry-failed") == 3
    assert scanned == ["real_train/1.tar.gz"]
    broken.write_bytes(whole)
    assert index(tree, out, "--retry-failed") == 0
    assert len(read(out)[0]) == 6
    full = tmp_path / "full.parquet"
    assert index(tree, full) == 0
    assert full.read_bytes() == out.read_bytes()


def test_a_dry_run_reads_no_archive_and_writes_nothing(tree, tmp_path, capsys, scanned):
    out = tmp_path / "work/clips.parquet"
    assert index(tree, out, "--dry-run") == 0
    assert "would read 5 of 5 archives, 0.00 GiB" in capsys.readouterr().out
    assert not out.parent.exists()
    assert index(tree, out) == 0
    before = sorted(out.parent.rglob("*"))
    scanned.clear()
    assert index(tree, out, "--dry-run") == 0
    assert "would index 6 clips in 6 groups" in capsys.readouterr().out
    assert scanned == []
    assert sorted(out.parent.rglob("*")) == before


def test_a_reader_that_dies_costs_its_archive(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines.archives, "scan", dying_probe.scan)
    out = tmp_path / "clips.parquet"
    assert index(tree, out) == 3
    clips, outcomes = read(out)
    assert bad(outcomes) == {f"{TOP}/fake_train/12.tar.gz": "decode_crashed"}
    assert len(clips) == 4


def test_a_wrong_root_is_said(tree, tmp_path):
    shutil.rmtree(tree / TOP)
    write(tree / "a.tar.gz", sequence("1", [1]))
    with pytest.raises(UsageError, match="no WildDeepfake here"):
        index(tree, tmp_path / "clips.parquet")


def test_folders_of_frames_are_known_until_a_picture_is_touched(tmp_path):
    folder, out = tmp_path / "root/a/frames", tmp_path / "clips.parquet"
    folder.mkdir(parents=True)
    for frame in range(3):
        (folder / f"{frame}.png").write_bytes(png(frame))
    info = probe(folder)
    shape = {
        "frames": 3,
        "width": info.width,
        "height": info.height,
        "bytes": info.bytes,
        "sha256": info.sha256,
    }
    clip = Clip("d", "a/frames", "g", "real", "real", "raw", "train", **shape)
    write_rows(out, Clip, [clip])
    later = folder.stat().st_ctime_ns + 10**9
    os.utime(out, ns=(later, later))
    assert known_facts(out, LocalStamps(str(tmp_path / "root")))["a/frames"].sha256 == info.sha256
    os.utime(folder / "1.png", ns=(later, later))
    assert known_facts(out, LocalStamps(str(tmp_path / "root"))) == {}


def test_changes_are_made_to_what_is_declared(tree):
    source = open_dataset("wilddeepfake", DatasetParams("wilddeepfake", str(tree)))
    (sequence_of_1, other) = (f"{TOP}/real_train/1.tar.gz/1/real/{n}" for n in (7, 8))
    facts = {path: Probed(path, 3, 24, 16, 0, 0.0, 9, "") for path in (sequence_of_1, other)}

    def take_one_down(declared):
        gone = Outcome("index", "wilddeepfake", other, "", "skipped", "taken_down", "asked for")
        kept = tuple(clip for clip in declared.clips if clip.clip != other)
        return replace(declared, clips=kept, outcomes=(*declared.outcomes, gone))

    planned = plan(source, Contents(facts), [take_one_down])
    assert [clip.clip for clip in planned.clips] == [sequence_of_1]
    assert [*planned.facts] == [sequence_of_1]
    assert {outcome.unit: outcome.reason for outcome in planned.outcomes} == {other: "taken_down"}
