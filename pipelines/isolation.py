"""Calls in a child process with limits: a decoder that crashes, hangs or eats memory costs one clip."""

import contextlib
import importlib
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from multiprocessing import reduction
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import cv2

from pipelines.leash import end_with
from transforms.errors import ClipError, internal_error

logger = logging.getLogger(__name__)

_ITEM, _END, _CLIP_ERROR, _NO_MEMORY_LEFT = range(4)
# What Python, C++, OpenCV, the loader of libraries and the system say where memory is short.
_NO_MEMORY = (
    "MemoryError",
    "std::bad_alloc",
    "Insufficient memory",
    "failed to map segment",
    "Cannot allocate memory",
)


class _KilledError(ClipError):
    """The child was killed from outside."""


class Isolated:
    """A child process that runs generator functions and sends what they yield.

    The child is started at the first call, kept for the next ones, and replaced after it died or was killed.
    It is a plain subprocess: forking would copy Beam's threads, and multiprocessing's spawn would import the
    main module again.

    Args:
      timeout: seconds without an item (or the end) after which the child is killed.
      memory: most data memory of the child (RLIMIT_DATA) in MiB; 0 is no limit.
    """

    def __init__(self, timeout: float, memory: int = 0):
        self._timeout = timeout
        self._memory = memory
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._log: Any = None

    def iterate(
        self, function: Callable[..., Iterator[Any]], *arguments: Any, into: int | None = None
    ) -> Iterator[Any]:
        """What `function(*arguments)` yields; `function` must be importable by its name.

        Args:
          function: what to run.
          arguments: of it; pickled.
          into: descriptor of a file; the function gets one of its own for it, before the other arguments.
            What is too large to be sent is written there.

        Raises:
          ClipError: as raised by the function; "internal_error" for any other exception in it;
            "decode_crashed" or "decode_timeout" for the child's end. One that somebody killed (an operator,
            the system short of memory) says nothing of the clip: the call is made once more before that.
        """
        given, begun = 0, time.monotonic()
        try:
            for last in (False, True):
                try:
                    with contextlib.closing(self._once(function, arguments, into)) as items:
                        for number, item in enumerate(items):
                            if number >= given:
                                given = number + 1
                                yield item
                    return
                except _KilledError as error:
                    if last:
                        raise
                    logger.warning("%s: tried once more", error)
        finally:
            _tell(function.__name__, arguments, given, time.monotonic() - begun)

    def _once(
        self, function: Callable[..., Iterator[Any]], arguments: tuple, into: int | None
    ) -> Generator[Any, None, None]:
        connection = self._ensure()
        whole = False
        try:
            connection.send((function.__module__, function.__qualname__, arguments, into is not None))
            if into is not None:
                assert self._process is not None
                reduction.send_handle(connection, into, self._process.pid)
            while True:
                if not connection.poll(self._timeout):
                    raise ClipError(
                        "decode_timeout", f"no frame for {self._timeout:g} s; the decoder was killed"
                    )
                kind, value = connection.recv()
                if kind == _ITEM:
                    yield value
                    continue
                if kind == _NO_MEMORY_LEFT:
                    # The next clip gets a new child: this one may have lost more than this clip.
                    raise ClipError("decode_crashed", self._too_much(value))
                whole = True
                if kind == _CLIP_ERROR:
                    raise ClipError(*value)
                return
        except (EOFError, BrokenPipeError, ConnectionResetError):
            words = self._last_words()
            said = self._too_much(words) if _is_no_memory(words) else f"the decoder died: {words}"
            killed = self._process is not None and self._process.poll() == -signal.SIGKILL
            raise (_KilledError if killed else ClipError)("decode_crashed", said) from None
        finally:
            if not whole:
                self.close()

    def _ensure(self) -> Connection:
        if self._connection is None or self._process is None or self._process.poll() is not None:
            self.close()
            self._connection, theirs = Pipe()
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
            command = [sys.executable, "-m", "pipelines.isolation", str(theirs.fileno()), str(self._memory)]
            path = os.pathsep.join(entry for entry in sys.path if entry)
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, "PYTHONPATH": path, "GLOG_minloglevel": "2", "TF_CPP_MIN_LOG_LEVEL": "2"},
            )
            theirs.close()
        assert self._connection is not None
        return self._connection

    def _last_words(self) -> str:
        process = self._process
        status = "" if process is None else f"exit status {_wait(process)}"
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"{status}; {lines[-1]}" if lines else status

    def _too_much(self, words: str) -> str:
        limit = f"run.clip_memory ({self._memory} MiB)" if self._memory else "there is"
        return f"the decoder needs more memory than {limit}: {words}"

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for resource_ in (self._connection, self._log):
            if resource_ is not None:
                resource_.close()
        self._connection = self._log = None


def _tell(function: str, arguments: tuple, items: int, seconds: float) -> None:
    from pipelines import metrics  # Here: it needs Beam, which takes a child long to import.

    metrics.measure(f"decoder.{function}.items", items)
    metrics.measure(f"decoder.{function}.ms", 1000 * seconds)
    path = str(arguments[0]) if arguments else ""
    fields = {"function": function, "path": path, "items": items, "seconds": round(seconds, 3)}
    logger.debug("%s %s: %d items in %.2f s", function, path, items, seconds, extra={"fields": fields})


def _wait(process: subprocess.Popen) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(5)
    return None


def _is_no_memory(words: str) -> bool:
    return any(said in words for said in _NO_MEMORY)


def _serve(connection: Connection) -> None:
    while True:
        try:
            module, name, arguments, into = connection.recv()
            file = os.fdopen(reduction.recv_handle(connection), "wb", 0) if into else None
        except EOFError:
            return
        try:
            target: Any = importlib.import_module(module)
            for part in name.split("."):
                target = getattr(target, part)
            for item in target(*arguments) if file is None else target(file.fileno(), *arguments):
                connection.send((_ITEM, item))
            answer: tuple[int, Any] = (_END, None)
        except ClipError as error:
            answer = (_CLIP_ERROR, (error.reason, error.detail))
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            if _is_no_memory(f"{type(error).__name__}: {error}"):
                answer = (_NO_MEMORY_LEFT, type(error).__name__)
            else:
                unexpected = internal_error(error)
                answer = (_CLIP_ERROR, (unexpected.reason, unexpected.detail))
        finally:
            if file is not None:
                file.close()
        connection.send(answer)


def _main() -> None:
    descriptor, memory = int(sys.argv[1]), int(sys.argv[2])
    end_with(descriptor)
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory << 20, memory << 20))
    cv2.setNumThreads(1)
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).exists()]
    with Connection(descriptor) as connection, contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _serve(connection)


if __name__ == "__main__":
    _main()
