"""The index stage: which clips a dataset's folder holds, and what is in them."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from pipelines import cli, resume
from pipelines.archives import Contents, find_unread, plan_archives, read_archives
from pipelines.clips import outcomes_path
from pipelines.engine import Work, run
from pipelines.forecast import describe_cost
from pipelines.index_facts import known_facts, plan_units, with_facts
from pipelines.index_plan import Change, Plan, Source, open_dataset, plan
from pipelines.index_report import describe_clips, describe_leaks, describe_notes, describe_outcomes
from pipelines.lease import exclusive
from pipelines.params import dataset_params
from pipelines.probing import SUFFIX, ProbeBuilder, Probed, ProbeUnit
from schemas import files, program
from schemas.clip import Clip
from schemas.convert import arrow_schema
from schemas.errors import UsageError
from schemas.outcome import Outcome
from schemas.params import RunParams
from schemas.params_file import read_params
from schemas.paths import absolute, as_path, is_url, local
from schemas.sidecar import Sidecar
from schemas.takedown import read_takedowns, takedowns_path
from transforms.cost import MEASURED, StageCost
from transforms.indexing.declare import elect
from transforms.indexing.layout import DatasetError, failed
from transforms.indexing.moves import apply_moves, read_moves
from transforms.takedown import apply_takedowns

# Clips a row group.
_BATCH = 50_000
_COLUMNS = tuple(field.name for field in fields(Clip))


def run_stage(
    plan: Plan, out: Path, limits: RunParams, retry_failed: bool, beam_args: Sequence[str]
) -> tuple[list[Clip], list[Outcome]]:
    """Probe the clips, and write them and the outcome of everything that was tried; returns both.

    What is probed is kept in `<out>.probes` until the index is written, so that an interrupted run continues.

    Args:
      plan: what to index.
      out: file of clips; that of outcomes is beside it.
      limits: of a decoder.
      retry_failed: take facts of files that were indexed before, and were not touched since, from `out`.
      beam_args: Beam's flags.
    """
    root, folder = absolute(plan.params.root), out.with_name(f"{out.name}.probes").absolute()
    facts = _facts(plan, out, retry_failed)
    with exclusive(folder) as lease:
        units = plan_units(plan.dataset, plan.clips, plan.stamps, facts)
        wanted = {key: unit.digest for key, (unit, _) in units.items()}
        pending = resume.find_pending(folder, wanted, retry_failed)
        resume.discard(folder, pending)
        run(
            [Work(key, wanted[key], *units[key]) for key in pending],
            ProbeBuilder(root, folder, limits),
            beam_args,
            "index",
            folder,
        )
        lease.check()
        sidecars = resume.seal(folder, wanted, (SUFFIX,))
        tried = _collect(folder, units, sidecars, facts)
        clips, outcomes = _assemble(plan, facts, tried)
        files.write_rows(outcomes_path(out), Outcome, outcomes, check=lease.check)
        metadata = {
            "dataset": plan.dataset,
            "layout": plan.params.layout,
            "root": plan.params.root,
            "split": plan.params.split,
            "terms": plan.terms,
        }
        files.write_tables(out, arrow_schema(Clip), _batches(clips), metadata, lease.check)
        if all(sidecars.values()):
            lease.check()
            files.remove_folder(folder)
    return clips, outcomes


def _facts(plan: Plan, out: Path, retry_failed: bool) -> dict[str, Probed]:
    """What needs no probe."""
    return {**(known_facts(out, plan.stamps) if retry_failed else {}), **plan.facts}


def _collect(
    folder: Path,
    units: Mapping[str, tuple[ProbeUnit, int]],
    sidecars: Mapping[str, Sidecar | None],
    facts: dict[str, Probed],
) -> list[Outcome]:
    """Outcomes of what was probed; its facts are added to `facts`."""
    outcomes: list[Outcome] = []
    for key, sidecar in sidecars.items():
        unit = units[key][0]
        if sidecar is None:
            lost = "no result was committed; run again"
            outcomes += [
                failed(unit.dataset, path, unit.group, "internal_error", lost) for path in unit.clips
            ]
            continue
        outcomes += sidecar.outcomes
        for row in files.read_rows(folder / f"{key}{SUFFIX}", Probed):
            facts[row.path] = row
    return outcomes


def _assemble(
    plan: Plan, facts: Mapping[str, Probed], tried: Iterable[Outcome]
) -> tuple[list[Clip], list[Outcome]]:
    """Clips with their facts, and one outcome for each thing that was tried, sorted."""
    outcomes = {outcome.unit: outcome for outcome in (*plan.outcomes, *tried)}
    kept = []
    lost: dict[str, str] = {}
    for clip in plan.clips:
        fact = facts.get(clip.clip)
        if fact:
            kept.append(with_facts(clip, fact, facts.get(clip.official_mask)))
            outcomes.setdefault(
                clip.clip, Outcome("index", clip.dataset, clip.clip, clip.group, "ok", made=fact.frames)
            )
        elif clip.label == "real":
            lost.setdefault(
                clip.group, f"its original {clip.clip} failed ({outcomes[clip.clip].reason}); mend that one"
            )
    clips, orphans = elect(kept, lost)
    outcomes.update({orphan.unit: orphan for orphan in orphans})
    return clips, sorted(outcomes.values(), key=lambda outcome: outcome.unit)


def _batches(clips: Sequence[Clip]) -> Iterator[list[dict]]:
    for start in range(0, len(clips), _BATCH):
        yield [{name: getattr(clip, name) for name in _COLUMNS} for clip in clips[start : start + _BATCH]]


def _dry_run(plan: Plan, out: Path, retry_failed: bool, beam_args: Sequence[str]) -> None:
    facts = _facts(plan, out, retry_failed)
    units = plan_units(plan.dataset, plan.clips, plan.stamps, facts).values()
    size = sum(size for _, size in units)
    files = sum(len(unit.clips) + len(unit.masks) for unit, _ in units)
    groups = len({clip.group for clip in plan.clips})
    print(f"would index {len(plan.clips)} clips in {groups} groups into {out}")
    print(f"would read {files} files, official masks included")
    seconds = files * MEASURED.probe + size / 1e6 * MEASURED.hash
    print(describe_cost(StageCost(seconds, size, 0), beam_args, len(units)))
    print("\n".join(describe_clips(plan.clips)))
    for line in describe_outcomes(plan.outcomes):
        print(f"not indexed: {line}")


def _contents(
    source: Source, arguments: argparse.Namespace, limits: RunParams, beam_args: Sequence[str]
) -> Contents | None:
    """What the dataset's archives hold; None where a dry run would have to read them first."""
    if not getattr(source.layout, "ARCHIVES", False):
        return Contents()
    if is_url(source.params.root):
        raise UsageError(
            f"{source.params.root}: layout {source.params.layout} reads archives, and those must be on a "
            "local disk, since each is read to its end for every clip; copy the dataset there"
        )
    root, out = absolute(source.params.root), arguments.out.absolute()
    folder = out.with_name(f"{out.name}.archives")
    archives = plan_archives(source.dataset, root, source.listing.files, folder)
    unread = find_unread(archives, arguments.retry_failed)
    if unread and arguments.dry_run:
        size = sum(archives.units[key].bytes for key in unread)
        print(f"would read {len(unread)} of {len(archives.units)} archives, {size / 2**30:.2f} GiB")
        print("what clips there are is known when they are read")
        return None
    return read_archives(archives, unread, limits, beam_args)


