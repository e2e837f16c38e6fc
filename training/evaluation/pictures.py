"""Pictures of an evaluation: crop, attention and forged region side by side; worst errors and examples."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.data import Batch
from training.evaluation.localisation import enlarge
from training.evaluation.page import Image, as_jpeg

# Most pictures of a gallery, however many are asked for.
MOST = 96
TILE = 176
OUTLINE = (0, 188, 212)
_GAP = 4
_EMPTY = 128
_HEAT = 0.55


@dataclass(frozen=True)
class Picture:
    """A strip of pictures of one image, with what stands under it.

    Attributes:
      method, compression, clip, frame, label: of the sample.
      score: fake - real.
      right: it is called what it is.
      known: its mask is known.
      iou: of attention and region; nan where there is none.
      data: JPEG.
    """

    method: str
    compression: str
    clip: str
    frame: int
    label: str
    score: float
    right: bool
    known: bool
    iou: float
    data: bytes


def pick(frames: pd.DataFrame, count: int) -> dict[str, list[int]]:
    """Rows of every gallery.

    "reals" are reals with the highest score, "fakes" fakes with the lowest, one of each method of a source
    group. The others are examples of a method, of as many groups, chosen by a hash: always the same ones.

    Args:
      frames: as `training.evaluate` makes them.
      count: pictures of each of the worst, and of all examples together (but one a method at least).
    """
    count = min(count, MOST)
    if count < 1:
        return {}
    order = frames.assign(hash=[_hash(key) for key in frames.key])
    reals, fakes = order[~order.is_fake], order[order.is_fake]
    galleries = {
        "reals": _firsts(reals.sort_values(["score", "hash"], ascending=[False, True]), count),
        "fakes": _firsts(fakes.sort_values(["score", "hash"]), count),
    }
    methods = sorted(set(fakes.method)) + (["real"] if len(reals) else [])
    for method in methods[:MOST]:
        rows = order[order.method == method].sort_values("hash")
        galleries[f"method {method}"] = _firsts(rows, max(1, count // len(methods)))
    return galleries


def _firsts(rows: pd.DataFrame, count: int) -> list[int]:
    firsts = rows.drop_duplicates(["dataset", "group", "method"])
    return [int(row) for row in firsts.index[:count]]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def draw(
    frames: pd.DataFrame,
    galleries: Mapping[str, Sequence[int]],
    maps: NDArray[np.float16],
    batches: Iterable[Batch],
) -> dict[str, list[Picture]]:
    """The pictures of galleries.

    Args:
      frames: as `training.evaluate` makes them.
      galleries: rows of `frames`.
      maps: (N, g, g), attention maps of `frames`.
      batches: of all rows of the galleries, their `rows` counted in the sorted list of these.
    """
    rows = sorted({row for picked in galleries.values() for row in picked})
    made = {}
    for batch in batches:
        for number, image, mask in zip(
            batch.rows.tolist(), batch.image.numpy(), batch.mask.numpy(), strict=True
        ):
            row = rows[number]
            about = frames.loc[row]
            made[row] = _picture(about, image.transpose(1, 2, 0), maps[row], mask if about.known else None)
    return {name: [made[row] for row in picked if row in made] for name, picked in galleries.items()}


def _picture(about: pd.Series, image: Image, attention: NDArray[np.float16], mask: Image | None) -> Picture:
    score = float(about.score)
    values: dict[str, Any] = {name: about[name] for name in ("method", "compression", "clip", "label")}
    return Picture(
        **values,
        frame=int(about.frame),
        score=score,
        right=(score > 0) == bool(about.is_fake),
        known=bool(about.known),
        iou=float(about.iou),
        data=as_jpeg(strip(image, attention, mask)),
    )


def strip(image: Image, attention: NDArray[np.floating], mask: Image | None) -> Image:
    """Crop, attention over the crop, and the region's outline on the crop.

    Args:
      image: uint8 (S, S, 3), RGB.
      attention: (g, g), at least 0; drawn over its maximum, dark for 0 and bright for 1.
      mask: uint8 (S, S), 0 to 255; None where it is unknown: its tile is gray.

    Returns:
      Uint8 (TILE, 3 x TILE + 2 gaps, 3), RGB.
    """
    crop = np.asarray(cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_LINEAR), np.uint8)
    heat = mpl.colormaps["inferno"](enlarge(attention[None], TILE)[0])[..., :3] * 255
    over = (crop * (1 - _HEAT) + heat * _HEAT).astype(np.uint8)
    outlined = np.full_like(crop, _EMPTY)
    if mask is not None:
        region = (cv2.resize(mask, (TILE, TILE), interpolation=cv2.INTER_LINEAR) > 127).astype(np.uint8)
        contours, _ = cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        outlined = cv2.drawContours(crop.copy(), contours, -1, OUTLINE, 2, cv2.LINE_AA)
    gap = np.full((TILE, _GAP, 3), 255, np.uint8)
    return np.hstack([crop, gap, over, gap, outlined])
