"""The cost model's rates, measured, and how far off it is on runs that had no part in them.

    python -m benchmarks.cost_model --work FOLDER     # 15 minutes; clips are kept in FOLDER
    python -m benchmarks.cost_model                   # the table alone, with the rates of transforms/cost.py

Rates come from 720p clips (one real and four fakes of 100 frames, each raw, c23 and c40) at 32 even frames.
Then the model is held against whole runs: these, the demo's clips, and the 720p clips at c23 alone with
every frame. CPU seconds of all processes, start-up aside.
"""

import argparse
import dataclasses
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import nnls

from benchmarks.cost_datasets import describe_datasets
from benchmarks.pipeline_clips import make_corpus
from benchmarks.pipeline_parts import Parts, cpu, decode
from benchmarks.pipeline_runs import Stages
from pipelines.clips import Index, clip_path, read_index
from pipelines.demo_clips import CRF
from pipelines.shard import plan
from pipelines.track import key_of
from schemas.clip import Clip
from schemas.params import Params
from schemas.params_file import read_params
from transforms.cost import MEASURED, Cost, Rates, estimate
from transforms.indexing.probe import probe

ALL = tuple(CRF)
FRAMES = 100
DEMO = ["--identities", "6", "--frames", "48", "--jobs", "1"]
_MEGA = 10**6


class Case:
    """The stages on some clips, run as a user does.

    Args:
      folder: for what they make; an earlier run's is removed.
      tree: dataset in FaceForensics++'s layout.
      compressions: to take.
      count: `frames.count`.
    """

    def __init__(self, folder: Path, tree: Path, compressions: Sequence[str], count: int):
        shutil.rmtree(folder, ignore_errors=True)
        self.stages = Stages(folder, tree, compressions, count)
        runs = self.stages.all(1)
        index_clips = self.stages.clips.read_bytes()
        idle = {name: getattr(self.stages, name)(1) for name in ("track", "shard")}
        assert self.stages.clips.read_bytes() == index_clips
        self.seconds = {name: runs[name].cpu - idle[name].cpu for name in idle}
        self.index: Index = read_index(self.stages.clips, None)
        self.params: Params = read_params(folder / "params.yaml")

    @property
    def clips(self) -> list[Clip]:
        """All of them."""
        return [clip for members in self.index.groups.values() for clip in members]

    def tars(self) -> list[Path]:
        """The shards."""
        return sorted((self.stages.work / "shards").rglob("*.tar"))

    def estimate(self, rates: Rates) -> Cost:
        """What the model says."""
        return estimate(self.clips, self.params.frames, self.params.shard, rates=rates)


def _decode_rates(index: Index, clips: Sequence[Clip]) -> tuple[float, float, float]:
    """Seconds for a megapixel passed, for a megabyte passed, and for a megapixel handed out."""
    rows, seconds = [], []
    for clip in clips:
        path = clip_path(index.root, clip)
        pixels = clip.width * clip.height / _MEGA
        for step in (1, 10):
            frames = range(0, clip.frames, step)
            passed = (frames[-1] + 1) / clip.frames
            spent, _ = cpu(lambda p=path, f=frames: decode(p, f))  # type: ignore[misc]
            # What lossless clips weigh must not drown the others.
            weight = 1 / max(spent, 1e-3)
            rows.append(
                [
                    weight * passed * clip.frames * pixels,
                    weight * passed * clip.bytes / _MEGA,
                    weight * len(frames) * pixels,
                ]
            )
            seconds.append(weight * spent)
    found, _ = nnls(np.array(rows), np.array(seconds))
    return float(found[0]), float(found[1]), float(found[2])


def _probe_rates(index: Index, clips: Sequence[Clip]) -> tuple[float, float]:
    """Seconds for a clip, and for a megabyte of it."""
    spent = [cpu(lambda c=clip: probe(clip_path(index.root, c)))[0] for clip in clips]  # type: ignore[misc]
    found, _ = nnls(np.array([[1.0, clip.bytes / _MEGA] for clip in clips]), np.array(spent))
    return float(found[0]), float(found[1])


