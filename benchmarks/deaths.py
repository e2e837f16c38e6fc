"""Kill -9 a stage at random moments, run it again, and compare every byte with an undisturbed run.

    python -m benchmarks.deaths --stage shard --workers 2 --kills 20 --seed 0

Prints a line a kill; exit code 1 if a process outlives its run, a run hangs, or a file differs.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.demo import make_demo
from pipelines.demo_clips import CRF, METHODS
from pipelines.demo_plan import DemoParams
from tests.work import Work, digests

ROOT = Path(__file__).parents[1]
CORPUS = DemoParams(identities=6, frames=12, methods=tuple(METHODS), compressions=tuple(CRF), seed=0)

# Whom to kill: the process group, or one process of it. One worker is the main process itself.
VICTIMS = {1: ("group", "main", "decoder"), 2: ("group", "main", "worker", "decoder")}
_MODULES = {"worker": "pipelines.worker", "decoder": "pipelines.isolation"}

# Seconds that nothing here takes, however loaded the machine.
_LONG = 240.0
_ORPHANED = 30.0


class Run:
    """A stage as a process in a session of its own, so that all that it started can be found.

    With no workers it runs where its flags say.
    """

    def __init__(self, work: Work, stage: str, workers: int, *flags: str, prefix: Sequence[str | Path] = ()):
        mode = "multi_processing" if workers > 1 else "in_memory"
        embedded = (f"--direct_num_workers={workers}", f"--direct_running_mode={mode}")
        command = [
            *prefix,
            *(sys.executable, "-m", f"pipelines.{stage}", "--params", work.params, "--clips", work.clips),
            *(("--tracks", work.tracks) if stage == "shard" else ()),
            *("--out", out_folder(work, stage)),
            *(embedded if workers else ()),
            *flags,
        ]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - not a pipe: an orphan would hold it open
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            list(map(str, command)),
            cwd=ROOT,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._started

    def processes(self, module: str = "") -> list[int]:
        """Its processes that are alive, orphans too: all, or those that run a module."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # of a process that has just ended
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                alive = int(session) == self.process.pid and state not in "ZX"
                if alive and module in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
        return sorted(found)

    def until_begun(self) -> float:
        """Wait for the first decoder; gives the seconds since the start."""
        while self.process.poll() is None and not self.processes(_MODULES["decoder"]):
            time.sleep(0.05)
        return self.seconds()

    def kill(self, victim: str, choice: random.Random) -> bool:
        """Kill -9; waits for a worker or a decoder where there is none yet; False if the run ended before."""
        if victim == "group":
            if self.process.poll() is not None:
                return False
            os.killpg(self.process.pid, signal.SIGKILL)
            return True
        return self.strike(
            lambda: [self.process.pid] if victim == "main" else self.processes(_MODULES[victim]), choice
        )

    def strike(self, find: Callable[[], list[int]], choice: random.Random) -> bool:
        """Kill -9 one of the processes that are found; waits for the first; False if the run ended before."""
        while self.process.poll() is None:
            found = find()
            if found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(choice.choice(found), signal.SIGKILL)
                    return True
            time.sleep(0.01)
        return False

    def wait(self) -> tuple[int, str]:
        """Exit code and words, at its end."""
        try:
            code = self.process.wait(_LONG)
        except subprocess.TimeoutExpired:
            self.end()
            raise
        self._said.seek(0)
        return code, self._said.read().decode("utf-8", "replace")

    def orphaned(self) -> float:
        """Seconds until no process of it is alive; infinite if they stay, and then they are killed."""
        start = time.monotonic()
        while self.processes():
            if time.monotonic() - start > _ORPHANED:
                self.end()
                return float("inf")
            time.sleep(0.02)
        return time.monotonic() - start

    def end(self) -> None:
        """Kill all that is left of it."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Death:
    """What became of a disturbed run, and of the next one.

    Attributes:
      victim: who was killed; "nobody" if the run was over.
      moment: seconds into the run.
      finished: results that were committed at the end of the disturbed run.
      code: its exit code; -9 is the kill.
      ended: seconds from the kill to the end of the main process.
      orphaned: seconds from then to the end of the last other process.
      again: exit code of the next run.
      same: whether that left the same files, with the same bytes, as an undisturbed run; where a decoder was
        killed, and the run went on, it must have left them already.
      words: of the disturbed run.
    """

    victim: str
    moment: float
    finished: int
    code: int
    ended: float
    orphaned: float
    again: int
    same: bool
    words: str

    def good(self) -> bool:
        """Whether nothing was lost."""
        return self.again == 0 and self.same and self.orphaned < _ORPHANED

    def line(self, results: int) -> str:
        """One row of the table."""
        return (
            f"{self.victim:8s} {self.moment:5.1f} {self.finished:6d}/{results} {self.code:5d} "
            f"{self.ended:8.1f} {self.orphaned:10.1f} {self.again:6d}  {'yes' if self.same else 'NO'}"
        )


def out_folder(work: Work, stage: str) -> Path:
    """Where a stage writes."""
    return work.tracks if stage == "track" else work.shards


def committed(out: Path) -> int:
    """Number of results that have their sidecar."""
    return len(list(out.glob("*/**/*.json")))


def die(
    work: Work,
    stage: str,
    workers: int,
    victim: str,
    moment: float,
    seed: int,
    whole: Mapping[str, str],
    begun: bool = False,
) -> Death:
    """Run a stage into an empty folder, kill it, and run it again, with one worker in this process.

    Args:
      work: with what the stage reads; what the stage wrote there is removed.
      stage: "track" or "shard".
      workers: number of processes.
      victim: one of `VICTIMS`.
      moment: seconds into the run.
      seed: chooses among several processes of a kind.
      whole: digests of what an undisturbed run leaves.
      begun: count `moment` from the start of the first decoder.
    """
    out = out_folder(work, stage)
    shutil.rmtree(out, ignore_errors=True)
    run = Run(work, stage, workers)
    if begun:
        run.until_begun()
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(moment)
    hit = run.kill(victim, random.Random(seed))
    moment = run.seconds()
    code, words = run.wait()
    ended = run.seconds() - moment
    orphaned = run.orphaned()
    finished = committed(out)
    undisturbed = victim != "decoder" or code != 0 or digests(out) == whole
    with contextlib.redirect_stdout(io.StringIO()) as more:
        again = work.track() if stage == "track" else work.shard()
    same = undisturbed and digests(out) == whole
    words = words if again == 0 else f"{words}\n{more.getvalue()}"
    return Death(
        victim if hit else "nobody", moment, finished, code, ended, orphaned, again, same, words.strip()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stage", choices=("track", "shard"), default="shard")
    parser.add_argument("--workers", type=int, choices=tuple(VICTIMS), default=1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--victim", choices=VICTIMS[2], help="only this one (default: in turn)")
    parser.add_argument("--late", action="store_true", help="only moments after the first decoder started")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        make_demo(corpus, CORPUS, len(os.sched_getaffinity(0)))
        work = Work(Path(folder, "work"), corpus)
        assert work.index() == work.track() == 0
        out = out_folder(work, options.stage)
        shutil.rmtree(out, ignore_errors=True)
        run = Run(work, options.stage, options.workers)
        begun = run.until_begun()
        code, words = run.wait()
        assert code == 0, words
        whole, duration = digests(out), run.seconds()
        keys = committed(out)
        print(
            f"{options.stage}, {options.workers} workers, {duration:.1f} s undisturbed, {keys} results, "
            f"{len(whole)} files; seeds {options.seed} to {options.seed + options.kills - 1}\n"
            "seed victim    at s  finished  exit  ended s  orphans s  again  same bytes",
            flush=True,
        )
        bad = 0
        tracks = work.copy(Path(folder, "kept")).tracks
        victims = (options.victim,) if options.victim else VICTIMS[options.workers]
        for seed in range(options.seed, options.seed + options.kills):
            moments = random.Random(seed)
            nobody = True
            while nobody:  # The run was over before that moment.
                moment = moments.uniform(0, duration - begun * options.late)
                victim = victims[seed % len(victims)]
                death = die(work, options.stage, options.workers, victim, moment, seed, whole, options.late)
                nobody = death.victim == "nobody"
                print(f"{seed:4d} {death.line(keys)}", flush=True)
                if not death.good():
                    bad += 1
                    print(death.words, flush=True)
        assert options.stage == "track" or digests(tracks) == digests(work.tracks)
        print(f"{options.kills - bad} of {options.kills} whole after the next run")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
