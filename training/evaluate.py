"""The evaluation stage: how well a model tells fakes from reals, where it looks, and how sure that is."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from schemas import files, program
from schemas.clip import SPLITS
from schemas.errors import UsageError
from schemas.params import Params
from schemas.params_file import read_params
from schemas.params_training import EvaluateParams
from schemas.paths import local
from schemas.run import Run
from training import devices
from training.command import add_device, add_shards
from training.data import Batch, EvaluationBatches
from training.evaluation import report
from training.evaluation.figures import Part, detection, located
from training.evaluation.found import Evaluation, SeedKey
from training.evaluation.intervals import Seeds, over_seeds
from training.evaluation.metrics import calibrate
from training.evaluation.pictures import TILE, Picture, draw, pick
from training.evaluation.run import Evaluated, check_seeds, run_model
from training.fitting.run_folder import load_model, read_run
from training.loading.pool import Pool, is_url, read_pool

_BATCH = 64

# To be raised when the same input gives other figures.
VERSION = 2

_DESCRIPTION = """
Run a model over the test split of some shards, and write how well it does: one page, figures as JSON,
plots, and what it said of every image.

  detection     accuracy, balanced accuracy, AUC, EER and average precision, by frame and by clip: of all
                fakes, of methods that the run was trained on and of others, of every method, compression
                and dataset
  localisation  whether its attention lies on the forged region, on fakes whose mask is known
  calibration   whether its probabilities can be taken at their word
  intervals     over source groups and over clips (bootstrap); with --also, over runs of other seeds as well
"""

_EPILOG = """
Examples:
  python -m training.evaluate --shards WORK/shards --run WORK/runs/r1 --out WORK/eval/r1
  ... --where "compression == 'c40'"                   on a part of the split
  ... --split val                                      while you still tune: the test split is for the end
  ... --run WORK/runs/s0 --also WORK/runs/s1 WORK/runs/s2
Writes evaluation.html, metrics.json (flat, for `dvc metrics`), evaluation.json (everything, with reasons for
what is not measured), predictions.parquet and plots/.
Exit codes: 0 whole; 1 stopped (a full disk); 2 bad usage.
"""


@dataclass(frozen=True)
class Job:
    """What is to be evaluated.

    Attributes:
      folders: of the run, then of runs of other seeds.
      runs: their records.
      pool: images.
      split, where: as given.
      device: where to compute.
      params: all.
      skip_broken: leave out what cannot be read.
    """

    folders: tuple[Path, ...]
    runs: tuple[Run, ...]
    pool: Pool
    split: str
    where: str
    device: torch.device
    params: Params
    skip_broken: bool

    def batches(self, pool: Pool, size: int) -> Iterable[Batch]:
        """All images of a pool."""
        workers = self.params.train.workers
        return EvaluationBatches(pool, size, _BATCH, workers, skip_broken=self.skip_broken)

    def run(self, folder: Path, keep: bool) -> Evaluated:
        """What one run's model says of all images; with `keep`, with its attention maps."""
        model = load_model(folder, self.device)
        batches = tqdm(self.batches(self.pool, model.config.size), folder.name, unit="batch", disable=None)
        return run_model(model, self.pool, batches, self.device, self.params.evaluate.threshold, keep)


def make_job(arguments: argparse.Namespace) -> Job:
    """What the arguments ask for.

    Raises:
      UsageError: if it cannot be done.
    """
    params = read_params(arguments.params)
    _check(params.evaluate)
    folders = (arguments.run, *arguments.also)
    runs = tuple(read_run(folder) for folder in folders)
    check_seeds([(str(folder), run) for folder, run in zip(folders, runs, strict=True)])
    _check_out(arguments.out, [*map(str, folders), *(name for name in arguments.shards if not is_url(name))])
    device = devices.choose(arguments.device)
    pool = read_pool(arguments.shards, arguments.where, arguments.split)
    if not (pool.column("label") == "fake").any():
        raise UsageError(
            f"--shards {', '.join(pool.folders)}: {pool.said} has no fakes, so there is nothing to tell from "
            "reals; widen --where, or name other shards"
        )
    return Job(folders, runs, pool, arguments.split, arguments.where, device, params, arguments.skip_broken)


