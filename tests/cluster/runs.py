"""Stages as a user runs them, on any runner."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.deaths import Run
from tests.work import Work


def empty(work: Work, path: Path) -> Work:
    """A copy of a work without what track and shard wrote."""
    twin = work.copy(path)
    shutil.rmtree(twin.tracks)
    shutil.rmtree(twin.shards)
    return twin


def build(work: Work, *flags: str, stages: Sequence[str] = ("track", "shard")) -> None:
    """Run stages as a user does."""
    for stage in stages:
        code, words = Run(work, stage, 0, *flags).wait()
        assert code == 0, words
        assert "Traceback" not in words
        assert "WARNING" not in words
