import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

from pipelines.demo import make_demo, read_portrait
from pipelines.demo_clips import CRF, METHODS
from pipelines.demo_plan import DemoParams
from tests.many import make_many
from tests.work import Work
from transforms.synthesis.people import Person, Portrait, make_person

# Three pairs, so that no split is empty.
TINY = DemoParams(identities=6, frames=12, methods=tuple(METHODS), compressions=tuple(CRF), seed=0)


# Tests that share a server, or what is dear to make, by the beginning of their names.
TOGETHER = ("tests/cluster/", "tests/test_object_store.py")


class Together(LoadScopeScheduling):
    """Sends tests that share a server to one of xdist's workers, all others one by one to any.

    This is what marks of xdist_group are for; with pytest 9.2, xdist 3.8 no longer sees them.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together | None:
    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(scope="session")
def demo_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny demo corpus, made once for all of xdist's workers; not to be written to."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    with FileLock(root / "demo.lock"):
        make_demo(root / "demo", TINY, len(os.sched_getaffinity(0)))
    return root / "demo"


@pytest.fixture(scope="session")
def portrait() -> Portrait:
    return read_portrait()


@pytest.fixture(scope="session")
def people(portrait: Portrait) -> list[Person]:
    backdrop = cv2.GaussianBlur(skimage.data.rocket(), (0, 0), 2)
    return [make_person(portrait, np.ascontiguousarray(backdrop), index) for index in range(3)]


@pytest.fixture(scope="session")
def built(demo_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Index, tracks and shards of a part of the demo corpus, made once; not to be written to."""
    root = demo_corpus.parent / "built"
    with FileLock(root.with_suffix(".lock")):
        work = Work(root, demo_corpus)
        if not (root / "done").exists():
            assert work.index() == work.track() == work.shard() == 0
            (root / "done").touch()
    return work


@pytest.fixture(scope="session")
def many(demo_corpus: Path) -> Work:
    """Index, tracks and shards of eighteen small groups, made once; not to be written to."""
    return make_many(demo_corpus)
