import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from tests.cluster.flink import Cluster, running


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that all tests of it share."""
    with running(tmp_path_factory.mktemp("flink") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def cluster(flink: Cluster) -> Iterator[Cluster]:
    """A whole cluster that nothing runs on: workers that Beam left idle after a kill are ended."""
    for worker in flink.workers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    yield flink
    flink.heal()
