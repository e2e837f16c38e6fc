"""What every stage's command line shares."""

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import job_service, logs, status_file
from schemas.digest import digest
from schemas.errors import UsageError
from schemas.outcome import Outcome
from schemas.params_file import read_params
from schemas.paths import absolute, as_path, inside
from schemas.program import FAILURES, WHOLE, make_parser

_EPILOG = """
Beam's flags pass through, from the command line or from $BEAM_ARGS, for example
  --direct_num_workers=4                       four processes on this machine (default: one a core)
  --runner=FlinkRunner --flink_master=HOST:8081  a Flink cluster
Exit codes: 0 whole; 1 stopped (a full disk, a worker that was killed); 2 bad usage; 3 finished, but more than
run.max_failed_fraction of the units failed; 130 interrupted.
A rerun continues where the last one stopped, and does nothing where nothing has changed.
python -m pipelines.doctor tells whether this machine, or a cluster's workers, have all that is needed.
"""


def stage_parser(stage: str, description: str) -> argparse.ArgumentParser:
    """A parser with the flags that every stage takes."""
    parser = make_parser(f"pipelines.{stage}", description, _EPILOG)
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and write nothing")
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="also try again what failed; otherwise only what is missing or made of something else",
    )
    parser.add_argument(
        "--status",
        metavar="FILE",
        help="JSON file that tells how far the run is, for python -m pipelines.status (default: "
        'OUT.status.json; "" for none)',
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        help="of log lines, on stderr and on workers (default: $LAE_LOG_FORMAT, else text)",
    )
    parser.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        help="least level that is logged; warning has a line for each clip that is not ok, info one for each "
        "result (default: $LAE_LOG_LEVEL, else error for text and info for json)",
    )
    return parser


def run(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    stage: str,
    work: Callable[[argparse.Namespace, list[str]], int],
) -> int:
    """Run a stage's command: with its flags, its log, and its status file.

    Args:
      parser: of `stage_parser`; a stage whose results have no `--out` keeps no status.
      argv: arguments; None takes the process's own.
      stage: name.
      work: what the stage does with its flags and Beam's; gives the exit code.

    Raises:
      UsageError: if the environment asks for a log that there is not.
    """
    arguments, beam_args = parse(parser, argv)
    try:
        logs.configure(logs.settings(arguments.log_format, arguments.log_level))
    except ValueError as error:
        raise UsageError(str(error)) from None
    path = _status_path(arguments)
    if path is None or arguments.dry_run:
        return work(arguments, beam_args)
    file = status_file.StatusFile(path, stage, digest(read_params(arguments.params)))
    with status_file.kept(file) as told:
        code = work(arguments, beam_args)
        told(code)
    return code


def _status_path(arguments: argparse.Namespace) -> Path | None:
    if arguments.status is not None:
        return as_path(arguments.status) if arguments.status else None
    return None if arguments.out is None else as_path(f"{absolute(str(arguments.out))}.status.json")


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> tuple[argparse.Namespace, list[str]]:
    """Parse our flags and check that the others are Beam's; those of $BEAM_ARGS come first.

    Exits with 2 at a flag that neither we nor Beam know.
    """
    arguments, rest = parser.parse_known_args(argv)
    return arguments, check_beam_args(parser, rest)


def check_beam_args(parser: argparse.ArgumentParser, rest: Sequence[str]) -> list[str]:
    """Beam's flags, and its job service's: those of $BEAM_ARGS, then those that a parser left.

    Exits with 2 at others.
    """
    try:
        beam_args = [*shlex.split(os.environ.get("BEAM_ARGS", "")), *rest]
    except ValueError as error:
        parser.error(f"BEAM_ARGS={os.environ['BEAM_ARGS']}: {error}; quote it as a shell would")
    beam = argparse.ArgumentParser(
        prog=parser.prog, usage=parser.format_usage().removeprefix("usage: "), allow_abbrev=False
    )
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(beam)
    known, unknown = beam.parse_known_args(beam_args)
    if unknown and known.job_endpoint not in (None, "embed"):
        unknown = job_service.refused(known.job_endpoint, unknown)
    if unknown:
        parser.error(f"neither this command nor Beam knows {' '.join(unknown)}; see --help")
    return beam_args


def check_out(out: Path, inputs: Mapping[str, Path]) -> None:
    """Refuse a folder of results that holds what they are made of: what no result is, is removed there.

    Args:
      out: folder of the results.
      inputs: by what they are called in the message.

    Raises:
      UsageError: if one is the folder, or in it.
    """
    for name, path in inputs.items():
        if inside(path, out):
            raise UsageError(f"--out {out}: {name} ({path}) is in it; give results a folder of their own")


def finish(outcomes: Iterable[Outcome], made: str, look: Path, max_failed_fraction: float) -> int:
    """Print what was made, what became of the units, and where to look; returns the exit code."""
    outcomes = list(outcomes)
    file = status_file.current()
    if file is not None:
        file.conclude(outcomes)
    counts = Counter(outcome.status for outcome in outcomes)
    print(f"{made}: {counts['ok']} ok, {counts['skipped']} skipped, {counts['failed']} failed")
    reasons = Counter((o.status, o.reason) for o in outcomes if o.status != "ok")
    for (status, reason), count in sorted(reasons.items()):
        example = next(o for o in outcomes if (o.status, o.reason) == (status, reason))
        print(f"  {status} {reason}: {count}, such as {example.unit}: {example.detail}")
    print(f"see {look}")
    if counts["failed"] > max_failed_fraction * max(1, len(outcomes)):
        print(
            f"{counts['failed']} of {len(outcomes)} failed: more than run.max_failed_fraction "
            f"({max_failed_fraction:g}); mend them, then rerun with --retry-failed",
            file=sys.stderr,
        )
        return FAILURES
    return WHOLE
