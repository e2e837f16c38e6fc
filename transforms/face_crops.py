"""Clips whose pictures are face crops already: each is aligned by its own face, or taken as it is."""

from collections.abc import Iterable

import numpy as np

from schemas.params import CropParams
from schemas.track import TrackFrame
from transforms.alignment import apply, template_points
from transforms.faces import Face
from transforms.mesh import FACE_OVAL, LIPS_OUTER
from transforms.observe import ClipShape, Observation
from transforms.tracking import RawTrack

MARGIN = 0.5
"""Of `FaceFinder`: of 40 crops as tight as the face's box (`crop.scale` 1.0), it found 9 faces without it and
all 40 with it; of crops at scale 1.3, 37 and 40 (ten people, four frames each)."""


def follow(observations: Iterable[Observation], shape: ClipShape) -> RawTrack:
    """The face of each picture: of several, the one that covers most around the middle. May be empty."""
    track = RawTrack()
    middle = np.array([shape.width, shape.height]) / 2

    def rank(face: Face) -> float:
        size = float(np.prod(face.box[2:] - face.box[:2]))
        away = float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - middle))
        return size - away**2

    for seen in observations:
        if seen.faces:
            track.frames.append(seen.frame)
            track.faces.append(max(seen.faces, key=rank))
    return track


def as_they_are(clip: str, frames: Iterable[int], shape: ClipShape, crop: CropParams) -> list[TrackFrame]:
    """Rows of pictures in which no face was found: the crop is the whole picture, its longer edge as its own.

    Landmarks are the template's, the outlines of face and lips ellipses around them: where a face would be.

    Args:
      clip: that the rows are of.
      frames: numbers of the pictures.
      shape: of the pictures.
      crop: template, size and scale.
    """
    scale = max(shape.width, shape.height) / crop.size
    shift = np.array([shape.width, shape.height]) / 2 - 0.5 - scale * (crop.size - 1) / 2
    matrix = np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]]).round(9)
    target = template_points(crop)
    face = crop.size / crop.scale
    middle = np.full(2, (crop.size - 1) / 2)
    mouth = target[3:].mean(0)
    width = float(np.linalg.norm(target[4] - target[3])) / 2
    oval = _ellipse(middle, (0.45 * face, 0.5 * face), len(FACE_OVAL))
    lips = _ellipse(mouth, (width, 0.4 * width), len(LIPS_OUTER))
    points, around, mouthed = (apply(matrix, one).round(3) for one in (target, oval, lips))
    box = np.concatenate([around.min(0), around.max(0)])
    return [
        TrackFrame(
            clip=clip,
            track=0,
            frame=frame,
            detected=False,
            box=tuple(box.tolist()),
            score=0.0,
            blur=0.0,
            landmarks=tuple(points.ravel().tolist()),
            oval=tuple(around.ravel().tolist()),
            lips=tuple(mouthed.ravel().tolist()),
            crop_to_frame=tuple(matrix.ravel().tolist()),
            alignment="picture",
        )
        for frame in frames
    ]


def _ellipse(middle: np.ndarray, radii: tuple[float, float], count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return middle + np.stack([np.cos(angle), np.sin(angle)], 1) * np.array(radii)
