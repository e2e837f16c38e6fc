"""A pair of clips as crops of the working size."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.noise import WORK

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CropShapes:
    """Where the face is in each crop.

    Attributes:
      oval: (n, 36, 2) float32, the face's outline in crop pixels, in order.
      lips: (n, 20, 2) float32, the lips' outer outline in crop pixels, in order.
    """

    oval: npt.NDArray[np.float32]
    lips: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.oval.ndim != 3 or self.lips.ndim != 3 or len(self.oval) != len(self.lips):
            raise ValueError(f"shapes of {self.oval.shape} and {self.lips.shape}")


class Pairs:
    """The crops of two clips and their outlines, at the working size. Holds none of them.

    Attributes:
      size: edge of the crops as given; known once one was read.

    Raises:
      ValueError: no frames, or pairs of unequal length or shape.
    """

    def __init__(self, real: Sequence[Image], fake: Sequence[Image], shapes: CropShapes) -> None:
        if not len(real) == len(fake) == len(shapes.oval):
            raise ValueError(f"{len(real)} real, {len(fake)} fake crops and {len(shapes.oval)} shapes")
        if not len(real):
            raise ValueError("no crops")
        self._real, self._fake, self._shapes = real, fake, shapes
        self.size = 0

    def __len__(self) -> int:
        return len(self._real)

    def crops(self, i: int) -> tuple[Image, Image]:
        """Real and fake crop of entry `i`, (WORK, WORK, 3) uint8."""
        real, fake = self._real[i], self._fake[i]
        if real.shape != fake.shape or real.ndim != 3 or real.shape[0] != real.shape[1]:
            raise ValueError(f"crops of {real.shape} and {fake.shape} at {i}")
        self.size = self.size or real.shape[0]
        if real.shape[0] != self.size:
            raise ValueError(f"a crop of {real.shape[0]} px at {i}, others of {self.size}")
        return at_work(real), at_work(fake)

    def oval(self, i: int) -> npt.NDArray[np.float32]:
        """Outline of the face in entry `i`, (36, 2) float32, pixels of the working size."""
        return self._shapes.oval[i] * (WORK / self.size)

    def lips(self, i: int) -> npt.NDArray[np.float32]:
        """Outline of the lips in entry `i`, (20, 2) float32, pixels of the working size."""
        return self._shapes.lips[i] * (WORK / self.size)


def at_work(crop: Image) -> Image:
    """A square crop, (S, S, 3) uint8, at the working size: (WORK, WORK, 3) uint8."""
    if len(crop) == WORK:
        return crop
    how = cv2.INTER_AREA if len(crop) > WORK else cv2.INTER_LINEAR
    resized: Image = cv2.resize(crop, (WORK, WORK), interpolation=how)
    return resized
