"""A folder of shards as the shard stage leaves it: reading what stands beside the tars."""

import contextlib
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from schemas import SCHEMA_VERSION, stores
from schemas.clip import Clip
from schemas.convert import index_schema
from schemas.errors import UsageError
from schemas.files import open_read, read_bytes, read_rows, readable
from schemas.outcome import Outcome
from schemas.paths import is_url
from schemas.plan import PlannedClip
from schemas.sample import Sample, SequenceSample
from transforms.audit.checks import CATEGORIES, COLUMNS
from transforms.audit.verify import LARGEST_MEMBER, ShardEntry
from transforms.audit.verify_sample import IMAGES

KIND = "wids-shard-index-v1"
RECORDS: dict[str, type] = {"frame": Sample, "sequence": SequenceSample}
_OUTCOMES = (
    ("index", "clips.outcomes.parquet"),
    ("track", "tracks.outcomes.parquet"),
    ("shard", "outcomes.parquet"),
)
_REMEDY = "name a folder that the shard stage made"


@dataclass(frozen=True)
class ShardFolder:
    """What stands beside the tars.

    Attributes:
      path: of the folder.
      dataset: its name.
      unit: "frame" or "sequence".
      terms: the dataset's terms of use.
      entries: of the shards, as `index.json` lists them.
      clips: what the dataset holds.
      plan: which clip goes to which shard.
      outcomes: of index, track and shard.
    """

    path: Path
    dataset: str
    unit: str
    terms: str
    entries: tuple[ShardEntry, ...]
    clips: tuple[Clip, ...]
    plan: tuple[PlannedClip, ...]
    outcomes: tuple[Outcome, ...]


def read_folder(path: Path) -> ShardFolder:
    """Read a folder of shards, but not its samples.

    Raises:
      UsageError: if it is not one, or one of another version.
    """
    if not is_url(path) and not path.is_dir():
        raise UsageError(f"--shards {path}: no such folder; {_REMEDY}")
    index = _read_index(path / "index.json")
    unit = index.get("unit")
    if index.get("__kind__") != KIND or unit not in RECORDS or "dataset" not in index:
        said = f"__kind__ {index.get('__kind__')!r}, unit {unit!r}, dataset {index.get('dataset')!r}"
        raise UsageError(f"{path / 'index.json'}: not an index of our shards ({said}); {_REMEDY}")
    if index.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"{path / 'index.json'}: schema_version is {index.get('schema_version')!r}, this code reads "
            f"{SCHEMA_VERSION}; run the shard stage of this version, or audit with the version that made it"
        )
    folder = ShardFolder(
        path=path,
        dataset=str(index["dataset"]),
        unit=unit,
        terms=str(index.get("terms") or ""),
        entries=tuple(_entry(path, unit, item) for item in _list(path, index.get("shardlist"))),
        clips=tuple(read_rows(path / "clips.parquet", Clip)),
        plan=tuple(read_rows(path / "plan.parquet", PlannedClip)),
        outcomes=tuple(
            outcome
            for stage, name in _OUTCOMES
            for outcome in read_rows(path / name, Outcome)
            if outcome.stage == stage
        ),
    )
    _check_columns(path / "index.parquet", unit)
    return folder


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index = json.loads(read_bytes(path))
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file, so {path.parent} holds no finished shards; {_REMEDY}, "
            "or let the shard stage run to its end"
        ) from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: not readable JSON ({error}); run the shard stage again") from None
    if not isinstance(index, dict):
        raise UsageError(f"{path}: holds a {type(index).__name__}, not an index of our shards; {_REMEDY}")
    return index


def _list(path: Path, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(
            f"{path / 'index.json'}: shardlist is {value!r}, not a list; run the shard stage again"
        )
    return value


def _entry(path: Path, unit: str, item: Any) -> ShardEntry:
    try:
        url, name = item["url"], PurePosixPath(item["url"])
        if name.is_absolute() or ".." in name.parts or name.suffix != ".tar":
            raise ValueError("must be a tar in this folder")
        return ShardEntry(url, int(item["nsamples"]), int(item["filesize"]), str(item["sha256"]), unit)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path / 'index.json'}: not a shard: {item!r} ({error!r}); run the shard stage again"
        ) from None


def _check_columns(path: Path, unit: str) -> None:
    try:
        found = pq.read_schema(readable(path))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; run the shard stage again") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(
            f"{path}: not a readable Parquet file ({error}); run the shard stage again"
        ) from None
    problem = differs(found, unit)
    if problem:
        raise UsageError(f"{path}: {problem}; run the shard stage again")


