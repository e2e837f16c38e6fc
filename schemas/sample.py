"""The record of a sample: what the `json` member of a shard holds, and a row of `index.parquet`."""

from typing import Literal

from schemas.clip import Label, Split
from schemas.record import record

MaskKind = Literal[
    "official",
    "difference",
    "soft",
    "dffd",
    "ssim",
    "hull",
    "boundary",
    "all_one",
    "all_zero",
    "unknown",
]

# What a crop was aligned by: the landmarks of its face; nothing, since none was found in a picture that is a
# face crop already; or the landmarks of its original, carried over by registering the two pictures.
Alignment = Literal["landmarks", "picture", "registered"]

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
Point = tuple[float, float]
Points5 = tuple[Point, Point, Point, Point, Point]


@record
class MaskQuality:
    """How far a mask can be trusted. None where a figure does not apply.

    Attributes:
      score: 0 (do not use) to 1 (certain); 1 for masks that are right by definition.
      noise: codec noise of the pair outside the face, mean absolute luma difference, 0 to 255.
      snr: mean log-energy of the difference inside the mask over that outside, in nepers; the gate tests it.
      area: share of the crop that is masked, 0 to 1.
      official_iou: intersection over union with the dataset's own mask, 0 to 1.
      temporal_iou: intersection over union with the group's previous chosen frame, 0 to 1.
      residual: shift that is left between real and fake outside the face, in crop pixels.
    """

    score: float
    noise: float | None = None
    snr: float | None = None
    area: float | None = None
    official_iou: float | None = None
    temporal_iou: float | None = None
    residual: float | None = None


@record
class SampleBase:
    """What a sample's record holds once, whether it is a frame or a sequence.

    Attributes:
      schema_version: of this record.
      key: the sample's key in its shard.
      dataset, group, clip, label, method, compression, split, target, source: as in `Clip`.
      track: number of the face in its group.
      size: edge of the crop in pixels.
      mask_from: compression the mask was measured on (and found unknown, perhaps); None where none was.
      plan_digest: of this group's inputs, the parameters that matter and the stage's version.
    """

    schema_version: int
    key: str
    dataset: str
    group: str
    clip: str
    label: Label
    method: str
    compression: str
    split: Split
    target: str
    source: str
    track: int
    size: int
    mask_from: str | None
    plan_digest: str


@record
class Sample(SampleBase):
    """One aligned face crop (`unit: frame`).

    Attributes:
      frame: 0-based, in presentation order.
      crop_to_frame: 2x3; crop pixel to this clip's own frame pixel after display rotation; pixel centres
        at whole numbers.
      landmarks: 5x2, crop pixels: eyes, nose, mouth corners (that at the left of the picture first).
      mask_kind: what `mask.png` is; "unknown" where there is none.
      mask_quality: how far `mask.png` can be trusted.
      crop_sha256: of the image member's bytes.
      alignment: what the crop was aligned by: "landmarks", "picture" (a picture that is a face crop already,
        taken as it is, since no face was found; its landmarks are the template's) or "registered" (the
        landmarks of the original, where the fake's picture has another size or place).
    """

    frame: int
    crop_to_frame: Matrix
    landmarks: Points5
    mask_kind: MaskKind
    mask_quality: MaskQuality
    crop_sha256: str
    alignment: Alignment = "landmarks"


@record
class SequenceSample(SampleBase):
    """Consecutive chosen frames of one face (`unit: sequence`): `Sample`, its per-frame fields as lists."""

    frame: tuple[int, ...]
    crop_to_frame: tuple[Matrix, ...]
    landmarks: tuple[Points5, ...]
    mask_kind: tuple[MaskKind, ...]
    mask_quality: tuple[MaskQuality, ...]
    crop_sha256: tuple[str, ...]
    alignment: tuple[Alignment, ...] = ()
