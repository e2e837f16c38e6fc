"""Trains LAE on shards: stage 1 without masks, stage 2 with the masks that people drew."""

import contextlib
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from schemas import SCHEMA_VERSION, files, program
from schemas.convert import to_row
from schemas.errors import UsageError
from schemas.params_file import read_params
from schemas.paths import local
from schemas.run import Run
from training.asking.plan import LIMIT
from training.command import add_device, add_shards
from training.data import TrainingLoader
from training.devices import Process, check_precision, open_process
from training.fitting import checkpoint, run_folder
from training.fitting.curves import write_curves
from training.fitting.job import Job, check_out, draw_prior, plan_job, start_model
from training.fitting.loop import Epoch, Fitted, Trainer
from training.fitting.validation import Validation, make_validation
from training.lae.losses import VggDistance

_DESCRIPTION = """
Train LAE on shards, and write a run: the model, its record, curves.

Without labels it is stage 1: the autoencoder learns to switch on the real or the fake half of its latent.
With labels (of --labels, or those that the run of --init was given) it is stage 2: the fake half must also be
active where people masked the forgery. A run keeps all labels that it and the runs before it were given.

The weights that are kept are those of the epoch that did best on the validation split (train.keep,
train.best_by). Parameters: `train` in params.yaml.
"""

_EPILOG = """
Examples:
  python -m training.train --shards WORK/shards --out WORK/runs/r0
  python -m training.train --shards WORK/shards --init WORK/runs/r0 --labels WORK/labels/r1 --out WORK/runs/r1
  ... --shards A/shards B/shards --where "method in ('real', 'Face2Face') and compression == 'c23'"
Several GPUs, train.batch images on each; --out must be on a disk that all processes see:
  torchrun --nproc-per-node 4 -m training.train --shards WORK/shards --out WORK/runs/r0
The same on the CPU, where batch normalisation is not shared: add --device cpu.

A rerun of the same command goes on from the last checkpoint, or does nothing where the run is finished. With
other shards, labels, parameters or number of processes it starts afresh, in place of what is there, once
they are accepted.
On the CPU the same command gives the same weights, with as many threads (OMP_NUM_THREADS).
Exit codes: 0 whole; 1 stopped (a full disk, a loss that is not finite); 2 bad usage.
"""


class _Watch:
    """Keeps the folder of a run up to date while it trains, in the first process."""

    def __init__(self, job: Job, out: Path, trainer: Trainer, process: Process, every: float):
        self._job, self._out, self._trainer, self._process = job, out, trainer, process
        self._every, self._saved = every, time.monotonic()

    def on_step(self) -> None:
        """Save a checkpoint where the last is old."""
        if time.monotonic() - self._saved >= self._every:
            self._save()

    def on_epoch(self, done: Epoch) -> None:
        """Save a checkpoint, draw the curves, say what came out."""
        self._save()
        if not self._process.first:
            return
        write_curves(self._out, self._trainer.history, f"Round {self._job.number}, stage {self._job.stage}")
        figures = "".join(f", {name} {value:.3f}" for name, value in done.figures.items())
        rate = self._trainer.rate * self._process.world
        print(
            f"epoch {done.epoch}: step {done.step:,}, lr {done.lr:g}, loss {done.losses['total']:.4f}"
            f"{figures}, {rate:,.0f} images/s",
            flush=True,
        )

    def _save(self) -> None:
        if self._process.first:
            path = self._out / checkpoint.NAME
            checkpoint.write_checkpoint(path, self._job.settings, self._trainer.capture())
        self._saved = time.monotonic()


def run_stage(job: Job, out: Path, process: Process, every: float) -> Run | None:
    """Train, from where an earlier run of the same settings stopped; called in every process.

    Args:
      job: what to train.
      out: folder of the run.
      process: this one; the first writes.
      every: seconds between checkpoints; there is one after each epoch as well.

    Returns:
      The record; None where the run was finished before.

    Raises:
      UsageError: if the folder, the shards or the model cannot be used.
      StoppedError: on a full disk, or a loss that is not finite.
    """
    check_out(out, job)
    check_precision(process.device, job.params.precision)
    with files.exclusive(out) if process.first else contextlib.nullcontext():
        if process.first:
            run_folder.remove_parts(out)
        if _finished(job, out):
            return None
        found = checkpoint.read_checkpoint(out / checkpoint.NAME)
        where = process.rank, process.world, job.params.pairs, job.skip_broken
        loader = TrainingLoader(job.pool, job.params, job.labels, *where)
        validation = make_validation(job.shards, job.where, job.params, process, job.skip_broken)
        trainer = _make_trainer(job, loader, validation, process)
        if found is not None and found[0] == job.settings:
            _restore(trainer, found[1], out / checkpoint.NAME)
        elif process.first:
            _clear(out)
        if process.first:
            run_folder.write_labels(out, job.given)
            print(_describe(job, loader, trainer, process), flush=True)
        watch = _Watch(job, out, trainer, process, every)
        fitted = trainer.run(watch.on_step, watch.on_epoch, progress=process.first)
        if not process.first:
            return None
        skipped = loader.skipped | ({} if validation is None else validation.skipped)
        for shard, count in skipped.items():
            print(f"{shard}: {count:,} samples could not be read and were left out", flush=True)
        return _finish(job, out, fitted)


