import errno
import signal
import subprocess
import sys

import pytest

from pipelines import publish, resume
from schemas import Clip, Outcome, files, from_row, to_row
from schemas.errors import UsageError
from schemas.sidecar import Sidecar


def outcome(unit: str = "a", status="ok") -> Outcome:
    return Outcome("shard", "d", unit, "g", status)


def committed(folder, key, digest, status="ok"):
    with files.atomic_write(folder / f"{key}.tar") as file:
        file.write(key.encode())
    vouched = (publish.describe(folder / f"{key}.tar"),)
    publish.commit(folder, key, Sidecar(digest, (outcome(status=status),), vouched, 1))


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with files.atomic_write(path) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_killed_writer_leaves_no_file_under_the_name(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from schemas import files\n"
        "with files.atomic_write(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.tar")], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "x.tar").exists()
    assert len(list(tmp_path.iterdir())) == 1
    files.remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_whole_only_with_sidecar_and_files(tmp_path):
    committed(tmp_path, "train/a", "1")
    assert publish.read_sidecar(tmp_path, "train/a").digest == "1"
    tar = tmp_path / "train/a.tar"
    tar.write_bytes(tar.read_bytes()[:-1])
    assert publish.read_sidecar(tmp_path, "train/a") is None
    tar.unlink()
    assert publish.read_sidecar(tmp_path, "train/a") is None
    assert publish.read_sidecar(tmp_path, "train/b") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "[1]", "1", "null", '"text"', '{"digest": 3}', "\x00"])
def test_a_damaged_sidecar_counts_as_none(tmp_path, text):
    committed(tmp_path, "train/a", "1")
    (tmp_path / "train/a.json").write_text(text)
    assert publish.read_sidecar(tmp_path, "train/a") is None


def test_pending_is_what_is_missing_or_made_of_something_else(tmp_path):
    committed(tmp_path, "train/a", "1")
    committed(tmp_path, "train/b", "1")
    committed(tmp_path, "train/c", "1", status="failed")
    wanted = {"train/a": "1", "train/b": "2", "train/c": "1", "train/d": "1"}
    assert resume.find_pending(tmp_path, wanted, retry_failed=False) == ["train/b", "train/d"]
    assert resume.find_pending(tmp_path, wanted, retry_failed=True) == ["train/b", "train/c", "train/d"]


def test_seal_removes_what_the_plan_no_longer_names(tmp_path):
    for key in ("train/a", "train/b", "val/a"):
        committed(tmp_path, key, "1")
    (tmp_path / "train/.c.tar.1.part").write_text("left behind")
    (tmp_path / "index.json").write_text("{}")
    sidecars = resume.seal(tmp_path, {"train/a": "1", "train/x": "1"}, (".tar",))
    assert sidecars["train/x"] is None
    assert sidecars["train/a"].digest == "1"
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "index.json", "train", "train/a.json", "train/a.tar",
    ]  # fmt: skip


def test_seal_leaves_what_is_not_the_stages_own(tmp_path):
    for key in ("train/a", "train/b", "groups/a", "runs/r0/run"):
        committed(tmp_path, key, "1")
    (tmp_path / "somebody/empty").mkdir(parents=True)
    resume.seal(tmp_path, {"train/a": "1"}, (".tar",), ("train", "val"))
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert {"train/a.tar", "groups/a.tar", "groups/a.json", "runs/r0/run.json", "somebody/empty"} <= kept
    assert "train/b.json" not in kept


def test_two_runs_into_one_folder_are_refused(tmp_path):
    code = (
        "import sys; from pathlib import Path; from schemas import files\n"
        "with files.exclusive(Path(sys.argv[1])): pass"
    )
    with files.exclusive(tmp_path):
        second = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60
        )
    assert second.returncode != 0
    assert "another run is writing here" in second.stderr
    assert list(tmp_path.iterdir()) == []
    with files.exclusive(tmp_path):
        pass


def test_what_blocks_inside_a_held_folder_is_not_another_run(tmp_path):
    with pytest.raises(BlockingIOError, match="a pipe is full"), files.exclusive(tmp_path):
        raise BlockingIOError(errno.EAGAIN, "a pipe is full")
    with files.exclusive(tmp_path):
        pass


def test_rows_survive_parquet(tmp_path):
    clips = [
        Clip("d", f"{i}.mp4", "g", "real", "real", "raw", "train", identities=("a:1", "b:2"))
        for i in range(3)
    ]
    path = tmp_path / "clips.parquet"
    files.write_rows(path, Clip, clips, {"root": "somewhere"})
    assert files.read_rows(path, Clip) == clips
    assert files.read_metadata(path) == {"root": "somewhere"}
    before = path.read_bytes()
    files.write_rows(path, Clip, clips, {"root": "somewhere"})
    assert path.read_bytes() == before
    files.write_rows(path, Clip, [])
    assert files.read_rows(path, Clip) == []


def test_unreadable_tables_name_file_and_remedy(tmp_path):
    path = tmp_path / "clips.parquet"
    with pytest.raises(UsageError, match=r"clips\.parquet: no such file"):
        files.read_rows(path, Clip)
    for content in (b"", b"PAR1", b"text" * 100):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"clips\.parquet: not a readable Parquet file"):
            files.read_rows(path, Clip)
    files.write_rows(path, Outcome, [outcome()])
    with pytest.raises(UsageError, match="not those of Clip"):
        files.read_rows(path, Clip)


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="extra"):
        from_row(Outcome, {**to_row(outcome()), "extra": 1})
