"""The samples that a run may draw from: rows of shard indexes, chosen by split and filter."""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas import SCHEMA_VERSION
from schemas.convert import index_schema
from schemas.digest import digest
from schemas.errors import UsageError
from schemas.sample import Sample
from training.loading.urls import open_url

_REMEDY = "name a folder that the shard stage made"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
# A URL may end in a shell (`pipe:`), so that what an index adds to it holds nothing that a shell reads.
_NAME = re.compile(r"[A-Za-z0-9_./=+,@%-]+\.tar")


class NoSamplesError(UsageError):
    """Folders, split and filter are sound, and leave nothing."""


@dataclasses.dataclass(frozen=True)
class Pool:
    """Samples, and the shards that hold them.

    Holds the chosen rows of `index.parquet` as Arrow: about 0.5 kB a sample, and no pixels.

    Attributes:
      table: a row a sample, those of a shard together; columns of `Sample`, and `shard`: absolute path or URL
        of the tar.
      folders: as given.
      digest: of the folders' indexes and the filters: what a run was trained on.
      sizes: bytes of each shard, as `index.json` says.
      said: the split and the filter, in words.
    """

    table: pa.Table
    folders: tuple[str, ...]
    digest: str
    sizes: Mapping[str, int]
    said: str = "all splits"

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> np.ndarray:
        """A column's values, (N,); strings and structs as objects, nulls of numbers as NaN."""
        return cast(np.ndarray, self.table.column(name).to_numpy())

    def take(self, chosen: np.ndarray | Sequence[int] | Sequence[bool]) -> "Pool":
        """The pool of some rows, by number or by a mask, in this pool's order; rows are numbered anew."""
        rows = np.asarray(chosen)
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.sort(rows.astype(np.int64))
        table = self.table.take(pa.array(rows))
        return dataclasses.replace(
            self, table=table, digest=digest(self.digest, table.column("key").to_pylist())
        )


def is_url(folder: str) -> bool:
    """Whether it is opened by its scheme (`https:`, `s3:`, `pipe:`, `file:`), not as a local path."""
    return bool(_URL.match(folder))


def read_pool(shards: Sequence[str | Path], where: str = "", split: str | None = "train") -> Pool:
    """Choose samples by the indexes of one or more folders of shards.

    Args:
      shards: folders, or URL prefixes of such (`https://host/shards`, `s3://bucket/shards`,
        `pipe:cat /mnt/shards`).
      where: pandas query over the index's columns; those of `mask_quality` are named with backticks:
        "method in ('real', 'Face2Face') and `mask_quality.score` > 0.5".
      split: "train", "val" or "test"; None for all.

    Raises:
      UsageError: if a folder is not one of finished shards of frames of this schema version, the filter
        cannot be used, or what it chooses holds a key twice or a group in two splits.
      NoSamplesError: if split and filter leave nothing.
    """
    folders = tuple(str(folder).rstrip("/") or "/" for folder in shards)
    if not folders:
        raise UsageError(f"--shards: none is given; {_REMEDY}")
    parts, sizes, read = [], {}, []
    for folder in folders:
        table, listed, seen = _read_folder(folder)
        parts.append(table)
        sizes.update(listed)
        read.append(seen)
    table = pa.concat_tables(parts)
    found = table.num_rows
    of_split = found if split is None else pc.sum(pc.equal(table["split"], split)).as_py() or 0
    if where.strip():
        table = table.filter(pa.array(_matches(table, where)))
    _check_keys(table, folders)
    _check_groups(table, folders)
    if split is not None:
        table = table.filter(pc.equal(table["split"], split))
    said = f"split {split!r}" if split is not None else "all splits"
    said += f", --where {where!r}" if where.strip() else ""
    if not table.num_rows:
        raise NoSamplesError(
            f"--shards {', '.join(folders)}: no sample is left of {found:,}: {said.split(',')[0]} leaves "
            f"{of_split:,}{f', --where {where!r} leaves 0' if where.strip() else ''}; "
            f"widen the filter, or name other shards{_seen(pa.concat_tables(parts), where)}"
        )
    return Pool(_by_shard(table).combine_chunks(), folders, digest(read, where, split), sizes, said)


def _read_folder(folder: str) -> tuple[pa.Table, dict[str, int], list[str]]:
    """Its index with full shard names, the shards' sizes, and SHA-256 of both index files."""
    name = f"{folder}/index.json"
    raw = _read_file(folder, "index.json")
    try:
        index = json.loads(raw)
        if not isinstance(index, dict) or not isinstance(index.get("shardlist"), list):
            raise ValueError("not an index of our shards")
    except ValueError as error:
        raise UsageError(
            f"{name}: not readable JSON of an index ({error}); run the shard stage again"
        ) from None
    if index.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"{name}: schema_version is {index.get('schema_version')!r}, this code reads {SCHEMA_VERSION}; "
            "run the shard stage of this version, or train with the version that made the shards"
        )
    if index.get("unit") != "frame":
        raise UsageError(
            f"{name}: unit is {index.get('unit')!r}, training reads 'frame'; "
            "run the shard stage with shard.unit: frame"
        )
    shards = dict(_shard(name, item) for item in index["shardlist"])
    rows = _read_file(folder, "index.parquet")
    table = _parse(f"{folder}/index.parquet", rows)
    counts = {item["values"]: item["counts"] for item in pc.value_counts(table["shard"]).to_pylist()}
    listed = {url: samples for url, (samples, _) in shards.items() if samples}
    if counts != listed:
        odd = sorted(url for url in counts.keys() | listed.keys() if counts.get(url) != listed.get(url))
        raise UsageError(
            f"{folder}: index.parquet and index.json differ in the samples of {odd[0]} "
            f"({counts.get(odd[0], 0)} and {listed.get(odd[0], 0)}); run the shard stage again"
        )
    full = {url: _join(folder, url) for url in shards}
    column = pa.array([full[url] for url in table["shard"].to_pylist()], pa.string())
    table = table.set_column(table.schema.get_field_index("shard"), "shard", column)
    sizes = {full[url]: size for url, (_, size) in shards.items()}
    return table, sizes, [hashlib.sha256(data).hexdigest() for data in (raw, rows)]


