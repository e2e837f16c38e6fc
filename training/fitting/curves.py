"""A run's curves, as a table and as a picture."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from schemas import files
from training.fitting.meter import PARTS, Epoch
from training.fitting.run_folder import CURVES, PLOT
from training.fitting.validation import FIGURES


def write_curves(folder: Path, history: Sequence[Epoch], title: str) -> None:
    """Write `curves.csv` (a row an epoch; a cell is empty where nothing applied) and `curves.png`."""
    with files.atomic_write(folder / CURVES) as file:
        file.write(as_csv(history).encode())
    with files.atomic_write(folder / PLOT) as file:
        file.write(draw(history, title))


def as_csv(history: Sequence[Epoch]) -> str:
    """The table: epoch, step, lr, the losses before weights (total: weighted), the validation figures."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", "step", "lr", *PARTS, *(f"val_{name}" for name in FIGURES)])
    for row in history:
        table.writerow(
            [
                row.epoch,
                row.step,
                row.lr,
                *(row.losses.get(name, "") for name in PARTS),
                *(row.figures.get(name, "") for name in FIGURES),
            ]
        )
    return text.getvalue()


def draw(history: Sequence[Epoch], title: str) -> bytes:
    """A PNG: losses over epochs at the left, validation figures at the right."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    for name in PARTS:
        points = [(row.epoch, row.losses[name]) for row in history if name in row.losses]
        if points:
            left.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    left.set(xlabel="epoch", ylabel="mean loss, before weights (total: weighted)")
    for name in FIGURES:
        points = [(row.epoch, row.figures[name]) for row in history if name in row.figures]
        if points:
            right.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    right.axhline(0.5, color="grey", linewidth=1, linestyle="dotted", label="guessing")
    right.set(xlabel="epoch", ylabel="on the validation split", ylim=(0, 1.02))
    for axes in (left, right):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    return picture.getvalue()
