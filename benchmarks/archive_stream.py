"""WildDeepfake at full size, simulated: what indexing its archives takes in memory, disk and time.

    python -m benchmarks.archive_stream --work FOLDER [--gib 5] [--sequences 707] [--workers 2]

Makes archives as large as asked for (kept for the next time), of pictures of noise that do not compress, ten
sequences an archive, whose frames lie there in no order. Then it runs the index stage as a user does:

- once, watching it: memory of all its processes by archives done (in ten parts: memory is flat where the
  last are as the first), bytes that they wrote, and the most that lay in its folder for temporary files
  (nothing is unpacked where both are small);
- once, killed when half of the archives are done, and once more: how many archives were read again, and
  whether the result is the same, byte for byte.

Last, the last sequence of an archive is read as later stages read it, and its frames are decoded.
"""

import argparse
import gzip
import io
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil

from schemas.clip import Clip
from schemas.files import read_rows
from transforms.archive import read_folder
from transforms.media import open_clip

_EDGE, _FRAMES, _TOGETHER = 224, 161, 10
_PLACES = ("fake_train", "real_train", "fake_test", "real_test")
_POOL = 200
_POLL = 0.25
_MIB = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="for archives and results")
    parser.add_argument("--gib", type=float, default=5.0, help="of all archives (%(default)s)")
    parser.add_argument("--sequences", type=int, default=707, help="%(default)s")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    arguments = parser.parse_args(argv)
    tree = arguments.work / "tree"
    size = make_tree(tree, arguments.gib, arguments.sequences)
    archives = sorted(tree.rglob("*.tar.gz"))
    print(f"{len(archives)} archives, {arguments.sequences} sequences, {size / 2**30:.2f} GiB", flush=True)
    whole = Index(tree, arguments.work / "whole", arguments.workers)
    whole.run(len(archives) + 1)
    print("\n".join(whole.describe(size, len(archives))), flush=True)
    parts = Index(tree, arguments.work / "parts", arguments.workers)
    parts.run(len(archives) // 2)
    before = parts.committed()
    parts.run(len(archives) + 1)
    kept = sum(parts.committed().get(path) == stamp for path, stamp in before.items())
    same = whole.out.read_bytes() == parts.out.read_bytes()
    print(
        f"killed after {len(before)} archives, which were kept: {kept}; the same result: {same}", flush=True
    )
    print("\n".join(time_reading(tree, read_rows(whole.out, Clip))))
    return 0 if same and kept == len(before) else 1


def make_tree(tree: Path, gib: float, sequences: int) -> int:
    """Archives of a size in all; gives that size. Those of the same arguments are kept."""
    marker = tree / "made.json"
    wanted = {"gib": gib, "sequences": sequences}
    if not marker.exists() or json.loads(marker.read_text()) != wanted:
        shutil.rmtree(tree, ignore_errors=True)
        pool = _pictures(gib * 2**30 / sequences / _FRAMES)
        for number, start in enumerate(range(0, sequences, _TOGETHER)):
            place = _PLACES[number % len(_PLACES)]
            path = tree / "deepfake_in_the_wild" / place / f"{number}.tar.gz"
            count = min(_TOGETHER, sequences - start)
            _write_archive(path, f"./{number}/{place[:4]}", count, pool, random.Random(number))
        marker.write_text(json.dumps(wanted))
    return sum(path.stat().st_size for path in tree.rglob("*.tar.gz"))


def _pictures(size: float) -> list[bytes]:
    """PNGs of noise of about so many bytes each."""
    levels = int(np.clip(round(2 ** (size * 8 / (_EDGE * _EDGE * 3))), 2, 256))
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(_POOL):
        noise = rng.integers(0, levels, (_EDGE, _EDGE, 3), np.uint16).astype(np.uint8)
        pictures.append(cv2.imencode(".png", noise, [cv2.IMWRITE_PNG_STRATEGY, 2])[1].tobytes())
    return pictures


def _write_archive(path: Path, top: str, count: int, pool: Sequence[bytes], rng: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb", compresslevel=1) as file, tarfile.open(fileobj=file, mode="w|") as tar:
        for sequence in range(count):
            for frame in rng.sample(range(4 * _FRAMES), _FRAMES):
                data = rng.choice(pool)
                info = tarfile.TarInfo(f"{top}/{sequence}/{frame}.png")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


@dataclass
class Index:
    """The index stage in a folder of its own, and what was seen of it.

    Attributes:
      seconds: of the last run.
      memory: of all processes in MiB (those of the largest reader as well), with the archives done then.
      temporary: the most bytes in the folder for temporary files.
      written: bytes, by process.
    """

    tree: Path
    work: Path
    workers: int
    seconds: float = 0.0
    memory: list[tuple[int, float, float]] = field(default_factory=list)
    temporary: int = 0
    written: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        (self.work / "tmp").mkdir(parents=True)

    @property
    def out(self) -> Path:
        """File of clips."""
        return self.work / "clips.parquet"

    def run(self, until: int) -> None:
        """Run it until so many archives are done, and kill it then."""
        mode = ["--direct_running_mode=multi_processing"] if self.workers > 1 else []
        command = ["--dataset", "wilddeepfake", "--root", str(self.tree), "--out", str(self.out)]
        start = time.perf_counter()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pipelines.index",
                *command,
                f"--direct_num_workers={self.workers}",
                *mode,
            ],
            env={**os.environ, "TMPDIR": str(self.work / "tmp")},
            stdout=subprocess.DEVNULL,
        )
        while process.poll() is None:
            done = len(self.committed())
            self._look(process.pid, done)
            if done >= until:
                workers = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGKILL)
                # Workers end by themselves then.
                psutil.wait_procs(workers, timeout=60)
            time.sleep(_POLL)
        self.seconds = time.perf_counter() - start
        if process.returncode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"index: exit {process.returncode}")

    def committed(self) -> dict[Path, int]:
        """Times of the results of archives."""
        return {path: path.stat().st_mtime_ns for path in self.work.glob("*.archives/*/*.json")}

    def _look(self, pid: int, done: int) -> None:
        total = reader = 0.0
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    used = process.memory_info().rss / _MIB
                    total += used
                    if "pipelines.isolation" in process.cmdline():
                        reader = max(reader, used)
                    self.written[process.pid] = process.io_counters().write_chars
        self.memory.append((done, total, reader))
        self.temporary = max(self.temporary, sum(_sizes(self.work / "tmp")))

    def describe(self, size: int, archives: int) -> Iterator[str]:
        """What was seen."""
        yield f"index: {self.seconds:.0f} s, {size / _MIB / self.seconds:.0f} MiB/s"
        yield "archives done   all processes, MiB (median, peak)   largest reader, MiB (peak)"
        for part in range(10):
            low, high = part * archives // 10, (part + 1) * archives // 10
            seen = [
                (total, reader) for done, total, reader in self.memory if low <= done < max(high, low + 1)
            ]
            if seen:
                totals, readers = zip(*seen, strict=True)
                middle = statistics.median(totals)
                yield f"{low:6} to {high:4}   {middle:10.0f} {max(totals):6.0f}   {max(readers):6.0f}"
        kept = sum(_sizes(self.work)) / _MIB
        yield f"temporary files: {self.temporary / _MIB:.1f} MiB at most; results: {kept:.1f} MiB"
        yield f"written by all processes, pipes included: {sum(self.written.values()) / _MIB:.1f} MiB"


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                yield path.stat().st_size


def time_reading(tree: Path, clips: Sequence[Clip]) -> Iterator[str]:
    """How long a sequence takes from its archive, and to be decoded."""
    last = max((clip for clip in clips), key=lambda clip: clip.clip)
    archive, _, folder = last.clip.partition(".tar.gz/")
    path = tree / f"{archive}.tar.gz"
    start = time.perf_counter()
    pictures = read_folder(path, folder)
    read = time.perf_counter() - start
    clip = open_clip(tree / last.clip)
    start = time.perf_counter()
    for index in range(len(clip)):
        _ = clip[index]
    decoded = time.perf_counter() - start
    mib = path.stat().st_size / _MIB
    yield f"a sequence of {len(pictures)} frames from an archive of {mib:.0f} MiB: {read:.2f} s"
    yield f"decoding its frames: {decoded:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
