"""All kinds of masks of one forgery, from the crops of a real clip and of its fake."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from schemas.params import MaskParams
from schemas.sample import MaskKind, MaskQuality
from transforms import masks
from transforms.difference.model import CropShapes, DifferenceModel, DifferenceParams
from transforms.registration import residual_shift

UNKNOWN = MaskQuality(score=0.0)
BY_DEFINITION = MaskQuality(score=1.0, area=0.0)


@dataclass(frozen=True)
class FrameMasks:
    """The masks of one crop.

    Attributes:
      kinds: (size, size) uint8 by kind; a kind that is not known for this crop is not in it.
      quality: of the difference mask.
    """

    kinds: dict[MaskKind, np.ndarray]
    quality: MaskQuality


def binary(mask: np.ndarray) -> np.ndarray:
    """A bool mask as (size, size) uint8, 0 or 255."""
    return mask.astype(np.uint8) * np.uint8(255)


def measure(
    real: Sequence[np.ndarray],
    fake: Sequence[np.ndarray],
    official: Sequence[np.ndarray],
    shapes: CropShapes,
    *,
    dense: bool,
    lossless: bool | None,
    params: MaskParams,
) -> Iterator[FrameMasks]:
    """Masks of each crop of a pair of clips, in order.

    Args:
      real: crops of the real clip, (size, size, 3) uint8 RGB; read a bounded number of times.
      fake: crops of the fake at the same frames.
      official: crops of the dataset's own mask clip, (size, size, 3) uint8; may be shorter, or empty.
      shapes: of the face in each crop.
      dense: True if the crops are of consecutive frames.
      lossless: whether the pair's compression is lossless; None to find out.
      params: which kinds.
    """
    wanted = {params.train, *params.kinds}
    model = None
    residual = None
    if wanted & {"difference", "boundary"}:
        settings = DifferenceParams(gate=params.gate)
        model = DifferenceModel.fit(real, fake, shapes, dense=dense, lossless=lossless, params=settings)
        residual = residual_shift(real, fake, shapes)
    before: np.ndarray | None = None
    for i in range(len(real)):
        kinds: dict[MaskKind, np.ndarray] = {}
        quality = UNKNOWN
        stated = masks.official(official[i]) if i < len(official) else None
        if stated is not None:
            kinds["official"] = binary(stated)
        if model is not None:
            found = model.frame(i)
            quality = MaskQuality(
                score=_round(found.score) or 0.0,
                noise=_round(found.noise),
                snr=_round(found.snr),
                residual=_round(residual),
            )
            if found.mask is not None:
                quality = replace(
                    quality,
                    area=_round(found.mask.mean()),
                    official_iou=None if stated is None else _round(masks.iou(found.mask, stated)),
                    temporal_iou=None if before is None else _round(masks.iou(found.mask, before)),
                )
                kinds["difference"] = binary(found.mask)
                kinds["boundary"] = masks.boundary(found.mask)
            before = found.mask
        kinds |= _uncalibrated(real[i], fake[i], shapes.oval[i], wanted)
        yield FrameMasks({kind: mask for kind, mask in kinds.items() if kind in wanted}, quality)


def _uncalibrated(
    real: np.ndarray, fake: np.ndarray, oval: np.ndarray, wanted: set[MaskKind]
) -> dict[MaskKind, np.ndarray]:
    size = real.shape[0]
    kinds: dict[MaskKind, np.ndarray] = {}
    if "soft" in wanted:
        kinds["soft"] = masks.soft(real, fake)
    if "dffd" in wanted:
        kinds["dffd"] = binary(masks.dffd(real, fake))
    if "ssim" in wanted:
        kinds["ssim"] = masks.ssim(real, fake)
    if "hull" in wanted:
        kinds["hull"] = binary(masks.hull(oval, size))
    if "all_one" in wanted:
        kinds["all_one"] = binary(masks.all_one(size))
    return kinds


def _round(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