def _member_sizes(tars: Sequence[Path]) -> tuple[float, float, float]:
    """Mean bytes of an image, of a mask, and of all else that a sample has."""
    images, masks, whole = [], [], 0
    for path in tars:
        whole += path.stat().st_size
        with tarfile.open(path) as tar:
            for member in tar:
                suffix = member.name.partition(".")[2]
                if suffix == "jpg":
                    images.append(member.size)
                elif suffix.endswith("png"):
                    masks.append(member.size)
    left = whole - sum(images) - sum(masks)
    return float(np.mean(images)), float(np.mean(masks)), left / len(images)


def measure(case: Case) -> Rates:
    """Rates of one case's clips and runs."""
    parts = Parts(case.stages.work, case.params, case.index)
    found = {**parts.detect(), **parts.shard()}
    groups, crops = len(case.index.groups), len(parts.geometry.rows) * len(parts.clips)
    some = [clip for clip in parts.clips if clip.method in ("real", "Deepfakes")]
    passed, weight, fetch = _decode_rates(case.index, some)
    reference = next(clip for clip in parts.clips if clip.reference)
    looked = len(range(0, reference.frames, case.params.track.every))
    forgeries = len({(clip.method, clip.source) for clip in parts.clips if clip.label == "fake"})
    opened, hashed = _probe_rates(case.index, parts.clips)
    image, mask, record = _member_sizes(case.tars())
    track = case.stages.work / "tracks" / f"{key_of(sorted(case.index.groups)[0])}.parquet"
    planned = [
        g for shard in plan(case.index, case.stages.work / "tracks", case.params).values() for g in shard
    ]
    rates = Rates(
        hash=hashed,
        probe=opened,
        decode_pixels=passed,
        decode_bytes=weight,
        fetch=fetch,
        detect=found["detect"] / looked,
        crop=0.0,
        compare=found["mask"] / (forgeries * len(parts.geometry.rows)),
        image_bytes=image,
        mask_bytes=mask,
        record_bytes=record,
        track_bytes=track.stat().st_size / reference.frames,
        unit_bytes=sum(len(pickle.dumps(group)) for group in planned) / len(case.clips),
        driver_bytes=MEASURED.driver_bytes,
    )
    # What a whole run costs beyond decoding and masks is put down to its crops: warp, JPEG, records, Beam.
    rest = case.seconds["shard"] - case.estimate(rates).shard.core_seconds
    return dataclasses.replace(rates, crop=rest / (groups * crops))


def _check(name: str, case: Case, rates: Rates) -> list[str]:
    said = case.estimate(rates)
    written = sum(path.stat().st_size for path in case.tars())
    rows = [
        ("track, core s", said.track.core_seconds, case.seconds["track"]),
        ("shard, core s", said.shard.core_seconds, case.seconds["shard"]),
        ("tars, MB", said.shard.bytes_written / _MEGA, written / _MEGA),
    ]
    return [f"{name:28s} {what:14s} {a:9.1f} {b:9.1f} {a / b:9.2f}" for what, a, b in rows]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, help="folder for clips and results; without it, nothing is measured"
    )
    options = parser.parse_args()
    rates = MEASURED
    if options.work:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        cv2.setNumThreads(1)
        large, small = options.work / "clips", options.work / "demo"
        make_corpus(large, FRAMES, 2)
        # Not in this process: the runs below wait for all of its children.
        subprocess.run([sys.executable, "-m", "pipelines.demo", "--out", str(small), *DEMO], check=True)
        fitted = Case(options.work / "fitted", large, ALL, 32)
        rates = measure(fitted)
        for field in dataclasses.fields(rates):
            print(f"    {field.name}={getattr(rates, field.name):.3g},")
        print(f"{'':28s} {'':14s} {'predicted':>9s} {'actual':>9s} {'ratio':>9s}")
        print("\n".join(_check("720p, 32 frames (fitted)", fitted, rates)), flush=True)
        for name, tree, compressions, count in (
            ("demo, 32 frames", small, ALL, 32),
            ("720p c23, every frame", large, ("c23",), 0),
        ):
            print(
                "\n".join(_check(name, Case(options.work / "checked", tree, compressions, count), rates)),
                flush=True,
            )
    print("\n".join(describe_datasets(rates)))


if __name__ == "__main__":
    main()
