"""Kill -9 parts of a Flink job at random moments, and compare every shard with an undisturbed run's.

    python -m benchmarks.soak --kills 30 --seed 0

Victims in turn: a Python worker, a TaskManager (started again after), a decoder, the command itself (the job
lives on, and the command is given again at once). Prints a line a kill; exit code 1 if anything is lost.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deaths import CORPUS, Run, committed
from pipelines.demo import make_demo
from tests.cluster.flink import TASK_MANAGERS, Cluster, running
from tests.many import make_many
from tests.work import Work, digests

VICTIMS = ("worker", "taskmanager", "decoder", "command")
_MODULES = {"worker": "pipelines.boot", "decoder": "pipelines.isolation"}
# Seconds after a job, and after its TaskManagers.
_IDLE = 10.0
_ORPHANED = 90.0  # A worker that was just started asks for its orders for a minute.


@dataclass(frozen=True)
class Kill:
    """What became of a disturbed run.

    Attributes:
      victim: who was killed; "nobody" if the run was over.
      moment: seconds into the run.
      finished: results that were committed when the disturbed run had ended.
      code: its exit code; -9 is the kill.
      again: exit code of the next run; the disturbed one's where that was whole.
      restarts: failures that Flink saw and mended.
      same: whether all files are those of an undisturbed run, with the same bytes.
      parts: temporary files that are left.
      idle: workers and decoders that are left while their TaskManagers live: Beam forgets a worker that was
        started for a task that then failed.
      orphans: those that are left when the TaskManagers were ended.
      words: of the runs.
    """

    victim: str
    moment: float
    finished: int
    code: int
    again: int
    restarts: int
    same: bool
    parts: int
    idle: int
    orphans: int
    words: str

    def good(self) -> bool:
        """Whether nothing was lost, and nothing is left."""
        return self.again == 0 and self.same and not self.parts and not self.orphans

    def line(self, results: int) -> str:
        """One row of the table."""
        return (
            f"{self.victim:12s} {self.moment:5.1f} {self.finished:6d}/{results} {self.code:5d} "
            f"{self.again:6d} {self.restarts:9d}  {'yes' if self.same else 'NO':10s} {self.parts:5d} "
            f"{self.idle:5d} {self.orphans:8d}"
        )


def find_victims(cluster: Cluster, run: Run, victim: str) -> list[int]:
    """Processes of a kind, one of which is to be killed."""
    if victim == "command":
        return [run.process.pid]
    if victim == "taskmanager":
        return [cluster.services[name].process.pid for name in TASK_MANAGERS]
    return cluster.workers(_MODULES[victim])


def left(cluster: Cluster, seconds: float) -> int:
    """Number of workers and decoders that are still there after some seconds."""
    end = time.monotonic() + seconds
    while True:
        found = [pid for module in _MODULES.values() for pid in cluster.workers(module)]
        if not found or time.monotonic() > end:
            return len(found)
        time.sleep(0.1)


def disturb(
    cluster: Cluster, work: Work, victim: str, moment: float, choice: random.Random, whole: Mapping[str, str]
) -> Kill:
    """Run the shard stage into an empty folder, kill somebody, and give the command again if it ended."""
    shutil.rmtree(work.shards, ignore_errors=True)
    flags = cluster.flags(1 if victim == "taskmanager" else 2)
    run = Run(work, "shard", 0, *flags)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(moment)
    moment = run.seconds()
    hit = run.strike(lambda: find_victims(cluster, run, victim), choice)
    code, words = run.wait()
    finished, again = committed(work.shards), code
    newest = cluster.jobs()[:1]
    restarts = len(cluster.failures(newest[0])) if newest else 0
    if code != 0:
        # The job of a killed command may hold both slots still.
        rerun = Run(work, "shard", 0, *cluster.flags(1))
        again, more = rerun.wait()
        words += more
    cluster.heal()
    parts = len(list(work.shards.rglob(".*")))
    idle = left(cluster, _IDLE)
    orphans = 0
    if idle:
        for name in TASK_MANAGERS:
            cluster.services[name].process.kill()
        orphans = left(cluster, _ORPHANED)
        cluster.heal()
    return Kill(
        victim if hit else "nobody",
        moment,
        finished,
        code,
        again,
        restarts,
        digests(work.shards) == whole,
        parts,
        idle,
        orphans,
        words,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder, "cluster")) as cluster:
        with contextlib.redirect_stdout(io.StringIO()):
            make_demo(Path(folder, "demo"), CORPUS, len(os.sched_getaffinity(0)))
            built = make_many(Path(folder, "demo"))
        whole, results = digests(built.shards), committed(built.shards)
        work = built.copy(Path(folder, "work"))
        shutil.rmtree(work.shards)
        run = Run(work, "shard", 0, *cluster.flags(2))
        code, words = run.wait()
        assert code == 0, words
        assert digests(work.shards) == whole
        duration = run.seconds()
        print(
            f"{duration:.1f} s undisturbed on two slots, {results} shards, {len(whole)} files; seeds "
            f"{options.seed} to {options.seed + options.kills - 1}\n"
            "seed victim        at s  finished  exit  again  restarts  same bytes  temp  idle  orphans",
            flush=True,
        )
        bad = 0
        for seed in range(options.seed, options.seed + options.kills):
            choice = random.Random(seed)
            nobody = True
            while nobody:  # The run was over before that moment.
                moment = choice.uniform(0, duration)
                kill = disturb(cluster, work, VICTIMS[seed % len(VICTIMS)], moment, choice, whole)
                nobody = kill.victim == "nobody"
                if nobody:
                    duration = min(duration, kill.moment)
                print(f"{seed:4d} {kill.line(results)}", flush=True)
                if not kill.good():
                    bad += 1
                    print(kill.words, flush=True)
        print(f"{options.kills - bad} of {options.kills} whole")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
