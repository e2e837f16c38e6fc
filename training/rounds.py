"""Evaluations of several runs side by side."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas import program
from schemas.errors import UsageError

_COLUMNS = {
    "auc_seen": "AUC seen",
    "auc_unseen": "AUC unseen",
    "balanced_accuracy_seen": "bACC seen",
    "balanced_accuracy_unseen": "bACC unseen",
    "iou_unseen": "IoU unseen",
    "outside_unseen": "outside unseen",
}


def compare(folders: Sequence[Path]) -> list[str]:
    """A line an evaluation: figures of seen and unseen methods, and the share of images that had masks.

    Raises:
      UsageError: if a folder holds no evaluation.
    """
    width = max(len(folder.name) for folder in folders)
    lines = [f"{'':{width}}  masks  {'  '.join(_COLUMNS.values())}"]
    for folder in folders:
        metrics, labelled = _read(folder)
        cells = (f"{_cell(metrics.get(name)):>{len(title)}}" for name, title in _COLUMNS.items())
        lines.append(f"{folder.name:{width}}  {labelled:>5}  {'  '.join(cells)}")
    return [*lines, f"see {' '.join(str(folder / 'evaluation.html') for folder in folders)}"]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _read(folder: Path) -> tuple[dict[str, Any], str]:
    try:
        metrics = json.loads((folder / "metrics.json").read_bytes())
        run = json.loads((folder / "evaluation.json").read_bytes())["run"]
        return metrics, f"{run['labelled'] / run['images']:.1%}"
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        raise UsageError(
            f"{folder}: holds no evaluation; make one: "
            f"python -m training.evaluate --shards … --run … --out {folder}"
        ) from None


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.rounds",
        description="Print the evaluations of several runs, such as the rounds of active learning, side by "
        "side; `masks` is the share of the training images that had one.",
        epilog="example: python -m training.rounds WORK/eval/r0 WORK/eval/r1. Exit codes: 0; 2 bad usage",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="EVAL", help="--out of training.evaluate")
    print("\n".join(compare(parser.parse_args(argv).folders)))
    return program.WHOLE


if __name__ == "__main__":
    program.run_main("training.rounds")
