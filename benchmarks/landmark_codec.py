"""How far a clip's geometry moves when it is measured on a compressed version of it, in crop pixels.

    python -m benchmarks.landmark_codec --clips FOLDER [--side tuning|held-out] [--frames 90]

Real clips of one face each are encoded without loss and at c23 and c40, and tracked as `track` does. Compared
with the lossless version's, frame by frame: the five landmarks, and the crop's corners by `crop_to_frame`.
"raw, cut" is the lossless version with 6 columns and 4 rows cut off at the left and the top, which moves
nothing: what differs there is how well the same picture is measured twice. Beside them each version's jitter
(`benchmarks.landmark_jitter`), which holds real motion, too.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.landmark_jitter import jitter
from benchmarks.mask_truth import chosen_clips
from benchmarks.mask_truth_clips import CRFS, encode, read_frames
from schemas.params import CropParams, TrackParams
from schemas.track import TrackFrame
from transforms.alignment import apply
from transforms.observe import observe
from transforms.tracking import link, track_frames

_CUT = (6, 4)
_VERSIONS = {name: (crf, (0, 0)) for name, crf in CRFS.items()} | {"raw, cut": (CRFS["raw"], _CUT)}


def track(path: Path) -> dict[int, TrackFrame]:
    """Rows of a clip's first track by frame."""
    options = TrackParams()
    shape, *seen = observe(path, options.every, options.min_score, options.min_face)
    rows = track_frames("", 0, link(seen, options.max_gap)[0], shape, options, CropParams())  # type: ignore[arg-type]
    return {row.frame: row for row in rows}


def _arrays(rows: list[TrackFrame]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Landmarks (n, 5, 2), corners of the crops (n, 4, 2), and frame pixels of a crop pixel (n,)."""
    edge = CropParams().size - 1
    matrices = np.array([row.crop_to_frame for row in rows]).reshape(-1, 2, 3)
    corners = apply(matrices, np.array([[0.0, 0], [edge, 0], [0, edge], [edge, edge]]))
    landmarks = np.array([row.landmarks for row in rows]).reshape(-1, 5, 2)
    return landmarks, corners, np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))


def compare(path: Path, most: int, folder: Path) -> dict[str, list[float]]:
    """By version: rms and worst distance of landmarks, of corners; jitter; frames that one alone has."""
    frames, rate = read_frames(path, most)
    tracks = {}
    for name, (crf, (left, top)) in _VERSIONS.items():
        coded = folder / f"{path.stem}.mp4"
        coded.write_bytes(encode(np.ascontiguousarray(frames[:, top:, left:]), crf, rate=rate))
        tracks[name] = track(coded)
    found = {}
    for name, rows in tracks.items():
        both = sorted({*rows} & {*tracks["raw"]})
        points, corners, scale = _arrays([rows[frame] for frame in both])
        points0, corners0, _ = _arrays([tracks["raw"][frame] for frame in both])
        values: list[float] = []
        for here, there in ((points, points0), (corners, corners0)):
            off = np.linalg.norm(here + _VERSIONS[name][1] - there, axis=-1) / scale[:, None]
            values += [float(np.sqrt((off**2).mean())), float(off.max())]
        found[name] = [*values, jitter(points, scale), len({*tracks["raw"]} ^ {*rows})]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of mp4 files, one face each")
    parser.add_argument("--side", choices=("tuning", "held-out"), default="tuning")
    parser.add_argument("--frames", type=int, default=90, help="frames of each clip (default: %(default)s)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    paths = chosen_clips(options.clips, options.side)
    if not paths:
        parser.error(f"--clips {options.clips}: no .mp4 files on the side {options.side}")
    print(f"{'':16s}landmarks: rms, worst   corners: rms, worst   jitter   frames of one alone")
    every: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            for name, values in compare(path, options.frames, Path(folder)).items():
                every.setdefault(name, []).append(values)
                _show(f"{path.stem}, {name}", values)
    for name, rows in every.items():
        _show(f"median, {name}", np.median(rows, axis=0).tolist())


def _show(name: str, values: list[float]) -> None:
    a, b, c, d, tremble, alone = values
    print(f"{name:16s}{a:16.3f}{b:8.3f}{c:14.3f}{d:8.3f}{tremble:9.3f}{alone:9.0f}", flush=True)


if __name__ == "__main__":
    main()
