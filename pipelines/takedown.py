"""Taking a person or a clip out of everything: the tombstone, and what no stage makes again without them."""

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pipelines.annotation.ingest import LABELS
from pipelines.annotation.question import TABLE
from pipelines.purge import carry_out
from pipelines.takedown_plan import Plan, name_clip, name_person, plan, read_indexes
from pipelines.takedown_report import below, describe, remaining
from schemas import files, program
from schemas.errors import UsageError
from schemas.paths import local
from schemas.takedown import Tombstone, check_date, read_takedowns, takedowns_path, write_takedowns

_DESCRIPTION = """
Take people or clips down: write them into takedowns.csv, which the index stage obeys, and take them out of
label requests and answers now. The next run (`dvc repro`) then rebuilds the index, and the tracks and shards
that held them.

  --identity KIND:ID      everything that shows somebody, or was made with their face, in every dataset:
                          youtube:000, origin:<YouTube id>, actor:01 (column `identities` of clips.parquet)
  --clip [DATASET/]PATH   one clip (column `clip`). With a real clip goes its group (every compression, every
                          forgery of it), and the fakes elsewhere that were made with it; with a fake, its
                          other compressions
Without either it takes out what takedowns.csv names already: after a `git pull`, or for answers that turn up.
The dataset's own files are not touched: what to delete is said at the end.
"""
_EPILOG = """
Examples:
  python -m pipelines.takedown --identity youtube:000 --dry-run
  python -m pipelines.takedown --identity youtube:000 --because "asked on 2 May, ticket 17"
  python -m pipelines.takedown --clip faceforensics/original_sequences/youtube/c23/videos/000.mp4
  python -m pipelines.takedown --labels answers/r1 --labels answers/r2.json
Exit codes: 0 done; 1 stopped (a full disk): run again; 2 bad usage, such as a name that is in no dataset.
"""


def run_stage(made: Plan, takedowns: Path) -> None:
    """Write the tombstones, then take out of requests and labels what they name.

    Raises:
      UsageError: if another run writes there.
      StoppedError: if something cannot be written; run again.
    """
    if made.new:
        with files.exclusive(takedowns.absolute().parent):
            there = _read(takedowns)
            known = {tombstone.place for tombstone in there}
            added = [tombstone for tombstone in made.new if tombstone.place not in known]
            write_takedowns(takedowns, (*there, *added))
    for one in made.purges:
        carry_out(one)


def _read(takedowns: Path) -> tuple[Tombstone, ...]:
    return read_takedowns(takedowns) if takedowns.exists() else ()


def _plan(arguments: argparse.Namespace, takedowns: Path) -> Plan:
    if not arguments.because.isprintable():
        raise UsageError(f"--because {arguments.because!r}: it must be one line of text")
    day = check_date(arguments.date, "--date") or date.today().isoformat()
    work, before = arguments.work, _read(takedowns)
    requests = arguments.requests or [path.parent for path in below(work, f"requests/*/{TABLE}")]
    labels = arguments.labels or [path.parent for path in below(work, f"labels/*/{LABELS}")]
    for path in labels:
        if not path.exists():
            raise UsageError(f"--labels {path}: there is no such folder or file")
    # A folder of shards has a copy, and a plan beside it.
    found = [path for path in below(work, "clips.parquet") if not path.with_name("plan.parquet").exists()]
    indexes = read_indexes(arguments.clips or found)
    asked = [
        *(name_person(one, indexes, before, day, arguments.because) for one in arguments.identity),
        *(
            tombstone
            for one in arguments.clip
            for tombstone in name_clip(one, indexes, before, day, arguments.because)
        ),
    ]
    return plan(before, asked, indexes, requests, labels)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = program.make_parser("pipelines.takedown", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("--identity", action="append", default=[], metavar="KIND:ID", help="who; repeats")
    add("--clip", action="append", default=[], metavar="[DATASET/]PATH", help="which clip; repeats")
    add("--because", default="", metavar="TEXT", help="a remark for takedowns.csv; name nobody in it")
    add("--date", default="", metavar="DAY", help="for takedowns.csv, such as 2024-12-31 (default: today)")
    add("--takedowns", type=local, metavar="FILE", help="default: takedowns.csv beside params.yaml")
    add(
        "--work",
        type=local,
        default=Path("work"),
        metavar="FOLDER",
        help="where the others are (default: work)",
    )
    add(
        "--clips",
        type=local,
        action="append",
        metavar="FILE",
        help="default: clips.parquet of WORK and WORK/*",
    )
    add(
        "--requests",
        type=local,
        action="append",
        metavar="FOLDER",
        help="default: requests/* of the same",
    )
    add(
        "--labels",
        type=local,
        action="append",
        metavar="PATH",
        help="of pipelines.labels, or painted masks, or Label Studio's JSON (default: labels/* of the same)",
    )
    add("--dry-run", action="store_true", help="print what would go, and touch nothing")
    arguments = parser.parse_args(argv)
    takedowns = arguments.takedowns or takedowns_path(arguments.params)
    made = _plan(arguments, takedowns)
    for line in describe(made):
        print(line)
    if arguments.dry_run:
        print(f"would add {len(made.new)} lines to {takedowns}, which has {len(made.before)}")
        return program.WHOLE
    run_stage(made, takedowns)
    print(f"{takedowns}: {len(made.new)} lines are new, {len(made.before)} were there")
    if made.places or made.new:
        print("\n".join(remaining(made, takedowns, arguments.work)))
    return program.WHOLE


if __name__ == "__main__":
    program.run_main("pipelines.takedown")
