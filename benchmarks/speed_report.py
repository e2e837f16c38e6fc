"""The table and the plot of what was measured."""

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.engine_cost import ONE
from benchmarks.pipeline import Cost

GOAL_FLOOR, GOAL_STAND_IN, GOAL_SCALING = 1.3, 15.0, 0.9

Row = tuple[str, str]

_INK, _FAINT = "#24292f", "#d5dae0"
# Okabe and Ito's palette, safe for colour-blind eyes; the floor is grey.
_COLOURS = {
    "decode": "#8d96a0",
    "encode": "#b6bcc4",
    "decode, for track": "#0072B2",
    "detect": "#56B4E9",
    "warp": "#009E73",
    "mask": "#E69F00",
    "encode masks": "#F0E442",
    "write": "#CC79A7",
    "plumbing": "#D55E00",
}


def spread(values: Sequence[float] | np.ndarray, form: str = ".2f") -> str:
    """The median, and the range where there is one."""
    middle = format(float(np.median(values)), form)
    return f"{middle} ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else middle


def case_rows(costs: Sequence[Cost]) -> list[Row]:
    """The table of one case, measured once or more often."""
    first = costs[0]
    rows = [
        ("processor time, over the floor", spread([cost.ratio for cost in costs])),
        ("  seconds, of them the floor", f"{spread([c.total for c in costs], '.1f')}, {first.floor:.1f}"),
        ("  with start-up of the stages", spread([(c.total + c.start_up) / c.floor for c in costs])),
        ("samples a second and core", spread([c.samples / c.total for c in costs], ".1f")),
    ]
    for part in first.shares:
        rows.append((f"  {part}", spread([cost.shares[part] / cost.total for cost in costs], ".1%")))
    stand_in = [(c.stand_in / c.total, c.stand_in / c.floor) for c in costs if c.stand_in]
    if stand_in:
        ours, bound = zip(*stand_in, strict=True)
        rows.append(("HOG stand-in, over our processor time", spread(ours, ".1f")))
        rows.append(("  over the floor: the most that can be had", spread(bound, ".1f")))
    else:
        rows.append(("HOG stand-in", "not measured: pip install dlib-bin"))
    size, count = first.shards
    rows += [
        ("start-up of track and shard, processor s", spread([cost.start_up for cost in costs], ".1f")),
        ("shards a minute, one worker", spread([60 * count / c.writing[0] for c in costs], ".2f")),
        ("  MB a second", spread([size / c.writing[0] for c in costs], ".2f")),
        ("  of what the disk takes with fsync", spread([c.writing[1] / c.writing[0] for c in costs], ".2%")),
        ("peak memory, MiB", ", ".join(f"{kind} {most:.0f}" for kind, most in first.memory.items())),
    ]
    return rows


def engine_rows(found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Row]:
    """Beam against a plain loop, and two workers against a pool of two, as far as they were run."""
    walls = {name: np.array([one["wall"] for one in runs]) for name, runs in found.items()}
    loop, beam = (found[name] for name in ONE)
    own = [(b["own"] - a["own"]) / (a["own"] + a["decoders"]) for a, b in zip(loop, beam, strict=True)]
    rows = [
        ("units, each a shard", f"{loop[0]['units']:.0f}"),
        ("Beam's own processor time, of the loop's", spread(own, "+.1%")),
        ("Beam over the loop, by the clock", spread(walls[ONE[1]] / walls[ONE[0]])),
    ]
    if len(found) > len(ONE):
        pool, ours = (walls[ONE[0]] / walls[name] for name in ("pool of 2", "Beam, 2 workers"))
        rows += [
            ("two workers, speed-up by the clock", spread(ours)),
            ("multiprocessing.Pool(2), the same", spread(pool)),
            (f"ours over the pool's (goal {GOAL_SCALING})", spread(ours / pool)),
            ("seconds of a run of two workers", spread(walls["Beam, 2 workers"], ".0f")),
        ]
    return rows


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:45s} {value}", flush=True)


def plot(cases: Mapping[str, Sequence[Cost]]) -> bytes:
    """Where the processor time goes, over the floor's, and how the stand-in compares: a PNG."""
    style = {
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.edgecolor": _FAINT,
        "axes.labelcolor": _INK,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "grid.color": _FAINT,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "text.color": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.6, 1.6 + 0.75 * len(cases)), dpi=180, layout="constrained")
        FigureCanvasAgg(figure)
        upper, lower = figure.subplots(2, 1, height_ratios=[2, 1.2])
        _paint_shares(upper, cases)
        _paint_stand_in(lower, cases)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _paint_shares(axes: Axes, cases: Mapping[str, Sequence[Cost]]) -> None:
    left = np.zeros(len(cases))
    for part, colour in _COLOURS.items():
        widths = np.array(
            [np.median([c.shares[part] / c.floor for c in costs]) for costs in cases.values()]
        ).clip(0)
        axes.barh(range(len(cases)), widths, 0.6, left=left, color=colour, label=part)
        left += widths
    axes.axvline(GOAL_FLOOR, color=_INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"processor time over the floor's (decode and encode); dotted: the goal, {GOAL_FLOOR}")
    _name_rows(axes, list(cases))
    axes.legend(ncols=5, fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, 1.32))


def _paint_stand_in(axes: Axes, cases: Mapping[str, Sequence[Cost]]) -> None:
    for row, costs in enumerate(cases.values()):
        ours = [c.stand_in / c.total for c in costs if c.stand_in]
        bound = [c.stand_in / c.floor for c in costs if c.stand_in]
        if ours:
            axes.barh(row, np.median(bound), 0.6, color=_FAINT, label="" if row else "over the floor")
            axes.barh(row, np.median(ours), 0.6, color="#0072B2", label="" if row else "over ours")
    axes.axvline(GOAL_STAND_IN, color=_INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"the HOG stand-in's processor time over ours; dotted: the goal, {GOAL_STAND_IN:.0f}")
    _name_rows(axes, list(cases))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=6.5)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
