"""A tree in FaceForensics++'s layout, forged from real faces, to run the pipeline and experiments on.

  python -m benchmarks.forged_tree --clips FOLDER [--stills FOLDER] --out TREE [--frames 60] [--pairs all]

FOLDER holds .mp4 files of one face each, or pictures of one face each, which are animated. Sorted by name
they become ids 000, 001, ... Who trains, validates and tests is drawn by lot (`--seed`); everybody is
forged with the next one of the same side (`--pairs next`) or with everybody of it (`--pairs all`).
people.json says which id is which file. Known alpha is kept in `alpha/<method>/<name>.npz`.
"""

import argparse
import json
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.mask_truth_fresh import animate
from pipelines.demo_clips import CRF, write_video
from transforms.faces import FaceFinder
from transforms.synthesis.forgery import Face, forge
from transforms.video import Video

METHODS = {"Deepfakes": "swap", "Face2Face": "expression", "FaceSwap": "hard_swap", "NeuralTextures": "mouth"}
SIDES = ("train", "val", "test")
_FACE = 192.0
_MARGIN = 2.6
_STILLS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Settings:
    """How clips are made: most frames of a real clip and of a fake, every which frame, and compressions."""

    frames: int
    fake_frames: int
    stride: int
    compressions: tuple[str, ...]


def _planes(frames: Iterable[np.ndarray]) -> list[np.ndarray]:
    return [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YUV_I420) for frame in frames]


def _through_yuv(frame: np.ndarray) -> np.ndarray:
    """What is left of a frame after 4:2:0: real and fake then differ outside alpha by rounding at most."""
    even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
    return cv2.cvtColor(_planes([even])[0], cv2.COLOR_YUV2RGB_I420)


