"""Probing the clips of one source group, and committing what they hold."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

from pipelines import publish
from pipelines.clip_files import ClipFiles
from pipelines.isolation import Isolated
from pipelines.lease import Lease
from pipelines.stamps import Stamps
from schemas import files
from schemas.digest import digest
from schemas.outcome import Outcome
from schemas.params import RunParams
from schemas.record import record
from schemas.sidecar import Sidecar
from transforms.errors import ClipError
from transforms.indexing.layout import failed
from transforms.indexing.media_info import MediaInfo
from transforms.indexing.probe import watch

# Raise it when probing gives other facts: an interrupted run then begins anew.
VERSION = 2

SUFFIX = ".parquet"


@record
class ProbeUnit:
    """The clips of a group that are to be probed, as paths relative to the root.

    Attributes:
      dataset: name.
      group: source group.
      clips: paths of clips.
      masks: paths of official mask clips.
      digest: of the paths, sizes and times of change of all their files.
    """

    dataset: str
    group: str
    clips: tuple[str, ...]
    masks: tuple[str, ...]
    digest: str


@record
class Probed:
    """What a clip holds; as in `Clip`. A row of a probe file."""

    path: str
    frames: int
    width: int
    height: int
    rotation: int
    fps: float
    bytes: int
    sha256: str


def describe_clip(path: str, info: MediaInfo) -> Probed:
    """What a clip holds, with its path relative to the root."""
    return Probed(path, *astuple(info))


def key_of(group: str) -> str:
    """Where a group's probe file and sidecar are, relative to the probes folder, without suffix.

    A digest, since an encoded group may be longer than a file's name may be.
    """
    name = digest(group)[:40]
    return f"{name[:2]}/{name[2:]}"


def plan_group(
    dataset: str, stamps: Stamps, group: str, clips: Sequence[str], masks: Sequence[str]
) -> tuple[ProbeUnit, int]:
    """The unit of a group, and its size in bytes."""
    found = [stamp for path in (*clips, *masks) for stamp in stamps.of(path)]
    unit = ProbeUnit(dataset, group, tuple(clips), tuple(masks), digest(VERSION, len(clips), found))
    return unit, sum(max(0, size) for _, size, _ in found)


class ProbeBuilder:
    """Probes one group at a time, in a child process with limits, and commits its facts."""

    def __init__(self, root: str, folder: Path, limits: RunParams):
        self._root, self._folder, self._limits = root, folder, limits

    def setup(self) -> None:
        """Prepare the child process."""
        self._files = ClipFiles(self._root)
        self._child = Isolated(self._limits.clip_timeout, self._limits.clip_memory)

    def teardown(self) -> None:
        """End the child process."""
        self._child.close()
        self._files.close()

    def build(self, key: str, units: Sequence[ProbeUnit], lease: Lease) -> Iterable[Outcome]:
        """Probe a group's clips; an outcome for each clip, and for each mask that cannot be used."""
        (unit,) = units
        rows, outcomes = [], []
        for path in (*unit.clips, *unit.masks):
            try:
                row = self._probe(path)
            except ClipError as error:
                outcomes.append(failed(unit.dataset, path, unit.group, error.reason, error.detail))
                continue
            rows.append(row)
            if path in unit.clips:
                outcomes.append(Outcome("index", unit.dataset, path, unit.group, "ok", made=row.frames))
        probed = self._folder / f"{key}{SUFFIX}"
        files.write_rows(probed, Probed, rows, check=lease.check)
        sidecar = Sidecar(unit.digest, tuple(outcomes), (publish.describe(probed),), len(rows))
        publish.commit(self._folder, key, sidecar, lease.check)
        return outcomes

    def _probe(self, path: str) -> Probed:
        try:
            with self._files.open_file(path) as full:
                *_, info = self._child.iterate(watch, str(full))
        except ClipError as error:
            # The unit names the file; outcomes are the same wherever the root is.
            raise ClipError(error.reason, error.detail.removeprefix(f"{self._root}/{path}: ")) from None
        return describe_clip(path, info)
