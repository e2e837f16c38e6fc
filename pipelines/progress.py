"""What a run says while it works: a bar on a terminal, a plain line now and then in a log."""

import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from pipelines import logs, publish
from schemas.errors import StoppedError, UsageError
from schemas.outcome import Outcome

logger = logging.getLogger(__name__)

# Seconds between looks at the results, at least; and how many times as long as a look took.
_PERIOD, _RATIO = 0.5, 20.0
# Seconds of a look that may go into reading what became of results.
_READING = 0.5
# Seconds between lines in a log.
_LINES = 30.0
# Failures that are kept.
_ERRORS = 5


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes:
      total, done: results that are to be built, and that are.
      counts: outcomes by status, of the results that have been looked into.
      looked: number of those.
      errors: the last outcomes that failed.
      elapsed: seconds so far.
      rate: results a second.
      eta: seconds that are left, by the costs of what is left; None where nothing is known yet.
    """

    total: int
    done: int
    counts: Mapping[str, int]
    looked: int
    errors: tuple[Outcome, ...]
    elapsed: float
    rate: float
    eta: float | None


class Looker:
    """Looks at what is committed of some results, and into it.

    The cost of a look grows with the files in the folder, however many results are waited for.

    Args:
      costs: of the results by key, in any measure.
      folder: of the results.
    """

    def __init__(self, costs: Mapping[str, float], folder: Path):
        self._folder, self._waiting, self._total = folder, dict(costs), len(costs)
        self._left = self._all = sum(costs.values())
        self._unread: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        self._errors: deque[Outcome] = deque(maxlen=_ERRORS)
        self._looked, self._start = 0, time.monotonic()

    def look(self) -> Progress:
        """See what has been committed since, and read some of it."""
        with contextlib.suppress(StoppedError, UsageError):  # The run meets them, too, and tells.
            for key in publish.list_committed(self._folder):
                cost = self._waiting.pop(key, None)
                if cost is not None:
                    self._left -= cost
                    self._unread.append(key)
            self._read()
        now = time.monotonic()
        elapsed, done = now - self._start, self._total - len(self._waiting)
        spent = self._all - self._left
        eta = max(0.0, elapsed * self._left / spent) if spent > 0 else None
        return Progress(
            self._total,
            done,
            dict(self._counts),
            self._looked,
            tuple(self._errors),
            elapsed,
            done / elapsed if elapsed else 0.0,
            eta if self._waiting else 0.0,
        )

    def _read(self) -> None:
        until = time.monotonic() + _READING
        while self._unread and time.monotonic() < until:
            sidecar = publish.read_sidecar(self._folder, self._unread.popleft())
            self._looked += 1
            for outcome in sidecar.outcomes if sidecar else ():
                self._counts[outcome.status] += 1
                if outcome.status == "failed":
                    self._errors.append(outcome)


@contextlib.contextmanager
def progress(
    costs: Mapping[str, float],
    label: str,
    folder: Path,
    log: TextIO,
    tell: Callable[[Progress], None] | None = None,
) -> Iterator[None]:
    """Show how many of the results are there while the block runs.

    It looks at results, so that it is right on every runner.

    Args:
      costs: of the results by key, in any measure.
      label: what is said before the numbers.
      folder: of the results.
      log: where it is said.
      tell: called after every look.
    """
    finished = threading.Event()
    looker, terminal = Looker(costs, folder), log.isatty()

    def watch() -> None:
        said, period = 0.0, _PERIOD
        form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        with tqdm(total=len(costs), desc=label, file=log, disable=not terminal, bar_format=form) as bar:
            while True:
                last = finished.wait(period)
                begun = time.monotonic()
                now = looker.look()
                period = max(_PERIOD, _RATIO * (time.monotonic() - begun))
                if tell is not None:
                    tell(now)
                bar.set_postfix_str(_more(now, last), refresh=False)
                bar.update(now.done - bar.n)
                if not terminal and (last or now.elapsed - said >= _LINES):
                    said = now.elapsed
                    _say(label, now, last, log)
                if last:
                    return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def _more(now: Progress, last: bool) -> str:
    """Rate and time that is left, before the end, and failures, where there are any."""
    parts = []
    if not last and now.eta is not None:
        parts = [f"{now.rate:.3g}/s", f"{tqdm.format_interval(now.eta)} left"]
    if now.counts.get("failed"):
        parts.append(f"{now.counts['failed']} failed")
    return ", ".join(parts)


def _say(label: str, now: Progress, last: bool, log: TextIO) -> None:
    text = ", ".join(filter(None, [f"{now.done} of {now.total} after {now.elapsed:.0f} s", _more(now, last)]))
    if logs.current().format == "text":
        print(f"{label}: {text}", file=log, flush=True)
        return
    fields = {"stage": label, "done": now.done, "total": now.total, "rate": now.rate, "eta": now.eta}
    logger.info("%s: %s", label, text, extra={"fields": {**fields, "failed": now.counts.get("failed", 0)}})
