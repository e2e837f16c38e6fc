"""Regions of any topology: how likely each pixel is forged, and the smoothest region that explains it."""

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.noise import FLOOR, BoolMap, FloatMap

_BINS = 40
_TOP = 7.0
_KERNEL = np.array([1, 2, 3, 2, 1], np.float64) / 9
_LIMIT = 3.0
_FAR = 1.5
_FAR_REACH = 12.0
_LOW = 8
_CODED = 2
_MOST_CODED = 0.3


class Likelihood:
    """Log-likelihood ratio of forged against real as a monotone function of the excess energy.

    Attributes:
      table: (40,) float32 over an excess of -1 to 7, in -3 to 3.
    """

    def __init__(self, excess: npt.NDArray[np.float32], inside: BoolMap) -> None:
        """Fit from excess maps and regions of one shape.

        That a pixel was coded at all, not copied (an excess near -1), counts for a forgery, but for no more
        than a factor of 1.35: else, in a still scene, all that was coded again would look forged.
        """
        scaled = excess - FLOOR
        scaled *= _BINS / (_TOP - FLOOR)
        index = np.clip(scaled, 0, _BINS - 1, out=scaled).astype(np.uint8)
        index += np.uint8(_BINS) * inside
        flat = index.reshape(-1, index.shape[-1])
        counts = cv2.calcHist([flat], [0], None, [2 * _BINS], [0, 2 * _BINS]).ravel().astype(np.float64)
        real, forged = _smooth(counts[:_BINS]), _smooth(counts[_BINS:])
        coded = float(np.log(forged[_CODED:].sum() / real[_CODED:].sum()))
        share = min(float((forged[:_LOW] / real[:_LOW]).min()), 0.9)
        forged = np.maximum(forged - share * real, 1e-3 / _BINS)
        forged /= forged.sum()
        ratio = np.log(forged / real)
        ratio[_CODED:] -= max(coded - _MOST_CODED, 0.0)
        rising = (np.maximum.accumulate(ratio) + np.minimum.accumulate(ratio[::-1])[::-1]) / 2
        self.table = np.clip(rising, -_LIMIT, _LIMIT).astype(np.float32)
        self._fine = np.interp(np.linspace(0, _BINS - 1, 256), np.arange(_BINS), self.table).astype(
            np.float32
        )

    def __call__(self, excess: FloatMap) -> FloatMap:
        """(H, W) float32 excess to (H, W) float32 log-likelihood ratio."""
        index = cv2.convertScaleAbs(np.maximum(excess - FLOOR, 0), alpha=255 / (_TOP - FLOOR))
        return cv2.LUT(index, self._fine)


def _smooth(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A histogram's counts, smoothed, as shares that are never 0."""
    smooth = np.convolve(np.pad(counts, 2, mode="edge"), _KERNEL, mode="valid")
    return (smooth + 1e-3 * max(counts.sum(), 1.0) / _BINS) / max(counts.sum(), 1.0)


def far_prior(outside: BoolMap) -> FloatMap:
    """Log-odds that fall to -1.5 within 12 px outside the face: (H, W) float32."""
    distance = cv2.distanceTransform(outside.astype(np.uint8), cv2.DIST_L2, 3)
    return -np.minimum(distance * (_FAR / _FAR_REACH), _FAR)


def smooth_region(evidence: FloatMap, start: FloatMap, weight: float, steps: int) -> BoolMap:
    """The region of any topology that gathers the most evidence for its outline's length.

    Minimises -<evidence, u> + weight TV(u) over 0 <= u <= 1 and cuts at 0.5.

    Source: Chambolle and Pock, A first-order primal-dual algorithm for convex problems, 2011; that the cut
    of the relaxed problem is exact: Chan, Esedoglu and Nikolova, 2006.

    Args:
      evidence: (H, W) float32 log-likelihood ratio.
      start: (H, W) float32 in 0 to 1.
      weight: of the total variation.
      steps: of the primal-dual iteration.

    Returns:
      (H, W) bool.
    """
    step = np.float32(0.35)
    height, width = evidence.shape
    push = (step * evidence).ravel()
    u = start.astype(np.float32).ravel()
    ahead, fresh, size = u.copy(), np.empty_like(u), np.empty_like(u)
    # Differences to the right and downwards, flat, so that all arithmetic is on whole arrays; those beyond
    # the last column and row stay 0.
    flow = np.zeros((2, height * width), np.float32)
    change, square = np.zeros_like(flow), np.empty_like(flow)
    beyond = change[0].reshape(height, width)[:, -1]
    for _ in range(steps):
        np.subtract(ahead[1:], ahead[:-1], out=change[0, :-1])
        beyond[:] = 0
        np.subtract(ahead[width:], ahead[:-width], out=change[1, :-width])
        change *= step
        flow += change
        np.multiply(flow, flow, out=square)
        np.add(square[0], square[1], out=size)
        np.sqrt(size, out=size)
        size /= weight
        np.maximum(size, 1, out=size)
        flow /= size
        np.multiply(flow, step, out=square)
        np.add(u, push, out=fresh)
        fresh += square[0]
        fresh[1:] -= square[0, :-1]
        fresh += square[1]
        fresh[width:] -= square[1, :-width]
        np.maximum(fresh, 0, out=fresh)
        np.minimum(fresh, 1, out=fresh)
        np.multiply(fresh, 2, out=ahead)
        ahead -= u
        u, fresh = fresh, u
    return u.reshape(height, width) > 0.5
