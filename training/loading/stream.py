"""Reading encoded samples from shards, once and in order, with what is broken said or counted."""

import contextlib
import dataclasses
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from webdataset.tariterators import base_plus_ext, group_by_keys, tar_file_expander, url_opener

from schemas.errors import UsageError
from training.loading.pool import Pool, is_url

_IMAGES = ("jpg", "png")
_PICTURES = tuple(f".{suffix}" for suffix in _IMAGES)
_MASK = "mask.png"
_UNREADABLE = (OSError, ValueError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError)
_REMEDY = "copy the shard again, or have what is broken skipped and counted (--skip-broken)"

Encoded = tuple[bytes, bytes | None]


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the samples of a pool are.

    Attributes:
      pool: of the samples; their keys stay in Arrow, and those of one shard at a time become a dict.
      shards: path or URL of each shard.
      starts: (S + 1,) first row of each shard.
      shard_of: (N,) number of each row's shard.
      fake: (N,) whether it is one.
      known: (N,) whether its mask is known.
      masked: (N,) whether a mask must be decoded: it is known, and not zero everywhere by definition.
    """

    pool: Pool
    shards: tuple[str, ...]
    starts: np.ndarray
    shard_of: np.ndarray
    fake: np.ndarray
    known: np.ndarray
    masked: np.ndarray


def locate(pool: Pool) -> Source:
    """Where the samples of a pool are."""
    names = pool.column("shard")
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    ends = np.r_[starts, len(names)]
    kinds = pool.column("mask_kind").astype(str)
    return Source(
        pool=pool,
        shards=tuple(names[starts]),
        starts=ends,
        shard_of=np.repeat(np.arange(len(starts), dtype=np.int32), np.diff(ends)),
        fake=pool.column("label").astype(str) == "fake",
        known=kinds != "unknown",
        masked=~np.isin(kinds, ("unknown", "all_zero")),
    )


@dataclasses.dataclass(frozen=True)
class Skips:
    """What happens to samples that cannot be read: they end the run, or are counted.

    Attributes:
      allowed: whether they are skipped.
      counts: int64 (consumers, S), in memory that all workers share; each writes its own row.
      consumer: whose row this is.
    """

    allowed: bool
    counts: Tensor
    consumer: int = 0

    def lost(self, source: Source, shard: int, problem: str, samples: int = 1) -> None:
        """Note samples that cannot be read.

        Raises:
          UsageError: if none may be skipped.
        """
        if not self.allowed:
            raise UsageError(f"{source.shards[shard]}: {problem}; {_REMEDY}")
        self.counts[self.consumer, shard] += samples


def lose(source: Source, row: int, problem: str, skips: Skips) -> None:
    """Note a sample that was read but cannot be used.

    Raises:
      UsageError: if none may be skipped.
    """
    key = source.pool.table.column("key")[row].as_py()
    skips.lost(source, int(source.shard_of[row]), f"{key}: {problem}")


def odd_shards(source: Source) -> dict[int, str]:
    """What is wrong with local shards as far as their sizes tell: number and problem."""
    found = {}
    for number, shard in enumerate(source.shards):
        if is_url(shard):
            continue
        try:
            size = Path(shard).stat().st_size
        except OSError as error:
            found[number] = f"cannot be read ({error.strerror})"
            continue
        if size != source.pool.sizes[shard]:
            found[number] = (
                f"has {size:,} bytes, index.json says {source.pool.sizes[shard]:,}: it is cut or changed"
            )
    return found


def check_shards(source: Source) -> None:
    """Refuse local shards that are missing, or are not as large as their index says.

    Raises:
      UsageError: naming the first of them.
    """
    for number, problem in odd_shards(source).items():
        raise UsageError(f"{source.shards[number]}: {problem}; {_REMEDY}")


def read_rows(source: Source, rows: np.ndarray, skips: Skips) -> Iterator[tuple[int, Encoded | None]]:
    """Each of the rows exactly once, in the order of their shards in `rows`; None for one that is lost.

    Reads every shard once, and no further than the last row that is asked for. Holds one sample.
    """
    shards = source.shard_of[rows]
    for part in np.split(rows, np.flatnonzero(np.diff(shards)) + 1):
        if not len(part):
            continue
        shard = int(source.shard_of[part[0]])
        first, end = int(source.starts[shard]), int(source.starts[shard + 1])
        keys = source.pool.table.column("key").slice(first, end - first).to_pylist()
        wanted = {keys[row - first]: row for row in part.tolist()}
        problems: list[Exception] = []
        yield from _read_shard(source, shard, wanted, skips, problems)
        if wanted:
            problem = "has fewer samples than its index"
            if problems:
                problem = f"cannot be read to its end ({_say(problems[0])})"
            missing = f"{len(wanted):,} of {len(part):,} are missing, such as {next(iter(wanted))}"
            skips.lost(source, shard, f"{problem}: {missing}", len(wanted))
            yield from ((row, None) for row in wanted.values())


def _say(error: Exception) -> str:
    """What went wrong, without the objects that webdataset adds to it."""
    said = getattr(error, "strerror", None) or (str(error.args[0]) if error.args else type(error).__name__)
    return str(said).split(" @ ")[0]


def _read_shard(
    source: Source, shard: int, wanted: dict[str, int], skips: Skips, problems: list[Exception]
) -> Iterator[tuple[int, Encoded | None]]:
    """The wanted samples in the tar's order; what is read leaves `wanted`, what stops it joins `problems`."""
    last = ""

    def select(name: str) -> bool:
        nonlocal last
        if not name.endswith(_PICTURES):
            return False
        key, suffix = base_plus_ext(name)
        row = wanted.get(key)
        if row is None:
            return last in wanted and len(wanted) == 1  # It ends the last one that is wanted.
        last = key
        return suffix in _IMAGES or (suffix == _MASK and bool(source.masked[row]))

    def stop(error: Exception) -> bool:
        if not isinstance(error, _UNREADABLE):
            raise error
        problems.append(error)
        return False

    with contextlib.ExitStack() as stack:
        for opened in url_opener([{"url": source.shards[shard]}], handler=stop):
            stack.callback(_close, opened["stream"])
            members = tar_file_expander([opened], handler=stop, select_files=select)
            for sample in group_by_keys(members, handler=stop):
                row = wanted[sample["__key__"]]
                image = next((sample[name] for name in _IMAGES if name in sample), None)
                mask = sample.get(_MASK)
                if image is not None and (mask is not None or not source.masked[row]):
                    del wanted[sample["__key__"]]
                    yield row, (image, mask)
                elif not problems:
                    del wanted[sample["__key__"]]
                    what = "image" if image is None else "mask"
                    lose(source, row, f"it has no {what}, though the index says so", skips)
                    yield row, None
                if not wanted:
                    return


