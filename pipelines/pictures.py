"""Pictures of samples, read from their shards, for the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.corpus import Corpus
from pipelines.shard_folder import read_members
from schemas.params import MaskParams
from transforms.audit.checks import QUALITY
from transforms.audit.gallery import (
    MOST,
    Image,
    Pick,
    draw_strip,
    pick_examples,
    pick_unknown,
    pick_worst,
    why_unknown,
    why_weak,
)
from transforms.audit.notes import why_masks
from transforms.audit.verify_sample import IMAGES

_JPEG_QUALITY = 82
# Bytes of the pictures of one call; with base64 and all galleries the report stays under 10 MB.
_BUDGET = 2_500_000
_UNKNOWN_SHARE = 3


@dataclass(frozen=True)
class Picture:
    """A real crop, its fake and the mask side by side, with what stands under it.

    Attributes:
      method, compression, split, clip, frame, score: of the fake.
      kind: of the mask.
      said: why the mask is unknown or its score low, or what it was carried from; "" for nothing to say.
      missing: what is not there, in words; "" where all is.
      data: JPEG.
    """

    method: str
    compression: str
    split: str
    clip: str
    frame: int
    score: float
    kind: str
    said: str
    missing: str
    data: bytes


def example_pictures(corpus: Corpus, count: int, mask: MaskParams) -> list[Picture]:
    """Samples of every method at every compression, always the same ones; a clip's compressions together."""
    pictures = _pictures(corpus, pick_examples(corpus.masks, count), mask, weak=False)
    return sorted(pictures, key=lambda picture: picture.method)


def worst_pictures(corpus: Corpus, count: int, mask: MaskParams) -> tuple[list[Picture], list[Picture]]:
    """Unknown masks (a third of the pictures at most) and known ones with the lowest scores; and why."""
    count = min(max(0, count), MOST)
    unknown = pick_unknown(corpus.masks, -(-count // _UNKNOWN_SHARE))
    known = pick_worst(corpus.masks, count - len(unknown))
    pictures = _pictures(corpus, [*unknown, *known], mask, weak=True)
    return pictures[: len(unknown)], pictures[len(unknown) :]


def _pictures(corpus: Corpus, picks: Sequence[Pick], params: MaskParams, *, weak: bool) -> list[Picture]:
    notes = {
        (outcome.dataset, outcome.unit): why_masks(outcome.detail, params.train)
        for folder in corpus.folders
        for outcome in folder.outcomes
        if outcome.stage == "shard" and outcome.status == "ok" and outcome.detail
    }
    rows = {row: _row(corpus, row) for pick in picks for row in (pick.row, pick.real) if row is not None}
    wanted: dict[Path, set[str]] = {}
    for row in rows.values():
        wanted.setdefault(row["path"], set()).add(row["key"])
    members = {path: read_members(path, keys) for path, keys in sorted(wanted.items(), key=str)}
    pictures, size = [], 0
    for pick in picks:
        fake = rows[pick.row]
        real = None if pick.real is None else _image(members, rows[pick.real])
        said = _said(fake, params, notes.get((fake["dataset"], fake["unit"]), ""), weak=weak)
        picture = _picture(fake, real, members, said)
        size += len(picture.data)
        if size > _BUDGET:
            break
        pictures.append(picture)
    return pictures


def _row(corpus: Corpus, number: int) -> dict[str, Any]:
    row = corpus.masks.slice(number, 1).to_pylist()[0]
    folder = corpus.folder_of(row["sample"])
    row["unit"] = row["clip"]
    row["key"] = corpus.keys[row["sample"]].as_py()
    if len(corpus.folders) > 1:
        row["clip"] = f"{row['dataset']}/{row['clip']}"
    row["path"] = folder.path / row["shard"]
    row["prefix"] = f"{row['place']:03d}." if folder.unit == "sequence" else ""
    return row


def _said(row: dict[str, Any], params: MaskParams, note: str, *, weak: bool) -> str:
    if row["mask_kind"] == "unknown":
        return why_unknown(row["snr"], row["mask_from"], params.train, params.gate, note)
    if weak:
        return why_weak({name: row[name] for name in QUALITY}, params.gate, note)
    carried = row["mask_from"] not in (None, row["compression"])
    return "; ".join(filter(None, [f"measured on {row['mask_from']}" if carried else "", note]))


def _picture(row: dict[str, Any], real: Image | None, members: dict[Path, dict], said: str) -> Picture:
    fake, mask = _image(members, row), _mask(members, row, "mask.png")
    official = _mask(members, row, "mask.official.png")
    unknown = row["mask_kind"] == "unknown"
    lacking = {
        "no real crop of this frame": real is None,
        "image cannot be read": fake is None,
        "mask cannot be read": mask is None and not unknown,
    }
    strip = cv2.cvtColor(draw_strip(real, fake, mask, official), cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    missing = "; ".join(text for text, lacks in lacking.items() if lacks)
    names = ("method", "compression", "split", "clip", "frame", "score")
    return Picture(
        **{name: row[name] for name in names}, kind=row["mask_kind"], said=said, missing=missing, data=data
    )


def _image(members: dict[Path, dict], row: dict[str, Any]) -> Image | None:
    found = members[row["path"]].get(row["key"], {})
    data = next((found[row["prefix"] + suffix] for suffix in IMAGES if row["prefix"] + suffix in found), b"")
    image = _decode(data, cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _mask(members: dict[Path, dict], row: dict[str, Any], suffix: str) -> Image | None:
    return _decode(
        members[row["path"]].get(row["key"], {}).get(row["prefix"] + suffix, b""), cv2.IMREAD_GRAYSCALE
    )


def _decode(data: bytes, how: int) -> Image | None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    return None if image is None else np.asarray(image, np.uint8)
