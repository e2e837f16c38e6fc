"""Clips animated from stills: faces that no rule was tuned or checked on."""

from pathlib import Path

import cv2
import numpy as np

from benchmarks.mask_truth_clips import RealClip
from transforms.faces import FaceFinder
from transforms.synthesis.motion import film
from transforms.synthesis.people import Person

# Six of the stills, fixed before any was looked at; d11 and s11 are one person, and d11 is a tuning clip.
FRESH = ("d30", "hallo_1", "s0", "s12", "s4", "s5")

_RATE = 25.0
# Width of the face in the layer that is filmed: 1.5 times that in the frame.
_FACE = 192.0


def animate(path: Path, frames: int) -> RealClip:
    """A clip of a still: moved, turned and lit as the demo films its people, over itself out of focus.

    Args:
      path: a picture of one face.
      frames: how many, at 25 a second.

    Raises:
      ValueError: the picture shows no face.
    """
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    faces, _ = FaceFinder().find(picture)
    if not faces:
        raise ValueError(f"{path}: no face")
    scale = _FACE / np.ptp(faces[0].points[:, 0])
    image = cv2.resize(
        picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    points = ((faces[0].points + 0.5) * scale - 0.5).astype(np.float32)
    matte = np.zeros(image.shape[:2], np.float32)
    matte[2:-2, 2:-2] = 1
    matte = cv2.GaussianBlur(matte, (0, 0), 1)
    matte[[0, -1]] = matte[:, [0, -1]] = 0
    person = Person(image, matte, points, cv2.GaussianBlur(image, (0, 0), 6), sum(path.stem.encode()))
    shots = [film(person, i / _RATE) for i in range(frames)]
    return RealClip(path.stem, np.stack([shot[0] for shot in shots]), np.stack([shot[1] for shot in shots]))
