"""Log lines of stages and their workers: for people, or as JSON for machines.

Records carry their fields (stage, key, group, clip, reason, seconds …) in `extra={"fields": …}`; the message
alone says it all, too, since Beam's runners forward no more than that.
"""

import contextlib
import dataclasses
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TextIO, cast

from tqdm import tqdm

Format = Literal["text", "json"]

LEVELS = ("debug", "info", "warning", "error")
# Characters of a message that are relayed.
_LONGEST = 8000
# What is relayed of a record as it is.
_KEPT = ("name", "levelno", "levelname", "created", "msecs", "process")
# Seconds that a worker waits for its driver to take a record.
_PATIENCE = 5.0


@dataclass(frozen=True)
class LogSettings:
    """How to log; travels with a job to its workers, which know nothing of the driver's command line.

    Attributes:
      format: "text" or "json" (an object a line).
      level: least level that is said.
      relay: name that the driver listens to its own worker processes at; "" leaves records to Beam.
    """

    format: Format = "text"
    level: str = "error"
    relay: str = ""


_current = LogSettings()
# Of all loggers of the stages' modules.
_logger = logging.getLogger(__package__)


def settings(format_: str | None, level: str | None) -> LogSettings:
    """What flags say, else $LAE_LOG_FORMAT and $LAE_LOG_LEVEL, else text.

    Without a level, text says errors alone, because a stage's last lines say what failed; JSON says more.

    Raises:
      ValueError: if a value is not one that there is.
    """
    format_ = format_ or os.environ.get("LAE_LOG_FORMAT") or "text"
    level = level or os.environ.get("LAE_LOG_LEVEL") or ("error" if format_ == "text" else "info")
    if format_ not in ("text", "json"):
        raise ValueError(f"LAE_LOG_FORMAT={format_}: not one of text, json")
    if level not in LEVELS:
        raise ValueError(f"LAE_LOG_LEVEL={level}: not one of {', '.join(LEVELS)}")
    return LogSettings(cast(Format, format_), level)


class JsonFormatter(logging.Formatter):
    """A JSON object a record: time (UTC), level, logger, message, and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{clock}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Say(logging.Handler):
    """Writes lines to where progress is shown, without tearing its bar."""

    stream: TextIO = sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record), file=self.stream)
            self.stream.flush()
        except Exception:
            self.handleError(record)


class _Relay(logging.Handler):
    """Sends records to the process that listens at a name; see `relayed`."""

    def __init__(self, name: str):
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_PATIENCE)
        self._socket.connect(f"\0{name}")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            kept = {name: getattr(record, name) for name in _KEPT}
            kept |= {"msg": record.getMessage()[:_LONGEST], "fields": getattr(record, "fields", {})}
            self._socket.send(json.dumps(kept, default=str).encode())
        except OSError:
            self.handleError(record)


_say = _Say()


def current() -> LogSettings:
    """What `configure` or `use` was called with last in this process."""
    return _current


def configure(chosen: LogSettings) -> None:
    """Log in this process, to its stderr."""
    _adopt(chosen)
    formatter = (
        JsonFormatter() if chosen.format == "json" else logging.Formatter("%(levelname)s: %(message)s")
    )
    _say.setFormatter(formatter)
    _say.stream = sys.stderr
    _logger.handlers = [_say]
    _logger.propagate = False


def use(chosen: LogSettings) -> None:
    """Log in a worker as its driver asked for.

    A worker of the embedded runner sends records to it. Others leave them to what Beam made, which forwards
    messages to the runner, or to their stderr: in JSON, if that was asked for, with all fields. Does nothing
    in the driver's own process.
    """
    if _logger.handlers:
        return
    _adopt(chosen)
    if chosen.relay:
        _logger.handlers = [_Relay(chosen.relay)]
        _logger.propagate = False
    elif not logging.getLogger().handlers:
        configure(chosen)
    elif chosen.format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())


def _adopt(chosen: LogSettings) -> None:
    global _current
    _current = chosen
    _logger.setLevel(chosen.level.upper())


@contextlib.contextmanager
def said_to(stream: TextIO) -> Iterator[None]:
    """Say what this process logs there while the block runs."""
    before, _say.stream = _say.stream, stream
    try:
        yield
    finally:
        _say.stream = before


@contextlib.contextmanager
def relayed() -> Iterator[LogSettings]:
    """Settings for worker processes of this machine, whose records are said here while the block runs.

    They come as JSON through a socket whose name is not a file's: one of a killed run leaves nothing.
    """
    ended = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("")

        def receive() -> None:
            # In the order in which they were sent: what came before the last one is said.
            while (line := receiver.recv(1 << 20)) or not ended.is_set():
                with contextlib.suppress(Exception):  # Anybody on this machine may send anything.
                    _logger.handle(logging.makeLogRecord(json.loads(line)))

        listener = threading.Thread(target=receive, daemon=True)
        listener.start()
        try:
            yield dataclasses.replace(_current, relay=receiver.getsockname()[1:].decode())
        finally:
            ended.set()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", receiver.getsockname())
            listener.join()
