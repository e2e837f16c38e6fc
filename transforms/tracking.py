"""Following faces from observation to observation, and smoothing them over time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.params import CropParams, TrackParams
from schemas.track import TrackFrame
from transforms.alignment import crop_to_frame
from transforms.faces import Face
from transforms.mesh import FACE_OVAL, LIPS_OUTER, five_points
from transforms.observe import ClipShape, Observation

# Least overlap of a face's boxes in neighbouring observations.
_SAME_FACE_IOU = 0.3


@dataclass
class RawTrack:
    """One face over time, as detected.

    Attributes:
      frames: frames in which it was detected, increasing.
      faces: the detections, one for each of `frames`.
      events: what happened to it, as `<frame>:<event>`: "cut" (ended by one), "lost" (not seen for longer
        than is interpolated over), "switch" (another face was as near: identities may have been exchanged).
    """

    frames: list[int] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    @property
    def size(self) -> float:
        """Mean area of the face in pixels times the number of detections: what tracks are ranked by."""
        boxes = np.array([face.box for face in self.faces])
        return float(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum())


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inter = float(np.prod(np.maximum(high - low, 0)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - inter
    return inter / union if union > 0 else 0.0


def link(observations: Iterable[Observation], max_gap: int) -> list[RawTrack]:
    """Link the faces of successive observations into tracks, the best overlap first; a cut ends every track.

    Returns:
      All tracks, the largest first (area times detections).
    """
    ended: list[RawTrack] = []
    active: list[RawTrack] = []
    for seen in observations:
        if seen.cut:
            for track in active:
                track.events.append(f"{seen.frame}:cut")
            ended, active = ended + active, []
        pairs = sorted(
            (-box_iou(track.faces[-1].box, face.box), t, f)
            for t, track in enumerate(active)
            for f, face in enumerate(seen.faces)
        )
        candidates = [(t, f) for overlap, t, f in pairs if -overlap >= _SAME_FACE_IOU]
        taken_tracks: set[int] = set()
        taken_faces: set[int] = set()
        for t, f in candidates:
            if t in taken_tracks or f in taken_faces:
                continue
            taken_tracks.add(t)
            taken_faces.add(f)
            track = active[t]
            if any((t == other_t) != (f == other_f) for other_t, other_f in candidates):
                track.events.append(f"{seen.frame}:switch")
            if seen.frame - track.frames[-1] - 1 > max_gap:
                track.events.append(f"{track.frames[-1] + 1}:lost")
            track.frames.append(seen.frame)
            track.faces.append(seen.faces[f])
        active += [
            RawTrack([seen.frame], [face]) for f, face in enumerate(seen.faces) if f not in taken_faces
        ]
    return sorted(ended + active, key=lambda track: (-track.size, track.frames[0]))


def smooth(times: np.ndarray, values: np.ndarray, at: np.ndarray, sigma: float) -> np.ndarray:
    """Local linear regression over time with Gaussian weights (Cleveland 1979, without robustness steps).

    Zero phase, and exact for motion of constant speed, at the ends too: it does not lag.

    Args:
      times: (n,), increasing.
      values: (n, k).
      at: (m,), times to evaluate at.
      sigma: in the unit of `times`; 0 interpolates linearly. Where `times` are far apart it is wider, so that
        both neighbours count.

    Returns:
      (m, k) float64.
    """
    times, at = np.asarray(times, np.float64), np.asarray(at, np.float64)
    values = np.asarray(values, np.float64)
    if sigma <= 0 or len(times) < 2:
        return np.stack([np.interp(at, times, column) for column in values.T], axis=1)
    result = np.empty((len(at), values.shape[1]))
    for row, now in enumerate(at):
        after = min(max(int(np.searchsorted(times, now)), 1), len(times) - 1)
        width = max(sigma, 0.6 * (times[after] - times[after - 1]))
        low, high = np.searchsorted(times, [now - 4 * width, now + 4 * width])
        low, high = min(low, after - 1), max(high, after + 1)
        distance = times[low:high] - now
        weight = np.exp(-0.5 * (distance / width) ** 2)
        s0, s1, s2 = weight.sum(), (weight * distance).sum(), (weight * distance**2).sum()
        result[row] = (weight * (s2 - s1 * distance) / (s0 * s2 - s1**2)) @ values[low:high]
    return result


def segments(frames: Sequence[int], max_gap: int) -> list[tuple[int, int]]:
    """Runs of detections, as (first, last + 1) positions in `frames`, with no gap over `max_gap` inside."""
    breaks = [i for i in range(1, len(frames)) if frames[i] - frames[i - 1] - 1 > max_gap]
    return list(zip([0, *breaks], [*breaks, len(frames)], strict=True))


def track_frames(
    clip: str, number: int, raw: RawTrack, shape: ClipShape, track: TrackParams, crop: CropParams
) -> list[TrackFrame]:
    """A track's rows of a clip: smoothed and interpolated over short gaps, never over longer ones.

    Frames without a detection are filled in up to `track.max_gap` in a row. Where `track.every` is larger
    than that, only detected frames are kept, and nothing is smoothed; the same goes for pictures that are not
    known to follow each other in time (`shape.fps` 0).
    """
    rows: list[TrackFrame] = []
    sigma = track.smooth * shape.fps if track.smooth > 0 else 0.0
    for first, last in segments(raw.frames, track.max_gap if shape.fps else 0):
        frames = np.array(raw.frames[first:last])
        faces = raw.faces[first:last]
        values = np.stack(
            [
                np.concatenate([five_points(f.points), f.points[list(FACE_OVAL)], f.points[list(LIPS_OUTER)]])
                for f in faces
            ]
        ).reshape(len(faces), -1)
        at = np.arange(frames[0], frames[-1] + 1)
        values = smooth(frames, values, at, sigma)
        points = values.reshape(len(at), -1, 2).round(3)
        matrices = crop_to_frame(points[:, :5], crop).round(9)
        after = np.clip(np.searchsorted(frames, at), 1, max(len(frames) - 1, 1))
        later = np.minimum(after, len(frames) - 1)
        nearest = np.where(at - frames[after - 1] <= frames[later] - at, after - 1, later)
        detected = set(frames.tolist())
        for row, frame in enumerate(at.tolist()):
            face = faces[nearest[row]]
            oval = points[row, 5 : 5 + len(FACE_OVAL)]
            rows.append(
                TrackFrame(
                    clip=clip,
                    track=number,
                    frame=frame,
                    detected=frame in detected,
                    box=tuple(map(float, np.concatenate([oval.min(0), oval.max(0)]))),
                    score=round(face.score, 4),
                    blur=round(face.blur, 2),
                    landmarks=tuple(points[row, :5].ravel().tolist()),
                    oval=tuple(oval.ravel().tolist()),
                    lips=tuple(points[row, 5 + len(FACE_OVAL) :].ravel().tolist()),
                    crop_to_frame=tuple(matrices[row].ravel().tolist()),
                )
            )
    return rows
