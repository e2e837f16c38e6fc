"""The chosen frames of a clip and where its faces lie in them."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from schemas.params import FramesParams
from schemas.track import TrackFrame
from transforms.choice import choose_frames, choose_windows
from transforms.crops import FrameReads, points_in_crop
from transforms.delay import OFFSETS, REACH
from transforms.difference.model import CropShapes

# Frames of a track whose neighbours are read.
_PROBES = 8


@dataclass(frozen=True)
class Window:
    """What one sample shows: a track, and its frame or consecutive frames."""

    track: int
    frames: tuple[int, ...]


class GroupGeometry:
    """Chosen frames, their crops' matrices, and the faces' shapes in the crops: one for every clip of a group
    that lies where its reference clip does.

    Attributes:
      windows: one for each sample of a clip.
      places: position of each (track, frame) in the order in which crops are read.
      rows: the track's row at each position.
      neighbours: position and offset in frames of crops beside some of the chosen ones, in the matrix of the
        chosen one; their slots follow those of the positions.
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
        self.places = {(track, frame): place for place, (frame, track) in enumerate(used)}
        self.rows = [by_track[track][frame] for frame, track in used]
        self._in_crops: dict[str, np.ndarray] = {}
        self._hidden: frozenset[int] = frozenset()
        last = max((row.frame for row in rows), default=0)
        self.neighbours = [
            (place, offset)
            for places in self.tracks().values()
            for place in _spread([p for p in places if REACH <= self.rows[p].frame <= last - REACH], _PROBES)
            for offset in OFFSETS
        ]

    def placed(self, rows: Sequence[TrackFrame], size: tuple[int, int]) -> Self:
        """The same samples of a clip that shows the same elsewhere; what its picture leaves out is not read.

        Args:
          rows: of that clip, at least those of this one.
          size: width and height of its picture.
        """
        found = {(row.track, row.frame): row for row in rows}
        twin = copy.copy(self)
        twin.rows = [found[row.track, row.frame] for row in self.rows]
        twin._in_crops = {}
        middles = np.array([row.box for row in twin.rows]).reshape(-1, 2, 2).mean(1)
        outside = ((middles < 0) | (middles > size)).any(1)
        twin._hidden = frozenset(np.flatnonzero(outside).tolist())
        return twin

    def slots(self, *, around: bool) -> int:
        """How many slots `reads` may name."""
        return len(self.rows) + (len(self.neighbours) if around else 0)

    @property
    def hides(self) -> int:
        """How many of the faces its picture leaves out."""
        return len(self._hidden)

    def reads(self, *, around: bool) -> list[FrameReads]:
        """What to read of a clip, increasing by frame; the slots of chosen frames are their positions.

        Args:
          around: also read the frames beside some of the chosen ones, to find a clip that is shifted in time.
        """
        found: dict[int, list[tuple[int, np.ndarray]]] = {}
        for place, row in enumerate(self.rows):
            if place not in self._hidden:
                found.setdefault(row.frame, []).append((place, self._matrix(place)))
        if around:
            for slot, (place, offset) in enumerate(self.neighbours, len(self.rows)):
                if place not in self._hidden:
                    found.setdefault(self.rows[place].frame + offset, []).append((slot, self._matrix(place)))
        return [
            FrameReads(frame, tuple(slot for slot, _ in crops), np.stack([matrix for _, matrix in crops]))
            for frame, crops in sorted(found.items())
        ]

    def around(
        self, places: Sequence[int], crops: Mapping[int, np.ndarray]
    ) -> dict[int, dict[int, np.ndarray]]:
        """By index in `places`, crops of the frames beside it by offset; those with all of them."""
        found: dict[int, dict[int, np.ndarray]] = {}
        index = {place: i for i, place in enumerate(places)}
        for slot, (place, offset) in enumerate(self.neighbours, len(self.rows)):
            if place in index and slot in crops:
                found.setdefault(index[place], {})[offset] = crops[slot]
        return {i: beside for i, beside in found.items() if len(beside) == len(OFFSETS)}

    def _matrix(self, place: int) -> np.ndarray:
        return np.array(self.rows[place].crop_to_frame).reshape(2, 3)

    def tracks(self) -> dict[int, list[int]]:
        """Positions of each track, by frame."""
        found: dict[int, list[int]] = {}
        for place, row in enumerate(self.rows):
            found.setdefault(row.track, []).append(place)
        return found

    def landmarks(self, place: int) -> np.ndarray:
        """(5, 2) float64, crop pixels."""
        return self._points("landmarks")[place]

    def shapes(self, places: Sequence[int]) -> CropShapes:
        """Outlines of face and lips in the crops at some positions."""
        chosen = list(places)
        oval, lips = (self._points(name)[chosen].astype(np.float32) for name in ("oval", "lips"))
        return CropShapes(oval, lips)

    def _points(self, name: str) -> np.ndarray:
        """(positions, k, 2) float64, points of all rows in crop pixels: every clip asks for the same ones."""
        if not self.rows:
            return np.zeros((0, 0, 2))
        if name not in self._in_crops:
            points = np.array([getattr(row, name) for row in self.rows]).reshape(len(self.rows), -1, 2)
            matrices = np.array([row.crop_to_frame for row in self.rows]).reshape(-1, 2, 3)
            self._in_crops[name] = points_in_crop(points, matrices)
        return self._in_crops[name]

    def is_dense(self, places: Sequence[int]) -> bool:
        """Whether the frames at these positions are consecutive."""
        frames = [self.rows[place].frame for place in places]
        return len(frames) > 1 and frames[-1] - frames[0] == len(frames) - 1


def _spread(places: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly."""
    if len(places) <= most:
        return list(places)
    return [places[i] for i in np.linspace(0, len(places) - 1, most).round().astype(int)]
