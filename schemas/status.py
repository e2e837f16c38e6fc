"""The record of a run while it works: what a status file holds."""

from dataclasses import field
from typing import Literal

from schemas.outcome import Outcome
from schemas.record import record

State = Literal["running", "finished", "failed", "stopped"]


@record
class RunStatus:
    """How far a stage is; written again every few seconds.

    Attributes:
      schema_version: of this record.
      stage: "index", "track", "shard" or "audit".
      state: "running"; then "finished" (exit code 0), "failed" (2, 3, or a bug) or "stopped" (a full disk, a
        worker that was killed, an interrupt: run again). A killed run stays "running".
      exit_code: of the command; None while it runs.
      host, pid: where the command runs.
      started, updated: times in UTC, as in "2026-01-31T12:00:00Z".
      every: seconds between updates; a run that has been silent for several times as long is dead.
      parameters: digest of all parameters.
      step: what is being done; a stage may have several steps, each with results of its own.
      total, done: results that the step has to build (what was there before is not counted), and has built.
      ok, skipped, failed: outcomes so far, of the results that have been looked into.
      looked: number of these results; it follows `done`.
      rate: results built a second.
      eta: seconds that are left, by the costs of what is left; None where nothing is known yet.
      errors: the last outcomes that failed.
      metrics: Beam's counters and distributions at the end of each step, by name; empty where the runner has
        none.
    """

    schema_version: int
    stage: str
    state: State
    exit_code: int | None
    host: str
    pid: int
    started: str
    updated: str
    every: float
    parameters: str
    step: str = ""
    total: int = 0
    done: int = 0
    ok: int = 0
    skipped: int = 0
    failed: int = 0
    looked: int = 0
    rate: float = 0.0
    eta: float | None = None
    errors: tuple[Outcome, ...] = ()
    metrics: dict[str, int] = field(default_factory=dict)
