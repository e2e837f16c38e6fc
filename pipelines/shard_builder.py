"""Building one shard: samples of its groups, spooled, then written as a tar in the order of the plan."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines import publish
from pipelines.clip_files import ClipFiles
from pipelines.clips import reference_clip
from pipelines.isolation import Isolated
from pipelines.lease import Lease
from pipelines.sampler import Encoded, GroupSampler, SampleParams, outcomes_without_track
from pipelines.shard_tar import ShardTar
from pipelines.spool import ByteSpool, spool_folder
from schemas import files
from schemas.clip import Clip, Split
from schemas.convert import index_schema
from schemas.outcome import Outcome
from schemas.params import RunParams
from schemas.record import record
from schemas.sample import Sample, SequenceSample
from schemas.sidecar import Sidecar
from schemas.track import TrackFrame, read_placed
from transforms.clip_geometry import ClipGeometries

# Rows of a shard's index that are held at once.
_BATCH = 1024


@record
class PlannedGroup:
    """One source group on its way to a shard.

    Attributes:
      dataset, group, split: of the group.
      clips: its clips.
      track: what the track stage made of it.
      track_key: where its track file is, relative to the tracks folder, without suffix.
      plan_digest: of the group's inputs, the parameters that matter and the stage's version.
      shard_digest: of the whole shard.
    """

    dataset: str
    group: str
    split: Split
    clips: tuple[Clip, ...]
    track: Outcome
    track_key: str
    plan_digest: str
    shard_digest: str


def empty_group(dataset: str, key: str, shard_digest: str) -> PlannedGroup:
    """What stands for the groups of a shard that no group was assigned to: numbers must have no gaps."""
    split: Any = key.split("/")[0]
    nothing = Outcome("track", dataset, "", "", "skipped")
    return PlannedGroup(dataset, "", split, (), nothing, "", "", shard_digest)


class ShardBuilder:
    """Builds one shard at a time.

    Memory stays flat: encoded samples wait on disk, and crops of at most two clips.

    Args:
      root: folder of the dataset.
      tracks: folder of the track stage.
      out: folder of the shards.
      params: what samples depend on.
      limits: of the decoding process.
    """

    def __init__(self, root: str, tracks: Path, out: Path, params: SampleParams, limits: RunParams):
        self._root, self._tracks, self._out = root, tracks, out
        self._params, self._limits = params, limits

    def setup(self) -> None:
        """Prepare the child process."""
        self._files = ClipFiles(self._root)
        self._child = Isolated(self._limits.clip_timeout, self._limits.clip_memory)

    def teardown(self) -> None:
        """End the child process."""
        self._child.close()
        self._files.close()

    def build(self, key: str, units: Sequence[PlannedGroup], lease: Lease) -> Iterable[Outcome]:
        """Build a shard, and commit it: tar, then DALI's index and its rows, then its sidecar."""
        groups = sorted(units, key=lambda unit: unit.group)
        tar = self._out / f"{key}.tar"
        spool = ByteSpool(spool_folder(tar.parent))
        try:
            encoded: list[Encoded] = []
            outcomes: list[Outcome] = []
            for group in groups:
                for item in self._samples(group, spool):
                    (encoded if isinstance(item, Encoded) else outcomes).append(item)  # type: ignore[arg-type]
            encoded.sort(key=lambda sample: sample.order)
            with files.atomic_write(tar, lease.check) as file:
                writer = ShardTar(file)
                for sample in encoded:
                    writer.add(sample.key, ((name, spool.read(place)) for name, place in sample.members))
                writer.close()
            vouched = [writer.describe(tar.name)]
            offsets = self._out / f"{key}.idx"
            if encoded:  # DALI takes no index of an empty shard.
                with files.atomic_write(offsets, lease.check) as file:
                    file.write(writer.index())
                vouched.append(publish.describe(offsets))
            else:
                lease.check()
                files.remove(offsets)
            rows = self._out / f"{key}.parquet"
            unit = SequenceSample if self._params.shard.unit == "sequence" else Sample
            table = self._rows(f"{key}.tar", encoded, spool)
            files.write_tables(rows, index_schema(unit), table, check=lease.check)
        finally:
            spool.close()
        vouched.append(publish.describe(rows))
        sidecar = Sidecar(groups[0].shard_digest, tuple(outcomes), tuple(vouched), len(encoded))
        publish.commit(self._out, key, sidecar, lease.check)
        return outcomes

    def _samples(self, group: PlannedGroup, spool: ByteSpool) -> Iterator[Encoded | Outcome]:
        if group.track.status != "ok":
            yield from outcomes_without_track(group.clips, group.track)
            return
        path = self._tracks / f"{group.track_key}.parquet"
        rows = files.read_rows(path, TrackFrame)
        placed = read_placed(files.read_metadata(path).get("placed", ""))
        params = self._params
        geometries = ClipGeometries(
            rows, placed, reference_clip(group.clips), params.frames, params.shard.unit
        )
        sampler = GroupSampler(self._files, self._child, spool, params, spool_folder(self._out))
        yield from sampler.run(group.clips, geometries, group.plan_digest)

    def _rows(
        self, shard: str, encoded: Sequence[Encoded], spool: ByteSpool
    ) -> Iterator[list[dict[str, Any]]]:
        for start in range(0, len(encoded), _BATCH):
            batch = []
            for sample in encoded[start : start + _BATCH]:
                batch.append({**json.loads(spool.read(dict(sample.members)["json"])), "shard": shard})
            yield batch
