"""Bytes that wait on disk, so that memory does not grow with a clip or a shard."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

# Bytes that are kept in memory before a file is used.
_IN_MEMORY = 48 << 20


class ByteSpool:
    """Byte strings, read back in any order. Its file has no name: a killed process leaves nothing.

    Args:
      folder: where the file goes.
    """

    def __init__(self, folder: Path):
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(folder))  # noqa: SIM115
        self._end = 0

    def append(self, data: bytes) -> tuple[int, int]:
        """Keep the bytes; gives what `read` takes."""
        self._file.seek(self._end)
        self._file.write(data)
        place = (self._end, len(data))
        self._end += len(data)
        return place

    def read(self, place: tuple[int, int]) -> bytes:
        """The bytes that `append` kept."""
        self._file.seek(place[0])
        return self._file.read(place[1])

    def close(self) -> None:
        """Forget all."""
        self._file.close()


class CropSpool(Sequence[np.ndarray]):
    """Crops of one clip, all of one shape, uint8; a sequence that reads from a `ByteSpool` of its own."""

    def __init__(self, folder: Path):
        self._spool = ByteSpool(folder)
        self._places: list[tuple[int, int]] = []
        self._shape: tuple[int, ...] = ()

    def append(self, crop: np.ndarray) -> None:
        """Add a crop at the end."""
        self._shape = crop.shape
        self._places.append(self._spool.append(crop.tobytes()))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        if isinstance(index, slice):
            return Selection(self, range(len(self))[index])
        return np.frombuffer(self._spool.read(self._places[index]), np.uint8).reshape(self._shape)

    def close(self) -> None:
        """Forget all."""
        self._spool.close()


class Selection(Sequence[np.ndarray]):
    """Some items of a sequence, read when they are asked for."""

    def __init__(self, items: Sequence[np.ndarray], places: Sequence[int]):
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
