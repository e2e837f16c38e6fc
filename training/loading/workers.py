"""Loading processes: each makes batches, the training process takes them in turn."""

import contextlib
import ctypes
import signal
import threading
from collections.abc import Callable, Iterable, Iterator

import cv2
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from schemas.errors import StoppedError, UsageError
from training.loading.batch import Batch

_PR_SET_PDEATHSIG = 1

Work = Callable[[int], Iterable[Batch]]
Ended = UsageError | StoppedError


class _Stream(IterableDataset[Batch | Ended]):
    """What one worker makes; what ends it is its last item, so that its message arrives as it is."""

    def __init__(self, work: Work):
        self._work = work

    def __iter__(self) -> Iterator[Batch | Ended]:
        worker = get_worker_info()
        try:
            yield from self._work(worker.id if worker is not None else 0)
        except (UsageError, StoppedError) as error:
            yield error


def deliver(work: Work, workers: int) -> Iterator[Batch]:
    """The batches of all workers, one of each in turn; those of one that ends early are left out.

    Takes nothing from torch's global random numbers.

    Args:
      work: makes the batches of the worker of a number.
      workers: processes; 0 makes them in this one.

    Raises:
      UsageError: that a worker raised.
      StoppedError: that a worker raised, or if one was killed.
    """
    loader = DataLoader(
        _Stream(work),
        batch_size=None,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_prepare if workers else None,
        multiprocessing_context="fork" if workers else None,
        generator=torch.Generator(),
    )
    batches = _start(loader)
    try:
        while (item := next(batches, None)) is not None:
            if isinstance(item, Ended):
                raise item
            yield item
    except (RuntimeError, EOFError, OSError) as error:
        if not workers or not _tells_of_death(error):
            raise
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoppedError(
            f"a loading process ended suddenly ({said}); if memory ran out, lower train.shuffle, "
            "train.workers or train.batch, or give /dev/shm more room; then run again"
        ) from None
    finally:
        del batches  # Ends the processes now, though a traceback may keep this frame.


def _start(loader: DataLoader[Batch | Ended]) -> Iterator[Batch | Ended]:
    """Start the processes; one that dies is noticed at its next batch, not by a signal in any line."""
    if threading.current_thread() is not threading.main_thread():
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader)
    signal.signal(signal.SIGCHLD, before)
    return batches


def _tells_of_death(error: Exception) -> bool:
    """Whether a process was lost, by torch or its connections; not what one of them raised."""
    if str(error).startswith("Caught "):
        return False
    return isinstance(error, EOFError | OSError) or "DataLoader worker (pid" in str(error)


def _prepare(worker: int) -> None:
    cv2.setNumThreads(0)
    # A killed run must not leave processes that hold its folder's lock.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
