"""Forged clips with known truth: real clips, forged, encoded and cropped with the same matrices."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from benchmarks.mask_truth_hard import HARD, forge_hard
from schemas.params import CropParams
from transforms.alignment import apply, crop_to_frame, invert
from transforms.crops import warp
from transforms.difference.model import CropShapes
from transforms.faces import FaceFinder
from transforms.mesh import FACE_OVAL, LIPS_OUTER, five_points
from transforms.synthesis.forgery import FAMILIES, Face, forge

Frames = npt.NDArray[np.uint8]

CRFS = {"raw": 0, "c23": 23, "c40": 40}
TRUTH = 0.1
SMOOTH_SECONDS = 0.06
PERIOD = 36

# Fixed before anything was tuned. s29 and s32 may be one person, so they stand on one side; a swap's donor is
# of its own side. Clips that are named nowhere count as held out.
TUNING = ("d11", "d18", "d9", "s29", "s32")


@dataclass(frozen=True)
class RealClip:
    """The start of a real clip.

    Attributes:
      name: stem of its file.
      frames: (n, H, W, 3) uint8 RGB.
      points: (n, 468, 2) float32, smoothed mesh points in frame pixels.
      rate: frames a second.
    """

    name: str
    frames: Frames
    points: npt.NDArray[np.float32]
    rate: float = 25.0


@dataclass(frozen=True)
class Pair:
    """One forged clip beside its real one, as aligned crops, at one compression.

    Attributes:
      family: of the forgery; "null" where fake is the real clip again.
      compression: a key of `CRFS`.
      real, fake: (n, S, S, 3) uint8 RGB.
      truth: (n, S, S) bool.
      shapes: outlines in crop pixels.
    """

    family: str
    compression: str
    real: Frames
    fake: Frames
    truth: npt.NDArray[np.bool_]
    shapes: CropShapes


def load(path: Path, most: int) -> RealClip:
    """The first `most` frames of a video of one face, with its mesh.

    Raises:
      ValueError: a frame shows no face.
    """
    frames, rate = read_frames(path, most)
    return RealClip(path.stem, frames, mesh(path.stem, frames, rate), rate)


def read_frames(path: Path, most: int) -> tuple[Frames, float]:
    """The first frames of a video, (n, H, W, 3) uint8 RGB, H and W even, and frames a second."""
    frames, rate = [], 25.0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        rate = float(stream.average_rate or 25)
        for frame in container.decode(stream):
            image = frame.to_ndarray(format="rgb24")
            frames.append(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
            if len(frames) == most:
                break
    return np.stack(frames), rate


def mesh(name: str, frames: Frames, rate: float) -> npt.NDArray[np.float32]:
    """(n, 468, 2) float32, smoothed mesh points of a clip of one face, frame pixels.

    Raises:
      ValueError: a frame shows no face.
    """
    finder = FaceFinder()
    points = []
    for index, image in enumerate(frames):
        faces, _ = finder.find(image)
        if not faces:
            raise ValueError(f"{name}: no face in frame {index}")
        points.append(faces[0].points)
    smooth = gaussian_filter1d(np.stack(points), SMOOTH_SECONDS * rate, axis=0, mode="nearest")
    return smooth.astype(np.float32)


def encode(frames: Frames, crf: int, preset: str = "medium", rate: float = 25) -> bytes:
    """Frames, (n, H, W, 3) uint8 RGB, H and W even, as an mp4 file of H.264 (4:2:0)."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264",
            rate=Fraction(rate).limit_denominator(1001),
            options={"crf": str(crf), "preset": preset},
        )
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def recode(frames: Frames, crf: int, preset: str = "medium") -> Frames:
    """H.264 (4:2:0) and back: (n, H, W, 3) uint8 RGB, H and W even, to the same."""
    with av.open(BytesIO(encode(frames, crf, preset))) as container:
        out = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if len(out) != len(frames):
        raise ValueError(f"{len(out)} of {len(frames)} frames came back")
    return np.stack(out)


def forged(
    clip: RealClip, decoded: Frames, donor: RealClip, family: str
) -> tuple[Frames, npt.NDArray[np.float32]]:
    """A forgery of every frame of `decoded`: (n, H, W, 3) uint8 and its (n, H, W) float32 alpha."""
    make = forge_hard if family in HARD else forge
    swaps = "swap" in family or family in HARD
    fakes, alphas = [], []
    for i, frame in enumerate(decoded):
        j = i % len(donor.frames)
        other = (donor.frames[j], Face(donor.points[j])) if swaps else (None, None)
        phase, seed = 2 * np.pi * i / PERIOD, sum(clip.name.encode())
        fake, alpha = make(family, frame, Face(clip.points[i]), *other, phase=phase, seed=seed)
        fakes.append(fake)
        alphas.append(alpha)
    return np.stack(fakes), np.stack(alphas)


def pairs(
    clip: RealClip,
    donor: RealClip,
    families: tuple[str, ...] = FAMILIES,
    size: int = 256,
    generation: int = 2,
    measured: str = "",
) -> Iterator[Pair]:
    """Every forged pair of a clip at every compression, then its null pairs.

    In the second generation the forger works on the decoded raw clip, as in FaceForensics++: even a raw fake
    has been through RGB and 4:2:0 once more than its real clip. In the first it works on what the raw clip
    was encoded from, so that real and fake are equal bit by bit where alpha is 0.

    Crops lie where the face is found in the version that `measured` names, or in what was encoded.
    """
    coded = {name: recode(clip.frames, crf) for name, crf in CRFS.items()}
    seen = replace(clip, points=mesh(clip.name, coded[measured], clip.rate)) if measured else clip
    matrices, shapes = geometry(seen, size)
    real = {name: warp_all(frames, matrices, size) for name, frames in coded.items()}
    for family in families:
        fake, alpha = forged(clip, clip.frames if generation == 1 else coded["raw"], donor, family)
        truth = warp_all(alpha, matrices, size) > TRUTH
        for name, crf in CRFS.items():
            yield Pair(family, name, real[name], warp_all(recode(fake, crf), matrices, size), truth, shapes)
    nothing = np.zeros(real["raw"].shape[:3], bool)
    for name, crf in CRFS.items():
        again = warp_all(recode(coded[name], crf), matrices, size)
        yield Pair("null", name, real[name], again, nothing, shapes)
        if name != "raw":
            yield Pair("null, from raw", name, real["raw"], real[name], nothing, shapes)


def geometry(clip: RealClip, size: int) -> tuple[npt.NDArray[np.float64], CropShapes]:
    """A clip's crops, (n, 2, 3) from crop to frame pixels, and the face's outlines in them."""
    matrices = crop_to_frame(five_points(clip.points), CropParams(size=size))
    back = invert(matrices)
    shapes = CropShapes(
        apply(back, clip.points[:, list(FACE_OVAL)]).astype(np.float32),
        apply(back, clip.points[:, list(LIPS_OUTER)]).astype(np.float32),
    )
    return matrices, shapes


def warp_all(frames: npt.NDArray, matrices: npt.NDArray[np.float64], size: int) -> npt.NDArray:
    """Every frame's crop: (n, size, size) or (n, size, size, 3)."""
    return np.stack([warp(frame, matrix, size) for frame, matrix in zip(frames, matrices, strict=True)])
