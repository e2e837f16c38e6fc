"""What codec noise does to the difference of a real and a forged crop: its level, its texture, its energy.

All functions work on crops of edge `WORK`; the constants are pixels of that size.
"""

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

FloatMap: TypeAlias = npt.NDArray[np.float32]
BoolMap: TypeAlias = npt.NDArray[np.bool_]

WORK = 256
ACTIVE = float(np.log(0.7))
"""Energy above which a pixel was coded at all: x264 leaves 14 to 68% of a background bit-identical."""
FLOOR = -1.0
_BINS = 16
_TILE = 16
_RING = 4


def difference(real: npt.NDArray[np.uint8], fake: npt.NDArray[np.uint8]) -> tuple[FloatMap, FloatMap]:
    """Signed difference of a pair, and the real picture's luma.

    Args:
      real: (H, W, 3) uint8 RGB.
      fake: as `real`.

    Returns:
      (H, W, 3) float32, fake minus real in Y, Cr, Cb (0 to 255 each), and (H, W) float32 luma of `real`.
    """
    ycc = cv2.cvtColor(real, cv2.COLOR_RGB2YCrCb)
    delta = cv2.subtract(cv2.cvtColor(fake, cv2.COLOR_RGB2YCrCb), ycc, dtype=cv2.CV_32F)
    return delta, ycc[..., 0].astype(np.float32)


def fill(points: npt.NDArray[np.float32], scale: float = 1.0, size: int = WORK) -> BoolMap:
    """The convex hull of `points`, scaled about its middle, filled.

    Args:
      points: (n, 2) float, x and y in pixels.
      scale: factor about the mean of the points.
      size: edge of the mask.

    Returns:
      (size, size) bool.
    """
    middle = points.mean(0)
    hull = cv2.convexHull(((points - middle) * scale + middle).astype(np.float32))
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(hull * 16).astype(np.int32), 1, shift=4)
    return mask.astype(bool)


def clean_rim(deltas: list[FloatMap], seen: list[BoolMap]) -> float:
    """How much of the crop's rim carries no codec noise: above 0.68 a pair is lossless.

    The outermost 4 px in 64 pieces, pooled over the frames; a piece is clean where fewer than 0.1% of its
    pixels differ by 2 or more in luma (rounding between YUV and RGB makes less). A forgery that spills over a
    part of the rim leaves the other pieces clean; a codec's noise does not.

    Args:
      deltas: per frame (WORK, WORK, 3) float32 from `difference`, without their common offset.
      seen: per frame (WORK, WORK) bool, False beyond the frame.

    Returns:
      Share of clean pieces, 0 to 1; 0 where less than a quarter of the rim is in the picture.
    """
    noisy = np.stack(
        [_rim((np.abs(delta[..., 0]) >= 2) & free) for delta, free in zip(deltas, seen, strict=True)]
    )
    there = np.stack([_rim(free) for free in seen])
    noisy, there = (a.reshape(len(deltas), _RING, 64, -1).sum((0, 1, 3)) for a in (noisy, there))
    usable = there > 32
    return float((noisy[usable] < 1e-3 * there[usable]).mean()) if usable.sum() >= 16 else 0.0


def _rim(flags: BoolMap) -> BoolMap:
    """(WORK, WORK) to (4, 4 * WORK): the four sides, outermost row first."""
    return np.concatenate([np.rot90(flags, turn)[:_RING] for turn in range(4)], axis=1)


def undisturbed(deltas: list[FloatMap], outside: list[BoolMap]) -> list[BoolMap]:
    """`outside` without the tiles that a forgery which spills over the face's hull has changed.

    Args:
      deltas: per frame (WORK, WORK, 3) float32.
      outside: per frame (WORK, WORK) bool, True beyond the face.

    Returns:
      Per frame (WORK, WORK) bool: tiles of 16 px whose mean active |dY| is at most 3 times the 15% quantile
      of such tiles. (A median would not do: a box around a face covers half of the outside.)
    """
    tiles = WORK // _TILE
    levels = np.zeros((len(deltas), tiles, tiles), np.float32)
    for frame, (delta, free) in enumerate(zip(deltas, outside, strict=True)):
        luma = np.abs(delta[..., 0])
        active = ((luma >= 1) & free).reshape(tiles, _TILE, tiles, _TILE)
        total = (luma.reshape(tiles, _TILE, tiles, _TILE) * active).sum((1, 3))
        count = active.sum((1, 3))
        levels[frame] = np.where(count > 8, total / np.maximum(count, 1), 0)
    seen = levels[levels > 0]
    limit = 3 * np.quantile(seen, 0.15) if seen.size else np.inf
    keep = np.repeat(np.repeat(levels <= limit, _TILE, 1), _TILE, 2)
    return [free & kept for free, kept in zip(outside, keep, strict=True)]


