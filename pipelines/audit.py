"""The audit stage: are the shards whole, do they tell one story, and what is in them?"""

import argparse
import functools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipelines import cli
from pipelines.corpus import Corpus, load_corpus
from pipelines.looks import find_lookalikes
from pipelines.report import describe_report, write_report
from pipelines.shard_folder import IndexRows, ShardFolder, list_tars, read_folder, read_shard_rows
from pipelines.verification import find_pending, plan, verify_all
from schemas import files, program
from schemas.clip import Clip
from schemas.errors import UsageError
from schemas.finding import Finding
from schemas.leak import Leak
from schemas.params import Params
from schemas.params_file import read_params
from schemas.paths import as_path, inside, local
from transforms.audit import checks
from transforms.audit.checks import Check
from transforms.audit.findings import Findings
from transforms.indexing.layout import DatasetError
from transforms.indexing.moves import merge, plan_moves, read_moves, write_moves
from transforms.leaks import find_leaks, group_of

# Raise it when the report changes for the same shards: DVC then audits again.
VERSION = 4

_DESCRIPTION = """
Read every shard to its end, check that nothing vanished, changed or leaked, and write a report.

A shard that was read before and has not changed since (size, times, inode) is not read again, unless asked
with --reverify. --retry-failed also reads the shards again that had findings, changed or not.
A failed check ends with exit code 3.
"""

# In the report's folder, with --fix.
MOVES = "moves.csv"
_SAID = 10


def compare(folder: ShardFolder, corpus: Corpus, number: int) -> list[Finding]:
    """What is wrong between the files of one folder, without its tars."""
    where = folder.dataset
    samples = corpus.samples_of(number)
    found = [
        *checks.check_balance(where, folder.clips, folder.plan, folder.outcomes, folder.entries, samples)
    ]
    found += checks.check_counts(where, corpus.masks_of(number))
    stray = Findings(where)
    listed = {entry.url for entry in folder.entries}
    for name in sorted(set(list_tars(folder.path)) - listed):
        stray.add("stray", name, "a tar that index.json does not list; remove it")
    found += stray
    index = IndexRows(folder)
    for entry in folder.entries:
        try:
            rows = read_shard_rows((folder.path / entry.url).with_suffix(".parquet"), entry.unit)
        except ValueError:
            continue  # Verification reports it.
        found += checks.check_rows(f"{where}/{entry.url}", index.of(entry.url), rows)
    return found


def run_stage(
    folders: Sequence[ShardFolder],
    out: Path,
    params: Params,
    retry_failed: bool = False,
    reverify: bool = False,
    beam_args: Sequence[str] = (),
    *,
    fix: bool = False,
) -> list[Check]:
    """Verify, check, and write the report; returns the checks.

    Args:
      folders: of shards, one a dataset.
      out: folder of the report.
      params: all parameters.
      retry_failed: read shards with findings again.
      reverify: read all shards again.
      beam_args: Beam's flags.
      fix: also write `moves.csv`: which groups have to move for nothing to leak.
    """
    units = plan(folders)
    with files.exclusive(out):
        files.remove_parts(out)
        found = verify_all(units, out, find_pending(units, out, retry_failed, reverify), beam_args)
        corpus = load_corpus(folders)
        for number, folder in enumerate(folders):
            found += compare(folder, corpus, number)
        found += checks.check_keys("all datasets", corpus.keys)
        clips = list(corpus.clips)
        alike = find_lookalikes(units, out)
        leaked = find_leaks(clips, alike.found)
        touched = checks.count_touched(clips, leaked)
        outcomes = [outcome for folder in folders for outcome in folder.outcomes]
        verdicts = checks.summarise(
            found, outcomes, len(units), corpus.masks, leaked, touched, params.audit.max_leaks
        )
        files.write_rows(out / "leaks.parquet", Leak, leaked)
        write_report(out, corpus, verdicts, leaked, touched, params, alike.crops)
        if fix:
            _write_moves(out / MOVES, clips, leaked)
    return verdicts


