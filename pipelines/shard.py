"""The shard stage: aligned crops with masks, as WebDataset shards."""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines import cli, publish, resume
from pipelines.clips import Index, outcomes_path, read_index
from pipelines.engine import Work, run
from pipelines.forecast import describe_cost
from pipelines.lease import exclusive
from pipelines.params import check_samples
from pipelines.sampler import SampleParams
from pipelines.shard_builder import PlannedGroup, ShardBuilder, empty_group
from pipelines.track import key_of
from schemas import SCHEMA_VERSION, files, program
from schemas.clip import SPLITS, Split
from schemas.convert import index_schema
from schemas.digest import digest
from schemas.errors import UsageError
from schemas.names import brace_form, encode_name
from schemas.outcome import Outcome
from schemas.params import Params
from schemas.params_file import read_params
from schemas.paths import as_path
from schemas.plan import PlannedClip
from schemas.sample import Sample, SequenceSample
from schemas.sidecar import Sidecar
from transforms.assignment import assign_shards, count_shards
from transforms.cost import estimate

# Raise it when samples change for the same inputs: every shard is then built again.
VERSION = 4

_SUFFIXES = (".tar", ".idx", ".parquet")
_TRACK_OUTCOMES = "outcomes.parquet"


def sample_params(params: Params) -> SampleParams:
    """The parameters that samples depend on."""
    return SampleParams(params.frames, params.mask, params.crop, params.shard)


def plan(index: Index, tracks: Path, params: Params) -> dict[str, list[PlannedGroup]]:
    """The groups of each shard, by the shard's key: a pure function of index, tracks and parameters.

    Raises:
      UsageError: if a group was not tracked yet, or the track stage was killed before its end.
    """
    matters = sample_params(params)
    by_split: dict[Split, list[PlannedGroup]] = {}
    sidecars = publish.read_sidecars(tracks, map(key_of, index.groups))
    for group, clips in index.groups.items():
        key = key_of(group)
        sidecar = sidecars[key]
        if sidecar is None:
            raise UsageError(
                f"{tracks}: group {group} of {index.path} is not in it; run pipelines.track on this index"
            )
        inputs = [(clip, clip.sha256) for clip in clips]
        plan_digest = digest(
            VERSION, SCHEMA_VERSION, inputs, [file.sha256 for file in sidecar.files], matters
        )
        planned = PlannedGroup(
            index.dataset,
            group,
            clips[0].split,
            clips,
            sidecar.outcomes[0],
            key,
            plan_digest,
            shard_digest="",
        )
        by_split.setdefault(clips[0].split, []).append(planned)
    if not files.is_file(tracks / _TRACK_OUTCOMES):
        raise UsageError(
            f"{tracks / _TRACK_OUTCOMES}: no such file; pipelines.track writes it last, so run that again"
        )
    shards: dict[str, list[PlannedGroup]] = {}
    for split, groups in sorted(by_split.items()):
        names = [group.group for group in groups]
        numbers = assign_shards(names, params.shard.groups, params.shard.seed)
        for number in range(count_shards(len(names), params.shard.groups)):
            shards[shard_key(index.dataset, split, number)] = []
        for planned in groups:
            shards[shard_key(index.dataset, split, numbers[planned.group])].append(planned)
    for key, groups in shards.items():
        whole = shard_digest(groups, params)
        shards[key] = [replace(group, shard_digest=whole) for group in groups]
    return shards


def shard_digest(groups: Sequence[PlannedGroup], params: Params) -> str:
    """Digest of all that a shard depends on."""
    return digest(VERSION, sorted((group.group, group.plan_digest) for group in groups), params.shard.seed)


def shard_digests(shards: Mapping[str, Sequence[PlannedGroup]], params: Params) -> dict[str, str]:
    """Digest of each planned shard, by its key; of one without groups too."""
    empty = shard_digest([], params)
    return {key: groups[0].shard_digest if groups else empty for key, groups in shards.items()}


def shard_key(dataset: str, split: str, number: int) -> str:
    """Where a shard is, relative to the shards folder, without suffix."""
    name = encode_name(dataset)
    return f"{split}/{name}-{split}-{number:06d}"


def write_tables(
    index: Index, tracks: Path, out: Path, shards: dict[str, list[PlannedGroup]], check: files.Check
) -> None:
    """Write the plan and copy what `audit` needs of the stages before; `check` as in `atomic_write`."""
    planned = [
        PlannedClip(index.dataset, clip.clip, group.group, group.split, f"{key}.tar", group.plan_digest)
        for key, groups in shards.items()
        for group in groups
        for clip in group.clips
    ]
    planned.sort(key=lambda row: row.clip)
    files.write_rows(out / "plan.parquet", PlannedClip, planned, check=check)
    for source, name in (
        (index.path, "clips.parquet"),
        (outcomes_path(index.path), "clips.outcomes.parquet"),
        (tracks / _TRACK_OUTCOMES, "tracks.outcomes.parquet"),
    ):
        with files.atomic_write(out / name, check) as file:
            file.write(files.read_bytes(source))


def write_index(
    index: Index, out: Path, params: Params, sidecars: dict[str, Sidecar], check: files.Check
) -> int:
    """Write `index.parquet` (a row a sample) and `index.json` (wids' list and more); gives the bytes.

    `check` is as in `atomic_write`.
    """
    sequence = params.shard.unit == "sequence"
    schema = index_schema(SequenceSample if sequence else Sample)
    files.write_tables(
        out / "index.parquet",
        schema,
        (pq.read_table(files.readable(out / f"{key}.parquet")) for key in sidecars),
        check=check,
    )
    shards = [
        {
            "url": f"{key}.tar",
            "nsamples": sidecar.samples,
            "filesize": sidecar.files[0].bytes,
            "sha256": sidecar.files[0].sha256,
        }
        for key, sidecar in sidecars.items()
    ]
    files.write_json(
        out / "index.json",
        {
            "__kind__": "wids-shard-index-v1",
            "wids_version": 1,
            "schema_version": SCHEMA_VERSION,
            "name": index.dataset,
            "dataset": index.dataset,
            "unit": params.shard.unit,
            "terms": index.terms,
            "shardlist": shards,
            "splits": _splits(sidecars),
        },
        check,
    )
    return sum(sidecar.files[0].bytes for sidecar in sidecars.values())


