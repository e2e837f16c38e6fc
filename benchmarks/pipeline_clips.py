"""Material for the pipeline benchmark: a group of 720p clips in FaceForensics++ form, and its twins."""

import json
import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.forged_tree import METHODS
from pipelines.demo import read_portrait
from pipelines.demo_clips import CRF, backdrop
from transforms.synthesis.forgery import Face, forge
from transforms.synthesis.motion import film
from transforms.synthesis.people import make_person

WIDTH, HEIGHT, FPS = 1280, 720, 30
_REAL = "original_sequences/youtube/{}/videos"
_FAKE = "manipulated_sequences/{}/{}/videos"
_GRAIN = 0.5


def make_corpus(work: Path, frames: int, groups: int) -> Path:
    """A tree of source groups in `work`: a real clip and four fakes each, every one raw, c23 and c40.

    One group is filmed, and kept. All are hard links to it, so that any number costs no time.

    Args:
      work: folder for clips of every length and trees of every size.
      frames: of every clip.
      groups: even, two at least.

    Returns:
      The tree, in FaceForensics++'s layout; all of it is for training.
    """
    filmed, tree = work / f"filmed {frames}", work / f"tree of {groups} of {frames}"
    _film_group(filmed, frames)
    shutil.rmtree(tree, ignore_errors=True)
    for number in range(groups):
        for clip, twin in zip(clips_of_group(filmed), clips_of_group(tree, number), strict=True):
            twin.parent.mkdir(parents=True, exist_ok=True)
            os.link(clip, twin)
    pairs = [[f"{number:03d}", f"{number + 1:03d}"] for number in range(0, groups, 2)]
    for split, part in {"train": pairs, "val": [], "test": []}.items():
        (tree / f"{split}.json").write_text(json.dumps(part))
    return tree


def _film_group(folder: Path, frames: int) -> None:
    """Write the 15 files of a group, unless they are there."""
    marker = folder / "made.json"
    if marker.exists():
        return
    writers = {
        (method, compression): Writer(folder / _place(method, compression) / _name(method, 0), crf)
        for method in ("", *METHODS)
        for compression, crf in CRF.items()
    }
    portrait = read_portrait()
    target, source = (make_person(portrait, backdrop(i), i) for i in (0, 3))
    for i in tqdm(range(frames), desc="filming 720p clips", disable=None):
        (real, face), (donor, donor_face) = (_shot(film(who, i / FPS), i) for who in (target, source))
        pictures = {"": real}
        for method, family in METHODS.items():
            pictures[method], _ = forge(family, real, face, donor, donor_face, phase=i / 8, seed=1)
        for (method, _), writer in writers.items():
            writer.write(pictures[method])
    for writer in writers.values():
        writer.close()
    marker.write_text(json.dumps({"frames": frames}))


def clips_of_group(folder: Path, number: int = 0) -> Iterator[Path]:
    """The 15 files of a group."""
    for method in ("", *METHODS):
        for compression in CRF:
            yield folder / _place(method, compression) / _name(method, number)


def repeat(clip: Path, to: Path, times: int) -> None:
    """Write a clip several times one after the other into one file, without encoding again."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(clip)) as source, av.open(str(to), "w", format="mp4") as target:
        inside = source.streams.video[0]
        outside = target.add_stream_from_template(inside)
        packets = [packet for packet in source.demux(inside) if packet.size]
        length = sum(packet.duration or 0 for packet in packets)
        kept = [(bytes(p), p.pts, p.dts, p.duration, p.is_keyframe) for p in packets]
        for lap in range(times):
            for data, pts, dts, duration, key in kept:
                packet = av.Packet(data)
                packet.pts, packet.dts = pts + lap * length, dts + lap * length
                packet.duration, packet.is_keyframe, packet.time_base = duration, key, inside.time_base
                packet.stream = outside
                target.mux(packet)


class Writer:
    """An H.264 file that frames are added to one by one."""

    def __init__(self, path: Path, crf: int):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._container = av.open(str(path), "w", format="mp4")
        preset = "veryfast" if crf == 0 else "fast"
        options = {"crf": str(crf), "preset": preset}
        self._stream = self._container.add_stream("libx264", rate=Fraction(FPS), options=options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"

    def write(self, frame: np.ndarray) -> None:
        """Add a (720, 1280, 3) uint8 RGB frame."""
        planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))

    def close(self) -> None:
        """End the file."""
        self._container.mux(self._stream.encode())
        self._container.close()


def _place(method: str, compression: str) -> str:
    return _FAKE.format(method, compression) if method else _REAL.format(compression)


def _name(method: str, number: int) -> str:
    return f"{number:03d}_{number ^ 1:03d}.mp4" if method else f"{number:03d}.mp4"


def _shot(shot: tuple[np.ndarray, np.ndarray], index: int) -> tuple[np.ndarray, Face]:
    """A frame of the demo at 720p with grain, and its face."""
    picture, points = shot
    zoom = WIDTH / picture.shape[1]
    top = (round(picture.shape[0] * zoom) - HEIGHT) // 4
    large = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)[top : top + HEIGHT]
    grain = np.random.default_rng(index).standard_normal((HEIGHT, WIDTH, 1), np.float32) * np.float32(_GRAIN)
    frame = np.rint(large + grain).clip(0, 255).astype(np.uint8)
    # Through 4:2:0 once, so that raw fakes differ from their original only where they are forged.
    frame = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), cv2.COLOR_YUV2RGB_I420)
    moved = (points + 0.5) * zoom - 0.5 - np.array([0, top])
    return frame, Face(moved.astype(np.float32))
