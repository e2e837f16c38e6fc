"""Accuracy of the difference mask where a fake was resized, cropped or turned before it was encoded.

    python -m benchmarks.mask_truth_resized --clips FOLDER [--side tuning|held-out] [--hard]

As `benchmarks.mask_truth` at c23, but a fake is forged at its original's size, and then given another
picture size, as DFDC's and Celeb-DF's may be. It is registered by its frames, its original's crops are read
as sharp as its own, and the pair is checked by the guard. Truth is the alpha before all that, in the same
crops. Unknown masks count as an IoU of 0.
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import cv2
import numpy as np

from benchmarks.mask_truth import chosen_clips
from benchmarks.mask_truth_clips import TRUTH, Frames, RealClip, forged, geometry, load, recode, warp_all
from benchmarks.mask_truth_hard import HARD
from schemas.params import MaskParams
from transforms.alignment import apply, compose, invert, resizing
from transforms.crops import Shown, warp_shown
from transforms.frame_registration import FRAMES, FrameRegistration, register_pictures
from transforms.masks import iou
from transforms.pair_guard import guard
from transforms.pair_masks import measure
from transforms.synthesis.forgery import FAMILIES

SIZE = 256
CRF = 23


def _scaled(factor: float) -> Callable[[Frames], tuple[Frames, np.ndarray]]:
    def make(frames: Frames) -> tuple[Frames, np.ndarray]:
        height, width = frames.shape[1:3]
        size = round(width * factor) // 2 * 2, round(height * factor) // 2 * 2
        return np.stack([_swscale(frame, size) for frame in frames]), resizing((width, height), size)

    return make


def _cropped(frames: Frames) -> tuple[Frames, np.ndarray]:
    return frames[:, 6:-14, 18:-10], np.array([[1.0, 0, -18], [0, 1, -6]])


def _cropped_scaled(frames: Frames) -> tuple[Frames, np.ndarray]:
    cut, first = _cropped(frames)
    scaled, second = _scaled(0.8)(cut)
    return scaled, compose(second, first)


def _turned(frames: Frames) -> tuple[Frames, np.ndarray]:
    turned = np.rot90(frames, -1, (1, 2))
    scaled, second = _scaled(0.5)(turned)
    return scaled, compose(second, np.array([[0.0, -1, frames.shape[1] - 1], [1, 0, 0]]))


def _same(frames: Frames) -> tuple[Frames, np.ndarray]:
    return frames, np.eye(2, 3)


CHANGES: dict[str, Callable[[Frames], tuple[Frames, np.ndarray]]] = {
    "same size": _same,
    "x 0.5": _scaled(0.5),
    "x 0.667": _scaled(2 / 3),
    "x 0.75": _scaled(0.75),
    "x 1.25": _scaled(1.25),
    "cropped": _cropped,
    "cropped, x 0.8": _cropped_scaled,
    "turned, x 0.5": _turned,
}


def _swscale(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bicubic, as ffmpeg does by default."""
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
    return picture.reformat(*size, "rgb24", interpolation="BICUBIC").to_ndarray(format="rgb24")


def _boxes(clip: RealClip) -> np.ndarray:
    return np.concatenate([clip.points.min(1), clip.points.max(1)], 1)[:, None]


def registered(clip: RealClip, real: Frames, fake: Frames) -> FrameRegistration:
    """As the track stage registers two clips."""
    chosen = np.linspace(0, len(real) - 1, FRAMES).round().astype(int)
    return register_pictures(list(real[chosen]), list(fake[chosen]), _boxes(clip)[chosen])


def score(clip: RealClip, real: Frames, fake: Frames, truth: np.ndarray, planted: np.ndarray) -> tuple:
    """IoU of each frame, error of the registration in crop pixels, and the guard's note."""
    matrices, shapes = geometry(clip, SIZE)
    found = registered(clip, real, fake)
    if found.matrix is None:
        return [0.0] * len(real), np.nan, found.reason
    corners = np.array([[0.0, 0], [SIZE - 1, 0], [0, SIZE - 1], [SIZE - 1, SIZE - 1]])
    there = apply(compose(invert(found.matrix), planted), apply(matrices[0], corners))
    error = np.abs(apply(invert(matrices[0]), there) - corners).max()
    shown = Shown(found.matrix, (fake.shape[2], fake.shape[1]))
    crops = [warp_shown(f, m[None], SIZE, shown)[0] for f, m in zip(real, matrices, strict=True)]
    fakes = list(warp_all(fake, compose(found.matrix, matrices), SIZE))
    pair = guard(crops, fakes, shapes, {})
    there = np.full(shown.size[::-1], 255, np.uint8)
    inside = warp_all(np.stack([there] * len(fake)), compose(found.matrix, matrices), SIZE) > 127
    masks = measure(pair, fakes, [], dense=True, lossless=False, params=MaskParams())
    values = []
    for mask, alpha in zip(masks, truth & inside, strict=True):
        known = mask.kinds.get("difference")
        values.append(0.0 if known is None else iou(known > 0, alpha))
    return values, error, pair.note


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of mp4 files, one face each")
    parser.add_argument("--side", choices=("tuning", "held-out"), default="tuning")
    parser.add_argument("--frames", type=int, default=10, help="frames of each clip (default: %(default)s)")
    parser.add_argument("--hard", action="store_true", help="hard shapes instead of plain ones")
    parser.add_argument("--changes", nargs="+", choices=tuple(CHANGES), default=tuple(CHANGES))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [load(path, options.frames) for path in chosen_clips(options.clips, options.side)]
    families = HARD if options.hard else FAMILIES
    table: dict[str, list[float]] = defaultdict(list)
    for index, clip in enumerate(clips):
        donor = clips[(index + 1) % len(clips)]
        real = recode(clip.frames, CRF)
        matrices, _ = geometry(clip, SIZE)
        decoded = recode(clip.frames, 0)
        for family in families:
            fake, alpha = forged(clip, decoded, donor, family)
            truth = warp_all(alpha, matrices, SIZE) > TRUTH
            for name in options.changes:
                changed, planted = CHANGES[name](fake)
                values, error, note = score(clip, real, recode(changed, CRF), truth, planted)
                table[name] += values
                said = f"IoU {np.mean(values):.3f}  registered to {error:.3f} px  {note}"
                print(f"{clip.name:6s} {family:10s} {name:16s} {said}", flush=True)
    for name, values in table.items():
        print(f"{name:16s} mean IoU {np.mean(values):.3f}, {np.mean(np.array(values) == 0):.0%} unknown")


if __name__ == "__main__":
    main()
