"""Where a fake of another picture size shows what its original's frames show: one similarity for the clip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from transforms.alignment import apply, compose, invert, nearest_similarity, resizing, scale_of
from transforms.difference.noise import BoolMap, FloatMap
from transforms.errors import ClipError
from transforms.frame_agreement import LEAST_BLOCKS, comparable, correlations
from transforms.lucas_kanade import Motion, blurred_luma, gauss_newton, matrix_of, own_shift, view_at
from transforms.media import open_clip
from transforms.resizing import reduced, shown

FRAMES = 6
"""Frames of both clips that are compared."""
LEAST_CORRELATION = 0.75
"""Median correlation of those blocks, real and fake."""
WORST_SCATTER = 1.0
"""Shift of single frames beyond the common motion, pixels as compared."""
WORST_ANISOTROPY = 0.02
"""By how much one direction may be scaled more than the other one."""

# Longest edge at which pictures are compared.
_EDGE = 640
_FEATURES_EDGE = 640
_FEATURES = 1000
_RATIO = 0.75
_LEAST_MATCHES = 12
_LEAST_CORNERS = 24
_REACH = 2.5
_CORNERS = 300
_WINDOW = (21, 21)
_LEVELS = (4, 1)


@dataclass(frozen=True)
class FrameRegistration:
    """A similarity that takes a pixel of the real clip's frames to the fake's, or why there is none.

    Attributes:
      matrix: (2, 3) float64; None where the clips could not be registered.
      scale: of the fake's picture, 1 is the real one's.
      turn: degrees, clockwise in the picture.
      residual: upper quartile over frames of the shift that single frames have beyond it, pixels of the
        fake.
      correlation: median over textured blocks beside the faces, real against fake.
      reason: for a person, where there is no matrix; else "".
    """

    matrix: np.ndarray | None
    scale: float = 1.0
    turn: float = 0.0
    residual: float = 0.0
    correlation: float = 0.0
    reason: str = ""


def register_clips(
    real: str | Path, fake: str | Path, frames: Sequence[int], boxes: np.ndarray
) -> Iterator[FrameRegistration]:
    """Register a fake of another picture size to its original, on at most `FRAMES` of some frames.

    Args:
      real: path of the real clip.
      fake: path of the fake; frames are paired by index.
      frames: increasing; those past the end of either clip are left out.
      boxes: (frames, faces, 4), x0, y0, x1, y1 in the real clip's pixels: faces, to look beside where
        possible; NaN where a face is not in a frame.

    Yields:
      One registration.

    Raises:
      ClipError: if a clip cannot be read, or "too_few_frames" where they share none of the frames.
    """
    pair = open_clip(real), open_clip(fake)
    shared = [place for place, frame in enumerate(frames) if frame < min(map(len, pair))]
    if not shared:
        raise ClipError("too_few_frames", f"{fake}: {len(pair[1])} frames, none of those of its original")
    chosen = sorted({shared[i] for i in np.linspace(0, len(shared) - 1, FRAMES).round().astype(int)})
    shown_real, shown_fake = ([clip[frames[place]] for place in chosen] for clip in pair)
    yield register_pictures(shown_real, shown_fake, boxes[chosen])


def register_pictures(
    real: Sequence[np.ndarray], fake: Sequence[np.ndarray], boxes: np.ndarray
) -> FrameRegistration:
    """Register the frames of a fake to those of its original.

    Starts are the plain resizing, and the affinity that SIFT's matches agree on (RANSAC). From each, corners
    are followed from the real pictures, as the start shows them, to the fake's (Lucas and Kanade, on a
    pyramid, there and back), and an affinity is fitted to what most of them did; it tells a squeezed picture.
    A similarity is then refined on all pixels beside the faces, of all frames at once, and judged by how
    textured blocks correlate. What is forged there is left out as an outlier.

    Args:
      real: (H, W, 3) uint8 RGB.
      fake: (h, w, 3) uint8 RGB each, of the same frames.
      boxes: as in `register_clips`.
    """
    longest = max(real[0].shape[:2])
    factor = min(1.0, min(_EDGE, longest) / max(fake[0].shape[:2]))
    seen = [reduced(picture, factor)[0] for picture in fake]
    to_seen = resizing(_size(fake[0]), _size(seen[0]))
    refused: list[FrameRegistration] = []
    for find in (_resizing, _features):
        start = find(real, seen)
        found = _judged(real, seen, boxes, start) if start is not None else None
        if found is None:
            continue
        if found.matrix is None:
            refused.append(found)
            continue
        matrix = compose(invert(to_seen), found.matrix)
        unit = scale_of(to_seen)
        return replace(found, matrix=matrix, scale=scale_of(matrix), residual=found.residual / unit)
    if refused:
        return max(refused, key=lambda found: found.correlation)
    return FrameRegistration(None, reason="nothing in its frames matches its original's")


def _size(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def _gray(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)


def _resizing(real: Sequence[np.ndarray], fake: Sequence[np.ndarray]) -> np.ndarray:
    return resizing(_size(real[0]), _size(fake[0]))


def _features(real: Sequence[np.ndarray], fake: Sequence[np.ndarray]) -> np.ndarray | None:
    """The affinity that most of SIFT's matches follow."""
    sift, matcher = cv2.SIFT.create(nfeatures=_FEATURES), cv2.BFMatcher(cv2.NORM_L2)
    matches: list[tuple[np.ndarray, np.ndarray]] = []
    for pair in zip(real, fake, strict=True):
        places, descriptors = [], []
        for picture in pair:
            small, shrunk = reduced(_gray(picture), min(1.0, _FEATURES_EDGE / max(picture.shape)))
            keys, described = sift.detectAndCompute(small, None)
            points = np.array([key.pt for key in keys], np.float64).reshape(-1, 2)
            places.append(apply(invert(shrunk), points))
            descriptors.append(described)
        if any(described is None or len(described) < 2 for described in descriptors):
            continue
        for best, second in matcher.knnMatch(descriptors[0], descriptors[1], k=2):
            if best.distance < _RATIO * second.distance:
                matches.append((places[0][best.queryIdx], places[1][best.trainIdx]))
    if len(matches) < _LEAST_MATCHES:
        return None
    both = np.array(matches)
    matrix, followed = _affinity(both[:, 0], both[:, 1], 2 * _REACH)
    return matrix if matrix is not None and followed.sum() >= _LEAST_MATCHES else None


