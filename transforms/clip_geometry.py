"""Where the faces of each clip of a group lie: as on its reference clip, moved from there, or alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.clip import Clip
from schemas.params import FramesParams
from schemas.track import PlacedClip, TrackFrame
from transforms.alignment import apply, compose, invert
from transforms.crops import Shown
from transforms.errors import ClipError
from transforms.geometry import GroupGeometry


def registered_rows(rows: Sequence[TrackFrame], clip: str, matrix: np.ndarray) -> list[TrackFrame]:
    """Rows of a clip that shows what another one shows, through one similarity.

    Args:
      rows: of the other clip.
      clip: whose rows they become.
      matrix: (2, 3), from the other clip's pixels to its own.
    """
    moved = []
    for row in rows:
        points = {
            name: apply(matrix, np.array(getattr(row, name)).reshape(-1, 2)).round(3)
            for name in ("landmarks", "oval", "lips")
        }
        oval = points["oval"]
        moved.append(
            TrackFrame(
                clip=clip,
                track=row.track,
                frame=row.frame,
                detected=row.detected,
                box=tuple(np.concatenate([oval.min(0), oval.max(0)]).tolist()),
                score=row.score,
                blur=row.blur,
                landmarks=tuple(points["landmarks"].ravel().tolist()),
                oval=tuple(oval.ravel().tolist()),
                lips=tuple(points["lips"].ravel().tolist()),
                crop_to_frame=tuple(compose(matrix, _matrix(row)).round(9).ravel().tolist()),
                alignment="registered",
            )
        )
    return moved


class ClipGeometries:
    """The geometry of each clip of a group.

    Args:
      rows: of the group's track file.
      placed: what is said of clips whose pictures have another size than the reference clip's.
      reference: the reference clip.
      params: which frames are chosen.
      unit: "frame" or "sequence".
    """

    def __init__(
        self,
        rows: Sequence[TrackFrame],
        placed: Mapping[str, PlacedClip],
        reference: Clip,
        params: FramesParams,
        unit: str,
    ):
        self._rows: dict[str, list[TrackFrame]] = {}
        for row in rows:
            self._rows.setdefault(row.clip, []).append(row)
        self._placed, self._params, self._unit = placed, params, unit
        self.common = GroupGeometry(self._rows.get(reference.clip, []), params, unit)
        self._size = reference.width, reference.height

    def of(self, clip: Clip) -> GroupGeometry:
        """A clip's geometry.

        Raises:
          ClipError: if its picture has another size than the reference clip's, and nothing was found in it.
        """
        if (clip.width, clip.height) == self._size:
            return self.common
        rows = self._rows.get(clip.clip)
        if not rows:
            said = self._placed.get(clip.clip)
            if said is not None and said.reason:
                raise ClipError(said.reason, said.note)
            raise ClipError("other_size", f"{clip.clip}: {clip.width}x{clip.height} pixels, and no track")
        if rows[0].alignment != "registered":
            return GroupGeometry(rows, self._params, self._unit)
        return self.common.placed(rows, (clip.width, clip.height))

    def shared(self, clip: Clip) -> bool:
        """Whether a clip's samples are those of the reference clip, so that they can be compared."""
        rows = self._rows.get(clip.clip, [])
        return (clip.width, clip.height) == self._size or any(row.alignment == "registered" for row in rows)

    def note(self, clip: Clip) -> str:
        """What is to be said of where a clip lies; "" for one of the reference clip's size."""
        return self._placed[clip.clip].note if clip.clip in self._placed else ""

    def shown(self, real: Clip, fake: Clip) -> Shown | None:
        """How a fake shows a real clip's frames; None where its frames lie on them. They share samples."""
        size = fake.width, fake.height
        if size == (real.width, real.height) == self._size:
            return None
        on_real, on_fake = (self.of(clip).rows[0] for clip in (real, fake))
        return Shown(compose(_matrix(on_fake), invert(_matrix(on_real))), size)


def _matrix(row: TrackFrame) -> np.ndarray:
    return np.array(row.crop_to_frame).reshape(2, 3)
