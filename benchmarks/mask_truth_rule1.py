"""A mask rule that was measured before this project's own: one star-shaped contour near the face's hull.

Kept as it was described, with its constants, to compare with: log energy of the smoothed difference, less the
median that codec noise has at the same texture beyond the hull; by dynamic programming on 72 rays the contour
that gathers the most likelihood ratio, once for the clip, twice for each frame. Where hardly a pixel outside
differs by 2: what differs by 2 or more, closed and filled.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.contour import PolarGrid
from transforms.difference.noise import (
    WORK,
    BoolMap,
    FloatMap,
    NoiseCurve,
    difference,
    energy,
    fill,
    texture,
)
from transforms.difference.pairs import CropShapes, Image

_MARGIN = 1.15
_NOISE_FRAMES = 12
_LOSSLESS = 1e-3
_CHANGED = 2
_CLOSE = 9
_SEEDS = (("oval", 0.6), ("oval", 0.9), ("lips", 1.3), ("lips", 2.0))
_ROUNDS = 4
_BINS, _LOW, _HIGH, _LIMIT = 40, -1.0, 7.0, 3.0
_KERNEL = np.array([1, 2, 3, 2, 1]) / 9
_AREA, _AREA_SHIFT = 0.8, 1.4
_TIME_SIGMA = 0.5
_GATE = 1.0
_EDGE = 9


def star_masks(
    real: Sequence[Image], fake: Sequence[Image], shapes: CropShapes, chosen: Sequence[int]
) -> list[tuple[BoolMap | None, float]]:
    """Masks of some frames of a clip whose entries are consecutive frames.

    Args:
      real: (256, 256, 3) uint8 RGB crops.
      fake: the crops of the same frames of the forged clip.
      shapes: outlines of the same frames.
      chosen: entries to return.

    Returns:
      For each, (256, 256) bool, None where the clip does not reach the gate, and the score, 0 to 1.
    """
    pairs = [difference(a, b) for a, b in zip(real, fake, strict=True)]
    outside = [~fill(oval, _MARGIN) for oval in shapes.oval]
    spread = sorted({int(i) for i in np.linspace(0, len(pairs) - 1, _NOISE_FRAMES).round()})
    luma = np.concatenate([np.abs(pairs[i][0][..., 0][outside[i]]) for i in spread])
    if (luma >= 2).mean() < _LOSSLESS:
        return [(_changed(real[i], fake[i]), 1.0) for i in chosen]
    sigma = float(np.clip(0.5 * luma[luma >= 1].mean() - 0.2, 0.7, 1.5))
    energies = [energy(delta, sigma) for delta, _ in pairs]
    textures = [texture(real_luma) for _, real_luma in pairs]
    curve = NoiseCurve(
        np.concatenate([textures[i][outside[i]] for i in spread]),
        np.concatenate([energies[i][outside[i]] for i in spread]),
    )
    excess = [
        cv2.GaussianBlur(curve.excess(e, t), (0, 0), 0.75 * sigma)
        for e, t in zip(energies, textures, strict=True)
    ]
    return _contours(excess, shapes, outside, sigma, chosen)


def _changed(real: Image, fake: Image) -> BoolMap | None:
    mask = (cv2.absdiff(real, fake).max(2) >= _CHANGED).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_CLOSE, _CLOSE))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, outlines, -1, 1, -1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    found = (areas >= max(30, 0.1 * areas.max()))[labels]
    return found if found.any() else None


def _contours(
    excess: list[FloatMap], shapes: CropShapes, outside: list[BoolMap], sigma: float, chosen: Sequence[int]
) -> list[tuple[BoolMap | None, float]]:
    mean = cv2.GaussianBlur(np.mean(excess, axis=0), (0, 0), 0.75 * sigma)
    region, merit = _clip_region(mean, shapes)
    apart = _apart(mean, region)
    if apart < _GATE:
        return [(None, 0.0) for _ in chosen]
    share = region.mean()
    prior = _AREA * (np.log((1 - share) / share) - _AREA_SHIFT)
    weight = np.float32(np.clip(1.5 - 0.5 * apart, 0, 1))
    whole = _blend(excess)
    from_clip = _lookup(mean, _ratio(mean, region))
    regions = np.broadcast_to(region, whole.shape)
    grid = PolarGrid(region)
    for _ in range(2):
        ratio = _ratio(whole, regions)
        evidence = [
            np.where(far, -_LIMIT, (1 - weight) * (_lookup(one, ratio) - prior) + weight * from_clip)
            for one, far in zip(whole, outside, strict=True)
        ]
        regions = np.stack([grid.contour(one.astype(np.float32)) for one in evidence])
    return [(regions[i], _score(merit * _edge(whole[i], regions[i]))) for i in chosen]


def _clip_region(mean: FloatMap, shapes: CropShapes) -> tuple[BoolMap, float]:
    best, found = -np.inf, np.zeros((WORK, WORK), bool)
    for shape, scale in _SEEDS:
        region = fill((shapes.oval if shape == "oval" else shapes.lips).mean(0), scale)
        for _ in range(_ROUNDS):
            if not region.any() or region.all():
                break
            region = PolarGrid(region).contour(_lookup(mean, _ratio(mean, region)))
        share, apart = region.mean(), _apart(mean, region)
        merit = float(share * (1 - share) * apart * abs(apart))
        if merit > best:
            best, found = merit, region
    return found, best


def _ratio(excess: npt.NDArray[np.float32], inside: BoolMap) -> FloatMap:
    """(40,) float32 log-likelihood ratio over the excess, monotone, -3 to 3."""
    index = np.clip((excess - _LOW) * (_BINS / (_HIGH - _LOW)), 0, _BINS - 1).astype(np.int32)
    forged, real = _histogram(index[inside]), _histogram(index[~inside])
    ratio = np.log(forged / real)
    rising = (np.maximum.accumulate(ratio) + np.minimum.accumulate(ratio[::-1])[::-1]) / 2
    return np.clip(rising, -_LIMIT, _LIMIT).astype(np.float32)


def _histogram(index: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    counts = np.bincount(index, minlength=_BINS).astype(np.float64)
    smooth = np.convolve(np.pad(counts, 2, mode="edge"), _KERNEL, mode="valid") + 1e-3
    return np.asarray(smooth / smooth.sum())


def _lookup(excess: FloatMap, ratio: FloatMap) -> FloatMap:
    at = np.linspace(_LOW, _HIGH, _BINS + 1)[:-1] + (_HIGH - _LOW) / (2 * _BINS)
    return np.interp(excess, at, ratio).astype(np.float32)


def _blend(excess: list[FloatMap]) -> npt.NDArray[np.float32]:
    """Over time, at a sigma of half a frame: (n, WORK, WORK)."""
    near = np.float32(np.exp(-0.5 / _TIME_SIGMA**2))
    padded = np.stack([excess[0], *excess, excess[-1]])
    return np.asarray((padded[1:-1] + near * (padded[:-2] + padded[2:])) / (1 + 2 * near), np.float32)


def _apart(excess: FloatMap, region: BoolMap) -> float:
    if not region.any() or region.all():
        return 0.0
    return float(excess[region].mean() - excess[~region].mean())


def _edge(excess: FloatMap, region: BoolMap) -> float:
    """Mean excess of the 4 px inside the outline minus that of the 4 px outside."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_EDGE, _EDGE))
    mask = region.astype(np.uint8)
    inner = region & ~cv2.erode(mask, disc).astype(bool)
    outer = ~region & cv2.dilate(mask, disc).astype(bool)
    return float(excess[inner].mean() - excess[outer].mean()) if inner.any() and outer.any() else 0.0


def _score(x: float) -> float:
    return max(x, 0.0) / (1 + max(x, 0.0))
