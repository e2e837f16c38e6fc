"""A tree in FaceForensics++'s layout, forged from real face clips, to run the pipeline on and look at.

  python -m benchmarks.forged_tree --clips FOLDER --out FOLDER [--frames 60]

FOLDER holds .mp4 files of one face each. Sorted by name they become ids 000, 001, ...; neighbours are pairs:
of five, three train, one validates and one tests. Known alpha is kept in `alpha/<method>/<name>.npz`.
"""

import argparse
import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pipelines.demo_clips import CRF, write_video
from transforms.faces import FaceFinder
from transforms.synthesis.forgery import Face, forge
from transforms.video import Video

METHODS = {"Deepfakes": "swap", "Face2Face": "expression", "FaceSwap": "hard_swap", "NeuralTextures": "mouth"}


def _planes(frames: Iterable[np.ndarray]) -> list[np.ndarray]:
    return [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YUV_I420) for frame in frames]


def _through_yuv(frame: np.ndarray) -> np.ndarray:
    """What is left of a frame after 4:2:0: real and fake then differ outside alpha by rounding at most."""
    even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
    return cv2.cvtColor(_planes([even])[0], cv2.COLOR_YUV2RGB_I420)


def _load(path: Path, count: int) -> tuple[list[np.ndarray], list[Face]]:
    video, finder = Video(path), FaceFinder()
    frames, faces = [], []
    for index in range(min(count, len(video))):
        frame = _through_yuv(video[index])
        found, _ = finder.find(frame)
        if not found:
            break
        frames.append(frame)
        faces.append(Face(found[0].points))
    return frames, faces


def _make(out: Path, pair: tuple[tuple[str, Path], tuple[str, Path]], count: int) -> None:
    loaded = {name: _load(path, count) for name, path in pair}
    for (target, _), (source, _) in (pair, pair[::-1]):
        frames, faces = loaded[target]
        donor_frames, donor_faces = loaded[source]
        for compression, crf in CRF.items():
            write_video(
                out / f"original_sequences/youtube/{compression}/videos/{target}.mp4",
                _planes(frames),
                25,
                crf,
            )
        for method, family in METHODS.items():
            made = [
                forge(
                    family,
                    frame,
                    face,
                    donor_frames[i % len(donor_frames)],
                    donor_faces[i % len(donor_frames)],
                    phase=i / 8,
                    seed=int(target),
                )
                for i, (frame, face) in enumerate(zip(frames, faces, strict=True))
            ]
            fakes, alphas = [fake for fake, _ in made], np.stack([alpha for _, alpha in made])
            name = f"{target}_{source}"
            folder = out / "manipulated_sequences" / method
            for compression, crf in CRF.items():
                write_video(folder / compression / "videos" / f"{name}.mp4", _planes(fakes), 25, crf)
            regions = [np.repeat(((alpha > 0.1) * np.uint8(255))[..., None], 3, 2) for alpha in alphas]
            write_video(folder / "masks/videos" / f"{name}.mp4", _planes(regions), 25, 23)
            kept = out / "alpha" / method / f"{name}.npz"
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(kept, alpha=(alphas * 255).round().astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of .mp4 files, one face each")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tree")
    parser.add_argument("--frames", type=int, default=60, help="most frames a clip (default: %(default)s)")
    arguments = parser.parse_args()
    clips = [(f"{number:03d}", path) for number, path in enumerate(sorted(arguments.clips.glob("*.mp4")))]
    pairs = list(zip(clips[::2], clips[1::2], strict=False))
    if len(pairs) < 3:
        parser.error(f"--clips {arguments.clips}: {len(clips)} .mp4 files; six at least, for a pair a split")
    ids = [[a[0], b[0]] for a, b in pairs]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split, part in {"train": ids[:-2], "val": ids[-2:-1], "test": ids[-1:]}.items():
        (arguments.out / f"{split}.json").write_text(json.dumps(part))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(_make, arguments.out, pair, arguments.frames) for pair in pairs]
        for task in tqdm(tasks, desc="pairs"):
            task.result()


if __name__ == "__main__":
    main()
