"""What the stages cost beside the least that their work can cost, case by case.

The floor is decord with one thread reading the same indices of every clip, and the same JPEG encoder. Parts
are measured by themselves; "plumbing" is what the stages cost beyond them: processes, Beam, records, hashing.
The stand-in for per-frame pipelines is dlib's HOG detector on every sampled frame of every clip
(`pip install dlib-bin`), landmarks and warping left out in its favour.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.pipeline_clips import clips_of_group, make_corpus, repeat
from benchmarks.pipeline_runs import Run, Stages
from pipelines.clips import read_index
from pipelines.shard import plan
from schemas.params_file import read_params

GROUPS = 2
FLOOR = ("floor: decode", "encode")
HOG = "dlib HOG, a frame"
PARTS = ("decode, for track", "detect", "warp", "mask", "encode masks", "write")

_ALL = ("raw", "c23", "c40")


@dataclass(frozen=True)
class Case:
    """Which clips, and how many frames of each (0: every frame)."""

    name: str
    compressions: Sequence[str]
    count: int


CASES = (
    Case("32 even frames", _ALL, 32),
    Case("every frame", _ALL, 0),
    Case("32 even frames, c23 alone", ("c23",), 32),
    Case("every frame, c23 alone", ("c23",), 0),
)


@dataclass(frozen=True)
class Cost:
    """What a case costs: seconds of all processors but where another unit is named.

    Attributes:
      floor: decoding and encoding.
      total: the stages `track` and `shard`, start-up aside.
      start_up: of both, with nothing to do.
      shares: seconds of each part; what is left over is "plumbing".
      samples: that were written.
      stand_in: of the stand-in, with the floor; None without dlib.
      shards: that were written, in megabytes and how many.
      writing: seconds by the clock of the shard stage, start-up aside, and of writing the same bytes with
        fsync.
      memory: peak of any one process by its kind, MiB.
    """

    floor: float
    total: float
    start_up: float
    shares: dict[str, float]
    samples: int
    stand_in: float | None
    shards: tuple[float, int]
    writing: tuple[float, float]
    memory: dict[str, float]

    @property
    def ratio(self) -> float:
        """Processor time over the floor's."""
        return self.total / self.floor


def measure_case(work: Path, tree: Path, case: Case) -> Cost:
    """Run the stages on `GROUPS` groups with one worker, as a user does; then the parts by themselves.

    Raises:
      RuntimeError: a stage fails.
    """
    folder = work / "case"
    shutil.rmtree(folder, ignore_errors=True)
    stages = Stages(folder, tree, case.compressions, case.count)
    indexed = stages.index(1)
    tracked = stages.track(1)
    stages = Stages(folder, tree, case.compressions, case.count, _spread_seed(stages))
    sharded = stages.shard(1)
    idle = {"track": stages.track(1), "shard": stages.shard(1)}
    tars = sorted((folder / "shards").rglob("*.tar"))
    disk = _write_again(tars)
    parts = _parts(folder)
    hog = parts.pop(HOG, 0.0)
    found = {name: GROUPS * seconds for name, seconds in parts.items()}
    floor = sum(found[part] for part in FLOOR)
    total = tracked.cpu + sharded.cpu - idle["track"].cpu - idle["shard"].cpu
    shares = {"decode": found["floor: decode"], "encode": found["encode"]}
    shares |= {part: found[part] for part in PARTS}
    shares["plumbing"] = total - sum(shares.values())
    return Cost(
        floor=floor,
        total=total,
        start_up=idle["track"].cpu + idle["shard"].cpu,
        shares=shares,
        samples=round(found["crops"]),
        stand_in=floor + found["crops"] * hog if hog else None,
        shards=(sum(tar.stat().st_size for tar in tars) / 1e6, len(tars)),
        writing=(sharded.wall - idle["shard"].wall, disk),
        memory=_peaks(indexed, tracked, sharded),
    )


def _spread_seed(stages: Stages) -> int:
    """A `shard.seed` that gives each group a shard of its own."""
    index = read_index(stages.clips, None)
    params = read_params(stages.work / "params.yaml")
    for seed in range(1000):
        tried = replace(params, shard=replace(params.shard, seed=seed))
        if all(plan(index, stages.work / "tracks", tried).values()):
            return seed
    raise RuntimeError("no seed spreads the groups")


def _parts(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.pipeline_parts", "--work", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout)


def _write_again(files: Sequence[Path]) -> float:
    """Seconds by the clock to write as many bytes beside them, each file followed by fsync."""
    whole = [(path.parent, path.read_bytes()) for path in files]
    begin = time.perf_counter()
    for folder, data in whole:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return time.perf_counter() - begin


def _peaks(*runs: Run) -> dict[str, float]:
    kinds = sorted({kind for run in runs for kind in run.peak})
    return {kind: max(run.peak.get(kind, 0) for run in runs) for kind in kinds}


def measure_memory(work: Path) -> dict[str, dict[str, float]]:
    """Peak memory with clips of 10 s and of 10 min: a real clip and one fake, c23; MiB by kind of process."""
    clips = make_corpus(work, 300, 2)
    chosen = [path for path in clips_of_group(clips) if "/c23/" in str(path)][:2]
    found = {}
    for name, times in (("10 s", 1), ("10 min", 60)):
        tree, folder = work / f"tree of {name}", work / "memory"
        for old in (tree, folder):
            shutil.rmtree(old, ignore_errors=True)
        for clip in chosen:
            repeat(clip, tree / clip.relative_to(clips), times)
        for split in ("train", "val", "test"):
            pairs = [["000", "001"]] if split == "train" else []
            (tree / f"{split}.json").write_text(json.dumps(pairs))
        stages = Stages(folder, tree, ["c23"], 32)
        found[f"index, {name}"] = stages.index(1).peak
        found[f"track, {name}"] = stages.track(1).peak
        for case, count in (("32 even frames", 32), ("every frame", 0)):
            found[f"shard, {name}, {case}"] = Stages(folder, tree, ["c23"], count).shard(1).peak
    return found
