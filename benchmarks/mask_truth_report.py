"""Tables of the mask benchmark: accuracy with intervals, null pairs, and what the score is worth."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, spearmanr

from benchmarks.mask_truth_clips import CRFS

COVERAGES = (0.5, 0.75, 0.9, 1.0)
BAD = 0.8
RULES = {"ours": "ours", "rule1": "rule 1 (star)", "dffd": "DFFD > 0.1", "ssim": "DSSIM > 0.4"}


@dataclass(frozen=True)
class Score:
    """One scored crop: the IoU by each of `RULES`, for null pairs the share of pixels flagged.

    The two qualities are the scores that ours and rule 1 give without the truth, 0 to 1.
    """

    clip: str
    family: str
    compression: str
    frame: int
    ours: float
    rule1: float
    dffd: float
    ssim: float
    quality: float
    quality1: float
    snr: float
    known: bool
    fit_ms: float
    frame_ms: float


def interval(scores: Sequence[Score], field: str) -> tuple[float, float, float]:
    """Mean over clips and its 95% bootstrap interval (2000 resamples of clips, fixed seed)."""
    of_clip = defaultdict(list)
    for row in scores:
        of_clip[row.clip].append(getattr(row, field))
    means = np.array([np.mean(values) for values in of_clip.values()])
    draws = np.random.default_rng(0).integers(0, len(means), (2000, len(means)))
    low, high = np.quantile(means[draws].mean(1), [0.025, 0.975])
    return float(means.mean()), float(low), float(high)


def accuracy(scores: Sequence[Score], families: Sequence[str], title: str) -> list[str]:
    """The IoU of each family and the mean of each rule.

    A carried mask is the raw pair's, or c23's, used for c40's crops: the truth is the same for all.
    """
    columns = {name: name for name in CRFS} | {"c40 from c23": "c23", "c40 from raw": "raw"}
    lines = [f"{title:22s}" + "".join(f"{name:>22s}" for name in columns)]
    rows = [(family, [family], "ours") for family in families]
    rows += [(f"{label}, mean", list(families), field) for field, label in RULES.items()]
    for name, which, field in rows:
        cells = []
        for compression in columns.values():
            chosen = [s for s in scores if s.family in which and s.compression == compression]
            mean, low, high = interval(chosen, field)
            cells.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        lines.append(f"{name:22s}" + "".join(f"{cell:>22s}" for cell in cells))
    return lines


def auc(quality: Sequence[float], good: Sequence[bool]) -> float:
    """Chance that a good crop has the higher quality (ties count half); nan without good or bad ones."""
    ranks, flags = rankdata(quality), np.asarray(good)
    n, m = int(flags.sum()), int((~flags).sum())
    return float((ranks[flags].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def coverage(scores: Sequence[Score], compression: str, field: str, quality: str) -> str:
    """Mean IoU of the crops with the best scores, and how well the score ranks and tells a bad mask."""
    chosen = sorted((s for s in scores if s.compression == compression), key=lambda s: -getattr(s, quality))
    truth, scored = [getattr(s, field) for s in chosen], [getattr(s, quality) for s in chosen]
    best = [np.mean(truth[: max(1, round(share * len(chosen)))]) for share in COVERAGES]
    rank = spearmanr(scored, truth)[0] if len(set(scored)) > 1 else float("nan")
    area = auc(scored, [value >= BAD for value in truth])
    shares = "  ".join(f"{share:.0%} {value:.3f}" for share, value in zip(COVERAGES, best, strict=True))
    bad = sum(value < BAD for value in truth)
    tells = f"AUC of IoU < {BAD} {area:.2f} ({bad} of {len(truth)})"
    return f"{RULES[field]:14s} {compression}: {shares}  Spearman {rank:.2f}  {tells}"


def nulls(scores: Sequence[Score]) -> list[str]:
    """Share of pixels flagged where nothing was forged, and the strongest snr."""
    lines = [f"null pairs: share of pixels flagged ({', '.join(RULES.values())}; strongest snr)"]
    for family, compression in sorted({(s.family, s.compression) for s in scores}):
        chosen = [s for s in scores if (s.family, s.compression) == (family, compression)]
        shares = [100 * float(np.mean([getattr(s, field) for s in chosen])) for field in RULES]
        figures = ", ".join(f"{share:.3f}%" for share in shares)
        lines.append(f"  {family:16s} {compression}: {figures}; {max(s.snr for s in chosen):.2f}")
    return lines


def report(scores: Sequence[Score], tables: Mapping[str, tuple[str, ...]]) -> list[str]:
    """All that is printed: a table for each named set of families, null pairs, cost."""
    clips = len({s.clip for s in scores})
    lines = []
    for title, families in tables.items():
        forged = [s for s in scores if s.family in families]
        lines += accuracy(forged, families, f"{title}, {clips} clips")
        lines.append("risk against coverage: mean IoU of the best by score")
        lines += ["  " + coverage(forged, c, "ours", "quality") for c in CRFS]
        lines += ["  " + coverage(forged, c, "rule1", "quality1") for c in CRFS]
        unknown = {c: sum(not s.known for s in forged if s.compression == c) for c in CRFS}
        each = len(forged) // len(CRFS)
        least = min((s.snr for s in forged if s.known and s.compression != "raw"), default=float("nan"))
        lines += [f"unknown: {unknown} of {each} each; least snr of a known coded one {least:.2f}", ""]
    lines += nulls([s for s in scores if s.family.startswith("null")])
    for name, raw in (("coded", False), ("lossless", True)):
        rows = [s for s in scores if (s.compression == "raw") == raw and not s.family.startswith("null")]
        frame, fit = (np.mean([getattr(s, field) for s in rows]) for field in ("frame_ms", "fit_ms"))
        lines.append(f"ms a crop, {name}: {frame:.1f} + {fit:.0f} a clip")
    return lines
