"""Status files of runs, in a line each."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from schemas import program
from schemas.convert import from_row
from schemas.errors import UsageError
from schemas.files import read_bytes
from schemas.paths import as_path
from schemas.status import RunStatus

# Updates that may be missing before a run is taken for dead.
_MISSING = 6

_DESCRIPTION = "Say how far runs are, and which of them are dead, from the status files that stages keep."
_EPILOG = """
Stages keep one beside their results: --out work/shards has work/shards.status.json. To look again and again:
  watch python -m pipelines.status work/*/*.status.json
Exit codes: 0 all run or are finished; 2 bad usage; 3 one failed, was stopped or is dead.
"""


def read(path: Path) -> RunStatus:
    """The status in a file.

    Raises:
      UsageError: if there is none.
    """
    try:
        return from_row(RunStatus, json.loads(read_bytes(path)))
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; name a status file, as --status of a stage does"
        ) from None
    except (ValueError, TypeError):
        raise UsageError(f"{path}: not a status file, or another version's") from None


def silence(status: RunStatus) -> float:
    """Seconds since a run that is not at its end wrote its status, or 0."""
    if status.state != "running":
        return 0.0
    return (datetime.now(UTC) - datetime.fromisoformat(status.updated)).total_seconds()


def is_dead(status: RunStatus) -> bool:
    """True if a run should have written long since."""
    return silence(status) > _MISSING * status.every


def describe(status: RunStatus) -> str:
    """One line for a person."""
    state = f"dead? silent for {tqdm.format_interval(silence(status))}" if is_dead(status) else status.state
    if status.exit_code is not None:
        state += f" with {status.exit_code}"
    said = [f"{status.stage}: {state}", f"{status.host} pid {status.pid}"]
    if status.step:
        said.append(f"{status.step} {status.done} of {status.total}")
    if status.state == "running" and status.eta is not None:
        said.append(f"{status.rate:.3g}/s, {tqdm.format_interval(status.eta)} left")
    said.append(f"{status.ok} ok, {status.skipped} skipped, {status.failed} failed")
    return "; ".join(said)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.status",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", type=as_path, nargs="+", metavar="FILE", help="status files")
    found = {path: read(path) for path in parser.parse_args(argv).files}
    for path, status in found.items():
        print(f"{path}: {describe(status)}")
        for error in status.errors:
            print(f"  {error.unit}: {error.reason}: {error.detail}")
    bad = [status for status in found.values() if status.state in ("failed", "stopped") or is_dead(status)]
    return program.FAILURES if bad else program.WHOLE


if __name__ == "__main__":
    program.run_main("pipelines.status")
