"""The doctor: whether a machine, or each worker of a cluster, has all that the stages need.

Imports nothing that may be missing: it has to say so.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.doctor_checks import Report, examine
from pipelines.doctor_folders import visit
from pipelines.doctor_packages import INSTALL, find_wanted

_DESCRIPTION = """
Tell whether a worker has all that the stages need: packages in the driver's versions, our own code, a decoder
that decodes, models that find a face, child processes with limits, room, and a shared folder to commit to.
"""
_EPILOG = """
Without Beam's flags this process is examined. With them (or with $BEAM_ARGS) the checks run as a Beam job on
the workers, which report into --out, the folder that all of them share:
  python -m pipelines.doctor --out /shared/folder
  python -m pipelines.doctor --out /shared/folder --workers 2 --runner=PortableRunner \\
      --job_endpoint=HOST:8099 --environment_type=EXTERNAL --environment_config=HOST:50000
Exit codes: 0 all is there; 1 something is missing; 2 bad usage.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.doctor",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder that results will go to; workers must share it"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="how many workers there should be (default: 1)"
    )
    arguments, rest = parser.parse_known_args(argv)
    if arguments.workers < 1:
        parser.error(f"--workers {arguments.workers}: at least 1")
    if arguments.out is not None and not arguments.out.is_dir():
        parser.error(f"--out {arguments.out}: no such folder; make it first, or mount it")
    here = not rest and not os.environ.get("BEAM_ARGS")
    if not here and arguments.out is None:
        parser.error("with Beam's flags name the folder that the workers share: --out FOLDER")
    try:
        if here:
            return _examine_here(arguments.out)
        return _examine_workers(parser, rest, arguments.out.absolute(), arguments.workers)
    except OSError as error:  # Workers' own are in their reports.
        print(f"FAILED  commit           {arguments.out}: {error.strerror}")
        print("        -> results must be writable there: see who may write, and the mount")
        return 1


def _examine_here(out: Path | None) -> int:
    with contextlib.nullcontext((None, "")) if out is None else visit(out) as (folder, token):
        report = examine(find_wanted(), folder, token)
    _print(report, whole=True)
    return int(not _well(report))


def _examine_workers(parser: argparse.ArgumentParser, rest: Sequence[str], out: Path, workers: int) -> int:
    try:
        from pipelines import cli, doctor_job, engine, job_service
        from schemas.errors import UsageError
    except ImportError as error:
        print(f"error: this process cannot start a job: {error}; {INSTALL}", file=sys.stderr)
        return 1
    try:
        options = engine.pipeline_options(cli.check_beam_args(parser, rest), workers)
        job_service.check(options)
    except UsageError as error:
        parser.error(str(error))
    try:
        reports = doctor_job.examine_workers(find_wanted(), out, options, workers)
    except OSError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if "Error" in line]
        print(f"FAILED  the job ended without a report: {(lines or [repr(error)])[-1]}")
        print(f"        -> {INSTALL}; where it names no module, see the runner's and the workers' own logs")
        return 1
    for report in reports:
        _print(report, whole=False)
    if not reports:
        print(f"FAILED  no worker wrote into {out}: mount the same folder at the same path on every worker")
    elif len(reports) < workers:
        print(f"note    {len(reports)} workers were met, not {workers}; see the runner's parallelism")
    return int(not reports or not all(map(_well, reports)))


def _well(report: Report) -> bool:
    return all(check.status != "failed" for check in report.checks)


def _print(report: Report, whole: bool) -> None:
    """Print a report; of the checks that are ok only the number, unless the whole is asked for."""
    fine = sum(check.status == "ok" for check in report.checks)
    print(f"{report.host} pid {report.pid}, {report.cores} cores: {fine} of {len(report.checks)} checks ok")
    for check in report.checks:
        if whole or check.status != "ok":
            word = "FAILED" if check.status == "failed" else check.status
            print(f"  {word:<6}  {check.name:<16} {check.detail}")
            if check.remedy:
                print(f"          -> {check.remedy}")


if __name__ == "__main__":
    import importlib

    # By its name, so that workers find its classes there and not in `__main__`.
    sys.exit(importlib.import_module("pipelines.doctor").main())
