"""The faces of one clip, found and followed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.clip_files import ClipFiles
from pipelines.forged_face import order_by_forgery
from pipelines.isolation import Isolated
from schemas.clip import Clip
from schemas.params import CropParams, TrackParams
from schemas.track import TrackFrame
from transforms.errors import ClipError
from transforms.face_crops import MARGIN, as_they_are, follow
from transforms.observe import ClipShape, observe
from transforms.tracking import link, track_frames

# What may be otherwise next time: a group that went on without such a file would keep what came of that.
_MENDABLE = ("missing", "changed_on_disk", "unreadable", "decode_crashed", "decode_timeout")


class FaceFollower:
    """Follows the faces of one clip after the other.

    Args:
      child: process to decode in.
      clip_files: of the dataset.
      track, crop: parameters.
    """

    def __init__(self, child: Isolated, clip_files: ClipFiles, track: TrackParams, crop: CropParams):
        self._child, self._files, self._track, self._crop = child, clip_files, track, crop

    def rows(
        self, clip: Clip, fakes: Sequence[Clip], seen: Clip | None = None
    ) -> tuple[list[TrackFrame], str]:
        """Rows of a clip's faces, and what happened on the way.

        Args:
          clip: whose rows they are.
          fakes: that tell which of several faces was forged.
          seen: version of the clip to look for faces in; where it is damaged or shows none, the clip
            itself is looked at.

        Raises:
          ClipError: if it cannot be read, or has no face.
        """
        passed_over = ""
        if seen is not None and seen != clip:
            try:
                with self._files.open_clip(seen) as path:
                    return self._faces(path, clip, fakes)
            except ClipError as error:
                if error.reason in _MENDABLE:
                    raise
                passed_over = f"passed over {seen.clip} ({error.reason})"
        with self._files.open_clip(clip) as path:
            rows, said = self._crops(path, clip) if clip.cropped else self._faces(path, clip, fakes)
        return rows, f"{said} {passed_over}".strip()

    def _crops(self, path: Path, clip: Clip) -> tuple[list[TrackFrame], str]:
        """Of pictures that are face crops already, and how many had no face."""
        options = self._track
        seen = self._child.iterate(observe, str(path), 1, options.min_score, options.min_face, MARGIN)
        shape: ClipShape = next(seen)
        raw = follow(seen, shape)
        alone = replace(options, max_gap=0)
        name = clip.clip
        rows = track_frames(name, 0, raw, shape, alone, self._crop) if raw.frames else []
        left = sorted({*range(shape.frames)} - {*raw.frames})
        rows = sorted([*rows, *as_they_are(name, left, shape, self._crop)], key=lambda row: row.frame)
        many = f"no face in {len(left)} of {shape.frames} pictures: taken as they are"
        return rows, many if left else ""

    def _faces(self, path: Path, clip: Clip, fakes: Sequence[Clip]) -> tuple[list[TrackFrame], str]:
        options = self._track
        seen = self._child.iterate(observe, str(path), options.every, options.min_score, options.min_face)
        shape: ClipShape = next(seen)
        observations = list(seen)
        tracks = [
            t
            for t in link(observations, options.max_gap)
            if t.frames[-1] - t.frames[0] + 1 >= options.min_frames
        ]
        if not tracks:
            raise _nothing(path, options, observations)
        if len(tracks) > 1:
            who = clip, fakes, shape, tracks
            tracks = order_by_forgery(self._child, self._files, *who)[: options.max_faces]
        rows = [
            row
            for number, raw in enumerate(tracks)
            for row in track_frames(clip.clip, number, raw, shape, options, self._crop)
        ]
        events = [f"{number:02d}:{event}" for number, raw in enumerate(tracks) for event in raw.events]
        return rows, " ".join(events)


def _nothing(path: Path, options: TrackParams, observations: list) -> ClipError:
    small = sum(seen.small for seen in observations)
    if any(seen.faces for seen in observations):
        return ClipError(
            "track_too_short", f"{path}: no face for track.min_frames ({options.min_frames}) frames"
        )
    if small:
        return ClipError(
            "face_too_small", f"{path}: {small} faces, all under track.min_face ({options.min_face} px)"
        )
    return ClipError("no_face", f"{path}: no face in {len(observations)} frames looked at")
