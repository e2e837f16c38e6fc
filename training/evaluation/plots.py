"""Plots of an evaluation."""

from collections.abc import Callable, Collection, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from training.evaluation.figures import Part
from training.evaluation.metrics import Calibration
from training.evaluation.page import Plot, Scheme, head, plot, short

_MOST_ROWS = 40
_MOST_CURVES = 12
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))


def plot_roc(frames: pd.DataFrame, methods: Sequence[str]) -> Plot:
    """ROC of every method's fakes against all reals."""
    title, shown = "ROC of every method", methods[:_MOST_CURVES]
    if frames.is_fake.all():
        return plot("roc", "Not measured: no reals", 2.6, _nothing(title))

    def paint(axes: Any, scheme: Scheme) -> None:
        axes.plot([0, 1], [0, 1], color=scheme.faint, linewidth=1)
        styles = [(colour, dash) for dash in _DASHES for colour in scheme.series]
        for method, (colour, dash) in zip(shown, cycle(styles), strict=False):
            rows = frames[~frames.is_fake | (frames.method == method)]
            alarms, hits, _ = roc_curve(rows.is_fake, rows.score)
            axes.plot(alarms, hits, color=colour, linestyle=dash, linewidth=1.4, label=short(method))
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.grid()
        axes.set_xlabel("reals called fake")
        axes.set_ylabel("fakes called fake")
        head(axes, _title(title, methods, _MOST_CURVES), 3)

    alt = "Share of fakes that are called fake against share of reals that are, for every threshold"
    return plot("roc", alt, 3.9, paint)


def plot_scores(frames: pd.DataFrame, seen: Collection[str]) -> Plot:
    """Histograms of the score, each over its own number of images."""
    real = frames[~frames.is_fake].score
    fakes = frames[frames.is_fake]
    known = fakes.method.isin(list(seen))
    classes = [("real", real), ("fake, seen", fakes.score[known]), ("fake, unseen", fakes.score[~known])]
    low, high = float(frames.score.min()), float(frames.score.max())
    edges = np.linspace(min(low, 0), max(high, 0) + 1e-6, 41)

    def paint(axes: Any, scheme: Scheme) -> None:
        for (name, scores), colour, dash in zip(classes, scheme.series, _DASHES, strict=False):
            if len(scores):
                share = np.histogram(scores, edges)[0] / len(scores)
                axes.stairs(share, edges, color=colour, linestyle=dash, linewidth=1.5, label=name)
        axes.axvline(0, color=scheme.ink, linewidth=0.8)
        axes.set_xlabel("score: real ← 0 → fake")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="y")
        head(axes, "Scores", 3)

    alt = "Histograms of the score of reals and fakes; those above 0 are called fake"
    return plot("scores", alt, 2.6, paint)


def plot_methods(parts: Sequence[Part], seen: Collection[str]) -> Plot:
    """AUC of every method with its interval over clips, by frame and by clip."""
    rows = [part for part in parts if part.kind == "method"]
    names = list(dict.fromkeys(part.name for part in rows))[:_MOST_ROWS]

    def paint(axes: Any, scheme: Scheme) -> None:
        levels = (("frame", "by frame", "o", -0.14), ("clip", "by clip", "D", 0.14))
        for (level, label, marker, shift), colour in zip(levels, scheme.series, strict=False):
            mine = [
                (names.index(part.name) + shift, part.figures["auc"])
                for part in rows
                if part.level == level and part.name in names and part.figures["auc"].value is not None
            ]
            for y, auc in mine:
                if auc.low is not None:
                    axes.hlines(y, auc.low, auc.high, color=colour, linewidth=1.6)
            axes.scatter(
                [auc.value for _, auc in mine],
                [y for y, _ in mine],
                s=24,
                marker=marker,
                color=scheme.paper,
                edgecolor=colour,
                zorder=3,
                label=label,
            )
        axes.axvline(0.5, color=scheme.none, linewidth=1)
        axes.set_yticks(range(len(names)), [_with_seen(name, seen) for name in names])
        axes.set_ylim(max(1, len(names)) - 0.4, -0.6)
        axes.set_xlim(right=1.01)
        axes.grid(axis="x")
        head(axes, _title("AUC of every method", names, _MOST_ROWS), 2)

    alt = "AUC of every method's fakes against the reals, with intervals; 0.5 is chance"
    return plot("methods", alt, 1.1 + 0.34 * max(2, len(names)), paint)


def plot_reliability(calibration: Calibration | None) -> Plot:
    """Share of fakes against the probability that was said, bin by bin."""
    title = "Reliability"
    if calibration is None:
        return plot("reliability", "Not measured: no reals", 2.6, _nothing(title))

    def paint(axes: Any, scheme: Scheme) -> None:
        edges, filled = calibration.edges, calibration.share > 0
        axes.stairs(
            calibration.share,
            edges,
            fill=True,
            color=scheme.faint,
            label="share of the images",
        )
        axes.plot([0, 1], [0, 1], color=scheme.none, linewidth=1, label="as said")
        axes.plot(
            calibration.said[filled],
            calibration.found[filled],
            color=scheme.series[0],
            marker="o",
            markersize=4,
            linewidth=1.2,
            label="found",
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.02, 1.02)
        axes.grid(axis="y")
        axes.set_xlabel("probability of being fake, as said")
        axes.set_ylabel("share of fakes")
        head(axes, title, 3)

    alt = "Share of fakes against the probability said, in 15 bins; on the diagonal the two agree"
    return plot("reliability", alt, 3.3, paint)


def _with_seen(name: str, seen: Collection[str]) -> str:
    return f"{short(name)}\n{'seen' if name in seen else 'unseen'}"


def _title(text: str, rows: Sequence[Any], most: int) -> str:
    return text if len(rows) <= most else f"{text}, first {most} of {len(rows)}"


def _nothing(title: str) -> Callable[[Any, Scheme], None]:
    def paint(axes: Any, scheme: Scheme) -> None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no reals", transform=axes.transAxes, ha="center", va="center")
        head(axes, title, 1)

    return paint
