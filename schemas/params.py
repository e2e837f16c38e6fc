"""What a person may set: the shape of `params.yaml`. Defaults stand here and, with their reasons, there."""

from typing import Literal

from schemas.params_training import EvaluateParams, ExperimentParams, LabelParams, RequestParams, TrainParams
from schemas.record import record
from schemas.sample import MaskKind


@record
class DatasetParams:
    """One dataset.

    Attributes:
      layout: module in `transforms/layouts` that knows the folders.
      root: folder of the dataset.
      split: "official" (the dataset's lists), "repaired" (official, with every clip of one YouTube video
        moved to one side) or "hash" (by connected identities, without lists).
      unlisted_split: split of clips that official lists do not cover by design (FF++: DeepFakeDetection);
        "" leaves them out.
      methods: forgery methods to take; empty takes all.
      compressions: compressions to take; empty takes all.
    """

    layout: str
    root: str
    split: Literal["official", "repaired", "hash"] = "official"
    unlisted_split: Literal["train", "val", "test", ""] = "test"
    methods: tuple[str, ...] = ()
    compressions: tuple[str, ...] = ()


@record
class TrackParams:
    """Detection, tracking and smoothing.

    Attributes:
      every: detect in every n-th frame; frames between are interpolated.
      min_score: weakest detection that counts, 0 to 1.
      min_face: smallest face, as the longer edge of its box in pixels.
      max_faces: most faces to keep of a clip; where there are more, those with the most forged energy.
      max_gap: longest run of frames without a detection that is interpolated over.
      min_frames: shortest track that counts, in frames.
      smooth: sigma of the (zero-phase) Gaussian over time, in seconds; 0 is off.
    """

    every: int = 2
    min_score: float = 0.5
    min_face: int = 32
    max_faces: int = 1
    max_gap: int = 12
    min_frames: int = 1
    smooth: float = 0.06


@record
class CropParams:
    """Alignment of crops.

    Attributes:
      size: edge of the square crop in pixels.
      scale: edge of the crop over the edge of the face's box.
      template: where eyes, nose and mouth corners go in a face box of edge 1 (5x2); the eye at the left of
        the picture first.
      rotate: False keeps the picture's upright.
    """

    size: int = 256
    scale: float = 1.3
    template: tuple[tuple[float, float], ...] = (
        (0.3, 0.325),
        (0.7, 0.325),
        (0.5, 0.58),
        (0.34, 0.74),
        (0.66, 0.74),
    )
    rotate: bool = True


@record
class FramesParams:
    """Which frames of a track become samples; chosen once a group.

    Attributes:
      policy: "even" (spread over the track), "stride" (every n-th) or "first".
      count: most samples (of frames or of sequences) a track; 0 is no limit.
      stride: distance between frames for "stride", and between the starts of sequences.
      length: frames of a sequence (consecutive frames).
    """

    policy: Literal["even", "stride", "first"] = "even"
    count: int = 32
    stride: int = 10
    length: int = 16


@record
class MaskParams:
    """Masks.

    Attributes:
      train: kind that `mask.png` holds.
      kinds: kinds to write.
      gate: least snr of a difference mask, in nepers; below it a mask is unknown.
    """

    train: MaskKind = "difference"
    kinds: tuple[MaskKind, ...] = ("difference", "official")
    gate: float = 1.0


@record
class ShardParams:
    """Shards.

    Attributes:
      unit: "frame" or "sequence".
      image: "jpg" or "png".
      quality: JPEG quality, 1 to 100 (4:4:4).
      groups: mean number of source groups a shard.
      seed: of the assignment to shards and of the order inside them.
    """

    unit: Literal["frame", "sequence"] = "frame"
    image: Literal["jpg", "png"] = "jpg"
    quality: int = 95
    groups: int = 16
    seed: int = 0


@record
class AuditParams:
    """The report.

    Attributes:
      gallery: pictures in each gallery.
      max_leaks: identities and pairs of lookalikes that may be on more than one side before the run fails; -1
        is no limit.
    """

    gallery: int = 24
    max_leaks: int = 0


@record
class RunParams:
    """How a stage runs; nothing here changes what is made.

    Attributes:
      max_failed_fraction: share of failed units above which a stage exits with 3.
      clip_timeout: seconds a clip's decoder may give nothing before it is killed.
      clip_memory: most memory of a decoder in MiB; 0 is no limit.
    """

    max_failed_fraction: float = 0.05
    clip_timeout: float = 120.0
    clip_memory: int = 4096


@record
class Params:
    """All of `params.yaml`."""

    datasets: dict[str, DatasetParams]
    track: TrackParams = TrackParams()
    crop: CropParams = CropParams()
    frames: FramesParams = FramesParams()
    mask: MaskParams = MaskParams()
    shard: ShardParams = ShardParams()
    audit: AuditParams = AuditParams()
    train: TrainParams = TrainParams()
    request: RequestParams = RequestParams()
    labels: LabelParams = LabelParams()
    evaluate: EvaluateParams = EvaluateParams()
    experiment: ExperimentParams = ExperimentParams()
    run: RunParams = RunParams()
