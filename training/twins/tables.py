"""Tables and plots of the experiment."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Plot

from schemas import files, to_row
from schemas.experiment import Figure
from schemas.params_training import ExperimentParams
from training.evaluation.intervals import percentiles

COLUMNS = {
    "false_alarms_marked": "reals with the artefact called fake",
    "auc_artefact": "AUC of the artefact itself",
    "accuracy_marked": "ACC as trained",
    "auc_seen": "AUC seen",
    "auc_unseen": "AUC unseen",
    "accuracy_unseen": "ACC unseen",
    "outside_unseen": "attention outside, unseen",
    "iou_unseen": "IoU unseen",
}
PAIRED = ("false_alarms_marked", "auc_artefact", "auc_unseen", "outside_unseen")
_CONFIDENCE = 0.95
_GROUP = ["setting", "artefact", "seen", "variant"]
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
Matrix = npt.NDArray[np.float64]


def pigeonhole(differences: Matrix, resamples: int, seed: int) -> tuple[float, float]:
    """The 95% interval of the mean of a table whose rows and columns are both drawn from more.

    Rows (seeds) and columns (people) are resampled independently, and the mean is that of the cells where
    both were drawn: Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics 2007.

    Args:
      differences: (R, C); cells that are not numbers are left out.
      resamples: how many.
      seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    rows, columns = differences.shape
    row = rng.multinomial(rows, np.full(rows, 1 / rows), resamples).astype(float)
    column = rng.multinomial(columns, np.full(columns, 1 / columns), resamples).astype(float)
    there = ~np.isnan(differences)
    total = ((row @ np.where(there, differences, 0)) * column).sum(1)
    count = ((row @ there) * column).sum(1)
    with np.errstate(invalid="ignore"):
        return percentiles(total / count, _CONFIDENCE)


def paired(figures: pd.DataFrame, arm: str, control: str, figure: str, resamples: int) -> dict[str, float]:
    """Mean difference of two arms of the same seeds on the same people, and its interval.

    Args:
      figures: rows of one comparison and budget (`schemas.experiment.Figure`).
      arm: minus `control`.
      control: the other arm.
      figure: its name.
      resamples: of the bootstrap.

    Returns:
      mean, low and high; not a number where an arm is missing.
    """
    own = figures[(figures.figure == figure) & (figures.identity != "")]
    tables = [
        own[own.arm == name].pivot_table(index="seed", columns="identity", values="value", dropna=False)
        for name in (arm, control)
    ]
    difference = (tables[0] - tables[1]).to_numpy(float)
    if np.isnan(difference).all():
        return {"mean": math.nan, "low": math.nan, "high": math.nan}
    low, high = pigeonhole(difference, resamples, 0)
    return {"mean": float(np.nanmean(difference)), "low": low, "high": high}


def write_tables(out: Path, figures: Sequence[Figure], split: str, params: ExperimentParams) -> None:
    """Write tables.md, tables.json and the plots of some figures."""
    frame = pd.DataFrame([to_row(figure) for figure in figures])
    said = (
        f"Judged on {split}: {_people(frame)} people, {params.seeds} seeds. Figures are over all images, ± "
        "the standard deviation over seeds; differences are means over people, each counted once.\n"
    )
    parts, kept = [said], list[dict]()
    whole = frame[frame.setting != "budgets"]
    for key, group in whole.groupby(_GROUP, sort=False):
        names = dict(zip(_GROUP, map(str, key), strict=True))
        rows = [_row(group, arm, names, params) for arm in dict.fromkeys(group.arm)]
        kept += rows
        parts.append(_markdown(names, rows))
    curve = _curve(frame, params)
    if curve:
        parts.append(_curve_markdown(curve))
        _write(out / "budgets.png", _plot_curve(curve))
    if kept:
        _write(out / "differences.png", _plot_differences(kept))
    with files.atomic_write(out / "tables.md") as file:
        file.write("\n".join(parts).encode())
    files.write_json(out / "tables.json", {"rows": _plain(kept), "budgets": _plain(curve)})


def _people(frame: pd.DataFrame) -> int:
    return len({*frame.identity} - {""})


