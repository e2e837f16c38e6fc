"""Which frames of a track become samples; chosen once a group, from the reference clip alone."""

from collections.abc import Sequence

import numpy as np

from schemas.params import FramesParams


def _pick(candidates: Sequence[int], policy: str, count: int, stride: int) -> list[int]:
    if policy == "stride":
        candidates = [value for value in candidates if (value - candidates[0]) % stride == 0]
    if count <= 0 or len(candidates) <= count:
        return list(candidates)
    if policy == "even":
        places = np.linspace(0, len(candidates) - 1, count).round().astype(int)
        return [candidates[place] for place in places]
    return list(candidates[:count])


def choose_frames(frames: Sequence[int], params: FramesParams) -> list[tuple[int, ...]]:
    """Single frames of a track.

    Args:
      frames: those in which the face is known, increasing.
      params: policy and count.

    Returns:
      One-tuples of frames, increasing.
    """
    return [(frame,) for frame in _pick(frames, params.policy, params.count, params.stride)] if frames else []


def choose_windows(frames: Sequence[int], params: FramesParams) -> list[tuple[int, ...]]:
    """Sequences of `params.length` consecutive frames of a track, none overlapping under "even" and "first".

    Args:
      frames: those in which the face is known, increasing.
      params: policy, count, length, and for "stride" the distance of starts.

    Returns:
      Tuples of consecutive frames, by their starts.
    """
    length = params.length
    known = set(frames)
    whole = [frame for frame in frames if all(frame + step in known for step in range(length))]
    if params.policy == "stride":
        starts = _pick(whole, "stride", params.count, params.stride)
    else:
        apart: list[int] = []
        for start in whole:
            if not apart or start >= apart[-1] + length:
                apart.append(start)
        starts = _pick(apart, params.policy, params.count, params.stride)
    return [tuple(range(start, start + length)) for start in starts]
