"""Similarity alignment: where a face's crop lies in its frame."""

import numpy as np

from schemas.params import CropParams


def crop_to_frame(landmarks: np.ndarray, crop: CropParams) -> np.ndarray:
    """The similarity that takes crop pixels to frame pixels, for each frame of a track.

    The five landmarks are fitted to the template by least squares (Umeyama 1991, without reflection). Pixel
    centres are at whole numbers on both sides.

    Args:
      landmarks: (n, 5, 2), frame pixels.
      crop: template, size and scale.

    Returns:
      (n, 2, 3) float64.
    """
    target = template_points(crop)
    origin = target.mean(0)
    centred = (target - origin) @ np.array([1, 1j])
    points = np.asarray(landmarks, np.float64) @ np.array([1, 1j])
    middle = points.mean(1)
    turn = (points - middle[:, None]) @ centred.conj() / np.sum(np.abs(centred) ** 2)
    if not crop.rotate:
        turn = np.abs(turn) + 0j
    shift = middle - turn * (origin @ np.array([1, 1j]))
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.moveaxis(np.array(rows), 2, 0)


def template_points(crop: CropParams) -> np.ndarray:
    """Where the five landmarks go in the crop: (5, 2) float64, crop pixels."""
    box = np.asarray(crop.template, np.float64)
    return ((box - 0.5) / crop.scale + 0.5) * crop.size - 0.5


def invert(matrices: np.ndarray) -> np.ndarray:
    """Inverse of similarities or affinities: (..., 2, 3) to (..., 2, 3)."""
    matrices = np.asarray(matrices, np.float64)
    linear = np.linalg.inv(matrices[..., :2])
    return np.concatenate([linear, -linear @ matrices[..., 2:]], axis=-1)


def apply(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Transform points: (..., 2, 3) and (..., k, 2) to (..., k, 2)."""
    matrices = np.asarray(matrices, np.float64)
    return points @ np.swapaxes(matrices[..., :2], -1, -2) + matrices[..., None, :, 2]


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The matrix of one that is applied after another: (..., 2, 3) each."""
    second, first = np.asarray(second, np.float64), np.asarray(first, np.float64)
    linear = second[..., :2] @ first[..., :2]
    return np.concatenate([linear, second[..., :2] @ first[..., 2:] + second[..., 2:]], axis=-1)


def scale_of(matrix: np.ndarray) -> float:
    """By how much a matrix, (2, 3), scales: the square root of its area; 0 where it mirrors."""
    return float(np.sqrt(max(np.linalg.det(np.asarray(matrix, np.float64)[:, :2]), 0)))


def resizing(size: tuple[int, int], to: tuple[int, int]) -> np.ndarray:
    """The matrix, (2, 3), of resizing a picture of (width, height) to another size."""
    scale = np.array(to) / np.array(size)
    return np.column_stack([np.diag(scale), (scale - 1) / 2])


def same_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes, (width, height), have one aspect but for rounding, up to 1%."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) <= 0.01


def nearest_similarity(affinity: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The similarity next to an affinity, (2, 3), the same in the middle of a picture of (width, height)."""
    turn = complex(affinity[0, 0] + affinity[1, 1], affinity[1, 0] - affinity[0, 1]) / 2
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    middle = (np.array(size) - 1) / 2
    return np.column_stack([linear, apply(affinity, middle[None])[0] - linear @ middle])
