"""The chosen frames of a group and where its faces lie in them: one geometry for every clip of the group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.params import FramesParams
from schemas.track import TrackFrame
from transforms.choice import choose_frames, choose_windows
from transforms.crops import points_in_crop
from transforms.difference.model import CropShapes


@dataclass(frozen=True)
class Window:
    """What one sample shows: a track, and its frame or consecutive frames."""

    track: int
    frames: tuple[int, ...]


class GroupGeometry:
    """Chosen frames, their crops' matrices, and the faces' shapes in the crops.

    Attributes:
      windows: one for each sample of a clip.
      frames: every chosen frame, increasing.
      places: position of each (track, frame) in the order in which crops are read.
      rows: the track's row at each position.
    """

    def __init__(self, rows: Sequence[TrackFrame], params: FramesParams, unit: str):
        choose = choose_windows if unit == "sequence" else choose_frames
        by_track: dict[int, dict[int, TrackFrame]] = {}
        for row in rows:
            by_track.setdefault(row.track, {})[row.frame] = row
        self.windows = [
            Window(track, frames)
            for track, found in sorted(by_track.items())
            for frames in choose(sorted(found), params)
        ]
        used = sorted({(frame, window.track) for window in self.windows for frame in window.frames})
        self.frames = sorted({frame for frame, _ in used})
        self.places = {(track, frame): place for place, (frame, track) in enumerate(used)}
        self.rows = [by_track[track][frame] for frame, track in used]

    def matrices(self) -> list[np.ndarray]:
        """For each of `frames`, (faces, 2, 3) float64: crop pixel to frame pixel."""
        faces: dict[int, list[np.ndarray]] = {frame: [] for frame in self.frames}
        for row in self.rows:
            faces[row.frame].append(np.array(row.crop_to_frame).reshape(2, 3))
        return [np.stack(faces[frame]) for frame in self.frames]

    def tracks(self) -> dict[int, list[int]]:
        """Positions of each track, by frame."""
        found: dict[int, list[int]] = {}
        for place, row in enumerate(self.rows):
            found.setdefault(row.track, []).append(place)
        return found

    def landmarks(self, place: int) -> np.ndarray:
        """(5, 2) float64, crop pixels."""
        row = self.rows[place]
        return points_in_crop(
            np.array(row.landmarks).reshape(5, 2), np.array(row.crop_to_frame).reshape(2, 3)
        )

    def shapes(self, places: Sequence[int]) -> CropShapes:
        """Outlines of face and lips in the crops at some positions."""
        outlines = [
            [
                points_in_crop(np.array(points).reshape(-1, 2), np.array(row.crop_to_frame).reshape(2, 3))
                for points in (row.oval, row.lips)
            ]
            for row in (self.rows[place] for place in places)
        ]
        return CropShapes(
            oval=np.array([oval for oval, _ in outlines], np.float32),
            lips=np.array([lips for _, lips in outlines], np.float32),
        )

    def is_dense(self, places: Sequence[int]) -> bool:
        """Whether the frames at these positions are consecutive."""
        frames = [self.rows[place].frame for place in places]
        return len(frames) > 1 and frames[-1] - frames[0] == len(frames) - 1
