"""Where frames of a real clip and of its fake can be compared, and how well they agree there."""

from collections.abc import Sequence

import cv2
import numpy as np

from transforms.alignment import apply
from transforms.difference.noise import BoolMap, FloatMap
from transforms.lucas_kanade import blurred_luma

LEAST_BLOCKS = 12
"""Blocks with texture, over all frames, that frames are judged by."""

_BLOCK = 16
_LEAST_TEXTURE = 3.0
_BOX_MARGIN = 0.3


def comparable(
    boxes: np.ndarray, matrix: np.ndarray, views: Sequence[np.ndarray], fake: Sequence[np.ndarray]
) -> list[BoolMap]:
    """Where to compare frames: inside both pictures, and beside the faces where there is texture enough.

    Args:
      boxes: (frames, faces, 4), x0, y0, x1, y1 in the real clip's pixels; NaN where a face is not in a frame.
      matrix: (2, 3), from the real clip's pixels to the fake's.
      views: (h, w, 3) uint8 RGB, the real frames as the fake shows them.
      fake: as `views`.

    Returns:
      (h, w) bool each.
    """
    inside = [_inside(a, b) for a, b in zip(views, fake, strict=True)]
    beside = [
        where & ~_covered(faces, matrix, where.shape) for where, faces in zip(inside, boxes, strict=True)
    ]
    return beside if len(correlations(views, fake, beside)) >= LEAST_BLOCKS else inside


def correlations(
    views: Sequence[np.ndarray], fake: Sequence[np.ndarray], where: Sequence[BoolMap]
) -> FloatMap:
    """Correlation of each block that has texture, of all frames."""
    found = []
    for a, b, free in zip(views, fake, where, strict=True):
        blocks = [_blocks(blurred_luma(picture)) for picture in (a, b)]
        blocks = [block - block.mean(-1, keepdims=True) for block in blocks]
        spread = [np.sqrt((block**2).mean(-1)) for block in blocks]
        textured = _blocks(free).all(-1) & (np.maximum(*spread) > _LEAST_TEXTURE)
        product = (blocks[0] * blocks[1]).mean(-1)[textured]
        found.append(product / np.maximum((spread[0] * spread[1])[textured], 1.0))
    return np.concatenate(found)


def _inside(view: np.ndarray, fake: np.ndarray) -> BoolMap:
    """Off the rim, and off what lies beyond one of the pictures (black, and its edge)."""
    black = ((view.max(2) < 3) | (fake.max(2) < 3)).astype(np.uint8)
    black = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    inside = cv2.dilate(black, np.ones((11, 11), np.uint8)) == 0
    inside[:3] = inside[-3:] = inside[:, :3] = inside[:, -3:] = False
    return inside


def _covered(boxes: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> BoolMap:
    """Where the faces are, generously."""
    covered = np.zeros(shape, np.uint8)
    for box in boxes[~np.isnan(boxes).any(1)]:
        margin = _BOX_MARGIN * (box[2:] - box[:2])
        (x0, y0), (x1, y1) = box[:2] - margin, box[2:] + margin
        corners = apply(matrix, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
        cv2.fillConvexPoly(covered, np.rint(corners).astype(np.int32), 1)
    return covered > 0


def _blocks(picture: np.ndarray) -> np.ndarray:
    """(H, W) as (blocks, pixels of a block)."""
    rows, columns = (edge // _BLOCK for edge in picture.shape)
    cut = picture[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    return cut.swapaxes(1, 2).reshape(rows * columns, _BLOCK**2)
