"""Figures on the validation split while a model trains."""

import numpy as np

from schemas.errors import StoppedError, UsageError
from schemas.params_training import TrainParams
from training.data import evaluation_batches
from training.devices import Process
from training.evaluation.metrics import detect
from training.evaluation.predict import predict
from training.fitting.loop import Validate
from training.lae.model import LAE
from training.loading.pool import Pool, read_pool

FIGURES = ("balanced_accuracy", "auc")


def read_validation(shards: tuple[str, ...], where: str) -> tuple[Pool | None, str]:
    """The validation samples of shards that have training samples; None, with the reason, if they cannot do.

    Args:
      shards: folders or URLs.
      where: the filter.
    """
    try:
        pool = read_pool(shards, where, "val")
    except UsageError:  # The same folders and filter gave training samples.
        return None, "the validation split has no samples"
    labels = set(pool.column("label"))
    if len(labels) == 1:
        return None, f"the validation split has {labels.pop()}s only"
    return pool, ""


def make_validate(pool: Pool, params: TrainParams, process: Process, skip_broken: bool) -> Validate:
    """A function that gives `FIGURES` of a model, from all images of a pool, shared out among the processes.

    Args:
      pool: of both classes.
      params: with the input's size and the number of loading processes.
      process: this process.
      skip_broken: leave out what cannot be read.
    """
    fake = pool.column("label") == "fake"

    def validate(model: LAE) -> dict[str, float]:
        batches = evaluation_batches(
            pool, params.size, params.batch, params.workers, process.rank, process.world, skip_broken
        )
        mine = predict(model, batches, process.device)
        parts = process.gather((mine.rows, mine.score))
        rows, score = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not np.isfinite(score).all():
            raise StoppedError(
                "the model's scores on the validation split are not finite; lower the learning rate "
                "(train.stage1.lr, train.stage2.lr), then run again: what was saved before is kept"
            )
        order = np.argsort(rows)
        found = detect(fake[rows[order]], score[order])
        return {name: found[name] for name in FIGURES if np.isfinite(found[name])}

    return validate