def _changes(arguments: argparse.Namespace) -> list[Change]:
    """What takedowns and moves of groups change in what a layout declares."""
    beside, name = takedowns_path(arguments.params), arguments.dataset
    takedowns, moves = arguments.takedowns or beside, arguments.moves or beside.with_name("moves.csv")
    changes: list[Change] = []
    if arguments.takedowns or takedowns.exists():
        tombstones = read_takedowns(takedowns)
        changes.append(lambda declared: apply_takedowns(declared, name, tombstones))
    if arguments.moves or moves.exists():
        try:
            moved = read_moves(moves)
        except DatasetError as error:
            raise UsageError(str(error)) from None
        changes.append(lambda declared: apply_moves(declared, name, moved))
    return changes


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = cli.stage_parser("index", "List a dataset's clips, and find out what is in them.")
    parser.add_argument(
        "--dataset", required=True, metavar="NAME", help="dataset of params.yaml, or a layout"
    )
    parser.add_argument(
        "--root", metavar="FOLDER", help="the dataset's folder (default: that of params.yaml)"
    )
    parser.add_argument(
        "--out",
        type=as_path,
        required=True,
        metavar="FILE",
        help="clips.parquet to write; outcomes go beside it",
    )
    parser.add_argument(
        "--takedowns",
        type=local,
        metavar="FILE",
        help="people and clips to leave out (default: takedowns.csv beside params.yaml)",
    )
    parser.add_argument(
        "--moves",
        type=local,
        metavar="FILE",
        help="groups to move to another side of the split, as `audit --fix` writes them (default: moves.csv "
        "beside params.yaml)",
    )
    return cli.run(parser, argv, "index", _index)


def _index(arguments: argparse.Namespace, beam_args: list[str]) -> int:
    if not is_url(arguments.out) and arguments.out.is_dir():
        raise UsageError(
            f"--out {arguments.out}: is a folder; name a file, such as {arguments.out}/clips.parquet"
        )
    params = read_params(arguments.params)
    dataset = dataset_params(params, arguments.dataset, arguments.root)
    changes = _changes(arguments)
    source = open_dataset(arguments.dataset, dataset)
    contents = _contents(source, arguments, params.run, beam_args)
    if contents is None:
        return program.WHOLE
    planned = plan(source, contents, changes)
    for line in describe_notes(planned.notes):
        print(f"note: {line}")
    if arguments.dry_run:
        _dry_run(planned, arguments.out, arguments.retry_failed, beam_args)
    for line in describe_leaks(planned.clips, arguments.dataset):
        print(f"leak: {line}")
    if arguments.dry_run:
        return program.WHOLE
    clips, outcomes = run_stage(planned, arguments.out, params.run, arguments.retry_failed, beam_args)
    look = outcomes_path(arguments.out)
    made = f"{arguments.out}: {len(clips)} clips in {len({clip.group for clip in clips})} groups"
    code = cli.finish(outcomes, made, look, params.run.max_failed_fraction)
    if not clips and code == program.WHOLE:
        raise UsageError(f"{arguments.out}: no clip is left of {len(outcomes)} files; see above, and {look}")
    return code


if __name__ == "__main__":
    program.run_main("pipelines.index")
