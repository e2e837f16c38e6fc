"""The demo corpus: forgeries with a known alpha in FaceForensics++'s layout, made from what we depend on."""

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from tqdm import tqdm

from pipelines.demo_clips import CRF, METHODS, make_clips, start_worker
from pipelines.demo_plan import DemoParams, plan, splits, youtube_videos
from pipelines.isolation import Isolated
from schemas.errors import UsageError
from schemas.paths import local
from transforms.synthesis.people import Portrait

# To be raised when the same parameters give another corpus.
_VERSION = 1
_MARKER = "demo.json"

_DESCRIPTION = """
Make a small deepfake corpus, with the folders, names, frame rates, splits and masks of FaceForensics++,
from one portrait in the public domain (scikit-image's astronaut). Nothing is downloaded.

Every identity is the portrait with another face, tone, hair and clothes, filmed with a moving camera.
Every fake comes with what FaceForensics++ cannot give: the alpha that it was blended with, in
alpha/<METHOD>/<TARGET>_<SOURCE>.npz ("alpha": frames x height x width, 0 to 255).
"""
_EPILOG = """
examples:
  python -m pipelines.demo --out data/demo
  python -m pipelines.demo --out /tmp/tiny --identities 4 --frames 12 --methods Deepfakes --compressions c23

The folder appears when it is whole. It is made again when the parameters change, left as it is when they have
not, and a folder that this command did not make is never touched.
Exit codes: 0 the corpus is there; 2 bad usage.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: returns the exit code."""
    arguments = _parser().parse_args(argv)
    params = DemoParams(
        arguments.identities,
        arguments.frames,
        tuple(method for method in METHODS if method in arguments.methods),
        tuple(compression for compression in CRF if compression in arguments.compressions),
        arguments.seed,
    )
    try:
        made = make_demo(arguments.out, params, arguments.jobs)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was left behind", file=sys.stderr)
        return 130
    print(
        f"{arguments.out}: {'made' if made else 'already there, with these parameters'}; see {_MARKER} in it"
    )
    return 0


def make_demo(out: Path, params: DemoParams, jobs: int) -> bool:
    """Make the corpus, unless it is there with the same parameters.

    Args:
      out: its folder.
      params: what is made.
      jobs: processes.

    Returns:
      Whether anything was made.

    Raises:
      UsageError: if parameters make no sense, or `out` is there and was not made by this.
    """
    if params.identities < 2 or params.identities % 2:
        raise UsageError(f"--identities {params.identities}: must be even (they are paired), and 2 at least")
    if params.frames < 2 or jobs < 1:
        raise UsageError(f"--frames {params.frames} --jobs {jobs}: at least 2 frames and 1 job")
    marker = _marker(params)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        there = _read_marker(out)
        if there is None:
            raise UsageError(f"{out}: is there, and was not made by this command; give another --out")
        if there == marker:
            return False
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        folder.chmod(0o755)
        _write(folder, params, jobs)
        _write_json(folder / _MARKER, marker)
        if out.exists():
            out.replace(folder / ".replaced")
        folder.replace(out)
        shutil.rmtree(out / ".replaced", ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return True


def _write(folder: Path, params: DemoParams, processes: int) -> None:
    for split, pairs in splits(params).items():
        _write_json(folder / f"{split}.json", pairs)
    _write_json(folder / "conversion_dict.json", youtube_videos(params))
    jobs = plan(params, folder)
    portrait = read_portrait()
    total = sum(1 + len(job.fakes) for job in jobs)
    with (
        ProcessPoolExecutor(
            min(processes, len(jobs)), get_context("spawn"), initializer=start_worker, initargs=(portrait,)
        ) as pool,
        tqdm(total=total, desc="demo", unit="clip", disable=None) as bar,
    ):
        futures = [pool.submit(make_clips, job) for job in jobs]
        try:
            for future in as_completed(futures):
                bar.update(future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def read_portrait() -> Portrait:
    """The portrait that everyone in the corpus is made from, with its mesh and matte."""
    child = Isolated(timeout=120)  # MediaPipe is large, and talks to stderr.
    try:
        (portrait,) = child.iterate(portraits)
    finally:
        child.close()
    return portrait


def portraits() -> Iterator[Portrait]:
    """What `read_portrait` gives, as a generator of one item."""
    from mediapipe.python.solutions import selfie_segmentation

    from transforms.faces import FaceFinder

    image = skimage.data.astronaut()
    points = FaceFinder().find(image)[0][0].points
    with selfie_segmentation.SelfieSegmentation(model_selection=0) as segmentation:
        matte = segmentation.process(image).segmentation_mask
    image, matte = np.ascontiguousarray(image[:340, :460]), matte[:340, :460]
    yield Portrait(image, _cut_out(image, matte), points)


def _cut_out(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Put the border of a rough matte where colours change."""
    labels = np.where(matte < 0.5, cv2.GC_PR_BGD, cv2.GC_PR_FGD).astype(np.uint8)
    labels[matte < 0.05] = cv2.GC_BGD
    labels[cv2.erode((matte > 0.95).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    return cv2.GaussianBlur((labels & 1).astype(np.float32), (0, 0), 1)


def _marker(params: DemoParams) -> dict[str, Any]:
    return json.loads(
        json.dumps({"made_by": "pipelines.demo", "version": _VERSION, "parameters": asdict(params)})
    )


def _read_marker(out: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((out / _MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) and marker.get("made_by") == "pipelines.demo" else None


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--out", type=local, required=True, metavar="FOLDER", help="where the corpus goes")
    parser.add_argument(
        "--identities",
        type=int,
        default=8,
        metavar="N",
        help="people, paired two by two (default: %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=48,
        metavar="N",
        help="length of the longest clips (default: %(default)s)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        default=list(METHODS),
        metavar="METHOD",
        help=f"of {', '.join(METHODS)}; the last comes with two actors (default: all)",
    )
    parser.add_argument(
        "--compressions",
        nargs="+",
        choices=list(CRF),
        default=list(CRF),
        metavar="COMPRESSION",
        help="of raw (lossless), c23 and c40 (default: all)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of looks and motion (default: %(default)s)")
    parser.add_argument(
        "--jobs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="processes (default: one a core, here %(default)s); the corpus does not depend on it",
    )
    return parser


if __name__ == "__main__":
    # By its name, so that child processes find its functions.
    sys.exit(importlib.import_module("pipelines.demo").main())