def _affinity(points: np.ndarray, to: np.ndarray, reach: float) -> tuple[np.ndarray | None, np.ndarray]:
    """A matrix by RANSAC, always the same for the same points, and which points follow it."""
    cv2.setRNGSeed(0)
    points, to = (np.ascontiguousarray(side) for side in (points, to))
    found: tuple = cv2.estimateAffine2D(
        points, to, method=cv2.RANSAC, ransacReprojThreshold=reach, maxIters=2000, confidence=0.999
    )
    matrix, followed = found
    return matrix, np.zeros(len(points), bool) if matrix is None else followed.ravel().astype(bool)


def _judged(
    real: Sequence[np.ndarray], fake: Sequence[np.ndarray], boxes: np.ndarray, start: np.ndarray
) -> FrameRegistration | None:
    """A registration from a start; None where that leads nowhere."""
    if not 0.02 < scale_of(start) < 50:
        return None
    start = _followed(real, fake, start)
    stretch = np.linalg.svd(start[:, :2], compute_uv=False)
    if np.linalg.det(start[:, :2]) <= 0 or stretch[1] < 0.02:
        return None
    squeezed = stretch[0] / stretch[1] - 1 > WORST_ANISOTROPY
    matrix = start if squeezed else nearest_similarity(start, _size(real[0]))
    views = [shown(picture, matrix, _size(fake[0])) for picture in real]
    free = comparable(boxes, matrix, views, fake)
    pictures = [
        (blurred_luma(a), blurred_luma(b), where) for a, b, where in zip(views, fake, free, strict=True)
    ]
    motion, scatter = np.zeros(4), 0.0
    if not squeezed:
        motion, scatter = _refined(pictures)
        if not np.isfinite(motion).all():
            return None
        matrix = compose(matrix_of(motion, pictures[0][0].shape), matrix)
        views = [shown(picture, matrix, _size(fake[0])) for picture in real]
    found = correlations(views, fake, free)
    agreement = float(np.median(found)) if len(found) else 0.0
    reason = ""
    if len(found) < LEAST_BLOCKS:
        reason = "too little texture"
    elif agreement < LEAST_CORRELATION:
        reason = f"its frames do not show its original's (correlation {agreement:.2f})"
    elif squeezed:
        reason = f"scaled {stretch[0] / stretch[1]:.2f} times as much in one direction as in the other"
    elif scatter > WORST_SCATTER:
        reason = f"its frames shake against its original's by {scatter:.2f} px"
    return FrameRegistration(
        None if reason else matrix,
        scale_of(matrix),
        float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))),
        scatter,
        agreement,
        reason,
    )


def _followed(real: Sequence[np.ndarray], fake: Sequence[np.ndarray], start: np.ndarray) -> np.ndarray:
    """The affinity that most corners follow; the start where there are too few, or they do not agree."""
    points, to = [], []
    for picture, seen in zip(real, fake, strict=True):
        view, seen = _gray(shown(picture, start, _size(seen))), _gray(seen)
        corners = cv2.goodFeaturesToTrack(view, _CORNERS, 0.01, 8)
        if corners is None:
            continue
        ahead, found, _ = cv2.calcOpticalFlowPyrLK(view, seen, corners, None, winSize=_WINDOW)
        back, again, _ = cv2.calcOpticalFlowPyrLK(seen, view, ahead, None, winSize=_WINDOW)
        kept = (found & again).ravel().astype(bool) & (np.abs(back - corners).max((1, 2)) < 0.5)
        points.append(corners[kept, 0].astype(np.float64))
        to.append(ahead[kept, 0].astype(np.float64))
    if sum(map(len, points)) < _LEAST_CORNERS:
        return start
    corners, ahead = np.concatenate(points), np.concatenate(to)
    matrix, followed = _affinity(corners, ahead, _REACH)
    if matrix is None or followed.sum() < max(_LEAST_CORNERS, len(corners) / 2):
        return start
    return compose(matrix, start)


def _refined(pictures: Sequence[tuple[FloatMap, FloatMap, BoolMap]]) -> tuple[Motion, float]:
    """The motion that is left between real and fake pictures, and by how much frames shake beyond it."""
    motion = np.zeros(4)
    for level in _LEVELS:
        views = [view_at(*picture, level) for picture in pictures]
        unit = np.array([level, level, 1, 1])
        found = gauss_newton(views, motion / unit)[0] * unit
        if np.isfinite(found).all() or level == _LEVELS[-1]:
            motion = found
    return motion, float(np.quantile([own_shift(view, motion) for view in views], 0.75))
