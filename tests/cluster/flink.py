"""A Flink cluster of its own: JobManager, two TaskManagers of one slot each, Beam's job server."""

import contextlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from filelock import FileLock

from tests.services import Service, cache, free_ports, listens, skip

FLINK = "1.19.3"
ROOT = Path(__file__).parents[2]
_POM = Path(__file__).with_name("pom.xml")
_START = 240.0  # seconds; 20 on free cores
_OPEN = ("java.util", "java.lang", "java.net", "java.nio", "sun.nio.ch", "java.util.concurrent")
_JAVA = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
_JAVA += [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPEN]
# A TaskManager derives none of these from the others when it is started without Flink's own script.
_MEMORY = {
    "task.heap.size": "256m",
    "task.off-heap.size": "0",
    "framework.heap.size": "128m",
    "framework.off-heap.size": "128m",
    "managed.size": "128m",
    "network.min": "64m",
    "network.max": "64m",
    "jvm-metaspace.size": "256m",
    "jvm-overhead.min": "64m",
    "jvm-overhead.max": "64m",
}
TASK_MANAGERS = ("tm1", "tm2")
# Beam's job server sends the jars of its class path along with every job: 220 MB, 15 seconds. What the
# cluster has already goes to the class path that it does not look at; these may not, and are 5 MB.
_SENT = ("beam-runners-flink", "flink-java", "flink-clients", "flink-optimizer", "flink-streaming-java")


def install() -> tuple[Path, Path]:
    """Folders of the jars of Flink and of Beam's job server; made once (400 MB), shared by all workers."""
    for needed in ("java", "mvn"):
        if shutil.which(needed) is None:
            skip(f"there is no {needed}, which a Flink cluster with Beam's job server needs")
    flink, beam = cache() / f"flink-{FLINK}", cache() / "beam-flink-job-server"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", flink]
    maven = ["mvn", "-q", "-B", "-f", _POM, "dependency:copy-dependencies", "-DincludeScope=runtime"]
    _make(flink, [*pip, f"apache-flink-libraries=={FLINK}"])
    _make(beam, [*maven, f"-DoutputDirectory={beam}"])
    return flink / "pyflink" / "lib", beam


