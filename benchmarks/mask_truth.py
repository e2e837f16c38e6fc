"""Accuracy of the difference mask against known truth.

    python -m benchmarks.mask_truth --clips FOLDER [--side tuning|held-out|fresh] [--hard] [--out FILE.json]

Real clips of one face each are forged with a known alpha, encoded, cropped with the same matrices, and the
masks compared with alpha > 0.1, beside three other rules'. Unknown masks count as an IoU of 0. Only tuning
clips may be looked at while anything is changed. The fresh side is animated from stills, which nothing was
ever tuned or checked on.
"""

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2

from benchmarks.mask_truth_clips import CRFS, TUNING, Pair, RealClip, load, pairs
from benchmarks.mask_truth_fresh import FRESH, animate
from benchmarks.mask_truth_hard import HARD
from benchmarks.mask_truth_report import Score, report
from benchmarks.mask_truth_rule1 import star_masks
from transforms.difference.model import DifferenceModel
from transforms.masks import dffd, iou, ssim
from transforms.synthesis.forgery import FAMILIES

SSIM_CUT = 0.4 * 255


def score(clip: str, pair: Pair, every: int, *, blind: bool) -> list[Score]:
    """Every `every`-th frame of a pair. A blind model is not told whether the clips are lossless."""
    null = pair.family.startswith("null")
    real, fake, chosen = list(pair.real), list(pair.fake), range(0, len(pair.real), every)
    start = time.perf_counter()
    lossless = None if blind else pair.compression == "raw"
    model = DifferenceModel.fit(real, fake, pair.shapes, dense=True, lossless=lossless)
    fit_ms = 1000 * (time.perf_counter() - start)
    scores = []
    for i, (star, star_quality) in zip(chosen, star_masks(real, fake, pair.shapes, chosen), strict=True):
        start = time.perf_counter()
        found = model.frame(i)
        frame_ms = 1000 * (time.perf_counter() - start)
        masks = found.mask, star, dffd(real[i], fake[i]), ssim(real[i], fake[i]) > SSIM_CUT
        values = [
            0.0 if mask is None else float(mask.mean()) if null else iou(mask, pair.truth[i])
            for mask in masks
        ]
        scores.append(
            Score(
                clip=clip,
                family=pair.family,
                compression=pair.compression,
                frame=i,
                ours=values[0],
                rule1=values[1],
                dffd=values[2],
                ssim=values[3],
                quality=found.score,
                quality1=star_quality,
                snr=found.snr,
                known=found.mask is not None,
                fit_ms=fit_ms,
                frame_ms=frame_ms,
            )
        )
    return scores


def chosen_clips(folder: Path, side: str) -> list[Path]:
    """The clips (of the fresh side: the stills) of one side, by name."""
    if side == "fresh":
        return [path for path in sorted(folder.glob("*.jpg")) if path.stem in FRESH]
    paths = sorted(folder.glob("*.mp4"))
    return [path for path in paths if (path.stem in TUNING) == (side == "tuning")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clips", type=Path, required=True, help="folder of mp4 files, one face each; of stills"
    )
    parser.add_argument("--side", choices=("tuning", "held-out", "fresh"), default="tuning")
    parser.add_argument("--frames", type=int, default=48, help="frames of each clip")
    parser.add_argument("--every", type=int, default=4, help="score every n-th frame")
    parser.add_argument("--hard", action="store_true", help="also hard shapes, in a table of their own")
    parser.add_argument("--generation", type=int, choices=(1, 2), default=2, help="2: from decoded frames")
    parser.add_argument(
        "--measured",
        choices=("", *CRFS),
        default="",
        help="version that the face is found in (default: the original)",
    )
    parser.add_argument("--blind", action="store_true", help="lossless is not told")
    parser.add_argument("--out", type=Path, help="write all scores here as JSON")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    paths = chosen_clips(options.clips, options.side)
    if len(paths) < 2:
        parser.error(f"fewer than two clips in {options.clips} are on the side {options.side}")
    read = animate if options.side == "fresh" else load
    clips: list[RealClip] = [read(path, options.frames) for path in paths]
    tables = {"plain": FAMILIES} | ({"hard": HARD} if options.hard else {})
    families = tuple(family for table in tables.values() for family in table)
    scores: list[Score] = []
    for index, clip in enumerate(clips):
        donor = clips[(index + 1) % len(clips)]
        for pair in pairs(clip, donor, families, generation=options.generation, measured=options.measured):
            scores += score(clip.name, pair, options.every, blind=options.blind)
        print(f"{clip.name}: {len(scores)} crops scored", flush=True)
    print("\n".join(report(scores, tables)))
    if options.out:
        options.out.write_text(json.dumps([asdict(row) for row in scores], indent=1) + "\n")


if __name__ == "__main__":
    main()