def _check_out(out: Path, folders: Sequence[str]) -> None:
    for folder in folders:
        if out.resolve().is_relative_to(Path(folder).resolve()):
            raise UsageError(f"--out {out}: inside {folder}, which is another stage's; give another folder")


def _check(params: EvaluateParams) -> None:
    rules = [
        ("resamples", params.resamples, params.resamples >= 1, "at least 1"),
        ("confidence", params.confidence, 0 < params.confidence < 1, "between 0 and 1"),
        ("threshold", params.threshold, 0 <= params.threshold < 1, "at least 0 and below 1"),
        ("gallery", params.gallery, params.gallery >= 0, "at least 0"),
        ("seed", params.seed, params.seed >= 0, "at least 0"),
    ]
    for name, value, right, wanted in rules:
        if not right:
            raise UsageError(f"evaluate.{name}: {value}; it must be {wanted}. Set it in the file of --params")


def evaluate(job: Job) -> tuple[Evaluation, dict[str, list[Picture]]]:
    """Run the models, find the figures, draw the pictures of the first."""
    params = job.params.evaluate
    seen = frozenset(job.runs[0].methods)
    first = job.run(job.folders[0], keep=True)
    others = [job.run(folder, keep=False) for folder in job.folders[1:]]
    frames = first.frames
    assert first.maps is not None
    found = Evaluation(
        name=job.folders[0].name,
        run=job.runs[0],
        shards=job.pool.folders,
        split=job.split,
        where=job.where,
        digest=job.pool.digest,
        lost=len(job.pool) - len(frames),
        frames=frames,
        parts=_figures(first, seen, params),
        calibration=calibrate(frames.is_fake.to_numpy(), frames.score.to_numpy()),
        runs=[(folder.name, run) for folder, run in zip(job.folders, job.runs, strict=True)],
        seeds=_over_seeds([first, *others], seen, params) if others else {},
        params=params,
    )
    galleries = pick(frames, params.gallery)
    rows = np.unique([row for picked in galleries.values() for row in picked]).astype(int)
    batches = job.batches(job.pool.take(frames.row.to_numpy()[rows]), TILE) if len(rows) else ()
    return found, draw(frames, galleries, first.maps, batches)


def _figures(
    evaluated: Evaluated, seen: frozenset[str], params: EvaluateParams, intervals: bool = True
) -> list[Part]:
    frames = evaluated.frames
    return [*detection(frames, seen, params, intervals), *located(frames, seen, params, intervals)]


def _over_seeds(
    runs: Sequence[Evaluated], seen: frozenset[str], params: EvaluateParams
) -> dict[SeedKey, Seeds]:
    """Every figure over all runs."""
    values: dict[SeedKey, list[float]] = {}
    for evaluated in runs:
        for part in _figures(evaluated, seen, params, intervals=False):
            for name, figure in part.figures.items():
                if figure.value is not None:
                    values.setdefault((part.level, part.kind, part.name, name), []).append(figure.value)
    return {key: over_seeds(figures, params.confidence) for key, figures in values.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = program.make_parser("training.evaluate", _DESCRIPTION, _EPILOG)
    add_shards(parser)
    parser.add_argument("--run", type=local, required=True, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", type=local, required=True, metavar="FOLDER", help="folder of the evaluation")
    parser.add_argument(
        "--also",
        type=local,
        nargs="+",
        action="extend",
        default=[],
        metavar="RUN",
        help="runs of the same settings and other seeds, for intervals over seeds",
    )
    parser.add_argument(
        "--split", choices=SPLITS, default="test", help="split to evaluate on (default: %(default)s)"
    )
    add_device(parser)
    arguments = parser.parse_args(argv)
    job = make_job(arguments)
    with files.exclusive(arguments.out):
        files.remove_parts(arguments.out)
        found, pictures = evaluate(job)
        report.write(arguments.out, found, pictures)
    print("\n".join(report.lines(found)))
    print(f"see {arguments.out / 'evaluation.html'}")
    return program.WHOLE


if __name__ == "__main__":
    program.run_main("training.evaluate")
