"""The track stage: faces, landmarks and crops of each source group, measured on its reference clip."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines import cli, publish, resume
from pipelines.clip_files import ClipFiles
from pipelines.clips import Index, read_index, reference_clip, versions
from pipelines.engine import Work, run
from pipelines.follow_faces import FaceFollower
from pipelines.forecast import describe_cost
from pipelines.isolation import Isolated
from pipelines.lease import Lease, exclusive
from pipelines.other_sizes import place_clips
from schemas import files, program
from schemas.clip import Clip
from schemas.digest import digest
from schemas.errors import StoppedError, UsageError
from schemas.names import encode_name
from schemas.outcome import Outcome
from schemas.params import CropParams, Params, RunParams, TrackParams
from schemas.params_file import read_params
from schemas.paths import as_path
from schemas.record import record
from schemas.sidecar import Sidecar
from schemas.track import TrackFrame, write_placed
from transforms.cost import estimate
from transforms.errors import ClipError, internal_error, status_of

# Raise it when the stage's results change: every group is then tracked again.
VERSION = 3

# What faces are looked for in where the reference clip is lossless and has this version: it decodes
# in a fraction of the time, and landmarks differ by no more than they do in two cuts of one picture.
_QUICKER = "c23"
# Where results are in the tracks folder.
_FOLDER = "groups"


@record
class Group:
    """One source group: its reference clip, the version of it that faces are looked for in, the fakes that
    tell which of several faces was forged, and the clips whose pictures have another size than its own.

    Without a real clip the reference is one of the fakes.
    """

    dataset: str
    group: str
    reference: Clip
    seen: Clip
    fakes: tuple[Clip, ...]
    others: tuple[Clip, ...]
    digest: str


def key_of(group: str) -> str:
    """Where a group's track file and sidecar are, relative to the tracks folder, without suffix."""
    return f"{_FOLDER}/{encode_name(group)}"


def plan(index: Index, track: TrackParams, crop: CropParams) -> tuple[dict[str, Group], list[Outcome]]:
    """The groups to track by key, and outcomes of those that cannot be."""
    groups, outcomes = {}, []
    for group, clips in index.groups.items():
        try:
            reference = reference_clip(clips)
        except ClipError as error:
            outcomes.append(_outcome(index.dataset, group, error))
            continue
        seen = seen_clip(reference, clips)
        fakes = tuple(best[0] for best in versions(clips).values() if best[0].label == "fake")
        others = tuple(
            clip for clip in clips if (clip.width, clip.height) != (reference.width, reference.height)
        )
        inputs = [
            (clip.clip, clip.sha256, clip.official_mask_sha256) for clip in (reference, seen, *fakes, *others)
        ]
        groups[key_of(group)] = Group(
            index.dataset, group, reference, seen, fakes, others, digest(VERSION, inputs, track, crop)
        )
    return groups, outcomes


def seen_clip(reference: Clip, clips: Sequence[Clip]) -> Clip:
    """The version of a reference clip that faces are looked for in."""
    if reference.compression != "raw" or reference.label != "real" or reference.cropped:
        return reference
    for members in versions(clips).values():
        if reference in members:
            for clip in members:
                same = (clip.frames, clip.width, clip.height) == (
                    reference.frames,
                    reference.width,
                    reference.height,
                )
                if clip.compression == _QUICKER and same:
                    return clip
    return reference


def _outcome(dataset: str, group: str, error: ClipError) -> Outcome:
    return Outcome("track", dataset, group, group, status_of(error), error.reason, error.detail)


