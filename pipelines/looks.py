"""Looks of all shards together: which groups look alike across the split, and pictures of them."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.shard_folder import read_members
from pipelines.verification import FOLDER, LOOKS, Unit
from schemas.clip import SPLITS
from schemas.leak import Leak
from schemas.paths import as_path
from transforms.audit.gallery import MOST, Image, draw_pair
from transforms.leaks import Lookalike
from transforms.lookalike_search import Crops, Pair, find_pairs
from transforms.lookalikes import EDGE, SCHEMA, SIMILAR

_JPEG_QUALITY = 82
_THUMB = EDGE * EDGE
# Most rows of a table of the report.
_SHOWN = 100


@dataclass(frozen=True)
class Crop:
    """Where the picture of a sample is: its shard, its key and what follows the key's dot."""

    path: Path
    key: str
    member: str


@dataclass(frozen=True)
class Lookalikes:
    """Groups that look alike across the split, and where each sample that shows it is, by its key."""

    found: tuple[Lookalike, ...]
    crops: Mapping[str, Crop]


def find_lookalikes(units: Mapping[str, Unit], out: Path) -> Lookalikes:
    """What looks alike in the shards that were verified.

    Thumbnails are put into a temporary file in `out`, so that memory holds hashes and names only.
    """
    with tempfile.TemporaryFile(dir=out) as file:
        tables = []
        for number, key in enumerate(units):
            for table in _read(out / FOLDER / f"{key}{LOOKS}"):
                file.write(_bytes(table["thumb"]))
                shard = pa.array(np.full(table.num_rows, number, np.int32))
                tables.append(table.drop_columns("thumb").append_column("shard", shard))
        file.flush()
        if not tables:
            return Lookalikes((), {})
        looks = pa.concat_tables(tables).combine_chunks()
        thumbs = np.memmap(file, np.uint8, "r", shape=(looks.num_rows, _THUMB))
        pairs, groups = _search(looks, thumbs)
    folders = [as_path(unit.folder) / unit.entry.url for unit in units.values()]
    return _describe(looks, pairs, groups, folders)


def _read(path: Path) -> Iterator[pa.Table]:
    if path.exists():
        table = pq.read_table(path, partitioning=None)
        if table.num_rows and table.schema.equals(SCHEMA):
            yield table


def _bytes(column: pa.ChunkedArray) -> bytes:
    return b"".join(column.to_pylist())


def _search(looks: pa.Table, thumbs: np.ndarray) -> tuple[list[Pair], np.ndarray]:
    names = pa.compute.binary_join_element_wise(looks["dataset"], looks["group"], "/").combine_chunks()
    groups = names.dictionary_encode().indices.to_numpy().astype(np.int64)
    splits = np.zeros(looks.num_rows, np.int64)
    for number, split in enumerate(SPLITS):
        splits[pa.compute.equal(looks["split"], split).to_numpy()] = number
    hashes = np.frombuffer(_bytes(looks["hash"]), np.uint8).reshape(-1, 32)
    return find_pairs(Crops(hashes, thumbs, splits, groups)), groups


def _describe(
    looks: pa.Table, pairs: Sequence[Pair], groups: np.ndarray, shards: Sequence[Path]
) -> Lookalikes:
    """One lookalike for each two groups: their most similar crops stand for it."""
    by_groups: dict[tuple[int, int], list[Pair]] = {}
    for pair in pairs:
        by_groups.setdefault((int(groups[pair.one]), int(groups[pair.other])), []).append(pair)
    found, crops = [], {}
    for same in by_groups.values():
        best = max(same, key=lambda pair: pair.similarity)
        rows = looks.take([best.one, best.other]).to_pylist()
        for row in rows:
            crops[row["key"]] = Crop(shards[row["shard"]], row["key"], row["member"])
        clips = (
            len({*looks["clip"].take([pair.one for pair in same]).to_pylist()}),
            len({*looks["clip"].take([pair.other for pair in same]).to_pylist()}),
        )
        one, other = rows
        found.append(
            Lookalike(
                groups=(f"{one['dataset']}/{one['group']}", f"{other['dataset']}/{other['group']}"),
                splits=(one["split"], other["split"]),
                clips=(f"{one['dataset']}/{one['clip']}", f"{other['dataset']}/{other['clip']}"),
                samples=(one["key"], other["key"]),
                counts=clips,
                similarity=round(best.similarity, 3),
            )
        )
    return Lookalikes(tuple(sorted(found, key=lambda pair: pair.groups)), crops)


def show_leaks(leaked: Sequence[Leak], crops: Mapping[str, Crop], gallery: int) -> dict[str, Any]:
    """What the report shows of leaks: some identities and lookalikes, and pictures of the latter."""
    named = [leak for leak in leaked if leak.kind == "identity"]
    alike = [leak for leak in leaked if leak.kind == "lookalike"]
    pictured = alike[: max(0, min(gallery, MOST))]
    return {
        "leaks": named[:_SHOWN],
        "leaks_left": max(0, len(named) - _SHOWN),
        "alike": alike[:_SHOWN],
        "alike_left": max(0, len(alike) - _SHOWN),
        "pairs": list(zip(pictured, _draw([leak.samples for leak in pictured], crops), strict=True)),
        "similar": SIMILAR,
    }


def _draw(pairs: Sequence[tuple[str, ...]], crops: Mapping[str, Crop]) -> list[bytes]:
    """A JPEG of each pair of samples, side by side; gray where one cannot be read."""
    wanted: dict[Path, set[str]] = {}
    for key in (key for pair in pairs for key in pair):
        wanted.setdefault(crops[key].path, set()).add(key)
    members = {path: read_members(path, keys) for path, keys in sorted(wanted.items(), key=str)}
    pictures = []
    for pair in pairs:
        data = [members[crops[key].path].get(key, {}).get(crops[key].member, b"") for key in pair]
        strip = draw_pair(*(_decode(part) for part in data))
        pictures.append(cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
    return pictures


def _decode(data: bytes) -> Image | None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    return None if image is None else np.asarray(image, np.uint8)
