"""Looking for faces in every n-th frame of a clip."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from transforms.faces import Face, FaceFinder
from transforms.media import open_clip

# Bhattacharyya distance of colour histograms between neighbouring observations above which the scene was cut.
_CUT_DISTANCE = 0.5


@dataclass(frozen=True)
class Observation:
    """What was seen in one frame.

    Attributes:
      frame: 0-based, in presentation order.
      faces: those found, the surest first.
      small: number of faces that were too small.
      cut: True if the scene was cut since the observation before.
    """

    frame: int
    faces: tuple[Face, ...]
    small: int
    cut: bool


@dataclass(frozen=True)
class ClipShape:
    """Frames, size in pixels after display rotation, and nominal frames a second of a clip."""

    frames: int
    width: int
    height: int
    fps: float


def observe(
    path: str | Path, every: int, min_score: float, min_face: int, margin: float = 0.0
) -> Iterator[ClipShape | Observation]:
    """The clip's shape, then what is seen in every n-th frame and in the last one; `margin` of `FaceFinder`.

    Of a still or a folder of frames every picture is looked at: how far apart in time they are is not known,
    so that there is nothing to interpolate between.

    Raises:
      ClipError: if the clip cannot be read.
    """
    clip = open_clip(path)
    last = len(clip) - 1
    step = every if clip.fps else 1
    finder = FaceFinder(min_score, min_face, margin)
    before: np.ndarray | None = None
    for index in [*range(0, last, step), last]:
        frame = clip[index]
        if before is None:
            yield ClipShape(len(clip), frame.shape[1], frame.shape[0], clip.fps)
        histogram = _histogram(frame)
        cut = before is not None and (
            cv2.compareHist(before, histogram, cv2.HISTCMP_BHATTACHARYYA) > _CUT_DISTANCE
        )
        before = histogram
        faces, small = finder.find(frame)
        yield Observation(index, tuple(faces), small, cut)


def _histogram(frame: np.ndarray) -> np.ndarray:
    step = max(1, min(frame.shape[:2]) // 128)
    histogram = cv2.calcHist(
        [np.ascontiguousarray(frame[::step, ::step])], [0, 1, 2], None, [8] * 3, [0, 256] * 3
    )
    return cv2.normalize(histogram, None, 1.0, 0.0, cv2.NORM_L1)
