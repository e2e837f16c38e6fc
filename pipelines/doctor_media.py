"""What a worker's machine must be able to do: decode, find faces, and survive a decoder that does not."""

import os
import resource
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipelines.doctor_packages import INSTALL, Check
from pipelines.isolation import Isolated
from pipelines.spool import CropStore
from transforms.errors import ClipError
from transforms.faces import FaceFinder
from transforms.media import open_clip

_EDGE, _FRAMES = 128, 8
# MiB that a child may take here, and that one takes which is to be stopped.
_MEMORY, _TOO_MUCH = 1024, 3072
_SECONDS = 120.0
_FILES = 256


def decode(path: str) -> Iterator[tuple[int, float]]:
    """Write a tiny clip and read it back: number of frames, and the largest error of a frame's mean."""
    levels = [20 + 25 * number for number in range(_FRAMES)]
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = _EDGE
        stream.pix_fmt = "yuv420p"
        for level in levels:
            array = np.full((_EDGE, _EDGE, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
    clip = open_clip(path)
    found = [float(np.mean(clip[number])) for number in range(len(clip))]
    yield len(clip), max(abs(a - b) for a, b in zip(found, levels, strict=False))


def find_face() -> Iterator[tuple[int, int]]:
    """Look for the face in scikit-image's portrait of an astronaut: how many, and where its middle is."""
    import skimage.data

    faces, _ = FaceFinder().find(skimage.data.astronaut())
    for face in faces[:1]:
        x, y = face.points.mean(0)
        yield round(float(x)), round(float(y))


def fill(descriptor: int, size: int) -> Iterator[list[int]]:
    """Write one crop to a file of the other process."""
    os.pwrite(descriptor, bytes([7]) * size, 0)
    yield [0]


def crash() -> Iterator[None]:
    """Die as a decoder does at a broken file."""
    yield None
    os.kill(os.getpid(), signal.SIGSEGV)


def eat() -> Iterator[int]:
    """Take more memory than is allowed."""
    yield len(bytearray(_TOO_MUCH << 20))


def check_media() -> Iterator[Check]:
    """Decoder, models and the child process that they run in."""
    child = Isolated(_SECONDS)
    try:
        yield _decoder(child)
        yield _faces(child)
    finally:
        child.close()
    child = Isolated(_SECONDS, _MEMORY)
    try:
        yield _isolation(child)
    finally:
        child.close()
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = files >= _FILES
    yield Check(
        "open files", "ok" if enough else "failed", f"up to {files}", "" if enough else f"ulimit -n {_FILES}"
    )


def _decoder(child: Isolated) -> Check:
    with tempfile.TemporaryDirectory() as folder:
        try:
            ((frames, error),) = child.iterate(decode, str(Path(folder, "clip.mp4")))
        except ClipError as caught:
            return Check("decoder", "failed", _said(caught), f"decord2 and av must load; {INSTALL}")
    if frames != _FRAMES or error > 6:
        said = f"{frames} of {_FRAMES} frames, {error:.1f} grey levels off"
        return Check("decoder", "failed", said, f"another decord than decord2? {INSTALL}")
    return Check("decoder", "ok", f"{frames} frames written and read")


def _faces(child: Isolated) -> Check:
    remedy = f"mediapipe 0.10.21 must be whole, with its models; {INSTALL}"
    try:
        found = list(child.iterate(find_face))
    except ClipError as caught:
        return Check("face models", "failed", _said(caught), remedy)
    if not found:
        return Check("face models", "failed", "no face in a portrait", remedy)
    return Check("face models", "ok", f"a face at {found[0][0]}, {found[0][1]}")


def _isolation(child: Isolated) -> Check:
    remedy = "child processes with limits must work: see the container's seccomp profile and ulimits"
    crops = CropStore(1, _EDGE, Path(tempfile.gettempdir()))
    try:
        for slots in child.iterate(fill, _EDGE * _EDGE * 3, into=crops.descriptor):
            crops.fill(slots)
        if not crops[0].all():
            return Check("isolation", "failed", "what a child writes does not arrive", remedy)
        for what, function in (("a crash", crash), (f"more than {_MEMORY} MiB", eat)):
            reason = _reason(child, function)
            if reason != "decode_crashed":
                return Check("isolation", "failed", f"{what} of a child gave {reason!r}", remedy)
    except ClipError as caught:
        return Check("isolation", "failed", _said(caught), remedy)
    finally:
        crops.close()
    return Check("isolation", "ok", "a child's crash and its hunger are survived")


def _said(error: ClipError) -> str:
    """What an error says, without the remedy for a clip."""
    return error.detail.removesuffix("; report it with this file")


def _reason(child: Isolated, function: Any) -> str:
    try:
        list(child.iterate(function))
    except ClipError as error:
        return error.reason
    return ""
