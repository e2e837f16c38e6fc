"""The difference mask of a pair without codec noise: what changed at all, cut back to where it blends in."""

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.noise import BoolMap, FloatMap

_SIGMA = 0.5
_LEAST, _MOST = 0.6, 2.0
_CLOSE = 9
_SPECK = 30
_OPACITY = 0.2
_BACK = 4
_DEPTH = 24
_DETAIL = 1.0
_EXACT = 1.0
_BLEED = 1.0
_WHOLE = 0.6


def amplitude(delta: FloatMap) -> FloatMap:
    """Size of a smoothed difference.

    Args:
      delta: (H, W, 3) float32, Y, Cr, Cb, without what real and fake differ by everywhere.

    Returns:
      (H, W) float32, sqrt(dY² + 0.49 (dCr² + dCb²)).
    """
    smooth = cv2.GaussianBlur(delta, (0, 0), _SIGMA)
    smooth *= smooth
    return np.sqrt(cv2.transform(smooth, np.array([[1, 0.49, 0.49]], np.float32)))


def rounding_limit(amplitudes: list[FloatMap], outside: list[BoolMap]) -> float:
    """The amplitude that rounding between YUV and RGB stays below: 0.6 to 2.

    Args:
      amplitudes: per frame (WORK, WORK) float32.
      outside: per frame (WORK, WORK) bool, where nothing was forged.

    Returns:
      The 99.5% quantile outside, and a little.
    """
    values = np.concatenate([a[free][::4] for a, free in zip(amplitudes, outside, strict=True)])
    if not values.size:
        return _LEAST
    return float(np.clip(np.quantile(values, 0.995) * 1.05, _LEAST, _MOST))


def changed_region(amplitudes: FloatMap, limit: float) -> BoolMap:
    """What differs: closed, its holes filled unless a 9 px disc of them did not change, specks dropped.

    Args:
      amplitudes: (H, W) float32.
      limit: least amplitude of a change.

    Returns:
      (H, W) bool.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_CLOSE, _CLOSE))
    changed = (amplitudes >= limit).astype(np.uint8)
    padded = cv2.copyMakeBorder(changed, _CLOSE, _CLOSE, _CLOSE, _CLOSE, cv2.BORDER_CONSTANT)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)
    cv2.floodFill(closed, None, (0, 0), 2)
    filled = (closed[_CLOSE:-_CLOSE, _CLOSE:-_CLOSE] != 2).astype(np.uint8)
    left_real = cv2.morphologyEx(1 - changed, cv2.MORPH_OPEN, disc)
    return drop_specks(filled & (1 - left_real))


def drop_specks(mask: npt.NDArray[np.uint8]) -> BoolMap:
    """Without components below 30 pixels or a tenth of the largest one: (H, W) uint8 to (H, W) bool."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= max(_SPECK, 0.1 * areas.max())
    return keep[labels]


def feather(
    lumas: list[tuple[FloatMap, FloatMap]], regions: list[BoolMap], limit: float
) -> tuple[float, float]:
    """How far inside the changed region's outline its blend reaches an opacity of a tenth, pixels.

    A blend (1 - a) real + a new lets the real picture's fine texture through by 1 - a, and the new picture's
    does not correlate with it. So the slope of the fake's fine texture on the real's, pooled over the clip
    at each depth below the outline, is 1 - a. The same face rendered again does correlate, so that its
    opacity is underestimated: hence 0.2 is looked for and four pixels are given back; and where the middle of
    the region does not reach 0.6 (a weak blend), a third of what it reaches.

    The outline is that of the convex hull: what is cut out of a face, an occluder, has a hard edge.

    Where untouched pixels are the same bit by bit, the least change shows, and subsampled chroma carries it a
    pixel beyond the outline: that pixel is taken off at least, everywhere.

    Args:
      lumas: per frame, (WORK, WORK) float32 luma of real and fake.
      regions: per frame (WORK, WORK) bool, from `changed_region`.
      limit: from `rounding_limit`.

    Returns:
      The depth, and the least there is for a hard edge: 1 where untouched pixels are exact, else 0.
    """
    through, whole = np.zeros(_DEPTH), np.zeros(_DEPTH)
    for (real, fake), region in zip(lumas, regions, strict=True):
        depth = hull_depth(region)
        band = region & (depth < _DEPTH)
        where = depth[band].astype(np.int64)
        a, b = (p - cv2.GaussianBlur(p, (0, 0), _DETAIL) for p in (real, fake))
        whole += np.bincount(where, (a * a)[band], _DEPTH)
        through += np.bincount(where, (a * b)[band], _DEPTH)
    smooth = np.ones(3)
    opacity = 1 - np.convolve(through, smooth, "same") / np.maximum(np.convolve(whole, smooth, "same"), 1e-6)
    reached = np.flatnonzero(opacity >= _OPACITY * np.clip(opacity.max() / _WHOLE, 0.5, 1))
    least = _BLEED if limit < _EXACT else 0.0
    return (max(float(reached[0]) - _BACK, least) if reached.size else least), least


def cut_back(region: BoolMap, depth: float, least: float) -> BoolMap:
    """A region without what lies within `least` px of its outline and `depth` px of its hull's.

    (The crop's edge is no outline.)
    """
    if least > 0:
        region = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5) > least
    if depth <= least or not region.any():
        return region
    return region & (hull_depth(region) > depth - least)


def hull_depth(region: BoolMap) -> FloatMap:
    """Pixels to the outline of a region's convex hull, 0 outside: (H, W) bool to (H, W) float32."""
    hull = np.zeros(region.shape, np.uint8)
    if region.any():
        points = cv2.findNonZero(region.astype(np.uint8))
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return cv2.distanceTransform(hull, cv2.DIST_L2, 5)


def agreement(changed: BoolMap, region: BoolMap) -> float:
    """How well a mask agrees with what changed: 0.5, and half of their overlap (intersection over union)."""
    return 0.5 + 0.5 * float((changed & region).sum() / max((changed | region).sum(), 1))
