"""How fast the pipeline is, beside the least that its work can cost, in one run.

    python -m benchmarks.pipeline --work FOLDER [--frames 300] [--memory] [--out FILE.json]

Makes 720p clips (one real and four fakes a group, each raw, c23 and c40; 3 minutes, kept in FOLDER), runs
index, track and shard on them as a user does, and prints CPU seconds beside the floor: decord with one
thread reading the same indices of every clip, and the same JPEG encoder. Parts are measured by themselves;
"plumbing" is what the stages cost beyond them: processes, Beam, records, hashing. The stand-in for per-frame
pipelines is dlib's HOG detector on every sampled frame of every clip (`pip install dlib-bin`), landmarks and
warping left out in its favour. With --memory: peak memory at 10 s and at 10 min of video (15 minutes more).
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.pipeline_clips import clips_of_group, make_corpus, repeat
from benchmarks.pipeline_runs import Run, Stages
from pipelines.clips import read_index
from pipelines.shard import plan
from schemas.params_file import read_params

GROUPS = 2
ALL = ("raw", "c23", "c40")
CASES: tuple[tuple[str, Sequence[str], int], ...] = (
    ("32 even frames", ALL, 32),
    ("every frame", ALL, 0),
    ("32 even frames, c23 alone", ("c23",), 32),
    ("every frame, c23 alone", ("c23",), 0),
)
FLOOR = ("floor: decode", "encode")
HOG = "dlib HOG, a frame"
PARTS = ("decode, for track", "detect", "warp", "mask", "encode masks", "write")


def _spread_seed(stages: Stages) -> int:
    """A `shard.seed` that gives each group a shard of its own."""
    index = read_index(stages.clips, None)
    params = read_params(stages.work / "params.yaml")
    for seed in range(1000):
        tried = replace(params, shard=replace(params.shard, seed=seed))
        if all(plan(index, stages.work / "tracks", tried).values()):
            return seed
    raise RuntimeError("no seed spreads the groups")


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _parts(work: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.pipeline_parts", "--work", str(work)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout)


def measure_case(folder: Path, tree: Path, compressions: Sequence[str], count: int) -> dict[str, float]:
    """CPU and wall seconds of one case, for `GROUPS` groups."""
    one = Stages(_fresh(folder / "one"), tree, compressions, count)
    one.index(1)
    if len(read_index(one.clips, None).groups) != GROUPS:
        raise RuntimeError(f"{tree}: not {GROUPS} whole groups; remove it, and run again")
    tracked = one.track(1)
    seed = _spread_seed(one)
    one = Stages(folder / "one", tree, compressions, count, seed)
    sharded = one.shard(1)
    idle = {name: getattr(one, name)(1) for name in ("track", "shard")}
    two = Stages(_fresh(folder / "two"), tree, compressions, count, seed)
    two.index(2)
    both = {name: getattr(two, name)(2) for name in ("track", "shard")}
    idle_two = {name: getattr(two, name)(2) for name in ("track", "shard")}
    parts = _parts(folder / "one")
    hog = parts.pop(HOG, 0.0)
    found = {name: GROUPS * seconds for name, seconds in parts.items()}
    found |= {
        HOG: hog,
        "track": tracked.cpu - idle["track"].cpu,
        "shard": sharded.cpu - idle["shard"].cpu,
        "start-up": idle["track"].cpu + idle["shard"].cpu,
        "one worker, wall": _wall(tracked, sharded) - _wall(*idle.values()),
        "two workers, wall": _wall(*both.values()) - _wall(*idle_two.values()),
    }
    found |= {f"peak {kind}, MiB": most for kind, most in _peaks(tracked, sharded, *both.values()).items()}
    return found


def _wall(*runs: Run) -> float:
    return sum(run.wall for run in runs)


def _peaks(*runs: Run) -> dict[str, float]:
    return {
        kind: max(run.peak.get(kind, 0) for run in runs)
        for kind in sorted({kind for run in runs for kind in run.peak})
    }


def describe(name: str, found: dict[str, float]) -> list[str]:
    """The lines of one case."""
    floor = sum(found[part] for part in FLOOR)
    total = found["track"] + found["shard"]
    plumbing = total - floor - sum(found[part] for part in PARTS)
    lines = [
        "",
        f"{name}: {found['crops']:.0f} samples",
        f"  samples/s/core               {found['crops'] / total:10.1f}",
        f"  CPU, ratio to the floor      {total / floor:10.2f}   ({total:.1f} s, floor {floor:.1f} s)",
        f"  with start-up                {(total + found['start-up']) / floor:10.2f}",
        f"  two workers, speed-up (wall) {found['one worker, wall'] / found['two workers, wall']:10.2f}",
    ]
    shares = {"decode": found["floor: decode"], "encode": found["encode"]}
    shares |= {part: found[part] for part in PARTS} | {"plumbing": plumbing}
    lines += [f"    {part:20s} {seconds / total:7.1%}" for part, seconds in shares.items()]
    if found[HOG]:
        stand_in = floor + found["crops"] * found[HOG]
        lines.append(f"  per-frame HOG stand-in       {stand_in / total:10.1f} times our CPU")
    else:
        lines.append("  no stand-in: pip install dlib-bin")
    return lines


def measure_memory(folder: Path, tree: Path) -> dict[str, dict[str, float]]:
    """Peak memory with clips of 10 s and of 10 min: a real clip and one fake, c23."""
    clips = [path for path in clips_of_group(tree) if "/c23/" in str(path)][:2]
    found = {}
    for name, times in (("10 s", 1), ("10 min", 60)):
        long = _fresh(folder / f"tree of {name}")
        for clip in clips:
            repeat(clip, long / clip.relative_to(tree), times)
        for split in ("train", "val", "test"):
            pairs = [["000", "001"]] if split == "train" else []
            (long / f"{split}.json").write_text(json.dumps(pairs))
        work = _fresh(folder / "memory")
        runs = Stages(work, long, ["c23"], 32)
        found[f"index, {name}"] = runs.index(1).peak
        found[f"track, {name}"] = runs.track(1).peak
        for case, count in (("32 even frames", 32), ("every frame", 0)):
            found[f"shard, {name}, {case}"] = Stages(work, long, ["c23"], count).shard(1).peak
        for stage, peak in list(found.items())[-4:]:
            print(
                f"{stage:32s}" + "".join(f"  {kind} {most:.0f} MiB" for kind, most in peak.items()),
                flush=True,
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for clips and results")
    parser.add_argument("--frames", type=int, default=300, help="frames of each clip (default: %(default)s)")
    parser.add_argument("--memory", action="store_true", help="peak memory at 10 s and 10 min, nothing else")
    parser.add_argument("--out", type=Path, help="write all figures here as JSON")
    options = parser.parse_args()
    tree = options.work / "clips"
    make_corpus(tree, options.frames, GROUPS)
    found: dict[str, dict[str, float]] = {}
    if options.memory:
        found = measure_memory(options.work, tree)
    else:
        for name, compressions, count in CASES:
            found[name] = measure_case(options.work, tree, compressions, count)
            print("\n".join(describe(name, found[name])), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
