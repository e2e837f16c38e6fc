"""How far a forged clip is shifted, scaled or turned against its real one, measured outside the face."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.model import CropShapes
from transforms.difference.noise import WORK, BoolMap, fill
from transforms.difference.pairs import at_work
from transforms.lucas_kanade import BLUR, Motion, View, blurred_luma, gauss_newton, grid, own_shift, view_at

Image = npt.NDArray[np.uint8]

_FRAMES = 8
_MARGIN = 1.2
_LEVELS = (4, 1)
_RIM = 3
_RING = 5 / 64
_LEAST_RING = 0.2
_LEAST_SHARE = 0.02
_WORST_ERROR = 0.1
_STRONG_NOISE = 5.0


@dataclass(frozen=True)
class Registration:
    """A similarity that takes the real crop to the fake crop, about the crop's middle.

    Attributes:
      dx, dy: shift of the fake, crop pixels.
      scale: its size, 1 is the same.
      turn: its rotation, radians, clockwise in the picture.
      residual: displacement of the outside of the face, crop pixels: root mean square over pixels and
        frames. Equals the length of the shift where there is nothing else.
      scatter: upper quartile over frames of the shift that single frames have beyond the common motion,
        crop pixels; large where a clip shakes against the other, so that no one motion registers it.
    """

    dx: float
    dy: float
    scale: float
    turn: float
    residual: float
    scatter: float


def register(real: Sequence[Image], fake: Sequence[Image], shapes: CropShapes) -> Registration | None:
    """Measure the misregistration of a clip, on evenly spread frames, along the crop's rim, or outside
    the face where most of the rim lies beyond the frame.

    The rim is what a forgery reaches last: one that is blended as a box covers half of what lies outside the
    face, and moves with its own content.

    Source: Lucas and Kanade, An iterative image registration technique, 1981: Gauss-Newton on intensities,
    coarse to fine, with one similarity for all frames, an offset in brightness for each, and Tukey's weights,
    so that a forgery which spills over the face's hull or a moved object is left out. Refined by warping
    until it stands still, codec noise (independent in the two clips) does not bias it. Crops of any size are
    looked at as ones of 256 px.

    Args:
      real: (S, S, 3) uint8 RGB crops. May read from disk; each frame is read at most once.
      fake: the crops of the same frames of the forged clip.
      shapes: outlines of the same frames.

    Returns:
      None where there is not enough texture outside the face (a standard error of more than 0.1 px of 256).
      An infinite residual where there is, and nothing matches: the clips show different scenes.

    Raises:
      ValueError: pairs of unequal length or shape.
    """
    if not len(real) == len(fake) == len(shapes.oval):
        raise ValueError(f"{len(real)} real, {len(fake)} fake crops and {len(shapes.oval)} shapes")
    pictures = []
    for i in sorted({int(i) for i in np.linspace(0, len(real) - 1, min(len(real), _FRAMES)).round()}):
        a, b = real[i], fake[i]
        if a.shape != b.shape or a.ndim != 3:
            raise ValueError(f"crops of {a.shape} and {b.shape} at {i}")
        edge = len(a)
        a, b = at_work(a), at_work(b)
        outside = usable(a, b, shapes.oval[i] * np.float32(WORK / edge))
        rim, ring = round(_RING * len(outside)), outside.copy()
        ring[rim:-rim, rim:-rim] = False
        if ring.mean() >= _LEAST_RING:
            outside = ring
        if outside.mean() >= _LEAST_SHARE:
            pictures.append((blurred_luma(a), blurred_luma(b), outside))
    motion, error = np.zeros(4), np.inf
    for level in _LEVELS:
        views = [view_at(*picture, level) for picture in pictures if len(picture[0]) // level >= 32]
        if views:
            unit = np.array([level, level, 1, 1])
            motion, error = gauss_newton(views, motion / unit)
            motion, error = motion * unit, error * level
    if not np.isfinite(motion).all() or error > _WORST_ERROR:
        if not pictures or _error_by_texture(views) > _WORST_ERROR:
            return None
        return Registration(0.0, 0.0, 1.0, 0.0, np.inf, np.inf)
    dx, dy, grow, turn = motion
    residual = np.sqrt(np.mean([_displacement(motion, outside) ** 2 for _, _, outside in pictures]))
    pixel = edge / WORK
    return Registration(
        float(dx * pixel),
        float(dy * pixel),
        float(np.hypot(1 + grow, turn)),
        float(np.arctan2(turn, 1 + grow)),
        float(residual * pixel),
        float(np.quantile([own_shift(view, motion) for view in views], 0.75) * pixel),
    )


def usable(real: Image, fake: Image, oval: npt.NDArray[np.float32]) -> BoolMap:
    """Outside the face, off the crop's rim and off what lies beyond the frame (black, and its edge).

    Args:
      real: (S, S, 3) uint8 RGB.
      fake: as `real`.
      oval: (n, 2) float32, outline of the face in crop pixels.

    Returns:
      (S, S) bool.
    """
    black = ((real.max(2) < 3) | (fake.max(2) < 3)).astype(np.uint8)
    square = np.ones((5, 5), np.uint8)
    void = cv2.dilate(cv2.morphologyEx(black, cv2.MORPH_OPEN, square), np.ones((11, 11), np.uint8))
    outside = ~fill(oval, _MARGIN, real.shape[0]) & (void == 0)
    outside[:_RIM] = outside[-_RIM:] = False
    outside[:, :_RIM] = outside[:, -_RIM:] = False
    return outside


def moved(image: Image, motion: Registration) -> Image:
    """The real crop as the fake shows it: (S, S, 3) uint8, bicubic, edges repeated."""
    matrix = np.array(_matrix(motion, image.shape[0]))
    return cv2.warpAffine(
        image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def moved_points(points: npt.NDArray[np.float32], motion: Registration, size: int) -> npt.NDArray[np.float32]:
    """Points (..., 2) of the real crop where the fake shows them; `size` is the crop's edge."""
    matrix = np.array(_matrix(motion, size))
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def _matrix(motion: Registration, size: int) -> list[list[float]]:
    middle = (size - 1) / 2
    a, b = motion.scale * np.cos(motion.turn), motion.scale * np.sin(motion.turn)
    return [
        [a, -b, middle + motion.dx - a * middle + b * middle],
        [b, a, middle + motion.dy - b * middle - a * middle],
    ]


def _displacement(motion: Motion, outside: BoolMap) -> float:
    x, y = (c[outside] for c in grid(outside.shape))
    dx, dy, grow, turn = motion
    square = (dx + grow * x - turn * y) ** 2 + (dy + turn * x + grow * y) ** 2
    return float(np.sqrt(square.mean()))


def _error_by_texture(views: Sequence[View]) -> float:
    """Standard error that the real clip's texture would allow under strong codec noise, pixels."""
    energy = np.zeros(2)
    for view in views:
        energy += [float((slope[view.free] ** 2).sum(dtype=np.float64)) for slope in view.gradient]
    return float(_STRONG_NOISE * np.sqrt(4 * np.pi * BLUR**2 * (1 / np.maximum(energy, 1e-9)).sum()))
