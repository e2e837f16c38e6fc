"""The status file of a run: what a dashboard, or a person far away, reads while it works."""

import contextlib
import dataclasses
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from pipelines.progress import Progress
from schemas import SCHEMA_VERSION
from schemas.convert import to_row
from schemas.errors import StoppedError, UsageError
from schemas.files import PART, write_json
from schemas.outcome import Outcome
from schemas.paths import is_url
from schemas.program import STOPPED, USAGE, WHOLE
from schemas.status import RunStatus, State

logger = logging.getLogger(__name__)

# Seconds between updates.
EVERY = 5.0
_ERRORS = 5
_INTERRUPTED = 128 + signal.SIGINT


class StatusFile:
    """Writes how far a run is, again and again, from its first step to its end.

    Nothing is written before the first step: a run that is refused, because another one writes there, must
    not write over that one's status. A status that cannot be written does not end the run.

    Args:
      path: of the file.
      stage: that runs.
      parameters: digest of all parameters.
    """

    def __init__(self, path: Path, stage: str, parameters: str):
        self._path, self._lock, self._ended = path, threading.Lock(), threading.Event()
        now = _now()
        self._status = RunStatus(
            SCHEMA_VERSION,
            stage,
            "running",
            None,
            socket.gethostname(),
            os.getpid(),
            now,
            now,
            EVERY,
            parameters,
        )
        self._heart: threading.Thread | None = None
        self._told = False

    def step(self, name: str) -> Callable[[Progress], None]:
        """Begin a step; gives what is to be told of its progress."""
        self._change(step=name, total=0, done=0, ok=0, skipped=0, failed=0, looked=0, rate=0.0, eta=None)
        if self._heart is None:
            self._remove_parts()
            self._heart = threading.Thread(target=self._beat, daemon=True)
            self._heart.start()
        return self._tell

    def _tell(self, now: Progress) -> None:
        self._change(
            total=now.total,
            done=now.done,
            ok=now.counts.get("ok", 0),
            skipped=now.counts.get("skipped", 0),
            failed=now.counts.get("failed", 0),
            looked=now.looked,
            rate=round(now.rate, 6),
            eta=None if now.eta is None else round(now.eta, 1),
            errors=now.errors,
        )

    def add_metrics(self, metrics: Mapping[str, int]) -> None:
        """Keep the metrics of a step that has ended."""
        self._change(metrics={**self._status.metrics, **metrics})

    def conclude(self, outcomes: Sequence[Outcome]) -> None:
        """Say what became of all that the stage was asked for, also by earlier runs."""
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        self._change(
            ok=sum(outcome.status == "ok" for outcome in outcomes),
            skipped=sum(outcome.status == "skipped" for outcome in outcomes),
            failed=len(failed),
            errors=tuple(failed[-_ERRORS:]),
        )

    def end(self, state: State, code: int) -> None:
        """Write the last status; where the command was refused before it began, none."""
        self._ended.set()
        if self._heart is not None:
            self._heart.join()
        elif code == USAGE:
            return
        self._change(state=state, exit_code=code)
        self._write()

    def _change(self, **changes: object) -> None:
        with self._lock:
            self._status = dataclasses.replace(self._status, **changes)  # type: ignore[arg-type]

    def _remove_parts(self) -> None:
        """Remove what a run left that was killed while it wrote its status."""
        if not is_url(self._path):
            for path in self._path.parent.glob(f".{self._path.name}.*{PART}"):
                path.unlink(missing_ok=True)

    def _beat(self) -> None:
        self._write()
        while not self._ended.wait(EVERY):
            self._write()

    def _write(self) -> None:
        self._change(updated=_now())
        try:
            write_json(self._path, to_row(self._status))
        except (OSError, StoppedError, UsageError) as error:
            said = getattr(error, "strerror", None) or error
            level = logging.DEBUG if self._told else logging.ERROR
            logger.log(level, "%s: %s: no status is written", self._path, said)
            self._told = True


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_current: ContextVar[StatusFile | None] = ContextVar("status", default=None)


def current() -> StatusFile | None:
    """The status file of the command that runs here, if it keeps one."""
    return _current.get()


@contextlib.contextmanager
def kept(file: StatusFile) -> Iterator[Callable[[int], None]]:
    """Keep a status file while the block runs; gives what is to be told the exit code."""
    token = _current.set(file)
    state: State = "failed"
    codes = [1]  # of what nobody expected
    try:
        yield codes.append
        state = "finished" if codes[-1] == WHOLE else "failed"
    except UsageError:
        codes.append(USAGE)
        raise
    except StoppedError:
        state = "stopped"
        codes.append(STOPPED)
        raise
    except KeyboardInterrupt:
        state = "stopped"
        codes.append(_INTERRUPTED)
        raise
    except SystemExit as ended:  # of a parser
        codes.append(ended.code if isinstance(ended.code, int) else STOPPED)
        raise
    finally:
        _current.reset(token)
        file.end(state, codes[-1])