def differs(found: pa.Schema, unit: str) -> str:
    """How columns differ from those that an index has; "" where they do not."""
    record = RECORDS[unit]
    expected = index_schema(record)
    if found.equals(expected, check_metadata=False):
        return ""
    names = sorted(set(found.names) ^ set(expected.names)) or [
        name for name in expected.names if found.field(name) != expected.field(name)
    ]
    what = ", ".join(names) or "their order"
    return f"its columns are not those of {record.__name__} and shard (differs in {what})"


def read_index_table(folder: ShardFolder) -> pa.Table:
    """The columns of `index.parquet` that the audit looks at; names are dictionary-encoded."""
    return pq.read_table(
        readable(folder.path / "index.parquet"),
        columns=list(COLUMNS),
        read_dictionary=[*CATEGORIES, "mask_kind"],
    )


def read_keys(folder: ShardFolder) -> pa.ChunkedArray:
    """The keys of `index.parquet`, in its order."""
    return pq.read_table(readable(folder.path / "index.parquet"), columns=["key"]).column("key")


def read_shard_rows(path: Path, unit: str) -> pa.Table:
    """The rows beside a shard.

    Raises:
      ValueError: if they cannot be read, or are not those of a sample's record.
    """
    try:
        table = pq.read_table(readable(path), partitioning=None)
    except FileNotFoundError:
        raise ValueError(f"{path.name}: no such file") from None
    except (pa.ArrowInvalid, OSError):
        raise ValueError(f"{path.name}: not a readable Parquet file") from None
    problem = differs(table.schema, unit)
    if problem:
        raise ValueError(f"{path.name}: {problem}")
    return table


def list_tars(folder: Path) -> list[str]:
    """All tars below a folder, by their path in it."""
    if is_url(folder):
        return [name for name in stores.list_files(folder) if name.endswith(".tar")]
    return [str(path.relative_to(folder)) for path in folder.rglob("*.tar")]


def index_dataset(folder: ShardFolder) -> ds.Dataset:
    """`index.parquet`, to be read shard by shard."""
    path = folder.path / "index.parquet"
    if is_url(path):
        store, name = stores.split(path)
        return ds.dataset(name, format="parquet", filesystem=store)
    return ds.dataset(path, format="parquet")


class IndexRows:
    """The rows of `index.parquet`, shard by shard: each is a row group, and none is looked for among all."""

    def __init__(self, folder: ShardFolder):
        path = folder.path / "index.parquet"
        self._file = pq.ParquetFile(stores.open_stream(path) if is_url(path) else path)
        # Of its leaves, which are more than its columns.
        column = [self._file.schema.column(n).path for n in range(len(self._file.schema))].index("shard")
        self._groups: dict[str, list[int]] = {}
        self._mixed: list[int] = []
        for number in range(self._file.num_row_groups):
            said = self._file.metadata.row_group(number).column(column).statistics
            if said is not None and said.has_min_max and said.min == said.max:
                self._groups.setdefault(said.min, []).append(number)
            else:
                self._mixed.append(number)

    def of(self, url: str) -> pa.Table:
        """The rows that name a shard, in their order."""
        rows = self._file.read_row_groups(sorted([*self._groups.get(url, ()), *self._mixed]))
        return rows.filter(pc.equal(rows["shard"], url)) if self._mixed else rows


def image_member(folder: ShardFolder) -> str:
    """What follows the key's dot in the name of a sample's (first) image."""
    for entry in folder.entries:
        with (
            contextlib.suppress(tarfile.TarError, OSError, EOFError),
            open_read(folder.path / entry.url) as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            for info in tar:
                suffix = info.name.partition(".")[2]
                if suffix.endswith(IMAGES) and "mask" not in suffix:
                    return suffix
    return "jpg" if folder.unit == "frame" else "000.jpg"


def read_members(path: Path, keys: Iterable[str]) -> dict[str, dict[str, bytes]]:
    """Members of some samples of a shard, by key and suffix; what cannot be read is left out."""
    wanted, found = set(keys), {}  # type: ignore[var-annotated]
    with (
        contextlib.suppress(tarfile.TarError, OSError, EOFError),
        open_read(path) as file,
        tarfile.open(fileobj=file, mode="r:") as tar,
    ):
        for info in tar:
            key, _, suffix = info.name.partition(".")
            if key in wanted and info.size <= LARGEST_MEMBER:
                member = tar.extractfile(info)
                found.setdefault(key, {})[suffix] = b"" if member is None else member.read()
            elif len(found) == len(wanted):
                break
    return found
