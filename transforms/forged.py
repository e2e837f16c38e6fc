"""Which of several faces was forged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from transforms.errors import ClipError
from transforms.masks import official
from transforms.media import open_clip


def forged_energy(
    real: str | Path, fake: str | Path, frames: Sequence[int], boxes: np.ndarray
) -> Iterator[np.ndarray]:
    """Mean absolute difference between real and fake in each face's box, frame by frame.

    Args:
      real: path of the real clip.
      fake: path of a fake of the same picture size.
      frames: increasing; those past the end of either clip are left out.
      boxes: (frames, faces, 4), x0, y0, x1, y1 in pixels; NaN where a face is not in a frame.

    Yields:
      (faces,) float64, 0 to 255; NaN where a face is not in the frame.

    Raises:
      ClipError: if a clip cannot be read, or "other_size".
    """
    pair = open_clip(real), open_clip(fake)
    for index, faces in zip(frames, boxes, strict=True):
        if index >= min(map(len, pair)):
            return
        a, b = (clip[index] for clip in pair)
        if a.shape != b.shape:
            raise ClipError(
                "other_size", f"{fake}: {b.shape[1]}x{b.shape[0]}, its original {a.shape[1]}x{a.shape[0]}"
            )
        yield np.array([_mean_difference(a, b, box) for box in faces])


def stated_energy(
    mask: str | Path, frames: Sequence[int], boxes: np.ndarray, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Share of each face's box that the dataset's own mask says is forged, frame by frame.

    Args:
      mask: path of the mask clip.
      frames: increasing; those past the end of the mask are left out.
      boxes: as in `forged_energy`.
      size: height and width in pixels that the mask must have.

    Yields:
      (faces,) float64, 0 to 1; NaN where a face is not in the frame.

    Raises:
      ClipError: if the mask cannot be read, or "other_size".
    """
    clip = open_clip(mask)
    for index, faces in zip(frames, boxes, strict=True):
        if index >= len(clip):
            return
        frame = clip[index]
        if frame.shape[:2] != size:
            raise ClipError(
                "other_size",
                f"{mask}: {frame.shape[1]}x{frame.shape[0]}, not {size[1]}x{size[0]} pixels; get it again",
            )
        stated = official(frame)
        yield np.array([_mean(stated, box) for box in faces])


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
