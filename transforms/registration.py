"""How far a forged clip is shifted, scaled or turned against its real one, measured outside the face."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.model import CropShapes
from transforms.difference.noise import BoolMap, FloatMap, fill

Image = npt.NDArray[np.uint8]

_FRAMES = 12
_MARGIN = 1.2
_LEVELS = (4, 2, 1)
_STEPS = 12
_BLUR = 1.0
_RIM = 3
_LEAST_SHARE = 0.02
_WORST_ERROR = 0.1


@dataclass(frozen=True)
class Registration:
    """A similarity that takes the real crop to the fake crop, about the crop's middle.

    Attributes:
      dx, dy: shift of the fake, crop pixels; medians over frames.
      scale: its size, 1 is the same.
      turn: its rotation, radians, clockwise in the picture.
      residual: displacement that is left, crop pixels: root mean square over the outside of the face,
        median over frames. Equals the length of the shift where there is nothing else.
      frames: that could be measured.
    """

    dx: float
    dy: float
    scale: float
    turn: float
    residual: float
    frames: int


def register(
    real: Sequence[Image], fake: Sequence[Image], shapes: CropShapes, most: int = _FRAMES
) -> Registration | None:
    """Measure the misregistration of a clip, on evenly spread frames, without the face.

    Source: Lucas and Kanade, An iterative image registration technique, 1981: Gauss-Newton on intensities,
    coarse to fine, with a similarity and Tukey's weights, so that a forgery which spills over the face's hull
    or a moved object is left out. Refined by warping until it stands still, codec noise (independent in the
    two clips) does not bias it.

    Args:
      real: (S, S, 3) uint8 RGB crops. May read from disk; each frame is read at most once.
      fake: the crops of the same frames of the forged clip.
      shapes: outlines of the same frames.
      most: frames to measure.

    Returns:
      None where fewer than half of the frames have enough texture outside the face (a standard error of more
      than 0.1 px).

    Raises:
      ValueError: pairs of unequal length or shape.
    """
    if not len(real) == len(fake) == len(shapes.oval):
        raise ValueError(f"{len(real)} real, {len(fake)} fake crops and {len(shapes.oval)} shapes")
    chosen = sorted({int(i) for i in np.linspace(0, len(real) - 1, min(len(real), most)).round()})
    found = []
    for i in chosen:
        a, b = real[i], fake[i]
        if a.shape != b.shape or a.ndim != 3:
            raise ValueError(f"crops of {a.shape} and {b.shape} at {i}")
        outside = _usable(a, b, shapes.oval[i])
        motion = _similarity(_gray(a), _gray(b), outside)
        if motion is not None:
            found.append((*motion, _displacement(motion, outside)))
    if 2 * len(found) < len(chosen) or not found:
        return None
    dx, dy, grow, turn, residual = np.median(np.array(found), axis=0)
    scale = float(np.hypot(1 + grow, turn))
    return Registration(
        float(dx), float(dy), scale, float(np.arctan2(turn, 1 + grow)), float(residual), len(found)
    )


def residual_shift(real: Sequence[Image], fake: Sequence[Image], shapes: CropShapes) -> float | None:
    """`register(...).residual`: what is left outside the face, in crop pixels; None if unknown."""
    found = register(real, fake, shapes)
    return None if found is None else found.residual


def _gray(image: Image) -> FloatMap:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(gray, (0, 0), _BLUR)


def _usable(real: Image, fake: Image, oval: npt.NDArray[np.float32]) -> BoolMap:
    """Outside the face, off the crop's rim and off what lies beyond the frame (black, and its edge)."""
    black = ((real.max(2) < 3) | (fake.max(2) < 3)).astype(np.uint8)
    square = np.ones((5, 5), np.uint8)
    void = cv2.dilate(cv2.morphologyEx(black, cv2.MORPH_OPEN, square), np.ones((11, 11), np.uint8))
    outside = ~fill(oval, _MARGIN, real.shape[0]) & (void == 0)
    outside[:_RIM] = outside[-_RIM:] = False
    outside[:, :_RIM] = outside[:, -_RIM:] = False
    return outside


