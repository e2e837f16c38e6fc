"""Beam's own job service and a pool of worker processes, on loopback, for tests."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(*first: Path) -> dict[str, str]:
    """Of processes that run this checkout, with modules of other folders before it."""
    path = os.pathsep.join(map(str, (*first, ROOT)))
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": path, "PATH": programs}


@contextlib.contextmanager
def serve(log: Path, module: str, *arguments: str, port: int, env: dict[str, str]) -> Iterator[str]:
    """Run a server module until the block ends; gives its address once it listens."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=env, cwd=log.parent, stdout=said, stderr=said
        )
        try:
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
                    yield f"localhost:{port}"
                    return
                time.sleep(0.1)
            raise RuntimeError(f"{module} does not listen: {log.read_text()[-2000:]}")
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def job_service(folder: Path) -> Iterator[str]:
    port = free_port()
    module = "apache_beam.runners.portability.local_job_service_main"
    with serve(
        folder / "job-service.log", module, "--port", str(port), port=port, env=environment()
    ) as address:
        yield address


@contextlib.contextmanager
def worker_pool(folder: Path, *first: Path) -> Iterator[str]:
    """Workers find the modules of the folders `first` before all others."""
    port = free_port()
    module = "apache_beam.runners.worker.worker_pool_main"
    with serve(
        folder / "pool.log", module, f"--service_port={port}", port=port, env=environment(*first)
    ) as address:
        yield address


def flags(service: str, pool: str) -> list[str]:
    """Beam's, for a job on that pool."""
    return [
        "--runner=PortableRunner",
        f"--job_endpoint={service}",
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
    ]
