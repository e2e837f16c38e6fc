"""Where a blend ends: its opacity at each depth below an outline, and how far to move the outline for it."""

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.noise import BoolMap, FloatMap

_DETAIL = 1.5
_FIRST, _LAST = -6, 18
_REAL = -14
_LEAST_SLOPE = 0.05
_LOW, _HIGH, _BEYOND = 0.2, 0.5, 1.4
_MOST = 0.02
_COMPACT = 0.7
_STEEP = 2.5


def hull_depth(region: BoolMap) -> FloatMap:
    """Pixels to the outline of a region's convex hull, 0 outside: (H, W) bool to (H, W) float32."""
    return cv2.distanceTransform(_hull(region), cv2.DIST_L2, 5)


def move(region: BoolMap, pixels: float) -> BoolMap:
    """A (H, W) bool region, its outline moved outwards by `pixels` (the crop's edge is no outline)."""
    if pixels > 0:
        return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5) < pixels
    return cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5) > -pixels


def outward(lumas: list[tuple[FloatMap, FloatMap]], excess: list[FloatMap], regions: list[BoolMap]) -> float:
    """How far outwards a clip's outlines under codec noise are to be moved to where its blend begins, pixels.

    A blend (1 - a) real + a new lets the real picture's fine texture through by 1 - a: the slope of the
    fake's on the real's, relative to that far outside, pooled at each depth below the outline of the region's
    hull. From the depths at which a reaches 0.2 and 0.5 the line is extended to where it begins. (The same
    face rendered again correlates with the real one, so that its opacity is underestimated.)

    Args:
      lumas: per frame, (WORK, WORK) float32 luma of real and fake.
      excess: per frame (WORK, WORK) float32, nepers.
      regions: per frame (WORK, WORK) bool.

    Returns:
      At most 2% of the square root of the region's area either way; not outwards where the difference is
      strong 3 px inside already (a hard edge); 0 for what is not one compact region.
    """
    depths = [_signed_depth(region) for region in regions]
    area = float(np.mean([region.sum() for region in regions]))
    if area < _COMPACT * np.mean([(depth > 0).sum() for depth in depths]) or not area:
        return 0.0
    opacity = np.maximum.accumulate(_opacity(lumas, depths, regions))
    middle = np.arange(_FIRST, _LAST) + 0.5
    low, high = (float(np.interp(level, opacity, middle)) for level in (_LOW, _HIGH))
    limit = _MOST * area**0.5
    inner = np.concatenate([e[move(r, -2) & ~move(r, -4)] for e, r in zip(excess, regions, strict=True)])
    steep = inner.size > 0 and inner.mean() > _STEEP
    return float(np.clip(_BEYOND * (high - low) - low, -limit, 0 if steep else limit))


def _opacity(
    lumas: list[tuple[FloatMap, FloatMap]], depths: list[FloatMap], regions: list[BoolMap]
) -> npt.NDArray[np.float64]:
    """Opacity in steps of a pixel from `_FIRST` to `_LAST`, in the region and outside its hull."""
    span = _LAST - _FIRST + 2
    both, real, far = np.zeros(span), np.zeros(span), np.zeros(2)
    for (a, b), depth, region in zip(lumas, depths, regions, strict=True):
        x, y = (luma - cv2.GaussianBlur(luma, (0, 0), _DETAIL) for luma in (a, b))
        product, square = x * y, x * x
        outside = depth < _REAL
        far += product[outside].sum(), square[outside].sum()
        where = np.floor(depth).astype(np.int32) - _FIRST + 1
        counted = (where >= 0) & (where < span) & (region | (depth <= 0))
        both += np.bincount(where[counted], product[counted], span)
        real += np.bincount(where[counted], square[counted], span)
    three = np.ones(3)
    slope = np.convolve(both, three, "valid") / np.maximum(np.convolve(real, three, "valid"), 1e-6)
    beyond = far[0] / far[1] if far[1] > 0 else 1.0
    return 1 - slope / max(beyond, _LEAST_SLOPE)


def _signed_depth(region: BoolMap) -> FloatMap:
    """Pixels to the outline of a region's hull: positive inside, negative outside, no further than counts."""
    hull = _hull(region)
    inner, outer = (cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (hull, 1 - hull))
    return np.clip(inner - outer, _REAL - 1, _LAST + 1)


def _hull(region: BoolMap) -> npt.NDArray[np.uint8]:
    hull = np.zeros(region.shape, np.uint8)
    if region.any():
        points = cv2.findNonZero(region.astype(np.uint8))
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return hull