def _close(stream: Any) -> None:
    with contextlib.suppress(OSError):  # a pipe's command that was stopped before its end
        stream.close()


def find_present(source: Source, skips: Skips) -> np.ndarray:
    """Which rows are there, (N,) bool, as far as the shards' sizes tell; counts the others.

    Local shards of another size than their index says are read to where they can be.
    """
    present = np.ones(len(source.pool), bool)
    for shard in odd_shards(source):
        rows = np.arange(source.starts[shard], source.starts[shard + 1])
        for row, encoded in read_rows(source, rows, skips):
            present[row] = encoded is not None
    return present


class Held:
    """Encoded samples from when they are read until their last use.

    Args:
      streams: for each kind of units, its rows as they come; kinds may share one.
      uses: how often each row will be asked for.
    """

    def __init__(self, streams: Mapping[str, Iterator[tuple[int, Encoded | None]]], uses: dict[int, int]):
        self._streams = streams
        self._uses = uses
        self._held: dict[int, Encoded | None] = {}

    def take(self, kind: str, row: int) -> Encoded | None:
        """A row's sample, None if it is lost; reads on until it comes."""
        while row not in self._held:
            came, encoded = next(self._streams[kind])
            self._held[came] = encoded
        encoded = self._held[row]
        self._uses[row] -= 1
        if not self._uses[row]:
            del self._held[row], self._uses[row]
        return encoded


def first_good(
    read: Iterable[tuple[int, Encoded | None]], units: np.ndarray, good: Callable[[Encoded], bool], most: int
) -> list[tuple[list[int], list[Encoded]]]:
    """The first units of a stream, at most `most`, whose samples are all there and good: rows and samples."""
    units_of: dict[int, list[list[int]]] = {}
    for unit in units.tolist():
        for row in unit:
            units_of.setdefault(row, []).append(unit)
    seen: dict[int, Encoded] = {}
    found: list[tuple[list[int], list[Encoded]]] = []
    for row, encoded in read:
        if encoded is None or not good(encoded):
            continue
        seen[row] = encoded
        found += [(unit, [seen[r] for r in unit]) for unit in units_of[row] if all(r in seen for r in unit)]
        if len(found) >= most:
            break
    return found[:most]
