"""Sudden death of a run, or of a part of it. `python -m benchmarks.deaths` does more of the same."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.deaths import ROOT, Run, die
from schemas.errors import UsageError
from tests.work import digests


@pytest.fixture
def work(built, tmp_path):
    return built.copy(tmp_path / "work")


@pytest.mark.parametrize(
    ("stage", "workers", "victim", "seed"),
    [
        ("track", 2, "worker", 1),
        ("shard", 2, "main", 2),
        ("shard", 1, "decoder", 4),
    ],
)
def test_after_a_kill_the_next_run_gives_the_same_bytes(built, work, stage, workers, victim, seed):
    whole = digests(built.tracks if stage == "track" else built.shards)
    moment = random.Random(seed).uniform(0, 2)
    death = die(work, stage, workers, victim, moment, seed, whole, begun=True)
    print(death)
    assert death.good(), death.words
    if death.victim == "worker":
        assert death.code == 1
        assert "stopped: a worker process was killed" in death.words
        assert "run again" in death.words
        assert "Traceback" not in death.words
    if death.victim == "decoder":
        assert death.code == 0
        assert "0 failed" in death.words


def test_a_second_run_into_the_folder_is_refused_and_harms_nothing(built, work):
    (work.shards / "val/demo-val-000000.json").unlink()
    first = Run(work, "shard", 1)
    try:
        first.until_begun()
        with pytest.raises(UsageError, match=f"^{work.shards}: another run is writing here; wait for it"):
            work.shard()
        code, words = first.wait()
        assert code == 0, words
    finally:
        first.end()
    assert digests(work.shards) == digests(built.shards)


def test_a_decoder_that_hangs_ends_with_the_process_that_was_killed():
    code = (
        "from pipelines.isolation import Isolated; from tests.test_isolation import hang, pid\n"
        "child = Isolated(timeout=600)\n"
        "print(*child.iterate(pid), flush=True)\n"
        "list(child.iterate(hang))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = Path("/proc", parent.stdout.readline().strip(), "stat")
    assert child.exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 40  # The decoder would sleep for 60.
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)
