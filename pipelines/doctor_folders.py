"""What a worker's folders must be: one for temporary files, and the shared one that results go to."""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipelines.doctor_packages import Check

_GIB = 1 << 30
# Seconds that the clock of a shared folder may be off.
_SKEW = 5.0
# Largest file that is waited for outside of memory while a clip is read, about.
_ROOM = _GIB


def check_temporary() -> Iterator[Check]:
    """That temporary files can be written, and have room."""
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"room")
            file.flush()
    except OSError as error:
        yield Check(
            "temporary files", "failed", f"{folder}: {error.strerror}", "set TMPDIR to a writable folder"
        )
        return
    yield _room("temporary files", folder)


def _room(name: str, folder: str) -> Check:
    free = shutil.disk_usage(folder).free
    said = f"{folder}: {free / _GIB:.1f} GiB free"
    if free >= _ROOM:
        return Check(name, "ok", said)
    return Check(name, "note", said, "make room, or a run stops when the disk is full (exit code 1)")


@contextlib.contextmanager
def visit(out: Path) -> Iterator[tuple[Path, str]]:
    """A folder for the doctor alone below the shared one, and what was written there for workers to find.

    Nothing is left of it after the block.
    """
    token = uuid.uuid4().hex
    folder = out / f".doctor-{token}"
    folder.mkdir()
    try:
        (folder / "driver.json").write_text(json.dumps(token))
        yield folder, token
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_shared(folder: Path, token: str) -> Iterator[Check]:
    """That the shared folder is the driver's own, and does what committing results needs.

    Args:
      folder: what `visit` gave on the driver.
      token: what it wrote there.
    """
    mount = "mount the same folder at the same path on the driver and on every worker"
    try:
        if json.loads((folder / "driver.json").read_text()) != token:
            yield Check("shared folder", "failed", f"{folder.parent}: another driver's file is there", mount)
            return
    except (OSError, ValueError):
        yield Check("shared folder", "failed", f"{folder.parent}: the driver's file is not there", mount)
        return
    yield Check("shared folder", "ok", f"{folder.parent}: the driver's file is there")
    try:
        yield from _check_file_system(folder)
    except OSError as error:
        said = f"{folder.parent}: {os.strerror(error.errno or 0)}"
        yield Check(
            "commit", "failed", said, "results must be writable there: see who may write, and the mount"
        )
        return
    yield _room("room", str(folder.parent))


def _check_file_system(folder: Path) -> Iterator[Check]:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        now, old, new = time.time(), Path(own, "old"), Path(own, "new")
        new.write_bytes(b"before")
        with old.open("wb") as file:
            file.write(b"after")
            file.flush()
            os.fsync(file.fileno())
        old.replace(new)
        with tempfile.TemporaryFile(dir=own) as file:
            os.posix_fallocate(file.fileno(), 0, 1 << 16)
        if new.read_bytes() != b"after" or old.exists():
            yield Check(
                "commit",
                "failed",
                "a rename left what was there before",
                "use a file system with atomic rename",
            )
        else:
            yield Check("commit", "ok", "sync, atomic rename and files without a name work")
        yield _lock(Path(own))
        skew = new.stat().st_mtime - now
        late = abs(skew) > _SKEW
        remedy = "run a time service (chrony, ntpd) on this worker and on the file server" if late else ""
        yield Check("clock", "note" if late else "ok", f"the folder's is {skew:+.1f} s off", remedy)


def _lock(folder: Path) -> Check:
    remedy = "two runs into one folder are told apart by flock: mount with locks (NFS 4, or local_lock=none)"
    first, second = (os.open(folder, os.O_RDONLY) for _ in range(2))
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Check("lock", "ok", "a locked folder is refused to others")
    except OSError as error:
        return Check("lock", "note", error.strerror or "no flock", remedy)
    finally:
        os.close(first)
        os.close(second)
    return Check("lock", "note", "a locked folder is given to others, too", remedy)
