"""A Label Studio server of its own: venv in a cache folder, data in a temporary one, 127.0.0.1 alone."""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from filelock import FileLock

from tests.services import Service, cache, free_ports, skip

VERSION = "1.23.2"
_QUIET = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "FEATURE_FLAGS_OFFLINE": "true",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
}
_START = 240.0  # seconds: the first start migrates, here for 25 s on free cores


def install() -> Path:
    """The venv's `bin`; made once (1 GB, a minute), shared by all workers."""
    folder = cache() / f"label-studio-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "installed").exists():
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            try:
                subprocess.run(
                    [sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=120
                )
                subprocess.run([*pip, f"label-studio=={VERSION}"], check=True, timeout=420)
            except (subprocess.SubprocessError, OSError) as error:
                skip(f"label-studio {VERSION} cannot be installed in {folder}: {error}")
            (folder / "installed").touch()
    return folder / "bin"


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
      url: without a slash at its end.
      token: legacy API token of its administrator.
      email, password: of the administrator, for the browser.
    """

    url: str
    token: str
    email: str
    password: str

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Token {self.token}"
        return session


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Run a server with its data in a folder; it has ended when the block has."""
    binaries = install()
    (port,) = free_ports(1)
    server = Server(
        f"http://127.0.0.1:{port}", secrets.token_hex(20), "bot@example.org", secrets.token_urlsafe(12)
    )
    (folder / "data").mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")} | {
        **_QUIET,
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_USERNAME": server.email,
        "LABEL_STUDIO_PASSWORD": server.password,
        "LABEL_STUDIO_USER_TOKEN": server.token,
    }
    command = [str(binaries / "label-studio"), "start", "--no-browser", "--internal-host", "127.0.0.1"]
    service = Service([*command, "--port", str(port)], folder / "server.log", environment)
    try:
        _wait(server, service)
        yield server
    finally:
        service.end(20)


def _wait(server: Server, service: Service) -> None:
    session = server.session()
    end = time.monotonic() + _START
    while time.monotonic() < end and service.process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if session.get(f"{server.url}/health", timeout=5).ok:
                return
        time.sleep(0.5)
    pytest.fail(f"Label Studio did not start (exit code {service.process.poll()}):\n{service.said()}")
