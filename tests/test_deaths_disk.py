"""A disk that is full, at every kind of file: a message, nothing lost, and a rerun with room completes."""

import contextlib
import errno
import shutil
import subprocess

import pytest

from benchmarks.deaths import Run
from schemas import files
from schemas.errors import StoppedError
from tests.work import digests, stamps


@pytest.fixture
def work(built, tmp_path):
    return built.copy(tmp_path / "work")


@pytest.fixture
def small(many, tmp_path):
    """A work whose shards are soon built."""
    return many.copy(tmp_path / "small")


def full(monkeypatch, name):
    """Let writes of a file fail as a full disk does, from the second one on."""
    real = files.atomic_write

    @contextlib.contextmanager
    def atomic_write(path, check=None):
        with real(path, check) as file:
            if path.name == name:
                write, writes = file.write, []

                def fail(data):
                    writes.append(data)
                    if len(writes) > 1 or path.suffix == ".json":
                        raise OSError(errno.ENOSPC, "No space left on device")
                    return write(data)

                file = _Failing(file, fail)
            yield file

    monkeypatch.setattr(files, "atomic_write", atomic_write)


class _Failing:
    def __init__(self, file, write):
        self._file, self.write = file, write

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_no_room_for_a_file_of_a_shard(many, small, monkeypatch):
    (small.shards / "val/demo-val-000000.json").unlink()
    before = stamps(small.shards)
    for name in ("demo-val-000000.tar", "demo-val-000000.parquet", "demo-val-000000.json"):
        full(monkeypatch, name)
        with pytest.raises(StoppedError, match=rf"{small.shards} .*no space left on device; make room there"):
            small.shard()
        monkeypatch.undo()
    left = stamps(small.shards)
    assert not list(small.shards.rglob(".*"))
    others = [path for path in before if path.startswith(("train/", "test/"))]
    assert {path: left[path] for path in others} == {path: before[path] for path in others}
    assert small.shard() == 0
    assert digests(small.shards) == digests(many.shards)


@pytest.mark.parametrize("name", ["outcomes.parquet", "plan.parquet", "index.parquet", "index.json"])
def test_no_room_for_a_table_leaves_the_old_one(many, small, monkeypatch, name):
    full(monkeypatch, name)
    with pytest.raises(StoppedError, match="make room there"):
        small.shard()
    assert digests(small.shards) == digests(many.shards)


def test_no_room_for_a_track_or_its_outcomes(many, small, monkeypatch):
    lost = min((small.tracks / "groups").rglob("*.json"))
    lost.unlink()
    for name in (lost.with_suffix(".parquet").name, lost.name, "outcomes.parquet"):
        full(monkeypatch, name)
        with pytest.raises(StoppedError, match=rf"{small.tracks} .*make room there"):
            small.track()
        monkeypatch.undo()
    assert small.track() == 0
    assert digests(small.tracks) == digests(many.tracks)


def test_files_that_may_not_grow_stop_two_workers_with_a_message(work):
    shutil.rmtree(work.shards)
    limited = ("sh", "-c", 'ulimit -f 1600 && exec "$@"', "sh")  # units of 512 bytes: a part of a shard
    code, words = Run(work, "shard", 2, prefix=limited).wait()
    assert code == 1
    assert f"stopped: {work.shards} " in words
    assert "file too large; raise the limit" in words
    assert "Traceback" not in words
    assert not list(work.shards.rglob(".*"))


def test_a_small_disk_that_is_made_larger(built, work, tmp_path):
    probe = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip(f"no tmpfs without privileges here: {probe.stderr.strip()}")
    shutil.rmtree(work.shards)
    work.shards.mkdir()
    script = (
        'disk=$1 kept=$2; shift 2; mount -t tmpfs -o size=4m none "$disk"; "$@"; echo "exit code $?"; '
        'mount -o remount,size=64m "$disk"; "$@"; code=$?; cp -r "$disk" "$kept"; exit $code'
    )
    mount = ("unshare", "-rm", "sh", "-c", script, "sh", work.shards, tmp_path / "kept")
    code, words = Run(work, "shard", 1, prefix=mount).wait()
    assert code == 0, words
    assert f"stopped: {work.shards} " in words
    assert "no space left on device; make room there" in words
    assert "exit code 1" in words
    assert "Traceback" not in words
    assert digests(tmp_path / "kept") == digests(built.shards)