def _write_moves(path: Path, clips: Sequence[Clip], leaked: Sequence[Leak]) -> None:
    """Write what has to move for nothing to leak, added to what was said to move before."""
    found = plan_moves(clips, leaked)
    try:
        before = read_moves(path) if path.exists() else []
    except DatasetError as error:
        raise UsageError(str(error)) from None
    write_moves(path, merge(before, found))
    groups = {group_of(clip): clip.dataset for clip in clips}
    for dataset in sorted({move.dataset for move in found}):
        sides = Counter((move.before, move.after) for move in found if move.dataset == dataset)
        said = ", ".join(f"{count:,} from {a} to {b}" for (a, b), count in sorted(sides.items()))
        print(f"fix: {dataset}: {said}, of {sum(name == dataset for name in groups.values()):,} groups")
    if found:
        print(f"fix: index again with --moves {path}, then build again from there")
    else:
        print(f"fix: nothing to move ({path} holds {len(before)} earlier moves)")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = cli.stage_parser("audit", _DESCRIPTION)
    parser.add_argument(
        "--shards",
        type=as_path,
        action="append",
        metavar="FOLDER",
        help="folder of the shard stage; repeats, and the report covers all of them",
    )
    parser.add_argument("--out", type=local, metavar="FOLDER", help="folder of the report")
    parser.add_argument("--reverify", action="store_true", help="read every shard again, changed or not")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="also write OUT/moves.csv: which groups have to change sides for nothing to leak; "
        "pipelines.index --moves applies it",
    )
    parser.add_argument(
        "--show",
        type=local,
        metavar="FOLDER",
        help="print what the report in a folder says, and do nothing else",
    )
    return cli.run(parser, argv, "audit", functools.partial(_audit, parser))


def _audit(parser: argparse.ArgumentParser, arguments: argparse.Namespace, beam_args: list[str]) -> int:
    if arguments.show is not None:
        lines, passed = describe_report(arguments.show)
        print("\n".join(lines))
        return program.WHOLE if passed else program.FAILURES
    if not arguments.shards or arguments.out is None:
        parser.error("--shards and --out are required (or --show, for a report that is there)")
    params = read_params(arguments.params)
    folders = [read_folder(path) for path in dict.fromkeys(arguments.shards)]
    for folder in folders:
        if inside(arguments.out, folder.path):
            raise UsageError(
                f"--out {arguments.out}: inside {folder.path}, which holds shards only; give another folder"
            )
    flags = arguments.retry_failed, arguments.reverify
    if arguments.dry_run:
        _dry_run(folders, arguments.out, *flags)
        return program.WHOLE
    verdicts = run_stage(folders, arguments.out, params, *flags, beam_args, fix=arguments.fix)
    return _finish(verdicts, arguments.out)


def _dry_run(folders: Sequence[ShardFolder], out: Path, retry_failed: bool, reverify: bool) -> None:
    units = plan(folders)
    pending = find_pending(units, out, retry_failed, reverify)
    for folder in folders:
        samples, shards = sum(entry.samples for entry in folder.entries), len(folder.entries)
        print(f"{folder.path}: dataset {folder.dataset}, {samples:,} samples in {shards:,} shards")
    size = sum(units[key].entry.bytes for key in pending)
    print(f"would read {len(pending)} of {len(units)} shards to their end ({size:,} bytes)")
    print(f"would check {', '.join(checks.TITLES)}")
    print(f"would write report.html, metrics.json, leaks.parquet and plots/ into {out}")


def _say(finding: Finding) -> str:
    times = f" {finding.count} times, such as" if finding.count > 1 else ""
    example = f" {finding.example}:" if finding.example else ""
    return f"{finding.problem}{times}{example} {finding.detail}"


def _finish(checks: Sequence[Check], out: Path) -> int:
    for check in checks:
        print(f"{'pass' if check.passed else 'FAIL'} {check.name}: {check.said}")
        places: dict[str, list[Finding]] = {}
        for finding in check.findings:
            places.setdefault(finding.where, []).append(finding)
        for where, found in list(places.items())[:_SAID]:
            print(f"  {where}: {'; '.join(_say(finding) for finding in found[:3])}")
        if len(places) > _SAID:
            print(f"  and {len(places) - _SAID} more places, see the report")
        if not check.passed:
            print(f"  {check.remedy}")
    print(f"see {out / 'report.html'}")
    failed = [check.name for check in checks if not check.passed]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return program.FAILURES
    return program.WHOLE


if __name__ == "__main__":
    program.run_main("pipelines.audit")