def codec_level(deltas: list[FloatMap], outside: list[BoolMap]) -> float:
    """Mean |dY| of the outside pixels that the codec touched (|dY| >= 1); 0 where there is none."""
    values = [np.abs(delta[..., 0][free]) for delta, free in zip(deltas, outside, strict=True)]
    luma = np.concatenate(values)
    luma = luma[luma >= 1]
    return float(luma.mean()) if luma.size else 0.0


def offset(deltas: list[FloatMap], outside: list[BoolMap]) -> npt.NDArray[np.float32]:
    """What real and fake differ by everywhere: the mean of the middle 80% of the outside, per channel.

    A forger's tool decodes to RGB and encodes again; ffmpeg's default conversion loses about 1 of luma.

    Args:
      deltas: per frame (WORK, WORK, 3) float32.
      outside: per frame (WORK, WORK) bool.

    Returns:
      (3,) float32: Y, Cr, Cb; zeros where there is no outside.
    """
    values = np.concatenate([delta[free][::4] for delta, free in zip(deltas, outside, strict=True)])
    if not len(values):
        return np.zeros(3, np.float32)
    cut = len(values) // 10
    last = len(values) - cut
    middle = np.partition(values, (cut, last - 1), axis=0)[cut:last]
    return middle.mean(0, dtype=np.float64).astype(np.float32)


def energy(delta: FloatMap, sigma: float) -> FloatMap:
    """Log energy of a smoothed difference; the log keeps strong differences from dominating.

    Args:
      delta: (H, W, 3) float32 from `difference`.
      sigma: of the Gaussian, pixels.

    Returns:
      (H, W) float32, log(0.2 + dY² + 0.49 (dCr² + dCb²)).
    """
    smooth = cv2.GaussianBlur(delta, (0, 0), sigma)
    smooth *= smooth
    return cv2.log(cv2.transform(smooth, np.array([[1, 0.49, 0.49, 0.2]], np.float32)))


def texture(luma: FloatMap) -> FloatMap:
    """log(1 + local standard deviation, sigma 2) of a (H, W) luma: codec noise grows with it."""
    mean = cv2.GaussianBlur(luma, (0, 0), 2.0)
    square = cv2.GaussianBlur(luma * luma, (0, 0), 2.0)
    return cv2.log(1 + np.sqrt(np.maximum(square - mean * mean, 0)))


class NoiseCurve:
    """Log energy of codec noise as a function of texture: medians in 16 quantile bins, tabulated.

    Attributes:
      table: (256,) float32 over texture 0 to log(128).
    """

    _SPAN = float(np.log(128))

    @classmethod
    def fit(cls, energies: list[FloatMap], textures: list[FloatMap], free: list[BoolMap]) -> "NoiseCurve":
        """Fit from maps of one shape, one a frame, where `free` says that nothing was forged."""
        where = list(zip(energies, textures, free, strict=True))
        return cls(np.concatenate([t[f] for _, t, f in where]), np.concatenate([e[f] for e, _, f in where]))

    def __init__(self, textures: npt.NDArray[np.float32], energies: npt.NDArray[np.float32]) -> None:
        """Fit from pixels without forgery (two arrays of one length); flat at the floor where too few."""
        grid = np.linspace(0, self._SPAN, 256)
        active = energies > ACTIVE
        x, e = textures[active], energies[active]
        if x.size < 64 * _BINS:
            level = float(np.median(e)) if e.size else ACTIVE
            self.table = np.full(256, level, np.float32)
            return
        edges = np.quantile(x, np.linspace(0, 1, _BINS + 1))
        which = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, _BINS - 1)
        known = [b for b in range(_BINS) if (which == b).any()]
        middles = [float(np.median(x[which == b])) for b in known]
        medians = [float(np.median(e[which == b])) for b in known]
        self.table = np.interp(grid, middles, medians).astype(np.float32)

    def excess(self, energies: FloatMap, textures: FloatMap) -> FloatMap:
        """Energy above the noise expected at this texture, at least -1: (H, W) float32, nepers."""
        index = cv2.convertScaleAbs(textures, alpha=255 / self._SPAN)
        return np.maximum(energies - cv2.LUT(index, self.table), FLOOR)
