"""The record of a sample, from what its frames have each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas import SCHEMA_VERSION
from schemas.clip import Clip
from schemas.names import sample_key
from schemas.sample import MaskKind, MaskQuality, Sample, SequenceSample
from schemas.track import TrackFrame


@dataclass(frozen=True)
class FrameRecord:
    """What a sample's record holds of one frame.

    Attributes:
      row: of the track.
      landmarks: (5, 2), crop pixels.
      mask_kind, mask_quality: of the training mask.
      crop_sha256: of the image member.
    """

    row: TrackFrame
    landmarks: np.ndarray
    mask_kind: MaskKind
    mask_quality: MaskQuality
    crop_sha256: str


def make_record(
    clip: Clip,
    frames: Sequence[FrameRecord],
    size: int,
    mask_from: str | None,
    plan_digest: str,
    sequence: bool,
) -> Sample | SequenceSample:
    """The record of a sample of one frame, or of a sequence of frames."""
    first = frames[0].row
    once: dict = {
        "schema_version": SCHEMA_VERSION,
        "key": sample_key(clip.dataset, clip.clip, first.track, first.frame),
        "dataset": clip.dataset,
        "group": clip.group,
        "clip": clip.clip,
        "label": clip.label,
        "method": clip.method,
        "compression": clip.compression,
        "split": clip.split,
        "target": clip.target,
        "source": clip.source,
        "track": first.track,
        "size": size,
        "mask_from": mask_from,
        "plan_digest": plan_digest,
    }
    each: dict[str, list] = {
        "frame": [frame.row.frame for frame in frames],
        "crop_to_frame": [(frame.row.crop_to_frame[:3], frame.row.crop_to_frame[3:]) for frame in frames],
        "landmarks": [tuple(map(tuple, frame.landmarks.round(3).tolist())) for frame in frames],
        "mask_kind": [frame.mask_kind for frame in frames],
        "mask_quality": [frame.mask_quality for frame in frames],
        "crop_sha256": [frame.crop_sha256 for frame in frames],
        "alignment": [frame.row.alignment for frame in frames],
    }
    if sequence:
        lists: dict = {name: tuple(values) for name, values in each.items()}
        return SequenceSample(**once, **lists)
    return Sample(**once, **{name: values[0] for name, values in each.items()})
