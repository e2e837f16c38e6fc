"""A batch: its tensors, and how they are filled."""

import dataclasses

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from training.loading.augment import View, put_image, put_mask
from training.loading.stream import Source


@dataclasses.dataclass
class Batch:
    """Images and what is known of them.

    Attributes:
      rows: int64 (B,), rows of the pool's table.
      image: uint8 (B, 3, S, S) RGB, in channels-last memory as it was decoded.
      fake: float32 (B,), 1 fake, 0 real.
      mask: uint8 (B, S, S), 0 to 255, forged region; zeros where unknown.
      known: bool (B,), the mask is known.
      labelled: bool (B,), the mask is a label's: these train the attention loss.
    """

    rows: Tensor
    image: Tensor
    fake: Tensor
    mask: Tensor
    known: Tensor
    labelled: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on a device."""
        return Batch(*(part.to(device, non_blocking=True) for part in self._parts()))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory; DataLoader calls it."""
        return Batch(*(part.pin_memory() for part in self._parts()))

    def _parts(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in dataclasses.fields(self)]


class Canvas:
    """A batch that is being filled; in a worker, in memory that the training process shares.

    Args:
      source: of the rows.
      most: samples that it can hold.
      size: edge of an image in pixels.
    """

    def __init__(self, source: Source, most: int, size: int):
        self._source = source
        self._image = torch.empty((most, size, size, 3), dtype=torch.uint8)
        self._mask = torch.zeros((most, size, size), dtype=torch.uint8)
        if get_worker_info() is not None:
            self._image.share_memory_()
            self._mask.share_memory_()
        self._arrays = self._image.numpy(), self._mask.numpy()
        self._rows = np.zeros(most, np.int64)
        self._labelled = np.zeros(most, bool)

    def put(
        self, place: int, row: int, picture: tuple[np.ndarray, np.ndarray | None], view: View, labelled: bool
    ) -> None:
        """Put a sample in its place: its row, its image (BGR) and mask, and what is seen of them."""
        image, mask = picture
        put_image(image, view, self._arrays[0][place])
        if mask is not None:
            put_mask(mask, view, self._arrays[1][place])
        self._rows[place] = row
        self._labelled[place] = labelled

    def batch(self, count: int) -> Batch:
        """The first `count` samples."""
        rows, labelled = self._rows[:count], self._labelled[:count]
        return Batch(
            rows=torch.from_numpy(rows),
            image=self._image[:count].permute(0, 3, 1, 2),
            fake=torch.from_numpy(self._source.fake[rows].astype(np.float32)),
            mask=self._mask[:count],
            known=torch.from_numpy(self._source.known[rows] | labelled),
            labelled=torch.from_numpy(labelled),
        )
