"""Beam's own job service and a pool of worker processes, on loopback, for tests."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.services import Service, free_ports, listens

ROOT = Path(__file__).parents[1]


def environment(*first: Path) -> dict[str, str]:
    """Of processes that run this checkout, with modules of other folders before it."""
    path = os.pathsep.join(map(str, (*first, ROOT)))
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": path, "PATH": programs}


@contextlib.contextmanager
def serve(log: Path, module: str, port_flag: str, env: dict[str, str]) -> Iterator[str]:
    """Run a server module until the block ends; gives its address once it listens."""
    (port,) = free_ports(1)
    service = Service([sys.executable, "-m", module, f"{port_flag}={port}"], log, env)
    try:
        deadline = time.monotonic() + 120
        while not listens(port):
            if service.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{module} does not listen: {service.said()}")
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        service.end(20)


@contextlib.contextmanager
def job_service(folder: Path) -> Iterator[str]:
    module = "apache_beam.runners.portability.local_job_service_main"
    with serve(folder / "job-service.log", module, "--port", environment()) as address:
        yield address


@contextlib.contextmanager
def worker_pool(folder: Path, *first: Path) -> Iterator[str]:
    """Workers find the modules of the folders `first` before all others."""
    module = "apache_beam.runners.worker.worker_pool_main"
    with serve(folder / "pool.log", module, "--service_port", environment(*first)) as address:
        yield address


def flags(service: str, pool: str) -> list[str]:
    """Beam's, for a job on that pool."""
    return [
        "--runner=PortableRunner",
        f"--job_endpoint={service}",
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
    ]
