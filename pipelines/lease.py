"""Who may commit results into a folder: the run that claimed it last."""

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import StoppedError
from schemas.files import write_json

_NAME = ".run.json"


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
          StoppedError: if another run has claimed the folder since, or this one has ended.
        """
        if _holder(self.folder) != self.run:
            raise StoppedError(
                f"{self.folder}: another run writes here now, or this one has ended; it puts nothing there "
                "any more"
            )


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[Lease]:
    """Claim a folder for a run while the block runs, whoever had it before.

    A killed run leaves its claim, so that its job may still finish what it has begun.
    """
    lease = Lease(folder, uuid.uuid4().hex)
    write_json(folder / _NAME, {"run": lease.run})
    try:
        yield lease
    finally:
        if _holder(folder) == lease.run:
            (folder / _NAME).unlink(missing_ok=True)


def _holder(folder: Path) -> str | None:
    try:
        return json.loads((folder / _NAME).read_bytes())["run"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