def _splits(sidecars: dict[str, Sidecar]) -> dict[str, dict[str, Any]]:
    """The shards of each split in brace form, and DALI's indexes of those that hold anything."""
    splits: dict[str, dict[str, Sidecar]] = {}
    for key, sidecar in sidecars.items():
        splits.setdefault(key.split("/")[0], {})[key] = sidecar
    return {
        split: {
            "shards": brace_form(f"{key}.tar" for key in members),
            "filled": brace_form(f"{key}.tar" for key, sidecar in members.items() if sidecar.samples),
            "dali": brace_form(f"{key}.idx" for key, sidecar in members.items() if sidecar.samples),
            "nshards": len(members),
            "nsamples": sum(sidecar.samples for sidecar in members.values()),
        }
        for split, members in splits.items()
    }


def run_stage(
    index: Index, tracks: Path, out: Path, params: Params, retry_failed: bool, beam_args: Sequence[str]
) -> tuple[list[Outcome], str]:
    """Build what is not built yet; returns the outcome of every clip, and one line on what is there now."""
    tracks, out = tracks.absolute(), out.absolute()  # Workers of other runners start in other folders.
    shards = plan(index, tracks, params)
    wanted = shard_digests(shards, params)
    with exclusive(out) as lease:
        pending = resume.find_pending(out, wanted, retry_failed)
        resume.discard(out, pending)
        work = [
            Work(key, wanted[key], group, sum(clip.frames for clip in group.clips))
            for key in pending
            for group in shards[key] or [empty_group(index.dataset, key, wanted[key])]
        ]
        builder = ShardBuilder(index.root, tracks, out, sample_params(params), params.run)
        run(work, builder, beam_args, "shard", out)
        lease.check()
        sidecars = resume.seal(out, wanted, _SUFFIXES, SPLITS)
        whole = {key: sidecar for key, sidecar in sidecars.items() if sidecar}
        outcomes = [outcome for sidecar in whole.values() for outcome in sidecar.outcomes]
        for key in sorted(set(shards) - set(whole)):
            for clip in (clip for group in shards[key] for clip in group.clips):
                outcomes.append(
                    Outcome(
                        "shard",
                        clip.dataset,
                        clip.clip,
                        clip.group,
                        "failed",
                        "internal_error",
                        f"{key} was not built; run again",
                    )
                )
        outcomes.sort(key=lambda outcome: outcome.unit)
        files.write_rows(out / "outcomes.parquet", Outcome, outcomes, check=lease.check)
        write_tables(index, tracks, out, shards, lease.check)
        size = write_index(index, out, params, whole, lease.check)
    samples = sum(sidecar.samples for sidecar in whole.values())
    return (
        outcomes,
        f"{out}: {samples} samples in {len(whole)} shards{_by_split(whole)}, {size / 1e6:.1f} MB; clips",
    )


def _by_split(shards: Iterable[str]) -> str:
    splits = Counter(key.split("/")[0] for key in shards)
    said = ", ".join(f"{split} {splits[split]}" for split in SPLITS if splits[split])
    return f" ({said})" if said else ""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = cli.stage_parser(
        "shard", "Warp, mask and write every clip of each source group as WebDataset shards."
    )
    parser.add_argument(
        "--clips", type=as_path, required=True, metavar="FILE", help="clips.parquet of the index stage"
    )
    parser.add_argument(
        "--tracks", type=as_path, required=True, metavar="FOLDER", help="folder of the track stage"
    )
    parser.add_argument("--out", type=as_path, required=True, metavar="FOLDER", help="folder of the shards")
    parser.add_argument(
        "--root", metavar="FOLDER", help="the dataset's folder, if it is not where it was indexed"
    )
    return cli.run(parser, argv, "shard", _build)


def _build(arguments: argparse.Namespace, beam_args: list[str]) -> int:
    params = read_params(arguments.params)
    check_samples(params)
    index = read_index(arguments.clips, arguments.root)
    cli.check_out(arguments.out, {"--tracks": arguments.tracks, "the dataset": as_path(index.root)})
    if arguments.dry_run:
        shards = plan(index, arguments.tracks, params)
        wanted = shard_digests(shards, params)
        pending = resume.find_pending(arguments.out, wanted, arguments.retry_failed)
        print(f"would build {len(pending)} of {len(shards)} shards in {arguments.out}{_by_split(pending)}")
        clips = [clip for key in pending for group in shards[key] for clip in group.clips]
        cost = estimate(clips, params.frames, params.shard, params.crop, params.track, params.mask)
        tracked = sum(clip.frames for clip in clips if clip.reference)  # by the stage before
        print(
            f"would decode about {cost.frames - tracked} frames of {len(clips)} clips in {cost.groups} "
            f"groups for about {cost.samples} samples"
        )
        print(describe_cost(cost.shard, beam_args, len(pending)))
        return program.WHOLE
    outcomes, made = run_stage(
        index, arguments.tracks, arguments.out, params, arguments.retry_failed, beam_args
    )
    return cli.finish(outcomes, made, arguments.out / "index.json", params.run.max_failed_fraction)


if __name__ == "__main__":
    program.run_main("pipelines.shard")
