"""Verification of one shard: its bytes against its entry in `index.json` and its rows."""

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc

from transforms.audit.findings import Findings
from transforms.audit.verify_sample import check_sample

LARGEST_MEMBER = 64 << 20
_BLOCK = 512


@dataclass(frozen=True)
class ShardEntry:
    """What `index.json` says of a shard; `unit` is "frame" or "sequence"."""

    url: str
    samples: int
    bytes: int
    sha256: str
    unit: str


def verify_shard(
    file: BinaryIO,
    entry: ShardEntry,
    rows: pa.Table,
    see: Callable[[str, Mapping[str, bytes]], None] | None = None,
) -> tuple[Findings, int]:
    """Read a shard to its end and compare it with its entry and its rows.

    Holds one sample at a time; whatever the bytes are, the answer is findings and not an exception.

    Args:
      file: the tar.
      entry: its entry in `index.json`.
      rows: its rows, with the columns of `schemas.Sample` or `schemas.SequenceSample`, and `shard`.
      see: is shown each sample that has a row: its key, and its members by what follows the key's dot.

    Returns:
      What is wrong, and how many samples the tar holds.
    """
    findings, reader, samples = Findings(entry.url), _Reader(file), 0
    expected = _Rows(rows.drop_columns("shard"))
    elsewhere = pc.sum(pc.not_equal(rows["shard"], entry.url)).as_py()
    if elsewhere:
        detail = "the rows beside the shard name another one; build the shard again"
        findings.add("rows", "", detail, elsewhere)
    try:
        with tarfile.open(fileobj=cast(BinaryIO, reader), mode="r|", bufsize=1 << 20) as tar:
            for key, members in _samples(tar, reader, findings):
                samples += 1
                row = expected.take(key, findings)
                if row is not None:
                    check_sample(key, members, row, entry.unit, findings)
                    if see is not None:
                        see(key, members)
        reader.drain()
        _check_end(reader, findings)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        findings.add("unreadable", "", f"stops after {samples} samples: {error}; build the shard again")
        reader.drain()
    if reader.size != entry.bytes:
        findings.add("size", "", f"{reader.size} bytes, index.json says {entry.bytes}; build the shard again")
    elif reader.sha256.hexdigest() != entry.sha256:
        detail = f"{reader.sha256.hexdigest()}, index.json says {entry.sha256}: its bytes changed"
        findings.add("sha256", "", f"{detail}; restore the shard (dvc checkout) or build it again")
    if samples != entry.samples:
        findings.add(
            "samples", "", f"{samples} samples, index.json says {entry.samples}; build the shard again"
        )
    missing = expected.left()
    if missing:
        findings.add(
            "missing_sample", missing[0], "in the index, not in the tar; build the shard again", len(missing)
        )
    return findings, samples


class _Reader:
    """Reads a file once, counts and hashes it; knows where its last member and its last data end."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.size = 0
        self.data_end = 0
        self.member_end = 0
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        used = len(block.rstrip(b"\0"))
        if used:
            self.data_end = self.size + used
        self.size += len(block)
        self.sha256.update(block)
        return block

    def drain(self) -> None:
        try:
            while self.read(1 << 20):
                pass
        except OSError:
            return  # The size that was counted tells.


class _Rows:
    """Rows by key, converted some at a time: shards are in the order of their rows."""

    _SOME = 256

    def __init__(self, table: pa.Table):
        self._table = table
        self._position = {key: position for position, key in enumerate(table.column("key").to_pylist())}
        self._start, self._some = 0, []  # type: ignore[var-annotated]
        self._taken: set[str] = set()

    def take(self, key: str, findings: Findings) -> dict[str, Any] | None:
        if key in self._taken:
            findings.add(
                "duplicate_key", key, "more than once in the tar; WebDataset would merge or split it"
            )
        position = self._position.get(key)
        if position is None:
            findings.add("extra_sample", key, "in the tar, not in the index; build the shard again")
            return None
        self._taken.add(key)
        if not self._start <= position < self._start + len(self._some):
            self._start = position // self._SOME * self._SOME
            self._some = self._table.slice(self._start, self._SOME).to_pylist()
        return self._some[position - self._start]

    def left(self) -> list[str]:
        return [key for key in self._position if key not in self._taken]


def _samples(
    tar: tarfile.TarFile, reader: _Reader, findings: Findings
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Members of each key, by what follows the key's dot; as WebDataset groups them."""
    current: str | None = None
    members: dict[str, bytes] = {}
    for info in tar:
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
        key, _, suffix = info.name.partition(".")
        reader.member_end = info.offset_data + -(-info.size // _BLOCK) * _BLOCK
        if not info.isfile() or info.size > LARGEST_MEMBER:
            detail = f"type {info.type!r}, {info.size} bytes: not a sample's member"
            findings.add("extra_member", info.name, detail)
            continue
        if key != current:
            if current is not None:
                yield current, members
            current, members = key, {}
        if suffix in members:
            findings.add("duplicate_member", info.name, "twice in one sample; build the shard again")
        file = tar.extractfile(info)
        members[suffix] = file.read() if file is not None else b""
    if current is not None:
        yield current, members


def _check_end(reader: _Reader, findings: Findings) -> None:
    after = reader.data_end - reader.member_end
    if after > 0:
        findings.add("unreadable", "", f"{after} bytes after the last readable member; build the shard again")
    elif reader.size < reader.member_end + 2 * _BLOCK:
        findings.add("unreadable", "", "its end marker is cut off; build the shard again")
