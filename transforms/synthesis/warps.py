"""Smooth warps of pictures: fields and their inverses, and thin-plate splines through pairs of points."""

from collections.abc import Callable

import cv2
import numpy as np

Field = Callable[[np.ndarray], np.ndarray]

# The spline is evaluated at every _STEP-th pixel and interpolated; 1/_STEP is exact in OpenCV's warps.
_STEP = 4


def invert_field(field: Field, at: np.ndarray, rounds: int = 8) -> np.ndarray:
    """Where p must lie for p + field(p) to be `at`; for fields that do not fold: (..., 2) to (..., 2)."""
    source = at
    for _ in range(rounds):
        source = at - field(source)
    return source


def upsample(coarse: np.ndarray, step: int, size: tuple[int, int]) -> np.ndarray:
    """Interpolate values known at every `step`-th pixel to (width, height) pixels; step is a power of two."""
    matrix = np.array([[1 / step, 0, 0], [0, 1 / step, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        coarse.astype(np.float32), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def thin_plate(source: np.ndarray, target: np.ndarray, at: np.ndarray, stiffness: float = 1e-3) -> np.ndarray:
    """Evaluate the thin-plate spline that takes `source` to `target`.

    Args:
      source: (n, 2), where the spline is fitted; n >= 3, not all on one line.
      target: (n, k), values there.
      at: (m, 2), where it is evaluated; far away it is nearly affine.
      stiffness: 0 passes through every point; larger ones bend less.

    Returns:
      (m, k) float64.
    """
    source = np.asarray(source, np.float64)
    target = np.asarray(target, np.float64)
    origin, scale = source.mean(0), source.std()
    source, at = (source - origin) / scale, (np.asarray(at, np.float64) - origin) / scale
    count = len(source)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(source, source) + stiffness * np.eye(count)
    system[:count, count:] = np.c_[np.ones(count), source]
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.solve(system, np.r_[target, np.zeros((3, target.shape[1]))])
    return _kernel(at, source) @ weights[:count] + np.c_[np.ones(len(at)), at] @ weights[count:]


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 1e-12)
    return squared * np.log(squared)


def dense_map(
    source: np.ndarray, target: np.ndarray, box: tuple[int, int, int, int], stiffness: float = 1e-3
) -> np.ndarray:
    """For every pixel of a box where its content lies, by the spline that takes `source` to `target`.

    Args:
      source: (n, 2), points in the picture to be made.
      target: (n, 2), the same points in the picture that exists.
      box: x0, y0, x1, y1 in the picture to be made; x1 and y1 are exclusive.
      stiffness: as in `thin_plate`.

    Returns:
      (y1 - y0, x1 - x0, 2) float32, maps for `cv2.remap`.
    """
    x0, y0, x1, y1 = box
    grid = np.stack(np.meshgrid(np.arange(x0, x1 + _STEP, _STEP), np.arange(y0, y1 + _STEP, _STEP)), -1)
    coarse = thin_plate(source, target, grid.reshape(-1, 2), stiffness).reshape(grid.shape)
    return upsample(coarse, _STEP, (x1 - x0, y1 - y0))
