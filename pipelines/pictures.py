"""Pictures of samples, read from their shards, for the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.corpus import Corpus
from pipelines.shard_folder import read_members
from transforms.audit.checks import QUALITY
from transforms.audit.gallery import Image, Pick, draw_strip, pick_examples, pick_worst, why_weak
from transforms.audit.verify_sample import IMAGES

_JPEG_QUALITY = 82
# Bytes of one gallery's pictures; with base64 and both galleries the report stays under 10 MB.
_BUDGET = 2_500_000


@dataclass(frozen=True)
class Picture:
    """A real crop, its fake and the mask side by side, with what stands under it.

    Attributes:
      method, compression, split, clip, frame, score: of the fake.
      said: what to know of it: the mask's kind, or why its score is low.
      missing: what is not there, in words; "" where all is.
      data: JPEG.
    """

    method: str
    compression: str
    split: str
    clip: str
    frame: int
    score: float
    said: str
    missing: str
    data: bytes


def example_pictures(corpus: Corpus, count: int) -> list[Picture]:
    """Some samples of every method, always the same ones."""
    return _pictures(corpus, pick_examples(corpus.masks, count), gate=None)


def worst_pictures(corpus: Corpus, count: int, gate: float) -> list[Picture]:
    """Known masks with the lowest scores, worst first, and why."""
    return _pictures(corpus, pick_worst(corpus.masks, count), gate)


def _pictures(corpus: Corpus, picks: Sequence[Pick], gate: float | None) -> list[Picture]:
    rows = {row: _row(corpus, row) for pick in picks for row in (pick.row, pick.real) if row is not None}
    wanted: dict[Path, set[str]] = {}
    for row in rows.values():
        wanted.setdefault(row["path"], set()).add(row["key"])
    members = {path: read_members(path, keys) for path, keys in sorted(wanted.items())}
    pictures, size = [], 0
    for pick in picks:
        fake = rows[pick.row]
        real = None if pick.real is None else _image(members, rows[pick.real])
        picture = _picture(fake, real, members, gate)
        size += len(picture.data)
        if size > _BUDGET:
            break
        pictures.append(picture)
    return pictures


def _row(corpus: Corpus, number: int) -> dict[str, Any]:
    row = corpus.masks.slice(number, 1).to_pylist()[0]
    folder = corpus.folder_of(row["sample"])
    row["key"] = corpus.keys[row["sample"]].as_py()
    if len(corpus.folders) > 1:
        row["clip"] = f"{row['dataset']}/{row['clip']}"
    row["path"] = folder.path / row["shard"]
    row["prefix"] = f"{row['place']:03d}." if folder.unit == "sequence" else ""
    return row


def _picture(
    row: dict[str, Any], real: Image | None, members: dict[Path, dict], gate: float | None
) -> Picture:
    fake, mask = _image(members, row), _mask(members, row, "mask.png")
    official = _mask(members, row, "mask.official.png")
    unknown = row["mask_kind"] == "unknown"
    lacking = {
        "no real crop of this frame": real is None,
        "image cannot be read": fake is None,
        "mask cannot be read": mask is None and not unknown,
    }
    said = "mask unknown" if unknown else f"{row['mask_kind']} mask"
    if gate is not None:
        said = why_weak({name: row[name] for name in QUALITY}, gate)
    elif row["mask_from"] not in (None, row["compression"]):
        said += f", from {row['mask_from']}"
    strip = cv2.cvtColor(draw_strip(real, fake, mask, official), cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    missing = "; ".join(text for text, lacks in lacking.items() if lacks)
    names = ("method", "compression", "split", "clip", "frame", "score")
    return Picture(**{name: row[name] for name in names}, said=said, missing=missing, data=data)


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