def _around(frames: Sequence[np.ndarray], points: np.ndarray) -> list[np.ndarray]:
    """The part of a clip around its face, scaled so that the face is 192 px wide at most."""
    centre, width = points.mean(0), float(np.ptp(points[:, 0]))
    scale, half = min(1.0, _FACE / width), _MARGIN * width / 2
    height, total = frames[0].shape[:2]
    top, bottom = max(0, int(centre[1] - half)), min(height, int(centre[1] + half))
    left, right = max(0, int(centre[0] - half)), min(total, int(centre[0] + half))
    size = (int((right - left) * scale) // 16 * 16, int((bottom - top) * scale) // 16 * 16)
    return [cv2.resize(frame[top:bottom, left:right], size, interpolation=cv2.INTER_AREA) for frame in frames]


def load(path: Path, kept: Path, settings: Settings) -> int:
    """Keep frames and faces of a file in an .npz; returns how many."""
    cv2.setNumThreads(1)
    finder = FaceFinder()
    if path.suffix.lower() in _STILLS:
        read = list(animate(path, settings.frames * settings.stride).frames[:: settings.stride])
    else:
        video = Video(path)
        read = [video[index] for index in range(0, len(video), settings.stride)[: settings.frames]]
        first, _ = finder.find(read[0])
        read = _around(read, first[0].points)
    frames, points = [], []
    for frame in map(_through_yuv, read):
        found, _ = finder.find(frame)
        if not found:
            break
        frames.append(frame)
        points.append(found[0].points)
    np.savez(kept, frames=np.stack(frames), points=np.stack(points))
    return len(frames)


def _loaded(kept: Path) -> tuple[np.ndarray, list[Face]]:
    with np.load(kept) as arrays:
        return arrays["frames"], [Face(points) for points in arrays["points"]]


def make(out: Path, target: str, sources: Sequence[str], kept: Path, settings: Settings) -> None:
    """Write a real clip and its forgeries by every method with every source."""
    cv2.setNumThreads(1)
    frames, faces = _loaded(kept / f"{target}.npz")
    for compression in settings.compressions:
        path = out / f"original_sequences/youtube/{compression}/videos/{target}.mp4"
        write_video(path, _planes(frames), 25, CRF[compression])
    for source in sources:
        donors, donor_faces = _loaded(kept / f"{source}.npz")
        name = f"{target}_{source}"
        for method, family in METHODS.items():
            made = [
                forge(
                    family,
                    frames[i],
                    faces[i],
                    donors[i % len(donors)],
                    donor_faces[i % len(donors)],
                    phase=i * settings.stride / 8,
                    seed=zlib.crc32(name.encode()),
                )
                for i in range(min(len(frames), settings.fake_frames))
            ]
            _write_fake(out, method, name, made, settings.compressions)


def _write_fake(
    out: Path,
    method: str,
    name: str,
    made: Sequence[tuple[np.ndarray, np.ndarray]],
    compressions: Sequence[str],
) -> None:
    fakes, alphas = [fake for fake, _ in made], np.stack([alpha for _, alpha in made])
    folder = out / "manipulated_sequences" / method
    for compression in compressions:
        write_video(folder / compression / "videos" / f"{name}.mp4", _planes(fakes), 25, CRF[compression])
    regions = [np.repeat(((alpha > 0.1) * np.uint8(255))[..., None], 3, 2) for alpha in alphas]
    write_video(folder / "masks/videos" / f"{name}.mp4", _planes(regions), 25, 23)
    kept = out / "alpha" / method / f"{name}.npz"
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(kept, alpha=(alphas * 255).round().astype(np.uint8))


def sides(people: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Who trains (about half), validates (a fifth) and tests (the rest), by lot; two at least a side."""
    drawn = [people[index] for index in np.random.default_rng(seed).permutation(len(people))]
    val, test = max(2, round(0.2 * len(people))), max(2, round(0.3 * len(people)))
    parts = {"val": drawn[:val], "test": drawn[val : val + test], "train": drawn[val + test :]}
    return {side: sorted(parts[side]) for side in SIDES}


def pairs(people: Sequence[str], every: bool) -> list[tuple[str, str]]:
    """Ids that are forged with one another, in both orders."""
    return list(combinations(people, 2)) if every else list(zip(people[::2], people[1::2], strict=False))


def _wait(tasks: Sequence[Future], what: str) -> None:
    for task in tqdm(as_completed(tasks), what, total=len(tasks)):
        task.result()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of .mp4 files, one face each")
    parser.add_argument("--stills", type=Path, help="folder of pictures, one face each")
    parser.add_argument("--leave-out", action="append", default=[], metavar="NAME", help="a file, no suffix")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tree")
    parser.add_argument("--frames", type=int, default=60, help="most frames a clip (default: %(default)s)")
    parser.add_argument("--fake-frames", type=int, help="most frames a fake (default: as the real clip)")
    parser.add_argument("--stride", type=int, default=1, help="take every n-th frame (default: %(default)s)")
    parser.add_argument("--pairs", choices=("next", "all"), default="next")
    parser.add_argument("--compressions", nargs="+", choices=tuple(CRF), default=tuple(CRF))
    parser.add_argument("--seed", type=int, default=0, help="of who is on which side")
    return parser


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    files = sorted(arguments.clips.glob("*.mp4"))
    files += sorted(arguments.stills.iterdir()) if arguments.stills else []
    files = [path for path in files if path.stem not in arguments.leave_out]
    if len(files) < 6:
        parser.error(f"--clips {arguments.clips}: {len(files)} faces; six at least, two a side")
    people = {f"{number:03d}": path for number, path in enumerate(files)}
    settings = Settings(
        arguments.frames,
        arguments.fake_frames or arguments.frames,
        arguments.stride,
        tuple(arguments.compressions),
    )
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    named, sources = {}, {name: [] for name in people}  # type: ignore[var-annotated]
    for side, ids in sides(list(people), arguments.seed).items():
        named[side] = {one: people[one].stem for one in ids}
        chosen = pairs(ids, arguments.pairs == "all")
        (out / f"{side}.json").write_text(json.dumps(chosen))
        for a, b in chosen:
            sources[a].append(b)
            sources[b].append(a)
    (out / "people.json").write_text(json.dumps(named, indent=1))
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(mp_context=get_context("spawn")) as pool,
    ):
        kept = Path(folder)
        _wait([pool.submit(load, path, kept / one, settings) for one, path in people.items()], "faces")
        _wait(
            [pool.submit(make, out, one, sources[one], kept, settings) for one in people if sources[one]],
            "groups",
        )


if __name__ == "__main__":
    main()
