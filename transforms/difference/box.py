"""A box wider than the face, as methods blend that paste a square: its corners tell it from a face."""

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.noise import WORK, BoolMap, FloatMap, fill

_HALF = WORK // 2
_ANGLES = range(-12, 13, 2)
_REACH = 20
_BAND = 2
_STEP = 0.5
_ROUNDS = 3
_LOW, _HIGH = -1.0, 1.5
_LEAST_CORNERS = 1.8
_HOLE = 15


def find_box(excess: FloatMap, evident: BoolMap, oval: npt.NDArray[np.float32]) -> BoolMap | None:
    """The rectangle around the face that was blended, if it was one.

    Of rectangles turned by up to 12 degrees, with sides at or beyond the face's bounds, the one whose best
    three sides the excess steps down on along most of their length. It counts if its corners, beyond the
    ellipse that touches its sides, are forged: no face reaches there.

    Args:
      excess: (WORK, WORK) float32, the clip's mean excess, nepers.
      evident: (WORK, WORK) bool, where it speaks for a forgery.
      oval: (n, 2) float32, outline of the face.

    Returns:
      (WORK, WORK) bool, filled; None where there is no such box.
    """
    small = cv2.resize(np.clip(excess, _LOW, _HIGH), (_HALF, _HALF), interpolation=cv2.INTER_AREA)
    low, high = (
        np.clip(edge / 2, _BAND + 3, _HALF - _BAND - 4).astype(int) for edge in (oval.min(0), oval.max(0))
    )
    best, support = None, 0.0
    for angle in _ANGLES:
        turned = cv2.warpAffine(small, _turn(angle), (_HALF, _HALF), borderMode=cv2.BORDER_REPLICATE)
        sides, value = _sides(turned, low, high)
        if value > support:
            best, support = (angle, sides), value
    if best is None:
        return None
    angle, (x0, y0, x1, y1) = best
    share = cv2.resize(evident.astype(np.float32), (_HALF, _HALF), interpolation=cv2.INTER_AREA)
    share = cv2.warpAffine(share, _turn(angle), (_HALF, _HALF), borderMode=cv2.BORDER_REPLICATE)
    if _corners(share[y0:y1, x0:x1]) < _LEAST_CORNERS:
        return None
    corners = np.array([[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]], np.float32) - 0.5
    corners = 2 * cv2.transform(corners, cv2.invertAffineTransform(_turn(angle))) + 0.5
    mask = np.zeros((WORK, WORK), np.uint8)
    cv2.fillPoly(mask, [np.rint(corners[0] * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)


def fill_box(box: BoolMap, region: BoolMap, oval: npt.NDArray[np.float32]) -> BoolMap:
    """The box, less the gaps in the face itself that hold a disc of 15 px (occluders).

    Args:
      box: (WORK, WORK) bool.
      region: (WORK, WORK) bool, what one frame shows.
      oval: (n, 2) float32, outline of the face in it.

    Returns:
      (WORK, WORK) bool.
    """
    gaps = (box & fill(oval) & ~region).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_HOLE, _HOLE))
    return box & ~cv2.morphologyEx(gaps, cv2.MORPH_OPEN, disc).astype(bool)


def _turn(angle: float) -> npt.NDArray[np.float64]:
    return cv2.getRotationMatrix2D(((_HALF - 1) / 2, (_HALF - 1) / 2), angle, 1)


def _sides(
    excess: FloatMap, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
) -> tuple[tuple[int, int, int, int], float]:
    """x0, y0, x1, y1 that most of the steps lie on, and the mean support of the best three sides, 0 to 1."""
    (left, right), (top, bottom) = _step_sums(excess.T), _step_sums(excess)
    x0, y0, x1, y1 = (int(v) for v in (*low, *high))
    support = np.zeros(4)
    for _ in range(_ROUNDS):
        y0, support[0] = _strongest((top[:, x1] - top[:, x0]) / (x1 - x0), low[1] - _REACH, low[1])
        y1, support[1] = _strongest((bottom[:, x1] - bottom[:, x0]) / (x1 - x0), high[1], high[1] + _REACH)
        x0, support[2] = _strongest((left[:, y1] - left[:, y0]) / (y1 - y0), low[0] - _REACH, low[0])
        x1, support[3] = _strongest((right[:, y1] - right[:, y0]) / (y1 - y0), high[0], high[0] + _REACH)
    return (x0, y0, x1, y1), float(np.sort(support)[1:].mean())


def _step_sums(excess: FloatMap) -> tuple[FloatMap, FloatMap]:
    """Running sums along rows of how well the excess steps up, and down, at the border above each row."""
    sums = np.cumsum(np.pad(excess, ((1, 0), (0, 0))), 0)
    step = np.zeros((_HALF + 1, _HALF), np.float32)
    step[_BAND:-_BAND] = (sums[2 * _BAND :] - 2 * sums[_BAND:-_BAND] + sums[: -2 * _BAND]) / (_BAND * _STEP)
    up, down = (np.cumsum(np.pad(np.clip(sign * step, 0, 1), ((0, 0), (1, 0))), 1) for sign in (1, -1))
    return up, down


def _strongest(support: FloatMap, first: int, last: int) -> tuple[int, float]:
    first = max(first, _BAND)
    best = first + int(support[first : min(last, _HALF - _BAND) + 1].argmax())
    return best, float(support[best])


def _corners(share: FloatMap) -> float:
    """Summed over the four corners beyond the inscribed ellipse, the mean share: 0 to 4."""
    height, width = share.shape
    y, x = np.abs((np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None] * 2 - 1)
    corner = (x < 0.97) & (y < 0.97) & (x * x + y * y > 1.1)
    half = height // 2, width // 2
    quarters = [
        (s, t) for s in (slice(half[0]), slice(half[0], None)) for t in (slice(half[1]), slice(half[1], None))
    ]
    return float(sum(share[q][corner[q]].mean() for q in quarters))
