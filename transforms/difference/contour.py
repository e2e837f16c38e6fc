"""The closed star-shaped contour that gathers the most evidence, by dynamic programming."""

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.noise import BoolMap, FloatMap

RAYS = 72
RADII = 64
_REACH = 1.7
_STEP = 3
_STIFFNESS = 2.0


class PolarGrid:
    """Points on rays from the middle of a region, out to 1.7 times the ellipse of equal moments.

    Attributes:
      x, y: (RAYS, RADII) float32, pixels.
    """

    def __init__(self, region: BoolMap) -> None:
        """Lay the grid on a non-empty (H, W) region."""
        rows, columns = np.nonzero(region)
        middle = np.array([columns.mean(), rows.mean()])
        spread = np.cov(np.stack([columns, rows]).astype(np.float64), bias=True) + np.eye(2)
        values, vectors = np.linalg.eigh(spread)
        axes = vectors * (2 * np.sqrt(values))
        angle = np.arange(RAYS) * (2 * np.pi / RAYS)
        rim = np.stack([np.cos(angle), np.sin(angle)], 1) @ axes.T
        radius = (np.arange(RADII) + 1) * (_REACH / RADII)
        points = middle + rim[:, None] * radius[None, :, None]
        self.x = points[..., 0].astype(np.float32)
        self.y = points[..., 1].astype(np.float32)
        self.weight = radius.astype(np.float32)

    def contour(self, evidence: FloatMap) -> BoolMap:
        """The region inside the best closed contour.

        Maximises the evidence inside (weighted by radius, so by area) minus `2 Δr²` between neighbouring
        rays, |Δr| <= 3 steps. The ring is unrolled over two laps and its middle lap kept.

        Args:
          evidence: (H, W) float32 log-likelihood ratio.

        Returns:
          (H, W) bool; at least the innermost ring.
        """
        sampled = cv2.remap(evidence, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        gain = np.cumsum(sampled * self.weight, axis=1)
        best = _closed_path(gain)
        rays = np.arange(RAYS)
        polygon = np.stack([self.x[rays, best], self.y[rays, best]], 1)
        mask = np.zeros(evidence.shape, np.uint8)
        cv2.fillPoly(mask, [np.rint(polygon * 16).astype(np.int32)], 1, shift=4)
        return mask.astype(bool)


def _closed_path(gain: FloatMap) -> npt.NDArray[np.int64]:
    """The radius index of each ray: (RAYS,) ints that maximise the summed (RAYS, RADII) gain, closed."""
    shifts = np.arange(-_STEP, _STEP + 1)
    cost = (_STIFFNESS * shifts**2).astype(np.float32)[:, None]
    padded = np.full(RADII + 2 * _STEP, -np.inf, np.float32)
    windows, inner = np.lib.stride_tricks.sliding_window_view(padded, RADII), padded[_STEP:-_STEP]
    laps = 2 * RAYS
    choices = np.full((laps, RADII), _STEP)
    options = np.empty((len(shifts), RADII), np.float32)
    inner[:] = gain[0]
    for step in range(1, laps):
        np.subtract(windows, cost, out=options)
        options.argmax(0, out=choices[step])
        np.maximum.reduce(options, axis=0, out=inner)
        inner += gain[step % RAYS]
    back = np.arange(RADII) + shifts[choices]
    path = np.zeros(laps, np.int64)
    path[-1] = int(inner.argmax())
    for step in range(laps - 1, 0, -1):
        path[step - 1] = back[step, path[step]]
    middle = path[RAYS // 2 : RAYS // 2 + RAYS]
    return np.roll(middle, RAYS // 2)
