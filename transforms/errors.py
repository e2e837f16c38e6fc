"""The exception of a clip that cannot be used."""

from schemas.outcome import Reason


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