def _finished(job: Job, out: Path) -> bool:
    """Whether the folder holds this very run, whole."""
    try:
        run = run_folder.read_run(out)
        whole = run.settings == job.settings and run.model_sha256 == files.file_sha256(out / run_folder.MODEL)
    except (UsageError, OSError):
        return False
    if whole:
        (out / checkpoint.NAME).unlink(missing_ok=True)
    return whole


def _clear(out: Path) -> None:
    """Remove a run of other settings; to be called once this one is accepted."""
    if (out / checkpoint.NAME).exists() or (out / run_folder.RUN).exists():
        print(f"{out} holds a run of other shards, labels or parameters: it is replaced", flush=True)
        run_folder.clear(out)


def _make_trainer(
    job: Job, loader: TrainingLoader, validation: Validation | None, process: Process
) -> Trainer:
    weights = job.params.loss
    perceptual = (
        VggDistance(Path(weights.perceptual_weights)).to(process.device) if weights.perceptual else None
    )
    model = start_model(job)
    return Trainer(
        model,
        loader,
        job.params,
        job.stage,
        prior=None if job.labels is None else draw_prior(job.labels, model, job.params),
        perceptual=perceptual,
        validate=validation,
        process=process,
    )


def _restore(trainer: Trainer, state: dict, path: Path) -> None:
    try:
        trainer.restore(state)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: does not fit the model ({checkpoint.summarise(error)}); remove it, and the run starts "
            "afresh"
        ) from None


def _describe(job: Job, loader: TrainingLoader, trainer: Trainer, process: Process) -> str:
    """What is about to happen."""
    plan = loader.plan(trainer.epoch)
    lines = [
        f"round {job.number}, stage {job.stage}: {len(job.pool):,} training images on {process.device}"
        + (f" and {process.world - 1} more" if process.world > 1 else ""),
        f"an epoch: {loader.steps:,} batches of {job.params.batch}, {plan.repeats:,} images repeated, "
        f"{plan.drops:,} left out",
    ]
    if job.labels is not None:
        lines.append(job.labels.describe())
        if job.init is None:
            lines.append(
                "warning: masks without --init skip stage 1; in our experiments the fake half then died "
                "(docs/lae.md)"
            )
    if trainer.step:
        lines.append(
            f"goes on from epoch {trainer.epoch + 1}, batch {trainer.batch + 1} (step {trainer.step:,})"
        )
    return "\n".join(lines)


def _finish(job: Job, out: Path, fitted: Fitted) -> Run:
    """Write the model, then the record."""
    run = Run(
        schema_version=SCHEMA_VERSION,
        round=job.number,
        stage=job.stage,
        settings=job.settings,
        init=job.init_sha256,
        shards=job.shards,
        where=job.where,
        train=job.params,
        images=len(job.pool),
        requested=len(job.given.rows),
        labelled=0 if job.labels is None else len(job.labels),
        methods=job.methods,
        sources=() if job.labels is None else job.labels.sources,
        epochs=len(fitted.history),
        best_epoch=fitted.best,
        model_sha256=run_folder.write_model(out, fitted.model),
        validation=fitted.history[fitted.best - 1].figures,
    )
    files.write_json(out / run_folder.RUN, to_row(run))
    (out / checkpoint.NAME).unlink(missing_ok=True)
    return run


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = program.make_parser("training.train", _DESCRIPTION, _EPILOG)
    add_shards(parser)
    parser.add_argument(
        "--labels",
        type=local,
        nargs="+",
        action="extend",
        default=[],
        metavar="FOLDER",
        help="folders of the labels stage, in addition to the labels of --init; repeats",
    )
    parser.add_argument(
        "--exceed-budget",
        action="store_true",
        help=f"allow that people were asked about more than {LIMIT:g} of the training images",
    )
    parser.add_argument("--init", type=local, metavar="RUN", help="folder of the run to start from")
    parser.add_argument("--out", type=local, required=True, metavar="RUN", help="folder of this run")
    add_device(parser)
    parser.add_argument(
        "--checkpoint-every",
        type=float,
        default=5.0,
        metavar="MINUTES",
        help="save where training stands at least so often; 0 is after every step (default: 5)",
    )
    arguments = parser.parse_args(argv)
    params = read_params(arguments.params).train
    with open_process(arguments.device) as process:
        job = plan_job(
            arguments.shards,
            arguments.where,
            arguments.labels,
            arguments.init,
            params,
            arguments.skip_broken,
            process.world,
            arguments.exceed_budget,
        )
        began = time.monotonic()
        run = run_stage(job, arguments.out, process, 60 * arguments.checkpoint_every)
        if process.first:
            _say_end(run, arguments.out, process, time.monotonic() - began)
    return program.WHOLE


def _say_end(run: Run | None, out: Path, process: Process, seconds: float) -> None:
    if run is None:
        print(f"{out} is finished, with these shards, labels and parameters: nothing to do")
        return
    if process.device.type == "cuda":
        memory = f"{torch.cuda.max_memory_allocated(process.device) / 2**30:.1f} GiB of GPU memory"
    else:
        memory = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB of memory"
    figures = ", ".join(f"{name} {value:.3f}" for name, value in run.validation.items())
    print(
        f"kept epoch {run.best_epoch} of {run.epochs}{f' ({figures})' if figures else ''}; "
        f"{seconds:,.0f} s, at most {memory}\nsee {out / run_folder.PLOT}"
    )


if __name__ == "__main__":
    program.run_main("training.train")
