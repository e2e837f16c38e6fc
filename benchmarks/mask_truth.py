"""Accuracy of the difference mask against known truth.

    python -m benchmarks.mask_truth --clips FOLDER [--side tuning|held-out] [--hard] [--out FILE.json]

Real clips of one face each are forged with a known alpha, encoded, cropped with the same matrices, and the
masks compared with alpha > 0.1. Unknown masks count as an IoU of 0. Only tuning clips may be looked at while
anything is changed.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from scipy.stats import spearmanr

from benchmarks.mask_truth_clips import CRFS, TUNING, Pair, RealClip, load, pairs
from benchmarks.mask_truth_hard import HARD
from transforms.difference.model import DifferenceModel
from transforms.masks import dffd, iou, ssim
from transforms.synthesis.forgery import FAMILIES

SSIM_CUT = 0.4 * 255
COVERAGES = (0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Score:
    """One scored crop; for null pairs the three figures are the share of pixels flagged."""

    clip: str
    family: str
    compression: str
    frame: int
    ours: float
    dffd: float
    ssim: float
    quality: float
    snr: float
    known: bool
    fit_ms: float
    frame_ms: float


def score(clip: str, pair: Pair, every: int, *, blind: bool) -> list[Score]:
    """Every `every`-th frame of a pair. A blind model is not told whether the clips are lossless."""
    null = pair.family.startswith("null")
    start = time.perf_counter()
    lossless = None if blind else pair.compression == "raw"
    model = DifferenceModel.fit(list(pair.real), list(pair.fake), pair.shapes, dense=True, lossless=lossless)
    fit_ms = 1000 * (time.perf_counter() - start)
    scores = []
    for i in range(0, len(pair.real), every):
        start = time.perf_counter()
        found = model.frame(i)
        frame_ms = 1000 * (time.perf_counter() - start)
        simple = dffd(pair.real[i], pair.fake[i]), ssim(pair.real[i], pair.fake[i]) > SSIM_CUT
        if null:
            ours = 0.0 if found.mask is None else float(found.mask.mean())
            others = tuple(float(mask.mean()) for mask in simple)
        else:
            ours = 0.0 if found.mask is None else iou(found.mask, pair.truth[i])
            others = tuple(iou(mask, pair.truth[i]) for mask in simple)
        scores.append(
            Score(
                clip=clip,
                family=pair.family,
                compression=pair.compression,
                frame=i,
                ours=ours,
                dffd=others[0],
                ssim=others[1],
                quality=found.score,
                snr=found.snr,
                known=found.mask is not None,
                fit_ms=fit_ms,
                frame_ms=frame_ms,
            )
        )
    return scores


def interval(scores: list[Score], field: str) -> tuple[float, float, float]:
    """Mean over clips and its 95% bootstrap interval (2000 resamples of clips, fixed seed)."""
    of_clip = defaultdict(list)
    for row in scores:
        of_clip[row.clip].append(getattr(row, field))
    means = np.array([np.mean(values) for values in of_clip.values()])
    draws = np.random.default_rng(0).integers(0, len(means), (2000, len(means)))
    low, high = np.quantile(means[draws].mean(1), [0.025, 0.975])
    return float(means.mean()), float(low), float(high)


def table(scores: list[Score], families: tuple[str, ...], title: str) -> list[str]:
    """The IoU of each family and their mean; the last column is the raw mask, carried."""
    header = f"{title:22s}" + "".join(f"{name:>22s}" for name in ("raw", "c23", "c40 alone", "c40 carried"))
    lines = [header]
    rows: list[tuple[str, tuple[str, ...], str]] = [(family, (family,), "ours") for family in families]
    rows += [
        ("mean", families, "ours"),
        ("DFFD > 0.1, mean", families, "dffd"),
        ("SSIM, mean", families, "ssim"),
    ]
    for name, which, field in rows:
        cells = []
        for compression in (*CRFS, "raw"):
            chosen = [s for s in scores if s.family in which and s.compression == compression]
            mean, low, high = interval(chosen, field)
            cells.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        lines.append(f"{name:22s}" + "".join(f"{cell:>22s}" for cell in cells))
    return lines


def coverage(scores: list[Score], compression: str) -> str:
    """Mean IoU of the crops with the best scores, and the rank correlation of score and IoU."""
    chosen = sorted((s for s in scores if s.compression == compression), key=lambda s: -s.quality)
    best = [np.mean([s.ours for s in chosen[: max(1, round(share * len(chosen)))]]) for share in COVERAGES]
    quality, truth = [s.quality for s in chosen], [s.ours for s in chosen]
    rank = spearmanr(quality, truth)[0] if len(set(quality)) > 1 else float("nan")
    shares = "  ".join(f"{share:.0%} {value:.3f}" for share, value in zip(COVERAGES, best, strict=True))
    return f"{compression}: {shares}  Spearman {rank:.2f}"


def report(scores: list[Score], families: tuple[str, ...]) -> list[str]:
    """All that is printed."""
    forged = [s for s in scores if s.family in families]
    lines = table(forged, families, f"IoU, {len({s.clip for s in scores})} clips")
    lines += ["", "null pairs: share of pixels flagged (ours, DFFD, SSIM; strongest snr)"]
    for family, compression in sorted(
        {(s.family, s.compression) for s in scores if s.family.startswith("null")}
    ):
        chosen = [s for s in scores if (s.family, s.compression) == (family, compression)]
        shares = [100 * float(np.mean([getattr(s, f) for s in chosen])) for f in ("ours", "dffd", "ssim")]
        strongest = max(s.snr for s in chosen)
        figures = ", ".join(f"{share:.3f}%" for share in shares)
        lines.append(f"  {family:16s} {compression}: {figures}; {strongest:.2f}")
    lines += ["", "risk against coverage: mean IoU of the best by score"]
    lines += ["  " + coverage(forged, compression) for compression in CRFS]
    unknown = {c: sum(not s.known for s in forged if s.compression == c) for c in CRFS}
    coded = [s for s in forged if s.compression != "raw"]
    exact = [s for s in forged if s.compression == "raw"]
    least = min((s.snr for s in coded if s.known), default=float("nan"))
    lines += [
        "",
        f"unknown among forged crops: {unknown} of {len(exact)} each; least snr of a known one {least:.2f}",
    ]
    for name, rows in (("coded", coded), ("lossless", exact)):
        frame, fit = (np.mean([getattr(s, field) for s in rows]) for field in ("frame_ms", "fit_ms"))
        lines.append(f"ms a crop, {name}: {frame:.1f} + {fit:.0f} a clip")
    return lines


def chosen_clips(folder: Path, side: str) -> list[Path]:
    """The clips of one side, by name."""
    paths = sorted(folder.glob("*.mp4"))
    return [path for path in paths if (path.stem in TUNING) == (side == "tuning")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of mp4 files, one face each")
    parser.add_argument("--side", choices=("tuning", "held-out"), default="tuning")
    parser.add_argument("--frames", type=int, default=48, help="frames of each clip")
    parser.add_argument("--every", type=int, default=4, help="score every n-th frame")
    parser.add_argument("--hard", action="store_true", help="hard shapes")
    parser.add_argument("--generation", type=int, choices=(1, 2), default=2, help="2: from decoded frames")
    parser.add_argument("--blind", action="store_true", help="lossless is not told")
    parser.add_argument("--out", type=Path, help="write all scores here as JSON")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    paths = chosen_clips(options.clips, options.side)
    if len(paths) < 2:
        parser.error(f"fewer than two clips in {options.clips} are on the side {options.side}")
    clips: list[RealClip] = [load(path, options.frames) for path in paths]
    families = HARD if options.hard else FAMILIES
    scores: list[Score] = []
    for index, clip in enumerate(clips):
        donor = clips[(index + 1) % len(clips)]
        for pair in pairs(clip, donor, families, generation=options.generation):
            scores += score(clip.name, pair, options.every, blind=options.blind)
        print(f"{clip.name}: {len(scores)} crops scored", flush=True)
    print("\n".join(report(scores, families)))
    if options.out:
        options.out.write_text(json.dumps([asdict(row) for row in scores], indent=1) + "\n")


if __name__ == "__main__":
    main()
