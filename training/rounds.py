"""Evaluations of several runs side by side."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas import program
from schemas.errors import UsageError
from schemas.paths import local
from training.evaluation.words import masks_by

_COLUMNS = {
    "auc_seen": "AUC seen",
    "auc_unseen": "AUC unseen",
    "balanced_accuracy_seen": "bACC seen",
    "balanced_accuracy_unseen": "bACC unseen",
    "iou_unseen": "IoU unseen",
    "outside_unseen": "outside unseen",
}

# What decides which images an evaluation is of, in evaluation.json.
_TESTED = {"split": "split", "where": "where", "digest": "digest of the test data"}


@dataclass(frozen=True)
class _Round:
    metrics: dict[str, Any]
    labelled: str
    sources: str
    tested: dict[str, str]


def compare(folders: Sequence[Path]) -> list[str]:
    """A line an evaluation: figures of seen and unseen methods, the share of images with masks, and whose.

    A warning follows where they are not of the same images.

    Raises:
      UsageError: if a folder holds no evaluation.
    """
    width = max(len(folder.name) for folder in folders)
    found = [_read(folder) for folder in folders]
    sources = max(len("masks by"), *(len(one.sources) for one in found))
    lines = [f"{'':{width}}  masks  {'masks by':{sources}}  {'  '.join(_COLUMNS.values())}"]
    for folder, one in zip(folders, found, strict=True):
        cells = (f"{_cell(one.metrics.get(name)):>{len(title)}}" for name, title in _COLUMNS.items())
        lines.append(f"{folder.name:{width}}  {one.labelled:>5}  {one.sources:{sources}}  {'  '.join(cells)}")
    lines += _warn(folders, found)
    return [*lines, f"see {' '.join(str(folder / 'evaluation.html') for folder in folders)}"]


def _warn(folders: Sequence[Path], found: Sequence[_Round]) -> list[str]:
    """A line that names what differs in the images that evaluations are of."""
    differ = []
    for name, word in _TESTED.items():
        values = [one.tested[name] for one in found]
        if len(set(values)) > 1:
            said = zip(folders, values, strict=True)
            differ.append(f"{word} ({', '.join(f'{folder.name}: {value[:40]!r}' for folder, value in said)})")
    if not differ:
        return []
    return [f"warning: these are not of the same images, so do not compare them: {'; '.join(differ)}"]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _read(folder: Path) -> _Round:
    try:
        metrics = json.loads((folder / "metrics.json").read_bytes())
        details = json.loads((folder / "evaluation.json").read_bytes())
        run, tested = details["run"], {name: str(details[name]) for name in _TESTED}
        labelled = f"{run['labelled'] / run['images']:.1%}"
        return _Round(metrics, labelled, masks_by(run["sources"]) or "-", tested)
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
        "side; `masks` is the share of the training images that had one, `masks by` who made them.",
        epilog="example: python -m training.rounds WORK/eval/r0 WORK/eval/r1. Exit codes: 0; 2 bad usage",
    )
    parser.add_argument("folders", nargs="+", type=local, metavar="EVAL", help="--out of training.evaluate")
    print("\n".join(compare(parser.parse_args(argv).folders)))
    return program.WHOLE


if __name__ == "__main__":
    program.run_main("training.rounds")
