"""The file beside a result that says it is whole and what made it."""

from schemas.outcome import Outcome
from schemas.record import record


@record
class CommittedFile:
    """A file that a sidecar vouches for: its name (in the sidecar's folder), size and SHA-256."""

    name: str
    bytes: int
    sha256: str


@record
class Sidecar:
    """Written last, after the files that it names.

    Attributes:
      digest: of all that the result depends on; a rerun with the same digest is skipped.
      outcomes: what became of each unit inside.
      files: the result; empty where nothing could be made.
      samples: number of samples in the result.
    """

    digest: str
    outcomes: tuple[Outcome, ...]
    files: tuple[CommittedFile, ...] = ()
    samples: int = 0