def _plain(value: Any) -> Any:
    """The value with None for what is not a number."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _row(group: pd.DataFrame, arm: str, names: dict[str, str], params: ExperimentParams) -> dict[str, Any]:
    own = group[(group.arm == arm) & (group.identity == "")]
    spread = own.groupby("figure").value.agg(["mean", "std"])
    row: dict[str, Any] = {**names, "arm": arm, "masks": float(own.masks.mean())}
    row |= {str(name): (float(mean), float(std)) for name, (mean, std) in spread.iterrows()}
    if arm != "none":
        row["paired"] = {
            figure: paired(group, arm, "none", figure, params.resamples)
            for figure in PAIRED
            if figure in spread.index
        }
    return row


def _title(names: dict[str, str]) -> str:
    parts = [names["setting"], names["artefact"], f"{names['seen']} seen", names["variant"]]
    return ", ".join(part for part in parts if part and part != "base")


def _cell(value: tuple[float, float] | None) -> str:
    return "" if value is None or math.isnan(value[0]) else f"{value[0]:.2f} ± {value[1]:.2f}"


def _interval(value: dict[str, float] | None) -> str:
    if value is None or math.isnan(value["mean"]):
        return ""
    return f"{value['mean']:+.2f} ({value['low']:+.2f} to {value['high']:+.2f})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _markdown(names: dict[str, str], rows: Sequence[dict[str, Any]]) -> str:
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    header = ["arm", "masks", *(COLUMNS[name] for name in columns)]
    body = [
        [row["arm"], f"{row['masks']:.0f}" if row["arm"] != "none" else "0"]
        + [_cell(row.get(name)) for name in columns]
        for row in rows
    ]
    against = [name for name in PAIRED if name in columns]
    other = [
        [row["arm"], *(_interval(row["paired"].get(name)) for name in against)]
        for row in rows
        if "paired" in row
    ]
    return (
        f"### {_title(names)}\n\n{_table(header, body)}\n"
        "Differences from the twin without masks, same seeds and people, with 95% intervals:\n\n"
        + _table(["arm", *(COLUMNS[name] for name in against)], other)
    )


def _curve(frame: pd.DataFrame, params: ExperimentParams) -> list[dict[str, Any]]:
    """Figures of every strategy and budget; the largest budget's are those of the shortcut setting."""
    small = frame[frame.setting == "budgets"]
    if small.empty:
        return []
    seen, artefact = small.seen.iloc[0], small.artefact.iloc[0]
    large = frame[(frame.setting == "shortcut") & (frame.artefact == artefact) & (frame.seen == seen)]
    both = pd.concat([small, large[large.arm.isin(set(small.arm))]])
    found = []
    for (budget, arm), group in both.groupby(["budget", "arm"]):
        own = group[group.identity == ""]
        row: dict[str, Any] = {"budget": float(budget), "arm": str(arm), "masks": float(own.masks.mean())}
        for name in PAIRED:
            values = own[own.figure == name].value
            row[name] = (float(values.mean()), float(values.std()))
            if arm != "random":
                row[f"{name} - random"] = paired(
                    both[both.budget == budget], str(arm), "random", name, params.resamples
                )
        found.append(row)
    return found


def _curve_markdown(rows: Sequence[dict[str, Any]]) -> str:
    header = ["budget", "strategy", "masks", *(COLUMNS[name] for name in PAIRED)]
    header += [f"{COLUMNS[name]}, minus random" for name in PAIRED]
    body = [
        [f"{row['budget']:.1%}", row["arm"], f"{row['masks']:.0f}"]
        + [_cell(row[name]) for name in PAIRED]
        + [_interval(row.get(f"{name} - random")) for name in PAIRED]
        for row in rows
    ]
    return f"### budgets\n\n{_table(header, body)}"


def _plot_curve(rows: Sequence[dict[str, Any]]) -> Plot:
    plot = Plot(figsize=(12, 3), layout="constrained")
    for place, name in enumerate(PAIRED):
        axes = plot.add_subplot(1, len(PAIRED), place + 1)
        for number, arm in enumerate(sorted({row["arm"] for row in rows})):
            own = [row for row in rows if row["arm"] == arm]
            shift = 0.03 * (number - 1.5)
            axes.errorbar(
                [100 * row["budget"] + shift for row in own],
                [row[name][0] for row in own],
                [row[name][1] for row in own],
                color=_COLOURS[number],
                marker="o",
                markersize=3,
                capsize=2,
                label=arm,
            )
        axes.set_xlabel("masks, % of the training images")
        axes.set_title(COLUMNS[name], fontsize=9)
        axes.grid(alpha=0.3)
    plot.axes[0].legend(fontsize=7)
    return plot


def _plot_differences(rows: Sequence[dict[str, Any]]) -> Plot:
    shown = [row for row in rows if "paired" in row]
    plot = Plot(figsize=(12, 1 + 0.2 * len(shown)), layout="constrained")
    labels = [f"{_title(row)}: {row['arm']}" for row in shown]
    for place, name in enumerate(PAIRED):
        axes = plot.add_subplot(1, len(PAIRED), place + 1)
        for number, row in enumerate(shown):
            value = row["paired"].get(name)
            if value is not None and not math.isnan(value["mean"]):
                axes.plot([value["low"], value["high"]], [number, number], color=_COLOURS[0], lw=1.5)
                axes.plot(value["mean"], number, "o", color=_COLOURS[0], markersize=4)
        axes.axvline(0, color="#555555", lw=0.8)
        axes.set_yticks(range(len(shown)), labels if place == 0 else [""] * len(shown), fontsize=7)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_title(f"{COLUMNS[name]}\nminus the twin without masks", fontsize=8)
        axes.grid(alpha=0.3, axis="x")
    return plot


def _write(path: Path, plot: Plot) -> None:
    FigureCanvasAgg(plot)
    made = io.BytesIO()
    plot.savefig(made, format="png", dpi=150, metadata={"Software": None})
    with files.atomic_write(path) as file:
        file.write(made.getvalue())
