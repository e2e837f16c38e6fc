"""Scaling frames down without aliasing, and showing a frame as another picture shows it."""

import cv2
import numpy as np

from transforms.alignment import compose, invert, resizing, scale_of


def reduced(frame: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A frame scaled down by area averaging, and the (2, 3) matrix from its pixels to the reduced ones'."""
    height, width = frame.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return frame, np.eye(2, 3)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA), resizing((width, height), size)


def shown(frame: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame through a matrix, (2, 3), in a picture of (width, height); black beyond the frame's edge."""
    scale = scale_of(matrix)
    if scale < 1:
        frame, shrunk = reduced(frame, scale)
        matrix = compose(matrix, invert(shrunk))
    return cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_CUBIC)
