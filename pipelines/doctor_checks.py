"""All checks of one process, whatever it lacks."""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.doctor_folders import check_shared, check_temporary
from pipelines.doctor_packages import INSTALL, Check, Wanted, check_modules, check_packages


@dataclass(frozen=True)
class Report:
    """What was found about one process.

    Attributes:
      host: name of its machine.
      pid: of the process.
      cores: that it may use.
      checks: in the order that they were made in.
    """

    host: str
    pid: int
    cores: int
    checks: tuple[Check, ...]


def examine(wanted: Wanted, shared: Path | None, token: str) -> Report:
    """Check this process.

    Args:
      wanted: what the driver has.
      shared: what `doctor_folders.visit` gave on the driver; None leaves it out.
      token: what it wrote there.
    """
    groups: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("packages", lambda: check_packages(wanted)),
        ("modules", check_modules),
        ("media", _check_media),
        ("temporary files", check_temporary),
    ]
    if shared is not None:
        groups.append(("shared folder", lambda: check_shared(shared, token)))
    checks = [check for name, group in groups for check in _guarded(name, group)]
    return Report(socket.gethostname(), os.getpid(), len(os.sched_getaffinity(0)), tuple(checks))


def _check_media() -> Iterator[Check]:
    from pipelines.doctor_media import check_media  # may not import: that is a finding, too

    yield from check_media()


def _guarded(name: str, group: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from group()
    except Exception as error:
        remedy = INSTALL if isinstance(error, ImportError) else "report it, with this line"
        yield Check(name, "failed", f"{type(error).__name__}: {error}", remedy)
