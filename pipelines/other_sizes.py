"""Clips whose pictures have another size than their group's reference clip: registered, or tracked alone."""

from collections.abc import Sequence

import numpy as np

from pipelines.clip_files import ClipFiles
from pipelines.follow_faces import FaceFollower
from pipelines.isolation import Isolated
from schemas.clip import Clip
from schemas.track import PlacedClip, TrackFrame
from transforms.clip_geometry import registered_rows
from transforms.errors import ClipError
from transforms.frame_registration import FrameRegistration, register_clips

# Frames that are offered for registration: a shorter fake lacks some.
_OFFERED = 24


def place_clips(
    child: Isolated,
    clip_files: ClipFiles,
    follower: FaceFollower,
    reference: Clip,
    rows: Sequence[TrackFrame],
    clips: Sequence[Clip],
) -> tuple[list[TrackFrame], list[PlacedClip]]:
    """Rows of clips of another picture size, and what is to be said of each.

    Args:
      child: process to decode in.
      clip_files: of the dataset.
      follower: for those that cannot be registered.
      reference: the group's reference clip.
      rows: of it.
      clips: of the group, of other sizes.
    """
    found: list[TrackFrame] = []
    placed: list[PlacedClip] = []
    for clip in clips:
        try:
            moved, said = _place(child, clip_files, follower, reference, rows, clip)
            found += moved
        except ClipError as error:
            said = PlacedClip(clip.clip, False, error.detail, error.reason)
        placed.append(said)
    return found, placed


def _place(
    child: Isolated,
    clip_files: ClipFiles,
    follower: FaceFollower,
    reference: Clip,
    rows: Sequence[TrackFrame],
    clip: Clip,
) -> tuple[list[TrackFrame], PlacedClip]:
    size = f"{clip.width}x{clip.height} pixels, {reference.width}x{reference.height} in {reference.clip}"
    if reference.label != "real" or (clip.label == "fake" and clip.truth != "original"):
        return follower.rows(clip, (clip,))[0], PlacedClip(clip.clip, False, f"{size}: tracked on its own")
    frames, boxes = _offered(rows)
    with clip_files.open_clip(reference) as real, clip_files.open_clip(clip) as other:
        (found,) = child.iterate(register_clips, str(real), str(other), frames, boxes)
    if found.matrix is not None:
        return registered_rows(rows, clip.clip, found.matrix), PlacedClip(clip.clip, True, _said(found))
    unknown = ": masks are unknown" if clip.label == "fake" else ""
    note = f"not registrable ({size}): {found.reason}{unknown}"
    try:
        return follower.rows(clip, (clip,))[0], PlacedClip(clip.clip, False, note)
    except ClipError as error:
        raise ClipError(error.reason, f"{note}; {error.detail}") from None


def _said(found: FrameRegistration) -> str:
    turn = f", turn {found.turn:+.1f}°" if abs(found.turn) > 0.5 else ""
    return f"registered: scale {found.scale:.3f}{turn}, residual {found.residual:.2f} px"


def _offered(rows: Sequence[TrackFrame]) -> tuple[list[int], np.ndarray]:
    """Frames of the reference clip, evenly, and the boxes of all faces in them."""
    everywhere = sorted({row.frame for row in rows})
    most = min(_OFFERED, len(everywhere))
    frames = [everywhere[i] for i in np.linspace(0, len(everywhere) - 1, most).round().astype(int)]
    boxes = np.full((len(frames), max(row.track for row in rows) + 1, 4), np.nan)
    place = {frame: number for number, frame in enumerate(frames)}
    for row in rows:
        if row.frame in place:
            boxes[place[row.frame], row.track] = row.box
    return frames, boxes
