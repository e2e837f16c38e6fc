"""How well planted misregistration is found: real clips, forged by a swap, moved, and encoded again.

    python -m benchmarks.registration --clips FOLDER [--frames 32]

Shifts are planted in frames, in units of a crop pixel, and fakes are encoded at crf 0, 23 and 40. Printed
is the error of the shift in crop pixels (of the scale: in percent), by clip; "none" where none is measured.
Where a face turns or grows, one shift of the frame is another one in each crop: their mean is the truth.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from benchmarks.mask_truth import chosen_clips
from benchmarks.mask_truth_clips import CRFS, RealClip, forged, geometry, load, recode, warp_all
from transforms.registration import register

SIZE = 256
PLANTED = {
    "nothing": (0.0, 0.0, 1.0),
    "0.25 px": (0.25, 0.0, 1.0),
    "0.5 px": (0.0, 0.5, 1.0),
    "1 px": (0.0, -1.0, 1.0),
    "3 px": (3.0, 0.0, 1.0),
    "1% scale": (0.0, 0.0, 1.01),
}


def errors(clip: RealClip, donor: RealClip) -> dict[tuple[str, str], float]:
    """By compression and what was planted."""
    matrices, shapes = geometry(clip, SIZE)
    to_crop = np.linalg.inv(matrices[:, :, :2]).mean(0)
    unit = float(np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2]))).mean())

    fakes, _ = forged(clip, recode(clip.frames, 0), donor, "swap")
    middle = clip.points.mean((0, 1))
    found = {}
    for compression, crf in CRFS.items():
        real = list(warp_all(recode(clip.frames, crf), matrices, SIZE))
        for name, (dx, dy, scale) in PLANTED.items():
            matrix = np.array([[scale, 0, dx * unit], [0, scale, dy * unit]])
            matrix[:, 2] += middle * (1 - scale)
            moved = np.stack([_move(frame, matrix) for frame in fakes]) if name != "nothing" else fakes
            motion = register(real, list(warp_all(recode(moved, crf), matrices, SIZE)), shapes)
            if motion is None:
                error = np.nan
            elif scale == 1:
                error = float(
                    np.hypot(*(np.array([motion.dx, motion.dy]) - to_crop @ (dx * unit, dy * unit)))
                )
            else:
                error = 100 * abs(motion.scale - scale)
            found[compression, name] = error
    return found


def _move(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    size = frame.shape[1::-1]
    return cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of mp4 files, one face each")
    parser.add_argument("--side", choices=("tuning", "held-out"), default="held-out")
    parser.add_argument("--frames", type=int, default=32, help="frames of each clip (default: %(default)s)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [load(path, options.frames) for path in chosen_clips(options.clips, options.side)]
    if len(clips) < 2:
        parser.error(f"fewer than two clips in {options.clips} are on the side {options.side}")
    tables = [errors(clip, clips[(i + 1) % len(clips)]) for i, clip in enumerate(clips)]
    print(f"{'':16s}" + "".join(f"{clip.name:>8s}" for clip in clips))
    for compression, name in tables[0]:
        values = [table[compression, name] for table in tables]
        cells = (f"{'none':>8s}" if np.isnan(value) else f"{value:8.3f}" for value in values)
        print(f"{compression:5s} {name:10s}" + "".join(cells))


if __name__ == "__main__":
    main()
