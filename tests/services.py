"""What servers that tests need have in common: a cache, a reason to skip, free ports, and a sure end."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest


def cache() -> Path:
    return Path(os.environ.get("LAE_CACHE") or Path.home() / ".cache" / "lae-shards")


def skip(reason: str) -> None:
    """Skip; fail where services must be there."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"REQUIRE_SERVICES=1, but {reason}")
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in free:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in free]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Service:
    """A server as a process group of its own, killed with the process that started it.

    Args:
      command: to run.
      log: what it says, on both streams.
      environment: all of its variables (default: ours).
    """

    def __init__(
        self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ):
        self.log = log
        with log.open("ab") as out:
            # Linux kills it when this process ends, however that is; a test's clean-up may never run.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=log.parent,
                start_new_session=True,
            )

    def said(self) -> str:
        """The last of its words."""
        return f"{self.log.name}:\n{self.log.read_text('utf-8', 'replace')[-3000:]}"

    def end(self, seconds: float = 0.0) -> None:
        """Kill it and all that it started; before that, let it end by itself for some seconds."""
        if seconds:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