def _grid(size: int) -> tuple[FloatMap, FloatMap]:
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    x, y = np.meshgrid(axis, axis)
    return x, y


def _displacement(motion: npt.NDArray[np.float64], outside: BoolMap) -> float:
    x, y = (c[outside] for c in _grid(len(outside)))
    dx, dy, grow, turn = motion
    square = (dx + grow * x - turn * y) ** 2 + (dy + turn * x + grow * y) ** 2
    return float(np.sqrt(square.mean()))


def _similarity(real: FloatMap, fake: FloatMap, outside: BoolMap) -> npt.NDArray[np.float64] | None:
    """(dx, dy, growth, turn) that take `real` to `fake`; None where texture does not suffice."""
    motion = np.zeros(4)
    error = np.inf
    for level in _LEVELS:
        size = len(real) // level
        if size < 32:
            continue
        shape = (size, size)
        a, b = (cv2.resize(p, shape, interpolation=cv2.INTER_AREA) if level > 1 else p for p in (real, fake))
        free = cv2.resize(outside.astype(np.float32), shape, interpolation=cv2.INTER_AREA) > 0.99
        if free.mean() < _LEAST_SHARE:
            return None
        unit = len(real) / size
        motion, error = _gauss_newton(a, b, free, motion / [unit, unit, 1, 1])
        motion, error = motion * [unit, unit, 1, 1], error * unit
        if not np.isfinite(motion).all():
            return None
    return motion if error <= _WORST_ERROR else None


def _gauss_newton(
    real: FloatMap, fake: FloatMap, free: BoolMap, start: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], float]:
    """Refine a motion at one scale; also its standard error in pixels of that scale."""
    size = len(real)
    x, y = _grid(size)
    middle = np.float32((size - 1) / 2)
    motion, error = start.copy(), np.inf
    gx_real, gy_real = _gradient(real)
    for _ in range(_STEPS):
        dx, dy, grow, turn = motion.astype(np.float32)
        at_x = x + middle + dx + grow * x - turn * y
        at_y = y + middle + dy + turn * x + grow * y
        warped = cv2.remap(fake, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        valid = free & (at_x >= 1) & (at_x <= size - 2) & (at_y >= 1) & (at_y <= size - 2)
        if valid.mean() < _LEAST_SHARE:
            return np.full(4, np.nan), np.inf
        gx_fake, gy_fake = _gradient(warped)
        gx = ((gx_real + gx_fake) / 2)[valid].astype(np.float64)
        gy = ((gy_real + gy_fake) / 2)[valid].astype(np.float64)
        px, py = x[valid], y[valid]
        slopes = np.stack([gx, gy, gx * px + gy * py, gy * px - gx * py, np.ones_like(gx)])
        left = (warped - real)[valid].astype(np.float64)
        spread = max(1.4826 * float(np.median(np.abs(left - np.median(left)))), 0.25)
        weight = np.clip(1 - ((left - np.median(left)) / (4.685 * spread)) ** 2, 0, 1) ** 2
        normal = (slopes * weight) @ slopes.T
        scales = np.sqrt(np.diag(normal)) + 1e-9
        conditioned = normal / np.outer(scales, scales) + 1e-9 * np.eye(5)
        step = -np.linalg.solve(conditioned, (slopes * weight) @ left / scales) / scales
        motion = motion + step[:4]
        variance = float((weight * left * left).sum() / max(weight.sum(), 1)) + 0.05
        inverse = np.linalg.inv(conditioned) / np.outer(scales, scales)
        # Neighbouring pixels share noise: after blurring about one in 4 pi sigma² is independent.
        error = float(np.sqrt(4 * np.pi * _BLUR**2 * variance * (inverse[0, 0] + inverse[1, 1])))
        if np.abs(step[:2]).max() < 1e-3 and np.abs(step[2:4]).max() * size < 1e-3:
            break
    return motion, error


def _gradient(image: FloatMap) -> tuple[FloatMap, FloatMap]:
    return cv2.Scharr(image, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(
        image, cv2.CV_32F, 0, 1, scale=1 / 32
    )
