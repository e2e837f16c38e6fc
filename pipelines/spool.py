"""Bytes that wait on disk, so that memory does not grow with a clip or a shard."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, overload

import numpy as np

from schemas.files import PART
from schemas.paths import is_url

Place = tuple[int, int]
"""Start and length of what `ByteSpool` keeps."""

# Bytes that are kept in memory before a file is used.
_IN_MEMORY = 64 << 20


def spool_folder(folder: Path) -> Path:
    """Where bytes on their way to a folder wait: there; the system's temporary one if it is behind a URL."""
    if is_url(folder):
        return Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class ByteSpool:
    """Byte strings, read back in any order. Its file has no name: a killed process leaves nothing.

    Args:
      folder: where the file goes.
    """

    def __init__(self, folder: Path):
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            max_size=_IN_MEMORY, prefix=".", suffix=PART, dir=str(folder)
        )
        self._end = 0

    def append(self, data: bytes) -> Place:
        """Keep the bytes; gives what `read` takes."""
        self._file.seek(self._end)
        self._file.write(data)
        place = (self._end, len(data))
        self._end += len(data)
        return place

    def read(self, place: Place) -> bytes:
        """The bytes that `append` kept."""
        self._file.seek(place[0])
        return self._file.read(place[1])

    def close(self) -> None:
        """Forget all."""
        self._file.close()


class CropStore(Mapping[int, np.ndarray]):
    """Crops of one clip by slot, (size, size, 3) uint8, in one file that another process writes.

    The file has no name (a killed process leaves nothing), and all its space is taken at once, so that a full
    disk is an `OSError` here and not a fault later. Small ones are in memory.

    Attributes:
      descriptor: of the file that slots are written to, one after the other.

    Args:
      slots: how many there may be.
      size: edge of the crops in pixels.
      folder: where the file of a long clip goes.
    """

    def __init__(self, slots: int, size: int, folder: Path):
        self._shape = (size, size, 3)
        self._length = size * size * 3
        total = max(slots, 1) * self._length
        with _file(folder if total > _IN_MEMORY else None) as file:
            os.posix_fallocate(file.fileno(), 0, total)
            self.descriptor = os.dup(file.fileno())
        self._filled: set[int] = set()

    def fill(self, slots: Iterable[int]) -> None:
        """Say that these slots were written."""
        self._filled.update(slots)

    def __contains__(self, slot: object) -> bool:
        return slot in self._filled

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._filled))

    def __len__(self) -> int:
        return len(self._filled)

    def __getitem__(self, slot: int) -> np.ndarray:
        if slot not in self._filled:
            raise KeyError(slot)
        # Not a map of the file: the pages of a long clip would count as this process's memory.
        data = os.pread(self.descriptor, self._length, slot * self._length)
        return np.frombuffer(data, np.uint8).reshape(self._shape)

    def close(self) -> None:
        """Forget all."""
        os.close(self.descriptor)


def _file(folder: Path | None) -> IO[bytes]:
    """A file without a name, in memory where no folder is given."""
    if folder is None and hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("crops"), "r+b")
    # Where a file system needs a name for a moment, a killed run's is cleared like other parts.
    return tempfile.TemporaryFile(prefix=".", suffix=PART, dir=folder)


class Selection(Sequence[np.ndarray]):
    """Some items, read when they are asked for."""

    def __init__(self, items: Sequence[np.ndarray] | Mapping[int, np.ndarray], places: Sequence[int]):
        self._items, self._places = items, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        if isinstance(index, slice):
            return Selection(self._items, self._places[index])
        return self._items[self._places[index]]
