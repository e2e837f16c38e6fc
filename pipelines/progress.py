"""What a run says while it works: a bar on a terminal, a plain line now and then in a log."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from tqdm import tqdm


@contextlib.contextmanager
def progress(keys: Sequence[str], label: str, done: Callable[[str], bool], log: TextIO) -> Iterator[None]:
    """Show how many of the results are there while the block runs.

    Args:
      keys: of the results.
      label: what is said before the numbers.
      done: whether the result of a key is committed.
      log: where it is said.
    """
    finished = threading.Event()
    terminal = log.isatty()

    def watch() -> None:
        waiting, start, said = list(keys), time.monotonic(), 0.0
        with tqdm(total=len(keys), desc=label, unit=" result", file=log, disable=not terminal) as bar:
            while True:
                last = finished.wait(0.5)
                still = [key for key in waiting if not done(key)]
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