class TrackBuilder:
    """Tracks one group at a time; decoding and detection run in a child process with limits."""

    def __init__(self, root: str, out: Path, track: TrackParams, crop: CropParams, limits: RunParams):
        self._root, self._out = root, out
        self._track, self._crop, self._limits = track, crop, limits

    def setup(self) -> None:
        """Prepare the child process."""
        self._files = ClipFiles(self._root)
        self._child = Isolated(self._limits.clip_timeout, self._limits.clip_memory)

    def teardown(self) -> None:
        """End the child process."""
        self._child.close()
        self._files.close()

    def build(self, key: str, units: Sequence[Group], lease: Lease) -> Iterable[Outcome]:
        """Track a group, and commit its track file."""
        group = units[0]
        made = []
        try:
            follower = FaceFollower(self._child, self._files, self._track, self._crop)
            rows, said = follower.rows(group.reference, group.fakes, group.seen)
            moved, placed = place_clips(
                self._child, self._files, follower, group.reference, rows, group.others
            )
            rows += moved
            path = self._out / f"{key}.parquet"
            metadata = {"group": group.group, "clip": group.reference.clip, "events": said}
            if placed:
                metadata["placed"] = write_placed(placed)
            files.write_rows(path, TrackFrame, rows, metadata, lease.check)
            made.append(publish.describe(path))
            outcome = Outcome(
                "track",
                group.dataset,
                group.group,
                group.group,
                "ok",
                detail=said,
                made=len(rows),
            )
        except ClipError as error:
            outcome = _outcome(group.dataset, group.group, error)
        except (OSError, StoppedError, UsageError):
            raise  # The disk is full, the folder is gone or another run's: not this group's fault.
        except Exception as error:
            outcome = _outcome(group.dataset, group.group, internal_error(error))
        sidecar = Sidecar(group.digest, (outcome,), tuple(made), outcome.made)
        publish.commit(self._out, key, sidecar, lease.check)
        yield outcome


def run_stage(
    index: Index, out: Path, params: Params, retry_failed: bool, beam_args: Sequence[str]
) -> list[Outcome]:
    """Track what is not tracked yet; returns the outcome of every group and writes `outcomes.parquet`."""
    out = out.absolute()  # Workers of other runners start in other folders.
    groups, outcomes = plan(index, params.track, params.crop)
    wanted = {key: group.digest for key, group in groups.items()}
    with exclusive(out) as lease:
        pending = resume.find_pending(out, wanted, retry_failed)
        resume.discard(out, pending)
        work = [Work(key, wanted[key], groups[key], groups[key].reference.frames) for key in pending]
        builder = TrackBuilder(index.root, out, params.track, params.crop, params.run)
        run(work, builder, beam_args, "track", out)
        lease.check()
        for key, sidecar in resume.seal(out, wanted, (".parquet",), (_FOLDER,)).items():
            lost = ClipError("internal_error", "no result was committed; run again")
            outcomes += sidecar.outcomes if sidecar else (_outcome(index.dataset, groups[key].group, lost),)
        outcomes.sort(key=lambda outcome: outcome.unit)
        files.write_rows(out / "outcomes.parquet", Outcome, outcomes, check=lease.check)
    return outcomes


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = cli.stage_parser("track", "Find and follow faces on the reference clip of each source group.")
    parser.add_argument(
        "--clips", type=as_path, required=True, metavar="FILE", help="clips.parquet of the index stage"
    )
    parser.add_argument("--out", type=as_path, required=True, metavar="FOLDER", help="folder of track files")
    parser.add_argument(
        "--root", metavar="FOLDER", help="the dataset's folder, if it is not where it was indexed"
    )
    return cli.run(parser, argv, "track", _track)


def _track(arguments: argparse.Namespace, beam_args: list[str]) -> int:
    params = read_params(arguments.params)
    index = read_index(arguments.clips, arguments.root)
    cli.check_out(arguments.out, {"the dataset": as_path(index.root)})
    if arguments.dry_run:
        groups, _ = plan(index, params.track, params.crop)
        wanted = {key: group.digest for key, group in groups.items()}
        pending = resume.find_pending(arguments.out, wanted, arguments.retry_failed)
        # What is looked at stands for the reference clip.
        clips = [replace(groups[key].seen, reference=True) for key in pending]
        print(
            f"would track {len(pending)} of {len(groups)} groups into {arguments.out}: "
            f"{sum(clip.frames for clip in clips)} frames to decode, faces looked for in one of "
            f"{params.track.every} (track.every)"
        )
        cost = estimate(clips, params.frames, track=params.track)
        print(describe_cost(cost.track, beam_args, len(pending)))
        return program.WHOLE
    outcomes = run_stage(index, arguments.out, params, arguments.retry_failed, beam_args)
    tracked = sum(outcome.made for outcome in outcomes)
    return cli.finish(
        outcomes,
        f"{arguments.out}: {tracked} face positions in {len(index.groups)} groups",
        arguments.out / "outcomes.parquet",
        params.run.max_failed_fraction,
    )


if __name__ == "__main__":
    program.run_main("pipelines.track")
