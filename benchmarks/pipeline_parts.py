"""What each part of the pipeline costs by itself, and the floor: one process, no Beam, warm files.

    python -m benchmarks.pipeline_parts --work FOLDER

FOLDER is one that a case of `benchmarks` ran the stages in. Prints JSON: CPU seconds for one source group.
"""

import argparse
import io
import json
import os
import resource
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import decord
import numpy as np

from pipelines.clips import Index, clip_path, read_index, reference_clip
from pipelines.shard_tar import add_member
from pipelines.spool import CropStore, Selection
from pipelines.track import key_of, seen_clip
from schemas.clip import Clip
from schemas.files import read_rows
from schemas.params import Params
from schemas.params_file import read_params
from schemas.track import TrackFrame
from transforms.crops import encode_image, fill_crops
from transforms.geometry import GroupGeometry
from transforms.observe import observe
from transforms.pair_guard import guard
from transforms.pair_masks import measure

DLIB_FRAMES = 12


def cpu(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process (all threads) in a call, and what it returns."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = function()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, result


def decode(path: Path, frames: Iterable[int]) -> None:
    """The floor of decoding: decord, one thread, the same indices in the same order."""
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    for index in frames:
        reader[index].asnumpy()


def write_tar(members: Sequence[bytes]) -> None:
    """What writing costs, without the disk."""
    with tarfile.open(fileobj=io.BytesIO(), mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, data in enumerate(members):
            add_member(tar, f"{number:09d}.jpg", data)


class Parts:
    """The parts, one after the other, on the first group of a run."""

    def __init__(self, work: Path, params: Params, index: Index):
        self._params, self._index, self._work = params, index, work
        group = sorted(index.groups)[0]
        self.clips = index.groups[group]
        rows = read_rows(work / "tracks" / f"{key_of(group)}.parquet", TrackFrame)
        self.geometry = GroupGeometry(rows, params.frames, params.shard.unit)
        self.frames = sorted({row.frame for row in self.geometry.rows})
        self._reads = self.geometry.reads(around=False)

    def _path(self, clip: Clip) -> Path:
        return clip_path(self._index.root, clip)

    def floor(self) -> dict[str, float]:
        """Decoding every clip, and encoding as many crops."""
        seconds = sum(cpu(lambda c=clip: decode(self._path(c), self.frames))[0] for clip in self.clips)  # type: ignore[misc]
        return {"floor: decode": seconds}

    def detect(self) -> dict[str, float]:
        """Looking for faces as `track` does, without and with the decoding of its clip."""
        seen = seen_clip(reference_clip(self.clips), self.clips)
        track, path = self._params.track, self._path(seen)
        whole, seen = cpu(lambda: list(observe(path, track.every, track.min_score, track.min_face)))
        frames = [item.frame for item in seen[1:]]
        again, _ = cpu(lambda: decode(path, frames))
        return {"decode, for track": again, "detect": max(whole - again, 0)}

    def shard(self) -> dict[str, float]:
        """Warping, masks and encoding of all clips, in the order in which `shard` takes them."""
        found = dict.fromkeys(("warp", "mask", "encode", "encode masks", "write"), 0.0)
        real: dict[str, CropStore] = {}
        masked: set[tuple[str, str]] = set()
        size = self._params.crop.size
        for clip in sorted(
            self.clips, key=lambda c: (c.compression != "raw", c.compression, c.label != "real")
        ):
            store = CropStore(len(self.geometry.rows), size, Path(tempfile.gettempdir()))
            shape = clip.width, clip.height
            path = self._path(clip)
            whole, filled = cpu(
                lambda s=store, p=path, e=shape: list(fill_crops(s.descriptor, p, self._reads, size, e))  # type: ignore[misc]
            )
            alone, _ = cpu(lambda p=path: decode(p, self.frames))  # type: ignore[misc]
            found["warp"] += max(whole - alone, 0)
            store.fill(slot for slots in filled for slot in slots)
            crops = list(store.values())
            seconds, images = cpu(lambda c=crops: [encode_image(crop, "jpg", self._quality) for crop in c])  # type: ignore[misc]
            found["encode"] += seconds
            masks: list[bytes] = []
            if clip.label == "real":
                for compression in [c for c in real if c != clip.compression]:
                    real.pop(compression).close()
                real[clip.compression] = store
            elif (clip.method, clip.source) not in masked:
                masked.add((clip.method, clip.source))
                seconds, frames = cpu(lambda c=clip, s=store: self._measure(c, real[c.compression], s))  # type: ignore[misc]
                found["mask"] += seconds
                seconds, masks = cpu(
                    lambda f=frames: [encode_image(m, "png") for one in f for m in one.kinds.values()]  # type: ignore[misc]
                )
                found["encode masks"] += seconds
            found["write"] += cpu(lambda i=images, m=masks: write_tar([*i, *m]))[0]  # type: ignore[misc]
        return found

    @property
    def _quality(self) -> int:
        return self._params.shard.quality

    def _measure(self, clip: Clip, real: CropStore, fake: CropStore) -> list:
        places = list(range(len(self.geometry.rows)))
        shapes = self.geometry.shapes(places)
        pair = guard(Selection(real, places), Selection(fake, places), shapes, {})
        lossless = None if clip.compression == "raw" else False
        dense = self.geometry.is_dense(places)
        return list(
            measure(
                pair, Selection(fake, places), [], dense=dense, lossless=lossless, params=self._params.mask
            )
        )

    def dlib(self) -> dict[str, float]:
        """A frontal HOG detector (dlib, upsampled once) on some frames: CPU seconds a frame."""
        try:
            import dlib
        except ImportError:
            return {}
        detector = dlib.get_frontal_face_detector()
        reader = decord.VideoReader(str(self._path(self.clips[0])), ctx=decord.cpu(0), num_threads=1)
        some = np.linspace(0, len(reader) - 1, DLIB_FRAMES).round().astype(int)
        pictures = [reader[int(i)].asnumpy() for i in some]
        seconds, _ = cpu(lambda: [detector(picture, 1) for picture in pictures])
        return {"dlib HOG, a frame": seconds / DLIB_FRAMES}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    cv2.setNumThreads(1)
    parts = Parts(
        options.work,
        read_params(options.work / "params.yaml"),
        read_index(options.work / "clips.parquet", None),
    )
    found: dict[str, float] = {}
    for part in (parts.floor, parts.detect, parts.shard, parts.dlib):
        found |= part()
    found["crops"] = len(parts.geometry.rows) * len(parts.clips)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
