"""What a takedown says: what goes, and what is left for a person to do."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.dataset as ds

from pipelines.clips import outcomes_path
from pipelines.takedown_plan import Plan
from schemas import files
from schemas.plan import PlannedClip

_SHOWN = 10


def describe(made: Plan) -> Iterator[str]:
    """What goes, dataset by dataset."""
    for index in made.indexes:
        gone = [clip for clip in index.clips if (clip.dataset, clip.clip) in made.taken]
        if not gone:
            continue
        left = {clip.group for clip in index.clips if (clip.dataset, clip.clip) not in made.taken}
        groups = {clip.group for clip in gone}
        reals = sum(clip.label == "real" for clip in gone)
        yield (
            f"{index.dataset}: {len(gone)} of {len(index.clips)} clips go ({reals} real, {len(gone) - reals} "
            f"fake): {len(groups - left)} groups go whole, {len(groups & left)} lose some"
        )
        yield from _few([f"  {clip.clip}: {made.taken[clip.dataset, clip.clip]}" for clip in gone])
        yield from _describe_shards(index.path.parent / "shards", {clip.clip for clip in gone})
    yield from _describe_kin(made)
    for one in made.purges:
        yield f"{one.path}: {one.said} go"


def _describe_shards(folder: Path, gone: set[str]) -> Iterator[str]:
    table = folder / "plan.parquet"
    if not table.is_file():
        return
    rows: list[PlannedClip] = files.read_rows(table, PlannedClip)
    shards = sorted({row.shard for row in rows if row.clip in gone})
    index = folder / "index.parquet"
    samples = (
        ds.dataset(index).count_rows(filter=ds.field("clip").isin(sorted(gone))) if index.is_file() else 0
    )
    yield f"  {folder}: {samples} samples in {len(shards)} of {len({row.shard for row in rows})} shards"
    yield from _few([f"    {shard}" for shard in shards])


def _describe_kin(made: Plan) -> Iterator[str]:
    """Identities of the real clips that go which other clips have as well: the same person, it may be."""
    clips = [clip for index in made.indexes for clip in index.clips]
    gone = [clip for clip in clips if (clip.dataset, clip.clip) in made.taken]
    left = [clip for clip in clips if (clip.dataset, clip.clip) not in made.taken]
    mine = {one for clip in gone if clip.label == "real" for one in clip.identities}
    for identity in sorted(mine):
        others = [clip for clip in left if identity in clip.identities]
        if others:
            yield (
                f"{len(others)} clips that have {identity} too stay, such as {others[0].clip}; if it is the "
                f"same person, take down --identity {identity}"
            )


def remaining(made: Plan, takedowns: Path, work: Path) -> Iterator[str]:
    """What is left for a person to do."""
    yield "left to do:"
    yield f"  commit {takedowns}, and run `dvc repro` (or index, track, shard and audit, one after the other)"
    yield "  then forget DVC's old copies: dvc gc --workspace, and with --cloud the remote's (what only other"
    yield "    branches and tags use is forgotten, too)"
    for index in made.indexes:
        here = sum(dataset == index.dataset for dataset, _ in made.places)
        if here:
            yield f"  delete {here} files of {index.root}: those of reason taken_down in"
            yield f"    {outcomes_path(index.path)}, once the index stage has run"
    for one in made.purges:
        if all(one.project):
            before, after = one.project
            yield f"  where Label Studio has project {before!r}: delete its tasks, and call it {after!r}"
        for path in (one.path, *one.tasks):
            if path.with_name(f"{path.name}.dvc").exists():
                yield f"  dvc add {path}"
    for what, name in (
        ("train again, since a model does not forget", "runs/*/run.json"),
        ("make again, since they may show pictures", "eval/*/evaluation.html"),
        ("make again, since they may show pictures", "report/report.html"),
    ):
        found = sorted(str(path.parent) for path in below(work, name))
        if found:
            yield f"  {what} (`dvc repro` and `dvc repro training/dvc.yaml` do): {' '.join(found)}"


def _few(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"{lines[0][: len(lines[0]) - len(lines[0].lstrip())]}... and {len(lines) - _SHOWN} more"


def below(work: Path, name: str) -> list[Path]:
    """Files of a name in a work folder, or in a folder of it."""
    return sorted({*work.glob(name), *work.glob(f"*/{name}")})
