"""All kinds of masks of one forgery, from the crops of a real clip and of its fake."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from schemas.params import MaskParams
from schemas.sample import MaskKind, MaskQuality
from transforms import masks
from transforms.difference.model import DifferenceModel, DifferenceParams
from transforms.pair_guard import GuardedPair

UNKNOWN = MaskQuality(score=0.0)
COMPARING: frozenset[MaskKind] = frozenset({"difference", "boundary", "soft", "dffd", "ssim"})
"""Kinds that compare the real and the fake clip."""
BY_DEFINITION = MaskQuality(score=1.0, area=0.0)
WHOLE = MaskQuality(score=1.0, area=1.0)


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
    pair: GuardedPair,
    fake: Sequence[np.ndarray],
    official: Sequence[np.ndarray],
    *,
    dense: bool,
    lossless: bool | None,
    params: MaskParams,
) -> Iterator[FrameMasks]:
    """Masks of each crop of a pair of clips, in order.

    Args:
      pair: the real clip's crops, (size, size, 3) uint8 RGB, read a bounded number of times; and the shapes
        of the face. Kinds that need a comparison are not given where it is not comparable.
      fake: crops of the fake at the same frames.
      official: crops of the dataset's own mask clip, (size, size, 3) uint8; may be shorter, or empty.
      dense: True if the crops are of consecutive frames.
      lossless: whether the pair's compression is lossless; None to find out.
      params: which kinds.
    """
    wanted = {params.train, *params.kinds}
    model = None
    if pair.comparable and wanted & {"difference", "boundary"}:
        model = DifferenceModel.fit(
            pair.real,
            fake,
            pair.shapes,
            dense=dense,
            lossless=False if pair.moved else lossless,
            params=DifferenceParams(gate=params.gate),
        )
    before: np.ndarray | None = None
    for i in range(len(fake)):
        kinds: dict[MaskKind, np.ndarray] = {}
        quality = replace(UNKNOWN, residual=_round(pair.residual))
        stated = masks.official(official[i]) if i < len(official) else None
        if stated is not None:
            kinds["official"] = binary(stated)
        if model is not None:
            found = model.frame(i)
            quality = replace(
                quality, score=_round(found.score) or 0.0, noise=_round(found.noise), snr=_round(found.snr)
            )
            if found.mask is not None:
                quality = replace(
                    quality,
                    area=_round(found.mask.mean()),
                    official_iou=None if stated is None else _round(masks.iou(found.mask, stated)),
                    temporal_iou=None if before is None else _round(masks.iou(found.mask, before)),
                )
                kinds["difference"] = binary(found.mask)
                if "boundary" in wanted:
                    kinds["boundary"] = masks.boundary(found.mask)
            before = found.mask
        kinds |= _uncalibrated(pair, i, fake[i], wanted)
        yield FrameMasks({kind: mask for kind, mask in kinds.items() if kind in wanted}, quality)


def unpaired(
    count: int, size: int, official: Sequence[np.ndarray], outlines: np.ndarray, params: MaskParams
) -> Iterator[FrameMasks]:
    """Masks of each crop of a fake that there is nothing to compare with, in order.

    Args:
      count: of crops.
      size: edge of the crops in pixels.
      official: as in `measure`.
      outlines: (count, 36, 2) float32, of the faces in the crops.
      params: which kinds.
    """
    wanted = {params.train, *params.kinds}
    for i in range(count):
        kinds = _of_outline(outlines[i], size, wanted)
        if i < len(official):
            kinds["official"] = binary(masks.official(official[i]))
        yield FrameMasks({kind: mask for kind, mask in kinds.items() if kind in wanted}, UNKNOWN)


def _uncalibrated(
    pair: GuardedPair, i: int, fake: np.ndarray, wanted: set[MaskKind]
) -> dict[MaskKind, np.ndarray]:
    kinds: dict[MaskKind, np.ndarray] = {}
    if pair.comparable and wanted & COMPARING:
        real = pair.real[i]
        if "soft" in wanted:
            kinds["soft"] = masks.soft(real, fake)
        if "dffd" in wanted:
            kinds["dffd"] = binary(masks.dffd(real, fake))
        if "ssim" in wanted:
            kinds["ssim"] = masks.ssim(real, fake)
    return kinds | _of_outline(pair.shapes.oval[i], fake.shape[0], wanted)


def _of_outline(outline: np.ndarray, size: int, wanted: set[MaskKind]) -> dict[MaskKind, np.ndarray]:
    kinds: dict[MaskKind, np.ndarray] = {}
    if "hull" in wanted:
        kinds["hull"] = binary(masks.hull(outline, size))
    if "all_one" in wanted:
        kinds["all_one"] = binary(masks.all_one(size))
    return kinds


def _round(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
