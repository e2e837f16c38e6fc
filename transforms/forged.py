"""Which of several faces was forged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from transforms.alignment import same_aspect
from transforms.errors import ClipError
from transforms.masks import official
from transforms.media import open_clip


def forged_energy(
    real: str | Path, fake: str | Path, frames: Sequence[int], boxes: np.ndarray
) -> Iterator[np.ndarray]:
    """Mean absolute difference between real and fake in each face's box, frame by frame.

    Args:
      real: path of the real clip.
      fake: path of a fake of the same aspect; of another picture size, both are compared at the smaller one.
      frames: increasing; those past the end of either clip are left out.
      boxes: (frames, faces, 4), x0, y0, x1, y1 in pixels; NaN where a face is not in a frame.

    Yields:
      (faces,) float64, 0 to 255; NaN where a face is not in the frame.

    Raises:
      ClipError: if a clip cannot be read; "other_size" if they differ in aspect.
    """
    pair = open_clip(real), open_clip(fake)
    for index, faces in zip(frames, boxes, strict=True):
        if index >= min(map(len, pair)):
            return
        a, b = (clip[index] for clip in pair)
        shape = a.shape
        if a.shape != b.shape:
            _require_aspect(fake, b, shape)
            size = min(a.shape[:2], b.shape[:2])
            a, b = (cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in (a, b))
        yield np.array([_mean_difference(a, b, box) for box in faces * _factors(a, shape)])


def stated_energy(
    mask: str | Path, frames: Sequence[int], boxes: np.ndarray, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Share of each face's box that the dataset's own mask says is forged, frame by frame.

    Args:
      mask: path of the mask clip.
      frames: increasing; those past the end of the mask are left out.
      boxes: as in `forged_energy`.
      size: height and width in pixels of the pictures that it is of; it may be scaled.

    Yields:
      (faces,) float64, 0 to 1; NaN where a face is not in the frame.

    Raises:
      ClipError: if the mask cannot be read; "other_size" if it has another aspect.
    """
    clip = open_clip(mask)
    for index, faces in zip(frames, boxes, strict=True):
        if index >= len(clip):
            return
        frame = clip[index]
        _require_aspect(mask, frame, size)
        stated = official(frame)
        yield np.array([_mean(stated, box) for box in faces * _factors(frame, size)])


def _require_aspect(path: str | Path, frame: np.ndarray, shape: tuple[int, ...]) -> None:
    (height, width), (rows, columns) = frame.shape[:2], shape[:2]
    if not same_aspect((width, height), (columns, rows)):
        raise ClipError("other_size", f"{path}: {width}x{height} pixels, not {columns}x{rows}")


def _factors(frame: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What boxes, x0, y0, x1, y1, in pictures of a shape are multiplied with for a frame's size."""
    x, y = frame.shape[1] / shape[1], frame.shape[0] / shape[0]
    return np.array([x, y, x, y])


def _mean_difference(a: np.ndarray, b: np.ndarray, box: np.ndarray) -> float:
    place = _place(box)
    if place is None:
        return float("nan")
    part = np.abs(a[place].astype(np.int16) - b[place])
    return float(part.mean()) if part.size else float("nan")


def _mean(values: np.ndarray, box: np.ndarray) -> float:
    place = _place(box)
    part = values[place] if place else values[:0]
    return float(part.mean()) if part.size else float("nan")


def _place(box: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of a box; None where it is not known."""
    if np.isnan(box).any():
        return None
    x0, y0 = np.maximum(box[:2], 0).astype(int)
    x1, y1 = np.ceil(box[2:]).astype(int)
    return slice(y0, y1), slice(x0, x1)
