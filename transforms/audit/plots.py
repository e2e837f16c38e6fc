"""Plots of the report: small, of one style, safe for colour-blind eyes; same numbers, same bytes."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from schemas.clip import SPLITS, compression_rank
from transforms.audit.summary import Cell, Kinds, Spread
from transforms.audit.verify import ShardEntry

_WIDTH = 4.4
_DPI = 180
_MOST_ROWS = 40
# Okabe and Ito's palette.
_BLUE, _SKY, _GREEN, _ORANGE, _VERMILLION, _PURPLE = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
)
# So that shifts of thousandths of a pixel do not look like something.
_LEAST_RANGE = {"residual": 1.0}
_MARKERS = "osD^v<>"

TITLES = {
    "score": "Mask score (1 is certain)",
    "snr": "Signal to noise (nepers)",
    "area": "Share of the crop that is masked",
    "official_iou": "Agreement with the dataset's mask (IoU)",
    "temporal_iou": "Agreement with the frame before (IoU)",
    "residual": "Shift left outside the face (px)",
}


@dataclass(frozen=True)
class Scheme:
    """Colours of ink, paper, what has no value, and of series."""

    ink: str
    faint: str
    paper: str
    none: str
    series: tuple[str, ...]


LIGHT = Scheme(
    "#24292f", "#d5dae0", "#ffffff", "#b6bcc4", (_BLUE, _ORANGE, _GREEN, _PURPLE, _VERMILLION, _SKY)
)
DARK = Scheme(
    "#dfe3e8", "#3a4149", "#1b1f24", "#5d656e", (_SKY, _ORANGE, _GREEN, _PURPLE, _VERMILLION, _BLUE)
)


def _draw(height: float, scheme: Scheme, paint: Callable[[Any], None]) -> bytes:
    style = {
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.edgecolor": scheme.faint,
        "axes.facecolor": scheme.paper,
        "axes.labelcolor": scheme.ink,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.facecolor": scheme.paper,
        "grid.color": scheme.faint,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "text.color": scheme.ink,
        "text.parse_math": False,
        "xtick.color": scheme.ink,
        "ytick.color": scheme.ink,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        paint(axes)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _name(text: str) -> str:
    shown = "".join(c if c.isprintable() and ord(c) < 0x2000 else "?" for c in text)
    return shown if len(shown) <= 22 else f"{shown[:21]}…"


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_name(name) for name in names])
    axes.set_ylim(max(1, len(names)) - 0.4, -0.6)
    axes.grid(axis="x")


def _title(text: str, rows: Sequence[Any]) -> str:
    return text if len(rows) <= _MOST_ROWS else f"{text}, first {_MOST_ROWS} of {len(rows)}"


def _height(rows: int, each: float) -> float:
    return 0.95 + each * max(2, rows)


def _head(axes: Any, title: str, columns: int) -> None:
    """The title, and under it the legend."""
    entries = len(axes.get_legend_handles_labels()[0])
    lines = -(-entries // columns)
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=5 + 13 * lines)
    if entries:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=columns,
            borderpad=0,
            borderaxespad=0.4,
            handlelength=1,
        )


def _empty(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")


def _stacked(
    rows: Sequence[str],
    series: Sequence[tuple[str, str, Sequence[float]]],
    title: str,
    scheme: Scheme,
    share: bool = False,
    each: float = 0.3,
) -> bytes:
    def paint(axes: Any) -> None:
        left = np.zeros(len(rows))
        for name, colour, values in series:
            axes.barh(range(len(rows)), values, left=left, height=0.7, color=colour, label=_name(name))
            left = left + np.asarray(values)
        _rows(axes, rows)
        if share:
            axes.set_xlim(0, 1)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        else:
            axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        _head(axes, title, 4)
        if not rows:
            _empty(axes, "no samples")

    return _draw(_height(len(rows), each), scheme, paint)


def plot_balance(cells: Sequence[Cell], scheme: Scheme) -> bytes:
    """Samples of every method, by split."""
    every = list(dict.fromkeys(cell.method for cell in cells))
    methods = every[:_MOST_ROWS]
    splits = [*SPLITS, *sorted({cell.split for cell in cells} - set(SPLITS))]
    series = []
    for split, colour in zip(splits, scheme.series, strict=False):
        sums = [sum(c.samples for c in cells if (c.method, c.split) == (method, split)) for method in methods]
        if any(sums):
            series.append((split, colour, sums))
    return _stacked(methods, series, _title("Samples by split", every), scheme)


def plot_kinds(kinds: Sequence[Kinds], scheme: Scheme) -> bytes:
    """Share of every mask kind among the fakes, by method and compression; unknown in gray."""
    rows = kinds[:_MOST_ROWS]
    names = sorted({name for row in rows for name in row.counts} - {"unknown"})
    colours = [(name, scheme.series[number % len(scheme.series)]) for number, name in enumerate(names)]
    series = [
        (name, colour, [row.counts.get(name, 0) / row.total for row in rows])
        for name, colour in [*colours, ("unknown", scheme.none)]
    ]
    labels = [f"{_name(row.method)} {row.compression}" for row in rows]
    return _stacked(labels, series, _title("Mask kinds of fakes", kinds), scheme, share=True, each=0.19)


def plot_spread(spreads: Sequence[Spread], figure: str, scheme: Scheme) -> bytes:
    """One figure by method and compression: median, middle half, and 5% to 95%."""
    rows = [spread for spread in spreads if spread.figure == figure]
    every = sorted({spread.method for spread in spreads})
    methods = every[:_MOST_ROWS]
    compressions = sorted({spread.compression for spread in spreads}, key=lambda c: (compression_rank(c), c))

    def paint(axes: Any) -> None:
        step = 0.7 / max(1, len(compressions))
        for number, compression in enumerate(compressions):
            colour = scheme.series[number % len(scheme.series)]
            mine = [row for row in rows if row.compression == compression and row.method in methods]
            y = [methods.index(row.method) + (number - (len(compressions) - 1) / 2) * step for row in mine]
            q = np.array([row.quantiles for row in mine]).reshape(-1, 5).T
            axes.hlines(y, q[0], q[4], color=colour, linewidth=1)
            axes.hlines(y, q[1], q[3], color=colour, linewidth=3.5)
            marker = _MARKERS[number % len(_MARKERS)]
            axes.scatter(
                q[2],
                y,
                s=26,
                marker=marker,
                color=scheme.paper,
                edgecolor=colour,
                zorder=3,
                label=_name(compression),
            )
        _rows(axes, methods)
        for method in set(methods) - {row.method for row in rows}:
            axes.annotate(
                "not measured",
                (0, methods.index(method)),
                (4, 0),
                textcoords="offset points",
                va="center",
                alpha=0.6,
            )
        if figure in ("score", "official_iou", "temporal_iou"):
            axes.set_xlim(-0.02, 1.02)
        else:
            right = max(axes.get_xlim()[1], _LEAST_RANGE.get(figure, 0))
            axes.set_xlim(-0.02 * right, right)
        _head(axes, _title(TITLES[figure], every), 6)
        if not methods:
            _empty(axes, "no known masks")

    return _draw(_height(len(methods), 0.24 + 0.1 * len(compressions)), scheme, paint)


def plot_shards(entries: Sequence[ShardEntry], scheme: Scheme) -> bytes:
    """Sizes of the shards, largest first, with their mean."""

    def paint(axes: Any) -> None:
        sizes = np.sort([entry.bytes / 1e6 for entry in entries])[::-1]
        if not len(sizes) or not sizes[0]:
            _empty(axes, "no shards")
            return
        edges = np.arange(len(sizes) + 1) + 0.5
        axes.stairs(sizes, edges, fill=True, color=scheme.series[0])
        axes.axhline(sizes.mean(), color=scheme.ink, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"mean {sizes.mean():,.1f} MB",
            (edges[-1], sizes.mean()),
            (0, 3),
            textcoords="offset points",
            ha="right",
        )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, sizes[0] * 1.12)
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True))
        axes.grid(axis="y")
        axes.set_xlabel("shards, largest first")
        _head(axes, "Shard sizes (MB)", 1)

    return _draw(2.2, scheme, paint)
