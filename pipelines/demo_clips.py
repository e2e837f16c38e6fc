"""The demo's clips: filmed, forged, encoded. What a worker process of `pipelines.demo` runs."""

import functools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

from transforms.synthesis.forgery import Face, forge, official_mask
from transforms.synthesis.motion import film
from transforms.synthesis.people import Person, Portrait, make_person

CRF = {"raw": 0, "c23": 23, "c40": 40}


@dataclass(frozen=True)
class Method:
    """How a method of FaceForensics++ is imitated.

    Attributes:
      family: as in `transforms.synthesis.forgery.FAMILIES`.
      shortest: fakes are as long as the shorter of both clips, and else as the target.
      mask: kind of the official mask, as in `official_mask` of that module; None where there is none.
    """

    family: str
    shortest: bool
    mask: str | None


METHODS = {
    "Deepfakes": Method("swap", False, "box"),
    "Face2Face": Method("expression", True, "face"),
    "FaceSwap": Method("hard_swap", True, "face"),
    "NeuralTextures": Method("mouth", True, "face"),
    "FaceShifter": Method("swap", False, None),
    "DeepFakeDetection": Method("swap", False, "alpha"),
}


@dataclass(frozen=True)
class Clip:
    """A real clip.

    Attributes:
      group: "youtube" or "actors".
      name: of the file, without suffix.
      identity: who is in it, as `transforms.synthesis.people.make_person` counts.
      frames: its length.
      fps: its rate.
    """

    group: str
    name: str
    identity: int
    frames: int
    fps: int


@dataclass(frozen=True)
class Fake:
    """A forged clip: the source's face, or expression, in the target's clip."""

    method: str
    name: str
    source: Clip


@dataclass(frozen=True)
class Job:
    """A real clip and all forgeries that are made from its frames.

    Attributes:
      folder: where the tree is written.
      target: the real clip.
      fakes: its forgeries.
      compressions: keys of `CRF`.
      seed: of the corpus.
    """

    folder: Path
    target: Clip
    fakes: tuple[Fake, ...]
    compressions: tuple[str, ...]
    seed: int


_portrait: Portrait | None = None


def start_worker(portrait: Portrait) -> None:
    """Prepare a process for `make_clips`."""
    global _portrait
    _portrait = portrait
    cv2.setNumThreads(1)


def make_clips(job: Job) -> int:
    """Write a real clip and its forgeries with masks and alphas; returns how many clips were made."""
    reals = _footage(job.target, job.seed)
    videos = job.folder / "original_sequences" / job.target.group
    _write_all(videos, job.target.name, reals.planes, job.target.fps, job.compressions)
    for fake in job.fakes:
        _make_fake(job, fake, reals)
    return 1 + len(job.fakes)


@functools.lru_cache(2)
def _footage(clip: Clip, seed: int) -> "_Footage":
    return _Footage(clip, seed)


class _Footage:
    """A real clip in memory; frames are what a decoder gives for the planes that are encoded."""

    def __init__(self, clip: Clip, seed: int):
        person = _person(clip.identity, seed)
        shots = [film(person, i / clip.fps) for i in range(clip.frames)]
        self.planes = [_to_planes(frame) for frame, _ in shots]
        self.faces = [Face(points) for _, points in shots]

    def frame(self, index: int) -> np.ndarray:
        return cv2.cvtColor(self.planes[index], cv2.COLOR_YUV2RGB_I420)


def _make_fake(job: Job, fake: Fake, reals: _Footage) -> None:
    method, source = METHODS[fake.method], fake.source
    seed = zlib.crc32(f"{job.seed}/{fake.method}/{fake.name}".encode())
    length = min(job.target.frames, source.frames) if method.shortest else job.target.frames
    donors = _footage(source, job.seed) if method.family in ("swap", "hard_swap") else None
    planes, masks, alphas = [], [], []
    for i in range(length):
        donor, donor_face = None, None
        if donors is not None:
            donor, donor_face = donors.frame(i % source.frames), donors.faces[i % source.frames]
        # Reenactments move with the source's time: a cycle in two seconds.
        phase = np.pi * i / source.fps + seed % 7
        face = reals.faces[i]
        picture, alpha = forge(method.family, reals.frame(i), face, donor, donor_face, phase=phase, seed=seed)
        planes.append(_to_planes(picture))
        alphas.append(np.rint(alpha * 255).astype(np.uint8))
        if method.mask:
            masks.append(_to_planes(np.repeat(official_mask(method.mask, face, alpha)[..., None], 3, axis=2)))
    folder = job.folder / "manipulated_sequences" / fake.method
    _write_all(folder, fake.name, planes, source.fps, job.compressions)
    if masks:
        write_video(folder / "masks" / "videos" / f"{fake.name}.mp4", masks, source.fps, 23)
    known = job.folder / "alpha" / fake.method / f"{fake.name}.npz"
    known.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(known, alpha=np.stack(alphas))


@functools.cache
def _person(identity: int, seed: int) -> Person:
    assert _portrait is not None
    return make_person(_portrait, backdrop(identity), identity, seed)


def backdrop(identity: int) -> np.ndarray:
    """A picture that scikit-image ships, out of focus, in a colour and a direction of its own."""
    # Without whatever a face detector takes for a face, such as the wheels of its motorcycle.
    pictures = (skimage.data.rocket, skimage.data.brick, skimage.data.grass, skimage.data.gravel)
    picture = pictures[(identity + identity // len(pictures)) % len(pictures)]()
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    if identity // len(pictures) % 2:
        picture = picture[:, ::-1]
    tint = np.random.default_rng(identity).uniform(0.75, 1.1, 3)
    blurred = cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), picture.shape[1] / 300)
    return np.rint(blurred * tint).clip(0, 255).astype(np.uint8)


def _to_planes(frame: np.ndarray) -> np.ndarray:
    """RGB to YUV 4:2:0: (h, w, 3) to (3 h / 2, w) uint8; there and back again changes nearly nothing."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)


def _write_all(
    folder: Path, name: str, planes: list[np.ndarray], fps: int, compressions: Iterable[str]
) -> None:
    for compression in compressions:
        write_video(folder / compression / "videos" / f"{name}.mp4", planes, fps, CRF[compression])


def write_video(path: Path, planes: Iterable[np.ndarray], fps: int, crf: int) -> None:
    """Encode frames as H.264 in MP4, the same bytes every time.

    Args:
      path: of the file; its folder is made.
      planes: frames as (3 h / 2, w) uint8, YUV 4:2:0.
      fps: frames a second.
      crf: x264's quality; 0 is lossless.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without loss the preset decides nothing but size and time.
    preset = "ultrafast" if crf == 0 else "fast"
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": preset})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, fps)
        for index, plane in enumerate(planes):
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            if index == 0:
                stream.width, stream.height = frame.width, frame.height
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
