"""Pictures for the report: which samples to show, and how a mask is drawn over a face."""

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.audit.summary import compression_order

Image = npt.NDArray[np.uint8]

# Most pictures of a gallery, however many are asked for.
MOST = 96
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
    """Fakes of every method at every compression, as many of each, chosen by a hash of the group's name.

    One method's picks are of the same groups and frames at all compressions, as far as there are such.

    Args:
      masks: as `transforms.audit.checks.flatten_masks` makes them.
      count: pictures, rounded up so that every combination has as many; no more than `MOST` are picked,
        whatever the count and the number of combinations.

    Returns:
      The first of every combination, then the second of every one, and so on.
    """
    if count < 1:
        return []
    codes = _Codes(masks)
    columns = ["label", "method", "compression", "dataset", "group", "clip"]
    found: dict[tuple[str, str], dict[tuple[str, str], list[str]]] = {}
    for row in masks.select(columns).group_by(columns).aggregate([]).to_pylist():
        if row["label"] != "real":
            groups = found.setdefault((row["method"], row["compression"]), {})
            groups.setdefault((row["dataset"], row["group"]), []).append(row["clip"])
    turns = max(1, min(-(-count // max(1, len(found))), MOST // max(1, len(found))))
    everywhere: dict[str, set[tuple[str, str]]] = {}
    for (method, _), groups in found.items():
        everywhere[method] = everywhere.get(method, groups.keys()) & groups.keys()
    in_turn = {(method, c): _in_turn(found[method, c], everywhere[method], method) for method, c in found}
    picks = []
    for turn in range(turns):
        for method, compression in sorted(found, key=lambda key: (key[0], compression_order(key[1]))):
            clips = in_turn[method, compression]
            if turn < len(clips):
                dataset, group, clip = clips[turn]
                rows = codes.where(clip=clip, dataset=dataset)
                rows = rows[np.lexsort((codes["frame"][rows], codes["track"][rows]))]
                row = int(rows[_hash(f"{method}/{dataset}/{group}") % len(rows)])
                picks.append(_with_real(masks, codes, row))
    return picks[:MOST]


def _in_turn(
    groups: Mapping[tuple[str, str], list[str]], first: Set[tuple[str, str]], method: str
) -> list[tuple[str, str, str]]:
    """Clips as (dataset, group, clip): those of some groups first, and one of a group before a second."""
    every = [
        (number, group not in first, _hash(f"{method}/{'/'.join(group)}"), (*group, clip))
        for group, clips in groups.items()
        for number, clip in enumerate(sorted(clips))
    ]
    return [clip for *_, clip in sorted(every)]


def pick_worst(masks: pa.Table, count: int) -> list[Pick]:
    """Known masks of fakes with the lowest scores (then the weakest signal), one a method and group."""
    known = pc.and_(pc.not_equal(masks["label"], "real"), pc.not_equal(masks["mask_kind"], "unknown"))
    codes = _Codes(masks)
    picked = _firsts(masks, codes, known, ("score", "snr"))[: max(0, count)]
    return [_with_real(masks, codes, int(row)) for row in picked]


def pick_unknown(masks: pa.Table, count: int) -> list[Pick]:
    """Unknown masks of fakes, one a method and group: not compared ones in turn with the weakest signals."""
    unknown = pc.and_(pc.not_equal(masks["label"], "real"), pc.equal(masks["mask_kind"], "unknown"))
    codes = _Codes(masks)
    rows = _firsts(masks, codes, unknown, ("snr",))
    compared = masks["snr"].is_valid().to_numpy()
    kinds: dict[tuple[bool, int], list[int]] = {}
    for row in rows.tolist():
        kinds.setdefault((bool(compared[row]), int(codes["method"][row])), []).append(row)
    turns = zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    picked = [row for turn in turns for row in turn if row is not None][: max(0, count)]
    return [_with_real(masks, codes, row) for row in sorted(picked, key=lambda row: bool(compared[row]))]


def _firsts(
    masks: pa.Table, codes: _Codes, wanted: pa.ChunkedArray, figures: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Wanted rows, one a method and group: lowest figures first, then as measured before carried."""
    rows = np.flatnonzero(wanted.to_numpy())
    if not len(rows):
        return rows
    carried = pc.fill_null(pc.not_equal(masks["mask_from"], masks["compression"]), True).to_numpy()[rows]
    values = [masks[name].to_numpy()[rows] for name in reversed(figures)]
    ordered = rows[np.lexsort((carried, *values))]
    place = np.zeros(len(ordered), np.int64)
    for name in ("dataset", "group", "method"):
        place = place * (int(codes[name].max()) + 1) + codes[name][ordered]
    return ordered[np.sort(np.unique(place, return_index=True)[1])]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _with_real(masks: pa.Table, codes: _Codes, row: int) -> Pick:
    same = {name: masks[name][row].as_py() for name in ("group", "dataset", "compression", "track", "frame")}
    real = codes.where(**same, label="real")
    return Pick(row, int(real[0]) if len(real) else None)


def why_weak(quality: Mapping[str, float | None], gate: float, note: str = "") -> str:
    """What makes a known mask's score low; thresholds are those of a person's first look.

    Args:
      quality: the figures of `transforms.audit.checks.QUALITY`, as far as there are.
      gate: `mask.gate`, in nepers.
      note: what the shard stage said of the clip's masks; "" for nothing.
    """
    rules = (
        ("score", lambda v: v < 0.5, "its outline is uncertain"),
        ("snr", lambda v: v < 1.5 * gate, "signal {:.2f} nepers, near the gate"),
        ("official_iou", lambda v: v < 0.6, "agrees {:.2f} with the dataset's mask"),
        ("temporal_iou", lambda v: v < 0.6, "flickers: {:.2f} with the frame before"),
        ("residual", lambda v: v > 0.3, "{:.2f} px shift outside the face"),
        ("area", lambda v: v < 0.02, "covers {:.1%} of the crop"),
        ("area", lambda v: v > 0.7, "covers {:.0%} of the crop"),
    )
    said = []
    for name, weak, text in rules:
        value = quality.get(name)
        if value is not None and weak(value):
            said.append(text.format(value))
    return "; ".join([*said, *filter(None, [note])]) or "no figure is weak; its score is among the lowest"


def why_unknown(snr: float | None, mask_from: str | None, train: str, gate: float, note: str = "") -> str:
    """Why a fake's mask is unknown.

    Args:
      snr: signal to noise in nepers; None where nothing was compared.
      mask_from: compression that it was measured on; None where it was on none.
      train: `mask.train`.
      gate: `mask.gate`, in nepers.
      note: what the shard stage said of the clip's masks; "" for nothing.
    """
    if train == "official":
        return note or "the dataset has no mask of it"
    if snr is not None and snr < gate:
        return f"signal {snr:.2f} nepers, below mask.gate ({gate:g}): the codec's noise hides the forgery"
    if note:
        return note
    if mask_from is None:
        return "its original is not there at a compression that it has, so nothing could be compared"
    if snr is None:
        return "this frame could not be compared with its original"
    return f"signal {snr:.2f} nepers, but no region stands out"


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


def draw_pair(one: Image | None, other: Image | None) -> Image:
    """Two crops side by side; what is missing is a gray tile."""
    return np.hstack([_tile(one), np.full((TILE, _GAP, 3), 255, np.uint8), _tile(other)])


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
