"""Lucas and Kanade's registration of several pictures at once, by one similarity, robust to what differs."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.noise import BoolMap, FloatMap

Motion = npt.NDArray[np.float64]
"""Shift to the right and down in pixels, growth (0 is none) and turn, about the picture's middle."""

BLUR = 1.0
"""Standard deviation, pixels, that pictures are smoothed with."""

_STEPS = 12
_OWN_STEPS = 3
# Of the residual intensities, gray levels: rounding is never less.
_LEAST_NOISE = 0.25


def blurred_luma(image: npt.NDArray[np.uint8]) -> FloatMap:
    """(H, W, 3) uint8 RGB to (H, W) float32, smoothed by a pixel."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(gray, (0, 0), BLUR)


@dataclass(frozen=True)
class View:
    """One frame at one scale: real, its gradient, fake, and where to look."""

    real: FloatMap
    gradient: tuple[FloatMap, FloatMap]
    fake: FloatMap
    free: BoolMap


def view_at(real: FloatMap, fake: FloatMap, outside: BoolMap, level: int) -> View:
    """One frame, (H, W) each, reduced by a whole factor."""
    free = outside
    if level > 1:
        shape = (real.shape[1] // level, real.shape[0] // level)
        real, fake, share = (
            cv2.resize(p, shape, interpolation=cv2.INTER_AREA)
            for p in (real, fake, outside.astype(np.float32))
        )
        free = share > 0.99
    return View(real, _gradient(real), fake, free)


def grid(shape: tuple[int, ...]) -> tuple[FloatMap, FloatMap]:
    """Each pixel's x and y from the middle of an (H, W) picture."""
    columns, rows = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in (shape[1], shape[0]))
    x, y = np.meshgrid(columns, rows)
    return x, y


def matrix_of(motion: Motion, shape: tuple[int, ...]) -> Motion:
    """A motion of an (H, W) picture as a matrix, (2, 3), from real to fake pixels."""
    dx, dy, grow, turn = motion
    linear = np.array([[1 + grow, -turn], [turn, 1 + grow]])
    middle = (np.array([shape[1], shape[0]]) - 1) / 2
    return np.column_stack([linear, middle + np.array([dx, dy]) - linear @ middle])


def own_shift(view: View, motion: Motion) -> float:
    """Length of the shift of one frame beyond the common motion, pixels."""
    own = motion.copy()
    for _ in range(_OWN_STEPS):
        normal, right = _accumulate([view], own, np.ones_like(view.free))
        if not normal.any():
            return 0.0
        own[:2] -= np.linalg.solve(normal[:2, :2] + 1e-9 * np.eye(2), right[:2])
    return float(np.hypot(*(own - motion)[:2]))


def gauss_newton(views: Sequence[View], start: Motion) -> tuple[Motion, float]:
    """Refine a motion at one scale; also its standard error in pixels of that scale.

    Not finite where nothing has texture.
    """
    shape = views[0].real.shape
    motion, error = start.copy(), np.inf
    for step_number in range(_STEPS):
        # Every other pixel in both directions, others at each step: a quarter of the work.
        chosen = np.zeros(shape, bool)
        chosen[step_number % 2 :: 2, step_number // 2 % 2 :: 2] = True
        normal, right = _accumulate(views, motion, chosen)
        if not normal.any():
            return np.full(4, np.nan), np.inf
        scales = np.sqrt(np.diag(normal)) + 1e-9
        inverse = np.linalg.inv(normal / np.outer(scales, scales) + 1e-9 * np.eye(4))
        inverse /= np.outer(scales, scales)
        step = -inverse @ right
        motion = motion + step
        # Neighbouring pixels share noise: after blurring about one in 4 pi sigma² is independent, of those
        # that were chosen at most all.
        error = float(np.sqrt(max(4 * np.pi * BLUR**2 / 4, 1) * (inverse[0, 0] + inverse[1, 1])))
        if np.abs(step[:2]).max() < 2e-3 and np.abs(step[2:]).max() * max(shape) < 2e-3:
            break
    return motion, error


def _accumulate(views: Sequence[View], motion: Motion, chosen: BoolMap) -> tuple[Motion, Motion]:
    """Normal equations of all frames at a motion, (4, 4) and (4,), from chosen pixels; zeros without any."""
    height, width = chosen.shape
    x, y = grid(chosen.shape)
    dx, dy, grow, turn = motion.astype(np.float32)
    at_x = x + np.float32((width - 1) / 2) + dx + grow * x - turn * y
    at_y = y + np.float32((height - 1) / 2) + dy + turn * x + grow * y
    inside = (at_x >= 1) & (at_x <= width - 2) & (at_y >= 1) & (at_y <= height - 2)
    normal, right = np.zeros((4, 4)), np.zeros(4)
    for view in views:
        added = _equations(view, at_x, at_y, x, y, view.free & inside & chosen)
        if added is not None:
            normal, right = normal + added[0], right + added[1]
    return normal, right


def _equations(
    view: View, at_x: FloatMap, at_y: FloatMap, x: FloatMap, y: FloatMap, where: BoolMap
) -> tuple[Motion, Motion] | None:
    """A frame's share of the normal equations, (4, 4) and (4,); its offset in brightness is eliminated."""
    if np.count_nonzero(where) < 64:
        return None
    warped = cv2.remap(view.fake, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    gx, gy = ((a + b)[where] / 2 for a, b in zip(view.gradient, _gradient(warped), strict=True))
    px, py = x[where], y[where]
    slopes = np.stack([gx, gy, gx * px + gy * py, gy * px - gx * py, np.ones_like(gx)]).astype(np.float64)
    left = (warped[where] - view.real[where]).astype(np.float64)
    middle = np.median(left)
    spread = max(1.4826 * float(np.median(np.abs(left - middle))), _LEAST_NOISE)
    weighted = slopes * (np.clip(1 - ((left - middle) / (4.685 * spread)) ** 2, 0, 1) / spread) ** 2
    normal, right = weighted @ slopes.T, weighted @ left
    if normal[4, 4] <= 0:
        return None
    without = normal[:4, :4] - np.outer(normal[:4, 4], normal[4, :4]) / normal[4, 4]
    return without, right[:4] - normal[:4, 4] * right[4] / normal[4, 4]


def _gradient(image: FloatMap) -> tuple[FloatMap, FloatMap]:
    return cv2.Scharr(image, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(
        image, cv2.CV_32F, 0, 1, scale=1 / 32
    )
