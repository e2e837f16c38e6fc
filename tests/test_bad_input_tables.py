"""Lists and tables that stages read, damaged: what is said, and that nothing is written."""

import re
import shutil
import sys

import pytest

from schemas import program
from schemas.errors import UsageError
from tests.bad_work import documented, good_work, open_work
from tests.work import Work, digests, stamps


@pytest.fixture
def good(tmp_path_factory) -> Work:
    return good_work(tmp_path_factory)


@pytest.fixture
def work(good, tmp_path) -> Work:
    """Index and tracks of the good corpus; no shards."""
    work = good.copy(tmp_path / "work")
    shutil.rmtree(work.shards)
    return work


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("stage", ["track", "shard"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), r"clips\.parquet: no such file; run the stage that makes it"),
        (lambda path: path.write_bytes(b""), r"clips\.parquet: not a readable Parquet file .*0 bytes"),
        (cut, r"clips\.parquet: not a readable Parquet file .*run its stage again"),
        (lambda path: path.write_text("[[]]" * 99), r"clips\.parquet: not a readable Parquet file"),
        (lambda path: shutil.copy(path.with_name("clips.outcomes.parquet"), path), "not those of Clip"),
        (replace_by_folder, r"clips\.parquet: is a folder; name the file"),
        (
            lambda path: path.with_name("clips.outcomes.parquet").unlink(),
            r"clips\.outcomes\.parquet: no such file.*run pipelines\.index again",
        ),
    ],
    ids=["missing", "empty", "cut off", "text", "another table", "folder", "without outcomes"],
)
def test_an_index_that_cannot_be_read(work, stage, damage, said):
    damage(work.clips)
    before = stamps(work.tracks)
    with pytest.raises(UsageError, match=said):
        getattr(work, stage)()
    assert stamps(work.tracks) == before
    assert not work.shards.exists()
    kinds = "`clips.parquet` missing, empty, cut off, a text, another table, or a folder"
    assert (
        documented()[kinds] == documented()["`clips.outcomes.parquet` missing"] == ("track, shard", "exit 2")
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda work, track: shutil.rmtree(work.tracks),
        lambda work, track: track.unlink(),
        lambda work, track: cut(track),
        lambda work, track: track.with_suffix(".json").write_text("{"),
    ],
    ids=["no folder", "no file", "cut off", "sidecar"],
)
def test_tracks_that_are_not_whole(work, damage):
    damage(work, work.tracks / "groups/youtube/002.parquet")
    with pytest.raises(UsageError, match=r"group youtube/00\d .*run pipelines\.track"):
        work.shard()
    assert not work.shards.exists()
    assert documented()["no tracks, or a track file missing or cut off"] == ("shard", "exit 2")


def test_a_track_stage_that_was_killed_before_its_end(work):
    (work.tracks / "outcomes.parquet").unlink()
    with pytest.raises(
        UsageError, match=r"tracks/outcomes\.parquet: no such file.*pipelines\.track .*run that again"
    ):
        work.shard()
    assert not work.shards.exists()
    with pytest.raises(UsageError, match=r"outcomes\.parquet"):
        work.shard("--dry-run")
    assert documented()["a track stage that was killed at its end"] == ("shard", "exit 2")


def test_a_track_file_that_is_damaged_inside_is_named_and_made_again(work, good, capfd):
    track = work.tracks / "groups/youtube/002.parquet"
    track.write_bytes(b"x" * track.stat().st_size)
    said = rf"^{track}: not a readable Parquet file \(.*\); remove it and run its stage again$"
    for workers in (1, 2):
        with pytest.raises(UsageError, match=said):
            work.shard(f"--direct_num_workers={workers}")
        assert re.fullmatch(r"shard: \d of \d after \d+ s\n", capfd.readouterr().err)
    track.unlink()
    assert work.track() == 0
    assert digests(work.tracks) == digests(good.tracks)
    assert documented()["a track file damaged inside"] == ("shard", "exit 2")


def test_a_broken_split_list_ends_index_with_2_and_its_remedy(good, tmp_path, monkeypatch, capsys):
    root = shutil.copytree(good.root.parent / "good", tmp_path / "root")
    (root / "val.json").write_text('[["000", ')
    broken = open_work(tmp_path / "broken", root)
    command = ["index", "--params", broken.params, "--dataset", "demo", "--out", broken.clips]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with pytest.raises(SystemExit) as caught:
        program.run_main("pipelines.index")
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert said.startswith(f"error: {root}/val.json: not JSON at line 1, column 10")
    assert "split: hash" in said
    assert not broken.clips.exists()
    assert documented()["a split list that is not JSON"] == ("index", "exit 2")
