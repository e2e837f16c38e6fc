"""How results lie in files: JSON and Parquet of records, seen whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from schemas import stores
from schemas.convert import arrow_schema, from_table, to_row
from schemas.errors import StoppedError, UsageError
from schemas.paths import is_url
from schemas.stores import PART as PART

Check = Callable[[], None]
"""What is asked before a file is put in place; raises where it must not be."""


# Rows a row group.
_BATCH = 50_000

# What stops a run through the fault of the disk that it writes to, and the remedy.
_DISK = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or have the quota raised",
    errno.EFBIG: "raise the limit on a file's size (ulimit -f), or lower shard.groups",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "see who may write there",
    errno.EPERM: "see who may write there",
    errno.EIO: "see whether the disk is sound",
    errno.ESTALE: "mount it again",
}


@contextlib.contextmanager
def atomic_write(path: Path, check: Check | None = None) -> Iterator[BinaryIO]:
    """A binary file that appears under its name only if the block ends well.

    Writes to a temporary file in the same folder, then fsync and `os.replace`. An exception removes the
    temporary file and leaves what was there before; a killed process leaves `.<name>.*.part`, which
    `remove_parts` clears.

    Behind a URL the temporary file is a local one without a name, and all of it is put there at the end.

    Args:
      path: of the file.
      check: called when all is written, just before the file appears; what it raises keeps it away.
    """
    if is_url(path):
        with tempfile.TemporaryFile(prefix=".", suffix=PART) as waiting:
            yield cast(BinaryIO, waiting)
            waiting.flush()
            if check is not None:
                check()
            stores.put(cast(BinaryIO, waiting), path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        if check is not None:
            check()
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _fsync_folder(path.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any, check: Check | None = None) -> None:
    """Write canonical, human-readable JSON; `check` as in `atomic_write`."""
    with atomic_write(path, check) as file:
        file.write((json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def write_rows(
    path: Path,
    cls: type,
    records: Iterable[Any],
    metadata: dict[str, str] | None = None,
    check: Check | None = None,
) -> None:
    """Write schema dataclasses as one Parquet file, in the order given, with the dataclass's schema.

    `check` is as in `atomic_write`.
    """
    write_tables(path, arrow_schema(cls), _rows(records), metadata, check)


def _rows(records: Iterable[Any]) -> Iterator[list[dict]]:
    """Rows of records, some at a time: as plain values they take several times what they are."""
    waiting = iter(records)
    while batch := [to_row(record) for record in itertools.islice(waiting, _BATCH)]:
        yield batch


def write_tables(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[list[dict] | pa.Table],
    metadata: dict[str, str] | None = None,
    check: Check | None = None,
) -> None:
    """Write one Parquet file of several batches, a row group each; holds one batch at a time.

    `check` is as in `atomic_write`.
    """
    schema = schema.with_metadata(metadata) if metadata else schema
    with atomic_write(path, check) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            table = batch if isinstance(batch, pa.Table) else pa.Table.from_pylist(batch, schema=schema)
            if table.num_rows:
                writer.write_table(table.cast(schema))


def read_rows(path: Path, cls: type[Any]) -> list[Any]:
    """Read what `write_rows` wrote.

    Raises:
      UsageError: if the file is missing, is not Parquet, or has other columns.
    """
    try:
        table = pq.read_table(readable(path))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; run the stage that makes it first") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(
            f"{path}: not a readable Parquet file ({error}); remove it and run its stage again"
        ) from None
    expected: pa.Schema = arrow_schema(cls)
    if not table.schema.equals(expected, check_metadata=False):
        missing = sorted(set(expected.names) ^ set(table.schema.names)) or "types"
        raise UsageError(
            f"{path}: its columns are not those of {cls.__name__} (differs in {missing}); make it again"
        )
    return list(from_table(cls, table))


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a Parquet file that `write_rows` wrote."""
    metadata = pq.read_schema(readable(path)).metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items() if key != b"ARROW:schema"}


def read_bytes(path: Path) -> bytes:
    """What a file holds, local or not.

    Raises:
      OSError: if it cannot be read.
    """
    return stores.read_bytes(path) if is_url(path) else path.read_bytes()


def open_read(path: Path) -> BinaryIO:
    """A file, local or not, to be read from its begin to its end.

    Raises:
      OSError: if it cannot be read.
    """
    return stores.open_stream(path) if is_url(path) else path.open("rb")


def is_file(path: Path) -> bool:
    """Whether there is such a file, local or not."""
    if not is_url(path):
        return path.is_file()
    try:
        stores.read_entry(path)
    except FileNotFoundError:
        return False
    return True


def changed(path: Path) -> int:
    """When a file was written, local or not, in nanoseconds."""
    return stores.read_entry(path).changed if is_url(path) else path.stat().st_mtime_ns


def readable(path: Path) -> Any:
    """What pyarrow reads a whole file from: its path, or what is in it, where it is behind a URL."""
    return pa.BufferReader(stores.read_bytes(path)) if is_url(path) else path


def file_sha256(path: Path) -> str:
    """SHA-256 of the bytes of a local file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder for one run; leaves nothing behind, not even when killed.

    A store has no locks: behind a URL nothing is held, but errors are told in the same way.

    Raises:
      UsageError: if another run holds it, or it cannot be made.
      StoppedError: if the block cannot write.
    """
    if is_url(folder):
        with _disk_errors(folder):
            yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}; give another --out") from None
    try:
        _lock(descriptor, folder)
        with _disk_errors(folder):
            yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        where = error.filename or f"{folder} (or {tempfile.gettempdir()}, for temporary files)"
        raise StoppedError(
            f"{where}: {os.strerror(error.errno).lower()}; {_DISK[error.errno]}, then run again: "
            "what is finished is kept"
        ) from None


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"{folder}: another run is writing here; wait for it, or give another --out"
        ) from None


def remove_parts(folder: Path) -> None:
    """Remove what killed writers left behind."""
    if is_url(folder):
        stores.remove(folder / name for name in stores.list_files(folder) if _is_part(name))
        return
    for path in folder.rglob(f".*{PART}"):
        path.unlink(missing_ok=True)


def _is_part(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(".") and name.endswith(PART)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    if is_url(path):
        with contextlib.suppress(FileNotFoundError):
            stores.remove([path])
    else:
        path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    if is_url(folder):
        stores.remove(folder / name for name in stores.list_files(folder))
    else:
        shutil.rmtree(folder)
