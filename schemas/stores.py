"""Files behind URLs: few requests, nothing half-written, and errors that say what to do."""

import contextlib
import errno
import io
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem
from upath import UPath

from schemas.errors import StoppedError, UsageError

PART = ".part"

# What a PUT makes appears whole or not at all; elsewhere a file grows under its name, and must be renamed.
_WHOLE_PUTS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
# Bytes of one request where a file is read from its begin to its end.
_BLOCK = 16 << 20
_BUFFER = 1 << 20
# Files that are asked for at once; each waits in memory.
_AT_ONCE = 256
# Classes by which the packages of stores say that they know no credentials, or that these are refused.
_CREDENTIALS = ("Credential", "ProfileNotFound", "TokenRetrieval", "ClientAuthentication", "SSO")
# What says nothing of a store.
_BUGS = (TypeError, AttributeError, LookupError, AssertionError)
_OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHANGED = ("LastModified", "updated", "last_modified", "mtime", "created")
_VERSION = ("ETag", "etag", "md5Hash", "generation")


@dataclass(frozen=True)
class Entry:
    """What a listing says of a file.

    Attributes:
      size: bytes.
      changed: when, in nanoseconds; 0 where it is not said.
      version: changes with what is in it; "" where the store has none.
    """

    size: int
    changed: int
    version: str


def split(path: Path) -> tuple[AbstractFileSystem, str]:
    """The file system that a URL's path is in, and its name there."""
    url = cast(UPath, path)
    return url.fs, url.path


@contextlib.contextmanager
def told(path: Path | str) -> Iterator[None]:
    """Say of a store's errors which URL they are about, and what to do; what is not there stays an error.

    Raises:
      FileNotFoundError: if there is no such file, in a bucket that is there.
      UsageError: if the bucket is not there, or credentials are missing or do not allow it.
      StoppedError: if the store does not answer, or answers otherwise.
    """
    try:
        yield
    except (UsageError, StoppedError):
        raise
    except FileNotFoundError as error:
        if not any(f"specified {word}" in str(error) for word in ("bucket", "container")):
            raise
        raise UsageError(f"{path}: no such bucket; create it, or name another") from None
    except NotImplementedError:
        raise UsageError(f"{path}: cannot be written by such a URL; give another folder") from None
    except Exception as error:
        if isinstance(error, PermissionError) or any(
            word in name.__name__ for name in type(error).__mro__ for word in _CREDENTIALS
        ):
            raise UsageError(
                f"{path}: not allowed ({_said(error)}); see which credentials are found here, and what they "
                "allow (docs/object-stores.md)"
            ) from None
        if isinstance(error, _BUGS) or getattr(error, "errno", None) in _OUR_DISK:
            raise
        raise StoppedError(
            f"{path}: the store does not do it ({_said(error)}); see whether its address is right "
            "(AWS_ENDPOINT_URL for S3) and whether it answers, then run again: what is finished is kept"
        ) from None


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def read_bytes(path: Path) -> bytes:
    """What a file holds: one request.

    Raises:
      FileNotFoundError: if it is not there.
    """
    store, name = split(path)
    with told(path):
        return bytes(store.cat_file(name))


def read_entry(path: Path) -> Entry:
    """What is known of a file: one request.

    Raises:
      FileNotFoundError: if it is not there.
    """
    store, name = split(path)
    with told(path):
        info = store.info(name)
    if info["type"] != "file":
        raise FileNotFoundError(errno.ENOENT, "is a folder", str(path))
    return _entry(info)


def read_all(paths: Sequence[Path]) -> Iterator[tuple[Path, bytes | None]]:
    """What files hold, some hundreds at once; None for one that is not there."""
    for start in range(0, len(paths), _AT_ONCE):
        part = paths[start : start + _AT_ONCE]
        store = split(part[0])[0]
        with told(part[0].parent):
            found = store.cat([split(path)[1] for path in part], on_error="return")
            for path in part:
                data = found.get(split(path)[1], FileNotFoundError())
                if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                    raise data
                yield path, None if isinstance(data, Exception) else bytes(data)


