"""Calls in a child process with limits: a decoder that crashes, hangs or eats memory costs one clip."""

import contextlib
import importlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import cv2

from transforms.errors import ClipError, internal_error

_ITEM, _END, _CLIP_ERROR = range(3)


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

    def iterate(self, function: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
        """What `function(*arguments)` yields; `function` must be importable by its name.

        Raises:
          ClipError: as raised by the function; "internal_error" for any other exception in it;
            "decode_crashed" or "decode_timeout" for the child's end.
        """
        connection = self._ensure()
        whole = False
        try:
            connection.send((function.__module__, function.__qualname__, arguments))
            while True:
                if not connection.poll(self._timeout):
                    raise ClipError(
                        "decode_timeout", f"no frame for {self._timeout:g} s; the decoder was killed"
                    )
                kind, value = connection.recv()
                if kind == _ITEM:
                    yield value
                    continue
                whole = True
                if kind == _CLIP_ERROR:
                    raise ClipError(*value)
                return
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise ClipError("decode_crashed", f"the decoder died: {self._last_words()}") from None
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


def _wait(process: subprocess.Popen) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(5)
    return None


def _serve(connection: Connection) -> None:
    while True:
        try:
            module, name, arguments = connection.recv()
        except EOFError:
            return
        try:
            target: Any = importlib.import_module(module)
            for part in name.split("."):
                target = getattr(target, part)
            for item in target(*arguments):
                connection.send((_ITEM, item))
            answer: tuple[int, Any] = (_END, None)
        except ClipError as error:
            answer = (_CLIP_ERROR, (error.reason, error.detail))
        except MemoryError:
            answer = (_CLIP_ERROR, ("decode_crashed", "the decoder ran out of the memory it may have"))
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            unexpected = internal_error(error)
            answer = (_CLIP_ERROR, (unexpected.reason, unexpected.detail))
        connection.send(answer)


def _main() -> None:
    descriptor, memory = int(sys.argv[1]), int(sys.argv[2])
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory << 20, memory << 20))
    cv2.setNumThreads(1)
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).exists()]
    with Connection(descriptor) as connection, contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _serve(connection)


if __name__ == "__main__":
    _main()
