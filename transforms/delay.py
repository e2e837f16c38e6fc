"""Whether a forged clip runs some frames behind or ahead of its real one."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.model import CropShapes
from transforms.lucas_kanade import blurred_luma
from transforms.registration import usable

Image = npt.NDArray[np.uint8]

REACH = 2
"""Longest delay that is looked for, frames."""
OFFSETS = tuple(offset for offset in range(-REACH, REACH + 1) if offset)

_CAP = 8.0
_LEAST_FRAMES = 4
_AGREE = 2 / 3
_GAIN = 1.02


def find_delay(
    real: Sequence[Image], fake: Sequence[Image], around: Sequence[Mapping[int, Image]], shapes: CropShapes
) -> int:
    """Frames that the real clip has to be moved by to match the fake, seen outside the face.

    Every frame votes for the neighbour of its real frame that the fake resembles most (mean absolute
    difference of blurred luma outside the face, capped, so that moved objects count no more than noise); two
    thirds must agree, and the sum over all frames must fall. Where nothing outside the face moves, a delay
    cannot be seen, and 0 is what comes back.

    Args:
      real: (S, S, 3) uint8 RGB crops.
      fake: the crops at the same indices.
      around: for each of them the real clip's crops by offset in frames (`OFFSETS`), through the same matrix.
      shapes: outlines of the face in each crop.

    Returns:
      -2 to 2; d means that the fake's frame i shows what the real clip's frame i + d does. 0 where fewer than
      four frames are given.
    """
    if len(around) < _LEAST_FRAMES:
        return 0
    offsets = (0, *OFFSETS)
    costs = np.zeros((len(around), len(offsets)))
    for i, beside in enumerate(around):
        pictures = [real[i], *(beside[offset] for offset in OFFSETS)]
        outside = usable(real[i], fake[i], shapes.oval[i])
        if not outside.any():
            continue
        seen = blurred_luma(fake[i])
        for number, picture in enumerate(pictures):
            difference = cv2.absdiff(blurred_luma(picture), seen)[outside]
            costs[i, number] = np.minimum(difference, _CAP).mean()
    # `argmin` takes the first of equals: no delay.
    votes = np.bincount(costs.argmin(1), minlength=len(offsets))
    best = int(votes.argmax())
    total = costs.sum(0)
    sure = votes[best] >= _AGREE * len(around) and total[0] >= _GAIN * total[best]
    return offsets[best] if sure else 0
