"""A pool's images in memory: for experiments that train many small models on the same images."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from training.asking.evidence import read_landmarks
from training.data import Batch, EvaluationBatches
from training.loading.pool import Pool

Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Images:
    """N images with a margin for random crops.

    Attributes:
      table: their records (`schemas.sample.Sample`).
      image: uint8 (N, 3, E, E).
      mask: uint8 (N, E, E), forged region; zeros where unknown.
      known: bool (N,), the mask is known.
    """

    table: pa.Table
    image: Tensor
    mask: Tensor
    known: Tensor

    def __len__(self) -> int:
        return len(self.table)

    @functools.cached_property
    def fake(self) -> npt.NDArray[np.bool_]:
        """Bool (N,)."""
        return np.array(self.table["label"].to_pylist()) == "fake"

    def column(self, name: str) -> npt.NDArray:
        """A column of strings or numbers."""
        return np.array(self.table[name].to_pylist())

    def take(self, rows: Rows) -> Self:
        """Some of them."""
        return dataclasses.replace(
            self,
            table=self.table.take(pa.array(rows)),
            image=self.image[rows],
            mask=self.mask[rows],
            known=self.known[rows],
        )

    def centre(self, size: int) -> Self:
        """The middle of them, (N, 3, size, size); `landmarks` and `size` of their records follow."""
        edge = self.image.shape[-1]
        first = (edge - size) // 2
        part = slice(first, first + size)
        scale = self.table["size"].to_numpy() / edge
        landmarks = read_landmarks(self.table) - (first * scale)[:, None, None]
        moved = {"landmarks": pa.array(landmarks.tolist()), "size": pa.array(size * scale)}
        table = self.table
        for name, column in moved.items():
            table = table.set_column(table.column_names.index(name), name, column)
        return dataclasses.replace(
            self,
            table=table,
            image=self.image[..., part, part].contiguous(),
            mask=self.mask[..., part, part].contiguous(),
        )

    def batches(self, size: int = 256) -> Iterator[Batch]:
        """All of them, in their order."""
        for rows in torch.arange(len(self)).split(size):
            yield self.batch(rows, torch.zeros(len(rows), dtype=torch.bool))

    def batch(self, rows: Tensor, labelled: Tensor) -> Batch:
        """Some of them as a batch."""
        fake = torch.from_numpy(self.fake)[rows].float()
        return Batch(rows, self.image[rows], fake, self.mask[rows], self.known[rows], labelled)


def load(pool: Pool, edge: int, workers: int) -> Images:
    """Read a pool's images into memory, 4 bytes a pixel.

    Args:
      pool: what to read.
      edge: E, to which crops are scaled.
      workers: loading processes.

    Raises:
      UsageError: if a shard cannot be read.
    """
    image = torch.empty((len(pool), 3, edge, edge), dtype=torch.uint8)
    mask = torch.empty((len(pool), edge, edge), dtype=torch.uint8)
    known = torch.empty(len(pool), dtype=torch.bool)
    for part in EvaluationBatches(pool, edge, 64, workers):
        image[part.rows], mask[part.rows], known[part.rows] = part.image, part.mask, part.known
    return Images(pool.table, image, mask, known)


class MemoryBatches:
    """Batches of a fixed number of steps, half real and half fake, some of the fakes annotated.

    What is drawn depends on the seed and the numbers of images alone, so that twins with as many annotated
    images see the same batches but for those.

    Attributes:
      steps: batches of an epoch.
    """

    def __init__(
        self,
        images: Images,
        size: int,
        batch: int,
        steps: int,
        seed: int,
        annotated: Rows | None = None,
        labelled: int = 0,
        flip: float = 0.5,
    ):
        """Prepare.

        Args:
          images: with a margin around `size` for random crops.
          size: S, edge of the input.
          batch: images of a batch.
          steps: batches of an epoch.
          seed: of what is drawn.
          annotated: rows of annotated fakes.
          labelled: how many of each batch's fakes are drawn from them.
          flip: share of images that are mirrored.
        """
        self.steps = steps
        self._images, self._size, self._batch, self._seed, self._flip = images, size, batch, seed, flip
        fake = images.fake
        self._reals, self._fakes = np.flatnonzero(~fake), np.flatnonzero(fake)
        self._annotated = np.zeros(0, np.int64) if annotated is None else annotated
        self._labelled = labelled if len(self._annotated) else 0
        self._label = torch.from_numpy(fake).float()

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `start` on."""
        half = self._batch // 2
        streams = [
            _Deck(self._reals, [self._seed, number, 0]),
            _Deck(self._fakes, [self._seed, number, 1]),
            _Deck(self._annotated, [self._seed, number, 2]),
        ]
        counts = (self._batch - half, half - self._labelled, self._labelled)
        rng = np.random.default_rng([self._seed, number, 3])
        marks = torch.arange(self._batch) >= self._batch - self._labelled
        for step in range(self.steps):
            rows = np.concatenate([deck.draw(count) for deck, count in zip(streams, counts, strict=True)])
            places = rng.random((self._batch, 3))
            if step >= start:
                yield self._cut(torch.from_numpy(rows), marks, places)

    def _cut(self, rows: Tensor, labelled: Tensor, places: npt.NDArray[np.float64]) -> Batch:
        """A batch after a random crop and a mirror, the same for image and mask."""
        image, mask = self._images.image[rows], self._images.mask[rows]
        room = image.shape[-1] - self._size + 1
        tops, lefts = (places[:, :2].T * room).astype(int)
        span = torch.arange(self._size)
        down = torch.from_numpy(tops)[:, None, None] + span[None, :, None]
        flipped = torch.from_numpy(places[:, 2] < self._flip)[:, None]
        across = torch.from_numpy(lefts)[:, None] + torch.where(flipped, span.flip(0), span)
        across = across[:, None, :]
        each = torch.arange(len(rows))[:, None, None]
        cut = image.permute(0, 2, 3, 1)[each, down, across].permute(0, 3, 1, 2).contiguous()
        return Batch(
            rows, cut, self._label[rows], mask[each, down, across], self._images.known[rows], labelled
        )


class _Deck:
    """Draws from numbers in seeded permutations, again and again."""

    def __init__(self, numbers: Rows, seed: list[int]):
        self._numbers, self._rng = numbers, np.random.default_rng(seed)
        self._left: Rows = np.zeros(0, np.int64)

    def draw(self, count: int) -> Rows:
        while len(self._left) < count:
            self._left = np.concatenate([self._left, self._rng.permutation(self._numbers)])
        drawn, self._left = self._left[:count], self._left[count:]
        return drawn
