"""A million source groups, planned: time, memory and balance, without a pixel.

    python -m benchmarks.scale --work FOLDER [--groups 1000000] [--fakes 2]

A made-up listing of DFDC's layout (50 parts, a real video and some fakes a group) goes through what the
stages do before and after their pixels, each step in a process of its own, at a hundredth, a tenth and all of
the groups: `index` lets the layout declare, looks for leaks and writes clips.parquet, with made-up facts in
place of probes; `track` reads it, plans, and hands its units out in files; `shard` reads it and what `track`
would have left (a sidecar a group, made up, of which the writing is not counted), plans, and hands out its
units. Prints seconds of wall and CPU time, peak memory, and both a group, so that what grows faster than its
input is seen.
"""

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipelines import index as index_stage
from pipelines import publish, resume, track
from pipelines.archives import Contents
from pipelines.clips import outcomes_path, read_index
from pipelines.engine import BuildAll, Work, longest_first
from pipelines.index_plan import Source
from pipelines.index_plan import plan as plan_index
from pipelines.index_report import describe_leaks
from pipelines.lease import claim
from pipelines.probing import Probed
from pipelines.shard import plan as plan_shards
from pipelines.shard import sample_params, shard_digests
from pipelines.shard_builder import ShardBuilder
from pipelines.stamps import LocalStamps
from pipelines.track import TrackBuilder, key_of
from pipelines.units import MOST, handed_out
from schemas import files
from schemas.clip import Clip
from schemas.convert import arrow_schema, to_row
from schemas.outcome import Outcome
from schemas.params import DatasetParams, Params
from schemas.sidecar import CommittedFile, Sidecar
from transforms.indexing.layout import Listing, load_layout

PARTS = 50
PARAMS = Params(datasets={})
_SIZE = 4_000_000


def listing(groups: int, fakes: int) -> Listing:
    """DFDC's parts, with tables that say which video is whose fake."""

    def names(part: int) -> Iterator[tuple[str, str]]:
        for group in range(part, groups, PARTS):
            original = f"{group:08d}.mp4"
            yield original, ""
            for fake in range(fakes):
                yield f"{group:08d}{'abcdefgh'[fake]}.mp4", original

    def read_text(path: str) -> str:
        part = int(path.split("/")[0].rpartition("_")[2])
        return json.dumps(
            {
                name: {"label": "FAKE", "split": "train", "original": original}
                if original
                else {"label": "REAL", "split": "train"}
                for name, original in names(part)
            }
        )

    found = [
        f"dfdc_train_part_{part}/{name}"
        for part in range(PARTS)
        for name in ["metadata.json", *(name for name, _ in names(part))]
    ]
    return Listing("ROOT", sorted(found), read_text)


def index(work: Path, groups: int, fakes: int) -> dict[str, Any]:
    """Declare, look for leaks, join with facts, write."""
    params = DatasetParams("dfdc", "ROOT")
    source = Source("dfdc", params, load_layout("dfdc"), listing(groups, fakes), (), LocalStamps("ROOT"))
    planned = plan_index(source, Contents())
    leaks = len(list(describe_leaks(planned.clips, "dfdc")))
    facts = {
        clip.clip: Probed(
            clip.clip, 300, 1920, 1080, 0, 30.0, _SIZE, hashlib.sha256(clip.clip.encode()).hexdigest()
        )
        for clip in planned.clips
    }
    clips, outcomes = index_stage._assemble(planned, facts, ())
    out = work / "clips.parquet"
    files.write_rows(outcomes_path(out), Outcome, outcomes)
    metadata = {"dataset": "dfdc", "root": "ROOT", "terms": planned.terms}
    files.write_tables(out, arrow_schema(Clip), index_stage._batches(clips), metadata)
    return {"clips": len(clips), "leaks": leaks, "bytes": out.stat().st_size}


def hand_out(work: Path, units: list[Work], builder: Any) -> dict[str, Any]:
    """Give units to a graph as the engine does; what it and the files weigh."""
    with claim(work) as lease, handed_out(longest_first(units), lease, MOST) as handed:
        pipeline = beam.Pipeline(runner="FnApiRunner")
        pipeline | BuildAll(handed, builder, lease)
        return {
            "graph": len(pipeline.to_runner_api().SerializeToString()),
            "unit files": len(handed.chunks),
            "unit bytes": sum((work / name).stat().st_size for name in handed.chunks),
        }


