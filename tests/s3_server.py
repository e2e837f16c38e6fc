"""An S3 server of its own (versitygw): its binary in the cache folder, its objects in a temporary one."""

import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import s3fs
from filelock import FileLock

from schemas import stores
from tests.services import Service, cache, free_ports, listens, skip

VERSION = "v1.8.0"
_START = 60.0  # seconds, on a loaded machine


def install() -> Path:
    """The server; built once (two minutes), shared by all workers."""
    folder = cache() / f"versitygw-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "versitygw").exists():
            if shutil.which("go") is None:
                skip("no S3 server: there is no `go` to build versitygw with")
            try:
                subprocess.run(
                    ["go", "install", f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"],
                    env={**os.environ, "GOBIN": str(folder)},
                    check=True,
                    timeout=900,
                    capture_output=True,
                )
            except (subprocess.SubprocessError, OSError) as error:
                skip(f"no S3 server: versitygw {VERSION} cannot be built in {folder}: {error}")
    return folder / "versitygw"


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
      environment: what a process finds the server and its credentials by.
      folder: its objects as files, a folder a bucket.
      log: a line a request.
    """

    environment: Mapping[str, str]
    folder: Path
    log: Path

    def requests(self) -> list[tuple[str, str]]:
        """Method and path of all requests so far."""
        lines = [line.split(" | ") for line in self.log.read_text("utf-8", "replace").splitlines()]
        return [(line[5].strip(), line[6].strip()) for line in lines if len(line) > 6]


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Run a server for this process and those that it starts; it has ended when the block has."""
    binary = install()
    (port,) = free_ports(1)
    objects, log = folder / "objects", folder / "server.log"
    objects.mkdir(parents=True)
    nobody = folder / "aws.ini"
    nobody.touch()
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    process = Service(
        [binary, "--port", f"127.0.0.1:{port}", "posix", objects],
        log,
        {**os.environ, "ROOT_ACCESS_KEY": key, "ROOT_SECRET_KEY": secret},
    )
    environment = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(nobody),
        "AWS_SHARED_CREDENTIALS_FILE": str(nobody),
    }
    try:
        end = time.monotonic() + _START
        while not listens(port):
            if process.process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the S3 server did not start: {process.said()}")
            time.sleep(0.05)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            s3fs.S3FileSystem.clear_instance_cache()
            yield Server(environment, objects, log)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        process.end()


def digests_behind(url: Path) -> dict[str, str]:
    """SHA-256 of every object, as `digests` gives that of files."""
    return {
        name: hashlib.sha256(stores.read_bytes(url / name)).hexdigest() for name in stores.list_files(url)
    }
