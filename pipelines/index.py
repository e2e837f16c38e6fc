"""The index stage: which clips a dataset's folder holds, and what is in them."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pipelines import cli, publish, resume
from pipelines.clips import outcomes_path
from pipelines.engine import Work, run
from pipelines.index_report import describe_clips, describe_leaks, describe_notes, describe_outcomes
from pipelines.listing import list_root
from pipelines.params import dataset_params
from pipelines.probing import SUFFIX, ProbeBuilder, Probed, ProbeUnit, key_of, plan_group
from schemas import files, program
from schemas.clip import Clip
from schemas.convert import arrow_schema
from schemas.errors import UsageError
from schemas.outcome import Outcome
from schemas.params import DatasetParams, RunParams
from schemas.params_file import read_params
from schemas.sidecar import Sidecar
from transforms.indexing.declare import declare, elect
from transforms.indexing.layout import DatasetError, failed, load_layout

# Clips a row group.
_BATCH = 50_000
_COLUMNS = tuple(field.name for field in fields(Clip))


@dataclass(frozen=True)
class Plan:
    """What is to be indexed.

    Attributes:
      dataset: name.
      params: of the dataset.
      terms: of its use.
      clips: without media facts; each group's reference clip first.
      outcomes: of all other files, one each.
      notes: for a person.
    """

    dataset: str
    params: DatasetParams
    terms: str
    clips: tuple[Clip, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]


def plan(dataset: str, params: DatasetParams) -> Plan:
    """List a dataset's folder, and let its layout say what is in it. Opens no video.

    Raises:
      UsageError: if the folder or its lists cannot be used.
    """
    try:
        layout = load_layout(params.layout)
        listing, refused = list_root(dataset, params.root)
        declared = declare(layout, dataset, listing, params)
    except DatasetError as error:
        raise UsageError(str(error)) from None
    known = {clip.clip for clip in declared.clips}
    outcomes: dict[str, Outcome] = {}
    for outcome in (*refused, *declared.outcomes):
        used = any(path == outcome.unit or path.startswith(f"{outcome.unit}/") for path in declared.used)
        if not used and outcome.unit not in known:
            outcomes.setdefault(outcome.unit, outcome)
    return Plan(dataset, params, layout.TERMS, declared.clips, tuple(outcomes.values()), declared.notes)


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
    root, folder = os.path.abspath(plan.params.root), out.with_name(f"{out.name}.probes").absolute()  # noqa: PTH100
    facts = _known_facts(out, root) if retry_failed else {}
    with files.exclusive(folder):
        units = _units(plan, root, facts)
        wanted = {key: unit.digest for key, (unit, _) in units.items()}
        pending = resume.find_pending(folder, wanted, retry_failed)
        resume.discard(folder, pending)
        run(
            [Work(key, *units[key]) for key in pending],
            ProbeBuilder(root, folder, limits),
            beam_args,
            "index",
            lambda key: publish.sidecar_path(folder, key).exists(),
        )
        sidecars = resume.seal(folder, wanted, (SUFFIX,))
        tried = _collect(folder, units, sidecars, facts)
        clips, outcomes = _assemble(plan, facts, tried)
        files.write_rows(outcomes_path(out), Outcome, outcomes)
        metadata = {
            "dataset": plan.dataset,
            "layout": plan.params.layout,
            "root": plan.params.root,
            "split": plan.params.split,
            "terms": plan.terms,
        }
        files.write_tables(out, arrow_schema(Clip), _batches(clips), metadata)
        if all(sidecars.values()):
            shutil.rmtree(folder)
    return clips, outcomes


def _known_facts(out: Path, root: str) -> dict[str, Probed]:
    """Facts of the files that were indexed before and were not touched since, by path."""
    facts = {}
    clips = files.read_rows(out, Clip)
    indexed = out.stat().st_mtime_ns

    def size(path: str) -> int:
        try:
            found = os.stat(f"{root}/{path}")  # noqa: PTH116 - a million times
        except OSError:
            return -1
        return found.st_size if max(found.st_mtime_ns, found.st_ctime_ns) < indexed else -1

    for clip in clips:
        if size(clip.clip) == clip.bytes:
            shape = clip.frames, clip.width, clip.height, clip.rotation, clip.fps
            facts[clip.clip] = Probed(clip.clip, *shape, clip.bytes, clip.sha256)
        if clip.official_mask and size(clip.official_mask) >= 0:
            facts[clip.official_mask] = Probed(
                clip.official_mask, 0, 0, 0, 0, 0.0, 0, clip.official_mask_sha256
            )
    return facts


def _units(plan: Plan, root: str, facts: Mapping[str, Probed]) -> dict[str, tuple[ProbeUnit, int]]:
    """Units and their sizes in bytes, by key; without the files whose facts are known."""
    groups: dict[str, tuple[list[str], dict[str, None]]] = {}
    for clip in plan.clips:
        clips, masks = groups.setdefault(clip.group, ([], {}))
        if clip.clip not in facts:
            clips.append(clip.clip)
        if clip.official_mask and clip.official_mask not in facts:
            masks[clip.official_mask] = None
    return {
        key_of(group): plan_group(plan.dataset, root, group, clips, list(masks))
        for group, (clips, masks) in groups.items()
        if clips or masks
    }


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
            kept.append(_with_facts(clip, fact, facts.get(clip.official_mask)))
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


def _with_facts(clip: Clip, fact: Probed, mask: Probed | None) -> Clip:
    return replace(
        clip,
        frames=fact.frames,
        width=fact.width,
        height=fact.height,
        rotation=fact.rotation,
        fps=fact.fps,
        bytes=fact.bytes,
        sha256=fact.sha256,
        official_mask=clip.official_mask if mask else "",
        official_mask_sha256=mask.sha256 if mask else "",
    )


def _batches(clips: Sequence[Clip]) -> Iterator[list[dict]]:
    for start in range(0, len(clips), _BATCH):
        yield [{name: getattr(clip, name) for name in _COLUMNS} for clip in clips[start : start + _BATCH]]


def _dry_run(plan: Plan, out: Path, retry_failed: bool) -> None:
    root = os.path.abspath(plan.params.root)  # noqa: PTH100
    units = _units(plan, root, _known_facts(out, root) if retry_failed else {}).values()
    size = sum(size for _, size in units)
    files = sum(len(unit.clips) + len(unit.masks) for unit, _ in units)
    groups = len({clip.group for clip in plan.clips})
    print(f"would index {len(plan.clips)} clips in {groups} groups into {out}")
    print(f"would read {files} files, {size / 2**30:.2f} GiB, official masks included")
    print("\n".join(describe_clips(plan.clips)))
    for line in describe_outcomes(plan.outcomes):
        print(f"not indexed: {line}")


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
        type=Path,
        required=True,
        metavar="FILE",
        help="clips.parquet to write; outcomes go beside it",
    )
    arguments, beam_args = cli.parse(parser, argv)
    if arguments.out.is_dir():
        raise UsageError(
            f"--out {arguments.out}: is a folder; name a file, such as {arguments.out}/clips.parquet"
        )
    params = read_params(arguments.params)
    planned = plan(arguments.dataset, dataset_params(params, arguments.dataset, arguments.root))
    for line in describe_notes(planned.notes):
        print(f"note: {line}")
    if arguments.dry_run:
        _dry_run(planned, arguments.out, arguments.retry_failed)
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