def plan_tracks(work: Path, groups: int, fakes: int) -> dict[str, Any]:
    """Read, plan, see what is there, hand out."""
    found = read_index(work / "clips.parquet", None)
    planned, _ = track.plan(found, PARAMS.track, PARAMS.crop)
    pending = resume.find_pending(
        work / "tracks", {key: group.digest for key, group in planned.items()}, False
    )
    units = [Work(key, planned[key].digest, planned[key], planned[key].reference.frames) for key in pending]
    builder = TrackBuilder("ROOT", work, PARAMS.track, PARAMS.crop, PARAMS.run)
    return {"keys": len(units)} | hand_out(work, units, builder)


def make_tracks(work: Path, groups: int, fakes: int) -> dict[str, Any]:
    """What `track` would leave, but for its track files: all sidecars vouch for one."""
    tracks = work / "tracks"
    shutil.rmtree(tracks, ignore_errors=True)
    (tracks / "groups/dfdc").mkdir(parents=True)
    names = read_index(work / "clips.parquet", None).groups
    places = {publish.sidecar_path(tracks, key_of(name)).parent for name in names}
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / "one.parquet").write_bytes(b"")

    def write(name: str) -> None:
        outcome = Outcome("track", "dfdc", name, name, "ok", made=300)
        made = CommittedFile("one.parquet", 0, hashlib.sha256(name.encode()).hexdigest())
        text = json.dumps(to_row(Sidecar("0" * 64, (outcome,), (made,), 300)), indent=1, sort_keys=True)
        publish.sidecar_path(tracks, key_of(name)).write_text(text)

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(write, names):
            pass
    files.write_rows(tracks / "outcomes.parquet", Outcome, [])
    return {}


def plan_all_shards(work: Path, groups: int, fakes: int) -> dict[str, Any]:
    """Read, plan, hand out; how even shards are."""
    found = read_index(work / "clips.parquet", None)
    planned = plan_shards(found, work / "tracks", PARAMS)
    pending = resume.find_pending(work / "shards", shard_digests(planned, PARAMS), False)
    units = [
        Work(key, group.shard_digest, group, sum(clip.frames for clip in group.clips))
        for key in pending
        for group in planned[key]
    ]
    builder = ShardBuilder("ROOT", work / "tracks", work, sample_params(PARAMS), PARAMS.run)
    said = hand_out(work, units, builder)
    worst = {}
    for split in ("train", "val", "test"):
        sizes = [len(members) for key, members in planned.items() if key.startswith(f"{split}/")]
        worst[split] = round(max(sizes) * len(sizes) / sum(sizes), 3)
    shards = Counter(key.split("/")[0] for key in planned)
    return {"keys": len(planned), "shards": dict(shards), "largest over mean": worst} | said


STEPS: Mapping[str, Callable[[Path, int, int], dict[str, Any]]] = {
    "index": index,
    "track": plan_tracks,
    "tracks": make_tracks,
    "shard": plan_all_shards,
}


def measure(step: str, work: Path, groups: int, fakes: int) -> dict[str, Any]:
    """Run a step here."""
    start = time.perf_counter()
    said = STEPS[step](work, groups, fakes)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "wall": time.perf_counter() - start,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss / 1024,
        **said,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder; 5 GB for a million groups, removed")
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument(
        "--fakes", type=int, default=2, help="of each group, 8 at most (default: %(default)s)"
    )
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measure(options.step, options.work, options.groups, options.fakes)))
        return
    print(f"{'groups':>9s} {'step':6s} {'wall s':>8s} {'CPU s':>8s} {'MiB':>7s} {'ms CPU, KiB a group':>20s}")
    for groups in (options.groups // 100, options.groups // 10, options.groups):
        work = options.work / str(groups)
        work.mkdir(parents=True, exist_ok=True)
        for step in STEPS:
            command = [sys.executable, "-m", "benchmarks.scale", "--work", str(work), "--step", step]
            command += ["--groups", str(groups), "--fakes", str(options.fakes)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            said = json.loads(done.stdout)
            wall, cpu, peak = (said.pop(name) for name in ("wall", "cpu", "peak"))
            if said:
                each = f"{1000 * cpu / groups:10.3f} {1024 * peak / groups:9.2f}"
                print(f"{groups:9,d} {step:6s} {wall:8.1f} {cpu:8.1f} {peak:7.0f} {each}  {said}", flush=True)
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