def _make(folder: Path, command: list[Any]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                subprocess.run(
                    list(map(str, command)), check=True, timeout=280, capture_output=True, text=True
                )
            except (subprocess.SubprocessError, OSError) as error:
                said = getattr(error, "stdout", "") or getattr(error, "stderr", "")
                skip(f"{folder.name} cannot be installed in {folder}: {error} {said}")
            (folder / "installed").touch()


def write_worker(path: Path, before: str = "", run: str = "-m pipelines.boot") -> Path:
    """Write the program that TaskManagers start as a worker.

    Args:
      path: of the program.
      before: shell words that come before it.
      run: arguments of Python.
    """
    python = f"{before} {sys.executable} {run}".strip()
    path.write_text(f'#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(ROOT))}\nexec {python} "$@"\n')
    path.chmod(0o755)
    return path


class Cluster:
    """A running cluster; all of it listens on loopback, on free ports.

    Attributes:
      url: of the JobManager's REST.
      services: by name.
    """

    def __init__(self, folder: Path):
        flink, beam = install()
        jars = sorted(beam.glob("*.jar"))
        # Flink's own jars are those of the cluster's version; its way to log is not the job server's.
        there = [jar for jar in jars if not jar.name.startswith(("flink-", "slf4j-"))]
        sent = [jar for jar in jars if jar.name.startswith(_SENT)]
        self._class_path = ":".join(map(str, [*sorted(flink.glob("*.jar")), *there]))
        self._folder = folder
        (folder / "conf").mkdir(parents=True)
        rpc, rest, self._job, artifacts, expansion = free_ports(5)
        self.url = f"http://127.0.0.1:{rest}"
        config = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.rpc.port": rpc,
            "jobmanager.memory.process.size": "1200m",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": rest,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": 1,
            "classloader.resolve-order": "parent-first",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 3,
            "restart-strategy.fixed-delay.delay": "300 ms",
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 8000,
            "io.tmp.dirs": str(folder),
        }
        (folder / "conf" / "config.yaml").write_text(yaml.safe_dump(config))
        self._worker = write_worker(folder / "worker")
        self.services: dict[str, Service] = {}
        self._job_server_command = [
            *_JAVA,
            "-Xbootclasspath/a:" + ":".join(str(jar) for jar in jars if jar not in sent),
            *("-Xmx400m", "-cp", ":".join(map(str, sent))),
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            *(f"--flink-master=127.0.0.1:{rest}", "--job-host=127.0.0.1", f"--job-port={self._job}"),
            *(f"--artifact-port={artifacts}", f"--expansion-port={expansion}"),
            f"--artifacts-dir={folder / 'artifacts'}",
        ]

    def start(self) -> None:
        """Start all of it; returns when it is ready."""
        self._start_flink("jobmanager", "runtime.entrypoint.StandaloneSessionClusterEntrypoint", "700m")
        for name in TASK_MANAGERS:
            self.start_task_manager(name)
        self.start_job_server()
        self.until(lambda: self.task_managers() == len(TASK_MANAGERS), "two TaskManagers")

    def start_job_server(self) -> None:
        """Start Beam's job server; returns when it listens."""
        self.services["jobserver"] = Service(self._job_server_command, self._folder / "jobserver.log")
        self.until(lambda: listens(self._job), "job server")

    def _start_flink(self, name: str, main: str, heap: str, *flags: str) -> None:
        self.services[name] = Service(
            [
                *(*_JAVA, f"-Xmx{heap}", "-cp", self._class_path, f"org.apache.flink.{main}"),
                *("--configDir", str(self._folder / "conf"), *flags),
            ],
            self._folder / f"{name}.log",
        )

    def start_task_manager(self, name: str) -> None:
        """Start a TaskManager, which has one slot."""
        settings = {"resource-id": name, "cpu.cores": "1"}
        settings |= {f"memory.{key}": value for key, value in _MEMORY.items()}
        flags = [flag for key, value in settings.items() for flag in ("-D", f"taskmanager.{key}={value}")]
        self._start_flink(name, "runtime.taskexecutor.TaskManagerRunner", "600m", *flags)

    def end(self) -> None:
        """Kill all of it."""
        for service in self.services.values():
            service.end()

    def flags(self, parallelism: int, worker: Path | None = None) -> list[str]:
        """Beam's flags of a stage that is to run here, with workers of its own if given."""
        process = json.dumps({"command": str(worker or self._worker)})
        return [
            *("--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{self._job}"),
            f"--parallelism={parallelism}",
            *("--environment_type=PROCESS", f"--environment_config={process}"),
        ]

    def get(self, path: str) -> Any:
        """What REST says."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(self.url + path, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def cancel(self, job: str) -> None:
        """Cancel a job, as a person at Flink's page does."""
        with requests.Session() as session:
            session.trust_env = False
            session.patch(f"{self.url}/jobs/{job}", timeout=10).raise_for_status()

    def task_managers(self) -> int:
        """How many have registered."""
        try:
            return self.get("/overview")["taskmanagers"]
        except requests.RequestException:
            return 0

    def jobs(self, *states: str) -> list[str]:
        """Ids of jobs in one of some states, the newest first."""
        jobs = sorted(self.get("/jobs/overview")["jobs"], key=lambda job: -job["start-time"])
        return [job["jid"] for job in jobs if job["state"] in states or not states]

    def failures(self, job: str) -> list[str]:
        """What made a job restart or fail."""
        entries = self.get(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        return [entry["stacktrace"] for entry in entries]

    def shares(self, job: str) -> dict[str, int]:
        """Number of keys that each TaskManager got to build."""
        vertices = self.get(f"/jobs/{job}")["vertices"]
        build = next(vertex for vertex in vertices if "/Build" in vertex["name"])
        found: dict[str, int] = {}
        for task in self.get(f"/jobs/{job}/vertices/{build['id']}")["subtasks"]:
            host = task["taskmanager-id"]
            found[host] = found.get(host, 0) + task["metrics"]["read-records"]
        return found

    def workers(self, module: str = "pipelines.boot", *names: str) -> list[int]:
        """Processes of a module that TaskManagers started, directly or not; of all, or of some by name."""
        sessions = {self.services[name].process.pid for name in names or TASK_MANAGERS}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # of a process that has just ended
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                alive = int(session) in sessions and state not in "ZX"
                if alive and f"-m\0{module}\0" in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
        return sorted(found)

    def heal(self) -> None:
        """Start again what was killed; returns when the cluster is whole, and nothing runs."""
        for name in TASK_MANAGERS:
            if self.services[name].process.poll() is not None:
                self.start_task_manager(name)
        if self.services["jobserver"].process.poll() is not None:
            self.start_job_server()
        for job in self.jobs("RUNNING", "RESTARTING", "CREATED"):
            self.cancel(job)
        idle = {"taskmanagers": len(TASK_MANAGERS), "slots-available": len(TASK_MANAGERS), "jobs-running": 0}
        self.until(lambda: idle.items() <= self.get("/overview").items(), "an idle cluster")

    def until(self, ready: Callable[[], bool], what: str, seconds: float = _START) -> None:
        """Wait for something; fails with the logs of all services where it does not come, or one ended."""
        end = time.monotonic() + seconds
        while not ready():
            ended = [name for name, service in self.services.items() if service.process.poll() is not None]
            if time.monotonic() > end or ended:
                said = "\n".join(service.said() for service in self.services.values())
                pytest.fail(f"waiting for {what}; ended: {ended or 'none'}\n{said}")
            time.sleep(0.1)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster, which has ended when the block has."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()
