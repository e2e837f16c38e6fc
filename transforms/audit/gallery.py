"""Pictures for the report: which samples to show, and how a mask is drawn over a face."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Image = npt.NDArray[np.uint8]

TILE = 176
_GAP = 4
_TINT = np.array((0, 229, 255), np.float32)  # cyan: no skin has it
_OFFICIAL = (255, 140, 0)
_EMPTY = 128


@dataclass(frozen=True)
class Pick:
    """A mask to show: its row, and that of the real sample of the same frame (None where there is none)."""

    row: int
    real: int | None


class _Codes:
    """Names of a table as numbers, made once a column: comparing numbers is what keeps many rows fast."""

    def __init__(self, masks: pa.Table):
        self._masks = masks
        self._columns: dict[str, tuple[npt.NDArray[Any], dict[Any, int]]] = {}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._column(name)[0]

    def where(self, **values: Any) -> npt.NDArray[np.int64]:
        """Rows that have all of these values."""
        found: npt.NDArray[Any] | None = None
        for name, value in values.items():
            codes, numbers = self._column(name)
            code = numbers.get(value, -1) if numbers else value
            found = np.flatnonzero(codes == code) if found is None else found[codes[found] == code]
        return np.zeros(0, np.int64) if found is None else found

    def _column(self, name: str) -> tuple[npt.NDArray[Any], dict[Any, int]]:
        if name not in self._columns:
            column = self._masks[name].combine_chunks()
            if pa.types.is_string(column.type):
                column = column.dictionary_encode()
            if isinstance(column, pa.DictionaryArray):
                numbers = {value: code for code, value in enumerate(column.dictionary.to_pylist())}
                self._columns[name] = column.indices.fill_null(-1).to_numpy(zero_copy_only=False), numbers
            else:
                self._columns[name] = column.to_numpy(zero_copy_only=False), {}
        return self._columns[name]


def pick_examples(masks: pa.Table, count: int) -> list[Pick]:
    """Fakes of every method in turn, each of another clip, chosen by a hash of its name.

    Args:
      masks: as `transforms.audit.checks.flatten_masks` makes them.
      count: most pictures.
    """
    codes = _Codes(masks)
    columns = ["label", "method", "dataset", "clip"]
    by_method: dict[str, list[tuple[str, str]]] = {}
    for row in masks.select(columns).group_by(columns).aggregate([]).to_pylist():
        if row["label"] != "real":
            by_method.setdefault(row["method"], []).append((row["dataset"], row["clip"]))
    for names in by_method.values():
        names.sort(key=lambda name: _hash("/".join(name)))
    turns = zip_longest(*(by_method[method] for method in sorted(by_method)))
    chosen = [name for turn in turns for name in turn if name is not None][: max(0, count)]
    picks = []
    for dataset, clip in chosen:
        rows = codes.where(clip=clip, dataset=dataset)
        picks.append(_with_real(masks, codes, int(rows[_hash(clip) % len(rows)])))
    return sorted(
        picks, key=lambda pick: (masks["method"][pick.row].as_py(), masks["clip"][pick.row].as_py())
    )


def pick_worst(masks: pa.Table, count: int) -> list[Pick]:
    """Known masks of fakes with the lowest scores (then the weakest signal), one a method and group."""
    known = pc.and_(pc.not_equal(masks["label"], "real"), pc.not_equal(masks["mask_kind"], "unknown"))
    rows = np.flatnonzero(known.to_numpy())
    if not len(rows) or count < 1:
        return []
    codes = _Codes(masks)
    carried = pc.fill_null(pc.not_equal(masks["mask_from"], masks["compression"]), True).to_numpy()[rows]
    figures = [masks[name].to_numpy()[rows] for name in ("snr", "score")]
    ordered = rows[np.lexsort((carried, *figures))]
    place = np.zeros(len(ordered), np.int64)
    for name in ("dataset", "group", "method"):
        place = place * (int(codes[name].max()) + 1) + codes[name][ordered]
    firsts = np.sort(np.unique(place, return_index=True)[1])[:count]
    return [_with_real(masks, codes, int(row)) for row in ordered[firsts]]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _with_real(masks: pa.Table, codes: _Codes, row: int) -> Pick:
    same = {name: masks[name][row].as_py() for name in ("group", "dataset", "compression", "track", "frame")}
    real = codes.where(**same, label="real")
    return Pick(row, int(real[0]) if len(real) else None)


def why_weak(quality: Mapping[str, float | None], gate: float) -> str:
    """What makes a mask's score low, from its figures; thresholds are those of a person's first look."""
    rules = (
        ("snr", lambda v: v < 1.5 * gate, "signal {:.2f} nepers, near the gate"),
        ("official_iou", lambda v: v < 0.6, "agrees {:.2f} with the dataset's mask"),
        ("temporal_iou", lambda v: v < 0.6, "flickers: {:.2f} with the frame before"),
        ("residual", lambda v: v > 1.0, "{:.1f} px shift outside the face"),
        ("area", lambda v: v < 0.02, "covers {:.1%} of the crop"),
        ("area", lambda v: v > 0.7, "covers {:.0%} of the crop"),
    )
    said = []
    for name, weak, text in rules:
        value = quality.get(name)
        if value is not None and weak(value):
            said.append(text.format(value))
    return "; ".join(said) or "no other figure is weak"


def draw_strip(real: Image | None, fake: Image | None, mask: Image | None, official: Image | None) -> Image:
    """Real, fake, and the fake under its mask, side by side; RGB.

    The mask is tinted and outlined in cyan, the dataset's own mask outlined in orange; what is missing is
    a gray tile.

    Args:
      real: RGB crop, or None.
      fake: RGB crop, or None.
      mask: 0/255, or None.
      official: the dataset's own mask, 0/255, or None.
    """
    over = None if fake is None or mask is None else _overlay(_tile(fake), mask, official)
    tiles = [_tile(image) for image in (real, fake, over)]
    gap = np.full((TILE, _GAP, 3), 255, np.uint8)
    return np.hstack([tiles[0], gap, tiles[1], gap, tiles[2]])


def _tile(image: Image | None) -> Image:
    if image is None:
        tile = np.full((TILE, TILE, 3), _EMPTY, np.uint8)
        cv2.line(tile, (0, TILE), (TILE, 0), (_EMPTY + 30,) * 3, 1, cv2.LINE_AA)
        return tile
    shrink = image.shape[0] > TILE
    resized = cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _overlay(fake: Image, mask: Image, official: Image | None) -> Image:
    inside = cv2.resize(mask, (TILE, TILE), interpolation=cv2.INTER_LINEAR) > 127
    tinted = fake.astype(np.float32)
    tinted[inside] = 0.65 * tinted[inside] + 0.35 * _TINT
    drawn = tinted.astype(np.uint8)
    _outline(drawn, inside, tuple(int(c) for c in _TINT))
    if official is not None:
        _outline(drawn, cv2.resize(official, (TILE, TILE), interpolation=cv2.INTER_LINEAR) > 127, _OFFICIAL)
    return drawn


def _outline(image: Image, inside: npt.NDArray[np.bool_], colour: tuple[int, ...]) -> None:
    contours = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(image, contours, -1, colour, 1, cv2.LINE_AA)
