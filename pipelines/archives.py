"""Scanning the archives of a dataset one by one, and committing what is in them."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import publish, resume
from pipelines.engine import Work, run
from pipelines.isolation import Isolated
from pipelines.lease import Lease
from pipelines.probing import SUFFIX, VERSION, Probed, describe_clip, key_of
from schemas import files
from schemas.digest import digest
from schemas.outcome import Outcome
from schemas.params import RunParams
from schemas.record import record
from schemas.sidecar import Sidecar
from transforms.archive import Folder, scan
from transforms.errors import ClipError
from transforms.indexing.declare import printable
from transforms.indexing.layout import failed, is_archive, skipped


@record
class ArchiveUnit:
    """An archive that is to be scanned.

    Attributes:
      dataset: name.
      path: of the archive, relative to the root.
      bytes: of the file.
      digest: of its path, size and times of change.
    """

    dataset: str
    path: str
    bytes: int
    digest: str


@dataclass(frozen=True)
class Contents:
    """What archives hold.

    Attributes:
      facts: of each folder of pictures, by `<archive>/<folder>`.
      outcomes: of all that is not taken, by archive.
    """

    facts: Mapping[str, Probed] = field(default_factory=dict)
    outcomes: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)


@dataclass(frozen=True)
class Archives:
    """The archives of a dataset.

    Attributes:
      root: absolute path of the dataset's folder.
      folder: where what is in them is kept.
      units: by key.
    """

    root: str
    folder: Path
    units: Mapping[str, ArchiveUnit]

    @property
    def digests(self) -> dict[str, str]:
        """Of all units, by key."""
        return {key: unit.digest for key, unit in self.units.items()}


def plan_archives(dataset: str, root: str, paths: Iterable[str], folder: Path) -> Archives:
    """The archives among files. Those with names that are not UTF-8 are left to `declare`."""
    units = {}
    for path in paths:
        if is_archive(path) and printable(path) == path:
            stamp = [-1, -1, -1]
            with contextlib.suppress(OSError):
                status = os.stat(f"{root}/{path}")  # noqa: PTH116 - paths are texts here
                stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            made_of = digest(VERSION, dataset, path, stamp)
            units[key_of(path)] = ArchiveUnit(dataset, path, max(0, stamp[0]), made_of)
    return Archives(root, folder, units)


def find_unread(archives: Archives, retry_failed: bool) -> list[str]:
    """Keys of archives that were not scanned yet or were touched since, or that may have been mended."""
    return resume.find_pending(archives.folder, archives.digests, retry_failed)


def read_archives(
    archives: Archives, unread: Sequence[str], limits: RunParams, beam_args: Sequence[str]
) -> Contents:
    """What archives hold; scans those that are unread, and writes nothing where none is.

    The folder of results stays: archives are not read again until they change.
    """
    folder = archives.folder
    if unread:
        with files.exclusive(folder):
            resume.discard(folder, list(unread))
            work = [(key, archives.units[key]) for key in unread]
            run(
                [Work(key, unit.digest, unit, unit.bytes) for key, unit in work],
                ArchiveBuilder(archives.root, folder, limits),
                beam_args,
                "archives",
                folder,
            )
            resume.seal(folder, archives.digests, (SUFFIX,))
    return _collect(archives)


def _collect(archives: Archives) -> Contents:
    facts: dict[str, Probed] = {}
    outcomes: dict[str, Sequence[Outcome]] = {}
    for key, unit in archives.units.items():
        sidecar = publish.read_sidecar(archives.folder, key)
        if sidecar is None:
            lost = "no result was committed; run again"
            outcomes[unit.path] = [failed(unit.dataset, unit.path, "", "internal_error", lost)]
            continue
        outcomes[unit.path] = sidecar.outcomes
        for row in files.read_rows(archives.folder / f"{key}{SUFFIX}", Probed):
            facts[row.path] = row
    return Contents(facts, outcomes)


class ArchiveBuilder:
    """Scans one archive at a time, in a child process with limits, and commits what is in it."""

    def __init__(self, root: str, folder: Path, limits: RunParams):
        self._root, self._folder, self._limits = root, folder, limits

    def setup(self) -> None:
        """Prepare the child process."""
        self._child = Isolated(self._limits.clip_timeout, self._limits.clip_memory)

    def teardown(self) -> None:
        """End the child process."""
        self._child.close()

    def build(self, key: str, units: Sequence[ArchiveUnit], lease: Lease) -> Iterable[Outcome]:
        """Scan an archive; an outcome for each thing in it that is not taken."""
        (unit,) = units
        rows: list[Probed] = []
        outcomes: list[Outcome] = []
        try:
            for found in self._scan(unit):
                (rows if isinstance(found, Probed) else outcomes).append(found)  # type: ignore[arg-type]
        except ClipError as error:
            # The child died: what it had found is not all of it.
            rows, outcomes = [], [failed(unit.dataset, unit.path, "", error.reason, error.detail)]
        result = self._folder / f"{key}{SUFFIX}"
        files.write_rows(result, Probed, rows, check=lease.check)
        sidecar = Sidecar(unit.digest, tuple(outcomes), (publish.describe(result),), len(rows))
        publish.commit(self._folder, key, sidecar, lease.check)
        return outcomes

    def _scan(self, unit: ArchiveUnit) -> Iterator[Probed | Outcome]:
        for found in self._child.iterate(scan, f"{self._root}/{unit.path}"):
            if isinstance(found, Folder):
                yield describe_clip(f"{unit.path}/{found.path}", found.info)
            elif found is not None:
                told = skipped if found.reason == "not_in_layout" else failed
                name = f"{unit.path}/{found.path}" if found.path else unit.path
                yield told(unit.dataset, name, "", found.reason, found.detail)
