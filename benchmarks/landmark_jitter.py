"""How much landmarks tremble, before and after smoothing, in crop pixels.

    python -m benchmarks.landmark_jitter --clips FOLDER [--frames 150]

Faces are found in every frame. Of a smooth motion the second difference is nearly nothing, and that of noise
of standard deviation s has a standard deviation of sqrt(6) s: so jitter is the root mean square of the second
differences over sqrt(6), of the five landmarks, over the scale of the crop. It holds real fast motion, too.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from schemas.params import CropParams, TrackParams
from transforms.observe import ClipShape, Observation, observe
from transforms.tracking import link, track_frames

CASES = (
    ("found in every frame", 1, 0.0),
    ("found in every frame, smoothed", 1, TrackParams().smooth),
    ("found in every 2nd, interpolated, smoothed (default)", 2, TrackParams().smooth),
)


def jitter(landmarks: np.ndarray, scales: np.ndarray) -> float:
    """Of landmarks (n, 5, 2) in frame pixels, with the frame pixels of a crop pixel (n,): crop pixels."""
    second = landmarks[2:] - 2 * landmarks[1:-1] + landmarks[:-2]
    return float(np.sqrt((second**2).mean() / 6) / scales.mean())


def measure(path: Path, most: int) -> list[float]:
    """Jitter of a clip's first track in each of `CASES`."""
    options = TrackParams()
    seen = list(observe(path, 1, options.min_score, options.min_face))
    shape = next(item for item in seen if isinstance(item, ClipShape))
    whole = [item for item in seen if isinstance(item, Observation)][:most]
    found = []
    for _, every, smooth in CASES:
        some: Sequence[Observation] = [item for item in whole if item.frame % every == 0]
        track = link(some, options.max_gap)[0]
        rows = track_frames("", 0, track, shape, replace(options, every=every, smooth=smooth), CropParams())
        landmarks = np.array([row.landmarks for row in rows]).reshape(-1, 5, 2)
        matrices = np.array([row.crop_to_frame for row in rows]).reshape(-1, 2, 3)
        found.append(jitter(landmarks, np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of mp4 files, one face each")
    parser.add_argument("--frames", type=int, default=150, help="frames of each clip (default: %(default)s)")
    options = parser.parse_args()
    paths = sorted(options.clips.glob("*.mp4"))
    if not paths:
        parser.error(f"--clips {options.clips}: no .mp4 files")
    rows = []
    for path in paths:
        rows.append(measure(path, options.frames))
        print(f"{path.stem:10s}" + "".join(f"{value:8.3f}" for value in rows[-1]), flush=True)
    for (name, _, _), value in zip(CASES, np.median(rows, axis=0), strict=True):
        print(f"median, {name}: {value:.3f} px")


if __name__ == "__main__":
    main()