def _read_file(folder: str, name: str) -> bytes:
    """A file of a folder, local or not, into memory."""
    if not is_url(folder) and not Path(folder).is_dir():
        raise UsageError(f"--shards {folder}: no such folder; {_REMEDY}")
    path = _join(folder, name)
    try:
        with open_url(path) as stream:
            return bytes(stream.read())
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{folder}/{name}: cannot be read ({said}), so these are no finished shards; {_REMEDY}, "
            "or let the shard stage run to its end"
        ) from None


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if is_url(folder) else os.path.normpath(Path(folder).absolute() / name)


def _shard(index: str, item: Any) -> tuple[str, tuple[int, int]]:
    """A shard's URL, samples and bytes."""
    try:
        url, name = item["url"], PurePosixPath(item["url"])
        if name.is_absolute() or ".." in name.parts or not _NAME.fullmatch(url):
            raise ValueError("must be a tar in this folder")
        return url, (int(item["nsamples"]), int(item["filesize"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{index}: not a shard: {item!r} ({error}); run the shard stage again") from None


def _parse(path: str, data: bytes) -> pa.Table:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{path}: not a readable Parquet file ({error}); run the shard stage again"
        ) from None
    expected = index_schema(Sample)
    if not table.schema.equals(expected, check_metadata=False):
        differ = sorted(set(expected.names) ^ set(table.schema.names)) or "types"
        raise UsageError(
            f"{path}: its columns are not those of an index of frames (differs in {differ}); "
            "run the shard stage again"
        )
    return table.replace_schema_metadata(None)


def _matches(table: pa.Table, where: str) -> np.ndarray:
    """Which rows a pandas query names."""
    flat = table.flatten()
    flat = flat.select([field.name for field in flat.schema if not pa.types.is_list(field.type)])
    try:
        answer = flat.to_pandas().eval(where, engine="python", local_dict={}, global_dict={})
    except Exception as error:  # pandas raises whatever the expression's parts do
        raise UsageError(
            f"--where {where!r}: {type(error).__name__}: {error}; it is a pandas query over the columns "
            f"{', '.join(flat.column_names)}, such as \"method in ('real', 'Face2Face')\""
        ) from None
    chosen = np.asarray(answer)
    if chosen.dtype != bool or chosen.shape != (table.num_rows,):
        raise UsageError(
            f"--where {where!r}: is not true or false of each sample; compare a column with a value, "
            "such as \"compression == 'c23'\""
        )
    return chosen


def _seen(table: pa.Table, where: str) -> str:
    """What the columns hold that a filter names."""
    named = [name for name in ("dataset", "method", "compression", "label", "split") if name in where]
    values = (f"{name} is one of {', '.join(sorted(pc.unique(table[name]).to_pylist()))}" for name in named)
    return "".join(f"; {text}" for text in values)


def _check_keys(table: pa.Table, folders: tuple[str, ...]) -> None:
    counts = pc.value_counts(table["key"])
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        key = twice[0]["values"].as_py()
        shards = table.filter(pc.equal(table["key"], key))["shard"].to_pylist()
        raise UsageError(
            f"--shards {', '.join(folders)}: {len(twice):,} samples are there twice, such as {key} in "
            f"{' and '.join(shards)}; name each folder once, or choose with --where"
        )


def _check_groups(table: pa.Table, folders: tuple[str, ...]) -> None:
    """A source group may have one split only, or a model is tested on faces that it was trained on."""
    splits = table.group_by(["dataset", "group"]).aggregate([("split", "count_distinct")])
    torn = (
        splits.filter(pc.greater(splits["split_count_distinct"], 1)).select(["dataset", "group"]).to_pylist()
    )
    if torn:
        dataset, group = torn[0].values()
        mine = table.filter(pc.and_(pc.equal(table["dataset"], dataset), pc.equal(table["group"], group)))
        where = {row["split"]: row["shard"] for row in mine.select(["split", "shard"]).to_pylist()}
        said = " and ".join(f"{split} ({shard})" for split, shard in sorted(where.items()))
        raise UsageError(
            f"--shards {', '.join(folders)}: {len(torn):,} source groups are in more than one split, such as "
            f"group {group} of {dataset} in {said}; choose with --where, or make the folders with the same "
            "splits"
        )


def _by_shard(table: pa.Table) -> pa.Table:
    """The rows, those of a shard together."""
    codes = table["shard"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    return table if (np.diff(codes) >= 0).all() else table.take(pa.array(order))
