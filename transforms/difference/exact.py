"""The difference mask of a pair without codec noise: what changed at all, cut back to where it blends in."""

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.edge import hull_depth, move
from transforms.difference.noise import BoolMap, FloatMap

_SIGMA = 0.5
_LEAST, _MOST = 0.6, 2.0
_CLOSE = 9
_SPECK = 30
_OPACITY = 0.4
_WHOLE = 0.6
_BACK = 9
_DEPTH = 24
_DETAIL = 1.0
_WIDE = 6.0
_RISE = 5
_BEGINS = 0.5
_EXACT = 1.0
_BLEED = 1.5
_NARROWEST, _WIDEST = -1.0, 4.0
_REAL = -12.0


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


def feather(lumas: list[tuple[FloatMap, FloatMap]], regions: list[BoolMap]) -> float:
    """How far inside the changed region's outline a wide feather reaches an opacity of a tenth, pixels.

    A blend (1 - a) real + a new lets the real picture's fine texture through by 1 - a, and the new picture's
    does not correlate with it. So the slope of the fake's fine texture on the real's, pooled over the clip
    at each depth below the outline, is 1 - a. The same face rendered again does correlate, so that its
    opacity is underestimated: hence 0.4 is looked for and 9 px are given back; and where the middle of
    the region does not reach 0.6 (a weak blend), two thirds of what it reaches.

    The outline is that of the convex hull: what is cut out of a face, an occluder, has a hard edge.

    Args:
      lumas: per frame, (WORK, WORK) float32 luma of real and fake.
      regions: per frame (WORK, WORK) bool, from `changed_region`.

    Returns:
      The depth; 0 below 6 px, where `fade` tells more.
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
    found = float(reached[0]) - _BACK if reached.size else 0.0
    return found if found >= _WIDE else 0.0


def fade(amplitudes: list[FloatMap], regions: list[BoolMap], limit: float) -> float:
    """How far outwards a narrow blend goes on where it has faded below rounding, pixels.

    The amplitude's rise from the outline, where it is `limit`, to 5 px inside is extended outwards to 0; a
    blend's last 0.5 px are below a tenth of opacity. Where untouched pixels are the same bit by bit, the
    least change shows, and subsampled chroma carries it beyond the outline: 1.5 px more are taken off.

    Args:
      amplitudes: per frame (WORK, WORK) float32.
      regions: per frame (WORK, WORK) bool, from `changed_region`.
      limit: from `rounding_limit`.

    Returns:
      -1 to 4.
    """
    inner, outer = [], []
    for size, region in zip(amplitudes, regions, strict=True):
        depth = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
        inner.append(size[(depth > _RISE) & (depth <= _RISE + 1)])
        outer.append(size[~move(region, -_REAL)])
    found, rest = np.concatenate(inner), np.concatenate(outer)
    bleed = _BLEED if limit < _EXACT else 0.0
    if not found.size:
        return -min(bleed, -_NARROWEST)
    share = limit / max(float(found.mean()) - (float(rest.mean()) if rest.size else 0.0), 1e-3)
    return float(np.clip(_RISE * share / max(1 - share, 0.2) - _BEGINS - bleed, _NARROWEST, _WIDEST))


def cut_back(region: BoolMap, depth: float, outward: float) -> BoolMap:
    """A (H, W) bool region cut `depth` px within its hull's outline; where that is 0 moved `outward`."""
    if not region.any():
        return region
    moved = move(region, min(outward, 0.0) if depth else outward)
    return moved & (hull_depth(region) > depth) if depth else moved


def agreement(changed: BoolMap, region: BoolMap) -> float:
    """How well a mask agrees with what changed: 0.5, and half of their overlap (intersection over union)."""
    return 0.5 + 0.5 * float((changed & region).sum() / max((changed | region).sum(), 1))
