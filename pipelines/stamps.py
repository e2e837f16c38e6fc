"""What tells that a dataset's files were touched: sizes and times, on a disk or as a store lists them."""

import bisect
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.stores import Entry
from transforms.errors import ClipError
from transforms.indexing.layout import is_image
from transforms.stills import picture_names

Stamp = tuple[str, int, int | str]
"""Path, size, and time of change or version of a file; -1 where it cannot be read."""


class Stamps(Protocol):
    """Looks at the files of one dataset; paths are relative to its root."""

    def of(self, path: str) -> Sequence[Stamp]:
        """Of a file, or of each picture of a folder."""

    def untouched_size(self, path: str, since: int) -> int:
        """Bytes of a file, or of a folder's pictures; -1 if there is none, or it was touched since a time."""


class LocalStamps:
    """Of files on a disk.

    Args:
      root: folder of the dataset.
    """

    def __init__(self, root: str):
        self._root = root

    def of(self, path: str) -> Sequence[Stamp]:
        """As `Stamps` says."""
        try:
            status = os.stat(f"{self._root}/{path}")  # noqa: PTH116 - a million times
            if not stat.S_ISDIR(status.st_mode):
                return [(path, status.st_size, status.st_mtime_ns)]
            names = picture_names(f"{self._root}/{path}")
            return [stamp for name in names for stamp in self.of(f"{path}/{name}")]
        except (OSError, ClipError):
            return [(path, -1, -1)]

    def untouched_size(self, path: str, since: int) -> int:
        """As `Stamps` says."""
        full = f"{self._root}/{path}"
        try:
            found = os.stat(full)  # noqa: PTH116 - a million times
            if max(found.st_mtime_ns, found.st_ctime_ns) >= since:
                return -1
            if not os.path.isdir(full):  # noqa: PTH112
                return found.st_size
            sizes = [self.untouched_size(f"{path}/{name}", since) for name in picture_names(full)]
        except (OSError, ClipError):
            return -1
        return sum(sizes) if min(sizes) >= 0 else -1


class StoreStamps:
    """Of files behind a URL, as they were listed; asks for nothing more.

    Args:
      entries: by path, sorted.
    """

    def __init__(self, entries: Mapping[str, Entry]):
        self._entries = entries
        self._paths = sorted(entries)

    def of(self, path: str) -> Sequence[Stamp]:
        """As `Stamps` says."""
        return [(name, entry.size, f"{entry.changed} {entry.version}") for name, entry in self._at(path)] or [
            (path, -1, -1)
        ]

    def untouched_size(self, path: str, since: int) -> int:
        """As `Stamps` says."""
        entries = [entry for _, entry in self._at(path)]
        if not entries or max(entry.changed for entry in entries) >= since:
            return -1
        return sum(entry.size for entry in entries)

    def _at(self, path: str) -> list[tuple[str, Entry]]:
        if path in self._entries:
            return [(path, self._entries[path])]
        start = bisect.bisect_left(self._paths, f"{path}/")
        end = bisect.bisect_left(self._paths, f"{path}0")  # "0" follows "/".
        names = (
            name for name in self._paths[start:end] if is_image(name) and "/" not in name[len(path) + 1 :]
        )
        return [(name, self._entries[name]) for name in names]