def open_stream(path: Path) -> BinaryIO:
    """A file to be read from its begin to its end, in blocks.

    Raises:
      FileNotFoundError: if it is not there.
    """
    store, name = split(path)
    with told(path):
        file = store.open(name, "rb", block_size=_BLOCK)
    return io.BufferedReader(_Stream(file, path), _BUFFER)


class _Stream(io.RawIOBase):
    """A file of a store whose errors are told."""

    def __init__(self, file: Any, path: Path):
        self._file, self._path = file, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with told(self._path):
            return int(self._file.readinto(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


def put(file: BinaryIO, path: Path) -> None:
    """Put what a file on disk holds under a URL: it appears whole or not at all.

    Args:
      file: flushed; it may have no name.
      path: where.
    """
    store, name = split(path)
    source = f"/proc/self/fd/{file.fileno()}"
    with told(path):
        if cast(UPath, path).protocol in _WHOLE_PUTS:
            store.put_file(source, name)
            return
        part = f"{store._parent(name)}/.{path.name}.{secrets.token_hex(4)}{PART}"
        store.makedirs(store._parent(name), exist_ok=True)
        try:
            store.put_file(source, part)
            if store.exists(name):
                store.rm_file(name)
            store.mv(part, name)
        except BaseException:
            with contextlib.suppress(OSError):
                store.rm_file(part)
            raise


def fetch(path: Path, target: Path) -> None:
    """Copy a file to the local disk: one request.

    Raises:
      FileNotFoundError: if it is not there.
    """
    store, name = split(path)
    with told(path):
        store.get_file(name, str(target))


def fetch_all(paths: Sequence[Path], folder: Path) -> None:
    """Copy files into a local folder, several at once.

    Raises:
      FileNotFoundError: if one is not there.
    """
    if paths:
        with told(paths[0].parent):
            split(paths[0])[0].get([split(path)[1] for path in paths], [str(folder / p.name) for p in paths])


def list_files(folder: Path) -> dict[str, Entry]:
    """All files below a folder, by their path in it: one request a thousand files."""
    store, name = split(folder)
    prefix = f"{name.rstrip('/')}/"
    with told(folder):
        found = _find(folder, store, name)
    return {
        path.removeprefix(prefix): _entry(info)
        for path, info in sorted(found.items())
        if path.startswith(prefix) and info["type"] == "file" and not path.endswith("/")
    }


def _find(folder: Path, store: AbstractFileSystem, name: str) -> Mapping[str, dict[str, Any]]:
    """What `store.find` gives; fsspec's own leaves out folders that cannot be listed, without a word."""
    if cast(UPath, folder).protocol in _WHOLE_PUTS:
        return store.find(name, detail=True)
    found: dict[str, dict[str, Any]] = {}
    waiting = [name]
    while waiting:
        with contextlib.suppress(FileNotFoundError):
            for info in store.ls(waiting.pop(), detail=True):
                if info["type"] == "directory":
                    waiting.append(info["name"])
                else:
                    found[info["name"]] = info
    return found


def _entry(info: Mapping[str, Any]) -> Entry:
    changed = next((info[name] for name in _CHANGED if info.get(name)), 0)
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed)
    seconds = changed.timestamp() if isinstance(changed, datetime) else float(changed)
    version = next((str(info[name]) for name in _VERSION if info.get(name)), "")
    return Entry(int(info["size"]), int(seconds * 1e9), version)


def remove(paths: Iterable[Path]) -> None:
    """Remove files that are there: one request a thousand."""
    paths = list(paths)
    if paths:
        store = split(paths[0])[0]
        with told(paths[0].parent):
            store.rm([split(path)[1] for path in paths])
            # s3fs says nothing of what it may not delete; a policy refuses all alike.
            if store.exists(split(paths[-1])[1]):
                raise PermissionError(errno.EACCES, "still there after it was deleted", str(paths[-1]))
