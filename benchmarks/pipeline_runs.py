"""Running stages as a user does, and measuring their time and memory."""

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

_POLL = 0.2
_SUBREAPER = 36


@dataclass
class Run:
    """One process and its descendants.

    Attributes:
      wall: seconds.
      cpu: seconds of all cores, user and system.
      peak: highest resident memory of any one process by its kind ("run", "worker", "decoder"), MiB.
    """

    wall: float
    cpu: float
    peak: dict[str, float] = field(default_factory=dict)


def run(command: Sequence[str]) -> Run:
    """Run a Python module with arguments.

    Raises:
      RuntimeError: it exits with another code than 0.
    """
    # Decoders that outlive the run for a moment are waited for here, and counted.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    before = _children_cpu()
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    peak: dict[str, float] = {}
    watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait()
    wall = time.perf_counter() - start
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}\n{said.decode()[-2000:]}")
    return Run(wall, _children_cpu() - before, peak)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(pid: int, peak: dict[str, float]) -> None:
    while True:
        try:
            root = psutil.Process(pid)
            found = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        for process in found:
            try:
                words = " ".join(process.cmdline())
                status = Path(f"/proc/{process.pid}/status").read_text()
            except (psutil.Error, OSError):
                continue
            if "pipelines.isolation" in words:
                kind = "decoder"
            elif process is root:
                kind = "run"
            elif "pipelines.worker" in words:
                kind = "worker"
            else:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM"):
                    peak[kind] = max(peak.get(kind, 0), int(line.split()[1]) / 1024)
        time.sleep(_POLL)


class Stages:
    """The stages in a work folder.

    Args:
      work: the folder; results of an earlier run are left where they are.
      root: folder of the dataset, in FaceForensics++'s layout.
      compressions: to take.
      count: `frames.count`; 0 takes every frame.
      seed: `shard.seed`.
    """

    def __init__(self, work: Path, root: Path, compressions: Sequence[str], count: int, seed: int = 0):
        work.mkdir(parents=True, exist_ok=True)
        self.work, self.clips = work, work / "clips.parquet"
        self._params = work / "params.yaml"
        dataset = {"layout": "faceforensics", "root": str(root), "compressions": list(compressions)}
        settings = {
            "datasets": {"speed": dataset},
            "frames": {"count": count},
            "shard": {"groups": 1, "seed": seed},
        }
        self._params.write_text(yaml.safe_dump(settings))

    def _flags(self, workers: int) -> list[str]:
        mode = ["--direct_running_mode=multi_processing"] if workers > 1 else []
        return ["--params", str(self._params), f"--direct_num_workers={workers}", *mode]

    def index(self, workers: int) -> Run:
        """Run `index`."""
        return run(["pipelines.index", *self._flags(workers), "--dataset", "speed", "--out", str(self.clips)])

    def track(self, workers: int) -> Run:
        """Run `track`."""
        out = str(self.work / "tracks")
        return run(["pipelines.track", *self._flags(workers), "--clips", str(self.clips), "--out", out])

    def shard(self, workers: int) -> Run:
        """Run `shard`."""
        tracks, out = str(self.work / "tracks"), str(self.work / "shards")
        inputs = ["--clips", str(self.clips), "--tracks", tracks, "--out", out]
        return run(["pipelines.shard", *self._flags(workers), *inputs])

    def all(self, workers: int) -> dict[str, Run]:
        """Run the three of them."""
        return {name: getattr(self, name)(workers) for name in ("index", "track", "shard")}
