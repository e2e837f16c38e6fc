"""Which of several faces was forged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from transforms.errors import ClipError
from transforms.video import Video


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
    pair = Video(real), Video(fake)
    for index, faces in zip(frames, boxes, strict=True):
        if index >= min(map(len, pair)):
            return
        a, b = (video[index] for video in pair)
        if a.shape != b.shape:
            raise ClipError(
                "other_size", f"{fake}: {b.shape[1]}x{b.shape[0]}, its original {a.shape[1]}x{a.shape[0]}"
            )
        energy = np.full(len(faces), np.nan)
        for number, box in enumerate(faces):
            if np.isnan(box).any():
                continue
            x0, y0 = np.maximum(box[:2], 0).astype(int)
            x1, y1 = np.ceil(box[2:]).astype(int)
            part = np.abs(a[y0:y1, x0:x1].astype(np.int16) - b[y0:y1, x0:x1])
            energy[number] = part.mean() if part.size else np.nan
        yield energy
