"""What a run says while it works: a bar on a terminal, a plain line now and then in a log."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from tqdm import tqdm

from schemas.errors import StoppedError, UsageError

# Seconds between two looks, and the share of its time that looking may take where that is slow.
_PAUSE, _SHARE = 0.5, 0.05


@contextlib.contextmanager
def progress(
    keys: Sequence[str], label: str, still_left: Callable[[Sequence[str]], list[str]], log: TextIO
) -> Iterator[None]:
    """Show how many of the results are there while the block runs.

    Args:
      keys: of the results.
      label: what is said before the numbers.
      still_left: which of some keys have results that are not committed yet.
      log: where it is said.
    """
    finished = threading.Event()
    terminal = log.isatty()

    def watch() -> None:
        waiting, start, said, pause = list(keys), time.monotonic(), 0.0, _PAUSE
        with tqdm(total=len(keys), desc=label, unit=" result", file=log, disable=not terminal) as bar:
            while True:
                last = finished.wait(pause)
                began = time.monotonic()
                still = waiting
                with contextlib.suppress(StoppedError, UsageError):  # The run meets them, too, and tells.
                    still = still_left(waiting)
                pause = max(_PAUSE, (time.monotonic() - began) / _SHARE)
                bar.update(len(waiting) - len(still))
                waiting = still
                elapsed = time.monotonic() - start
                if not terminal and (last or elapsed - said >= 30):
                    said = elapsed
                    print(
                        f"{label}: {len(keys) - len(waiting)} of {len(keys)} after {elapsed:.0f} s",
                        file=log,
                        flush=True,
                    )
                if last:
                    return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
