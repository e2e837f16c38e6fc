"""Who may commit results into a folder: the run that claimed it last."""

import contextlib
import json
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas import files
from schemas.errors import StoppedError, UsageError
from schemas.paths import is_url

_NAME = ".run.json"
# Claims of this process, by folder.
_HELD: dict[str, "Lease"] = {}


@dataclass(frozen=True)
class Lease:
    """A run's claim to a folder, which its workers take along.

    A job on a cluster outlives the command that submitted it. If that is given again, with other parameters,
    the older job must not put its results in the place of the newer one's.

    Attributes:
      folder: of results.
      run: name of the run.
    """

    folder: Path
    run: str

    def check(self) -> None:
        """Return if the run may commit results still.

        Raises:
          StoppedError: if another run has claimed the folder since, or this one has ended, or this machine
            does not see the folder.
        """
        if not is_url(self.folder) and not self.folder.is_dir():
            raise StoppedError(
                f"{self.folder}: is not there on {socket.gethostname()}; mount the same folder at the same "
                "path on every worker (python -m pipelines.doctor examines them)"
            )
        if _holder(self.folder) != self.run:
            raise StoppedError(
                f"{self.folder}: another run writes here now, or this one has ended; it puts nothing there "
                "any more"
            )


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[Lease]:
    """Claim a folder for a run while the block runs, whoever had it before.

    A killed run leaves its claim, so that its job may still finish what it has begun. Inside of a claim of
    this process to the same folder, it is that one.
    """
    if held := _HELD.get(str(folder)):
        yield held
        return
    lease = Lease(folder, uuid.uuid4().hex)
    files.write_json(folder / _NAME, {"run": lease.run})
    _HELD[str(folder)] = lease
    try:
        yield lease
    finally:
        del _HELD[str(folder)]
        # What ended the block matters more than that the claim cannot be taken back.
        with contextlib.suppress(OSError, StoppedError, UsageError):
            if _holder(folder) == lease.run:
                files.remove(folder / _NAME)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[Lease]:
    """Hold a folder for a run, as `files.exclusive` does, and claim it from the first to the last.

    Behind a URL there is no lock, and the claim alone decides: the run that came last goes on, one before it
    raises a StoppedError at the next thing that it would put there.
    """
    with files.exclusive(folder), claim(folder) as lease:
        yield lease


def _holder(folder: Path) -> str | None:
    try:
        return json.loads(files.read_bytes(folder / _NAME))["run"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
