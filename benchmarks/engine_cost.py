"""What Beam costs beside a plain loop, and how it scales beside a pool of processes, on the same units.

    python -m benchmarks.engine_cost --work FOLDER --way loop|engine|pool --workers N

FOLDER is one that `benchmarks.pipeline_runs.Stages` tracked groups in. Builds a shard of each, prints JSON.
Seconds by the clock are from the first build's begin to the last one's end, so that start-up is aside.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2

from pipelines.clips import read_index
from pipelines.engine import Builder, Work
from pipelines.engine import run as run_engine
from pipelines.lease import Lease, claim
from pipelines.shard import plan, sample_params
from pipelines.shard_builder import PlannedGroup, ShardBuilder
from schemas.outcome import Outcome
from schemas.params_file import read_params

WAYS = {
    "loop": ("loop", 1),
    "Beam, 1 worker": ("engine", 1),
    "pool of 2": ("pool", 2),
    "Beam, 2 workers": ("engine", 2),
}
ONE = ("loop", "Beam, 1 worker")


class Timed:
    """A builder that notes when each build began and ended, by the clock and by this process's processor."""

    def __init__(self, builder: Builder, log: Path):
        self._builder, self._log = builder, log

    def setup(self) -> None:
        """Prepare the builder."""
        self._builder.setup()

    def build(self, key: str, units: Sequence[PlannedGroup], lease: Lease) -> Iterable[Outcome]:
        """Build, and note it."""
        began = time.monotonic(), time.process_time()
        outcomes = list(self._builder.build(key, units, lease))
        with self._log.open("a") as file:
            file.write(json.dumps([*began, time.monotonic(), time.process_time()]) + "\n")
        return outcomes

    def teardown(self) -> None:
        """End the builder."""
        self._builder.teardown()


_here: tuple[Builder, Lease]


def _begin(builder: Builder, lease: Lease) -> None:
    global _here
    cv2.setNumThreads(1)
    _here = builder, lease
    builder.setup()


def _build(item: Work) -> list[Outcome]:
    builder, lease = _here
    return list(builder.build(item.key, [item.unit], lease))


def _run(way: str, workers: int, work: Sequence[Work], builder: Builder, out: Path) -> None:
    if way == "loop":
        with claim(out) as lease:
            _begin(builder, lease)
            for item in work:
                _build(item)
            builder.teardown()
    elif way == "pool":
        context = multiprocessing.get_context("spawn")
        with claim(out) as lease, context.Pool(workers, _begin, (builder, lease)) as pool:
            for _ in pool.imap_unordered(_build, work):
                pass
    else:
        mode = "multi_processing" if workers > 1 else "in_memory"
        flags = [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
        run_engine(work, builder, flags, "build", out)


def build_all(folder: Path, way: str, workers: int) -> dict[str, float]:
    """Build a shard of each group.

    Returns:
      Seconds by the clock ("wall"); with one worker, processor seconds of this process in that time ("own")
      and of decoders ("decoders"); and how many units there were.
    """
    index, params = read_index(folder / "clips.parquet", None), read_params(folder / "params.yaml")
    planned = [group for groups in plan(index, folder / "tracks", params).values() for group in groups]
    ordered = sorted(planned, key=lambda group: group.group)
    work = [
        Work(f"train/unit-{number:06d}", group.shard_digest, group) for number, group in enumerate(ordered)
    ]
    with tempfile.TemporaryDirectory(dir=folder) as out:
        log = Path(out, "builds")
        inner = ShardBuilder(index.root, folder / "tracks", Path(out), sample_params(params), params.run)
        _run(way, workers, work, Timed(inner, log), Path(out))
        builds = [json.loads(line) for line in log.read_text().splitlines()]
        tars = list(Path(out, "train").glob("*.tar"))
    if not len(builds) == len(tars) == len(work):
        raise RuntimeError(f"{len(tars)} shards of {len(work)} units in {len(builds)} builds")
    began, own, ended, own_ended = zip(*builds, strict=True)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall": max(ended) - min(began),
        "own": max(own_ended) - min(own),
        "decoders": children.ru_utime + children.ru_stime,
        "units": len(work),
    }


def compare(folder: Path, ways: Sequence[str], rounds: int) -> dict[str, list[dict[str, float]]]:
    """What `build_all` says, way by way in alternating order, round by round."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            way, workers = WAYS[name]
            command = ["--work", str(folder), "--way", way, "--workers", str(workers)]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.engine_cost", *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
                check=True,
            )
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--way", choices=("loop", "engine", "pool"), required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(build_all(options.work, options.way, options.workers)))


if __name__ == "__main__":
    importlib.import_module("benchmarks.engine_cost").main()  # workers find its classes by this name
