"""One face followed through a reference clip."""

import json
from collections.abc import Iterable

from schemas.convert import from_row, to_row
from schemas.outcome import Reason
from schemas.record import record
from schemas.sample import Alignment


@record
class PlacedClip:
    """What was found of a clip whose picture has another size than its group's reference clip.

    Attributes:
      clip: its path.
      registered: True if its rows are the reference clip's, moved to where it shows the same.
      note: for a person.
      reason: why it has no rows; "" where it has.
    """

    clip: str
    registered: bool
    note: str
    reason: Reason = ""


@record
class TrackFrame:
    """A face in one frame of a clip; a row of a track file.

    Coordinates are pixels of the clip after display rotation; pixel centres are at whole numbers.

    Attributes:
      clip: that the row is of: the group's reference clip, whose rows every clip of the same picture size
        shares, or a clip of another size.
      track: number of the track in its group; 0 is the face to use.
      frame: 0-based, in presentation order.
      detected: False where the geometry was interpolated between detections.
      box: x0, y0, x1, y1 of the face.
      score: detector's confidence, 0 to 1 (that of the nearest detection where interpolated).
      blur: variance of the Laplacian of the face at 128 px; small is blurred.
      landmarks: 5x2, smoothed: right eye, left eye, nose, right and left mouth corner (as the person has
        them, so the right eye is on the left of the picture).
      oval: 36x2, smoothed: the face's outline, in order.
      lips: 20x2, smoothed: the lips' outer outline, in order.
      crop_to_frame: 2x3 similarity, row by row: crop pixel to frame pixel.
      alignment: what the geometry was found by, as in `Sample`.
    """

    clip: str
    track: int
    frame: int
    detected: bool
    box: tuple[float, ...]
    score: float
    blur: float
    landmarks: tuple[float, ...]
    oval: tuple[float, ...]
    lips: tuple[float, ...]
    crop_to_frame: tuple[float, ...]
    alignment: Alignment = "landmarks"


def write_placed(placed: Iterable[PlacedClip]) -> str:
    """For the metadata `placed` of a track file."""
    return json.dumps([to_row(clip) for clip in placed])


def read_placed(metadata: str) -> dict[str, PlacedClip]:
    """What `write_placed` wrote, by clip; nothing for ""."""
    placed = [from_row(PlacedClip, row) for row in json.loads(metadata or "[]")]
    return {clip.clip: clip for clip in placed}
