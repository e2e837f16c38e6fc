"""Whether a real clip and its fake show the same thing at the same place, before differences make a mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from transforms.delay import find_delay
from transforms.difference.model import CropShapes
from transforms.difference.noise import WORK
from transforms.registration import Registration, moved, moved_points, register

Image = npt.NDArray[np.uint8]

WORST_RESIDUAL = 0.5
"""Misregistration outside the face, pixels of a crop of 256, above which a pair is registered first."""
WORST_SCATTER = 0.75
"""Shift of single frames beyond the common motion, pixels of a crop of 256, above which none compares."""


@dataclass(frozen=True)
class GuardedPair:
    """A pair that was checked.

    Attributes:
      real: the real crops, where the fake shows them.
      shapes: of the face, there.
      residual: misregistration that is left outside the face, crop pixels; None where it cannot be measured.
      comparable: False where differences would show misalignment and not forgery.
      moved: True if `real` was resampled.
      note: for a person; "" where nothing was wrong.
    """

    real: Sequence[Image]
    shapes: CropShapes
    residual: float | None
    comparable: bool
    moved: bool
    note: str


def guard(
    real: Sequence[Image],
    fake: Sequence[Image],
    shapes: CropShapes,
    around: Mapping[int, Mapping[int, Image]],
) -> GuardedPair:
    """Check a pair, and register it where it is misregistered.

    A fake that is shifted in time is not comparable. One that is shifted, scaled or turned by more than
    `WORST_RESIDUAL` is registered, and is not comparable if more than that is left, nor if its frames move
    against their real ones by more than `WORST_SCATTER`.

    Args:
      real: (S, S, 3) uint8 RGB crops.
      fake: crops of the same frames of the fake.
      shapes: of the same frames.
      around: by position in `real`, the real clip's crops of frames beside it, as in `find_delay`.

    Raises:
      ValueError: pairs of unequal length or shape.
    """
    motion = register(real, fake, shapes)
    size = real[0].shape[0]
    worst = WORST_RESIDUAL * size / WORK
    apart = motion is not None and worst < motion.residual < np.inf
    delay = _delay(real, fake, shapes, around)
    if delay and motion is not None and apart:
        # Where the camera moves, a shift in the picture looks like one in time, unless it is undone first.
        delay = _delay(_Moved(real, motion), fake, shapes, around)
    if delay:
        note = f"frame i shows frame i{delay:+d} of its original: masks are unknown"
        return GuardedPair(real, shapes, None, False, False, note)
    if motion is None:
        return GuardedPair(real, shapes, None, True, False, "")
    if not np.isfinite(motion.residual):
        note = "what is beside the face is not what its original shows: masks are unknown"
        return GuardedPair(real, shapes, None, False, False, note)
    if motion.scatter > WORST_SCATTER * size / WORK:
        note = f"frames shake against those of its original by {motion.scatter:.2f} px: masks are unknown"
        return GuardedPair(real, shapes, motion.residual, False, False, note)
    if not apart:
        return GuardedPair(real, shapes, motion.residual, True, False, "")
    there = _Moved(real, motion)
    outlines = CropShapes(moved_points(shapes.oval, motion, size), moved_points(shapes.lips, motion, size))
    left = register(there, fake, outlines)
    note = (
        f"{motion.residual:.2f} px from its original (shift {motion.dx:+.2f}, {motion.dy:+.2f} px, "
        f"scale {motion.scale:.4f}, turn {np.degrees(motion.turn):+.2f}°)"
    )
    if left is None or left.residual > worst:
        note += ", not registrable: masks are unknown"
        return GuardedPair(real, shapes, motion.residual, False, False, note)
    return GuardedPair(there, outlines, left.residual, True, True, f"{note}: registered before comparing")


def _delay(
    real: Sequence[Image],
    fake: Sequence[Image],
    shapes: CropShapes,
    around: Mapping[int, Mapping[int, Image]],
) -> int:
    places = sorted(around)
    return find_delay(
        [real[i] for i in places],
        [fake[i] for i in places],
        [around[i] for i in places],
        CropShapes(shapes.oval[places], shapes.lips[places]),
    )


class _Moved(Sequence[Image]):
    """Crops through a motion, made when they are asked for."""

    def __init__(self, crops: Sequence[Image], motion: Registration):
        self._crops, self._motion = crops, motion

    def __len__(self) -> int:
        return len(self._crops)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        if isinstance(index, slice):
            return _Moved(self._crops[index], self._motion)
        return moved(self._crops[index], self._motion)
