"""The exception of a clip that cannot be used."""

import traceback
from pathlib import Path

from schemas.outcome import Reason, Status

_NOTHING_TO_MEND: tuple[Reason, ...] = ("no_face", "face_too_small", "track_too_short", "no_original")


class ClipError(Exception):
    """A clip cannot be used: becomes an outcome, not the end of a run.

    Attributes:
      reason: typed reason, as in `schemas.Outcome`.
      detail: one line for a person.
    """

    def __init__(self, reason: Reason, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple:
        return ClipError, (self.reason, self.detail)


def status_of(error: ClipError) -> Status:
    """The status of the outcome that an error becomes."""
    return "skipped" if error.reason in _NOTHING_TO_MEND else "failed"


def internal_error(error: Exception) -> ClipError:
    """What an exception that nobody expected becomes: it costs one clip, and says where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    return ClipError("internal_error", f"{said}; report it with this file")
