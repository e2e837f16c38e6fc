"""Figures on the validation split while a model trains."""

import collections

import numpy as np

from schemas.errors import StoppedError
from schemas.params_training import TrainParams
from training.data import EvaluationBatches
from training.devices import Process
from training.evaluation.metrics import detect
from training.evaluation.predict import predict
from training.lae.model import LAE
from training.loading.pool import NoSamplesError, Pool, read_pool

FIGURES = ("balanced_accuracy", "auc")


def read_validation(shards: tuple[str, ...], where: str) -> tuple[Pool | None, str]:
    """The validation samples of shards that have training samples; None, with the reason, if they cannot do.

    Args:
      shards: folders or URLs.
      where: the filter.

    Raises:
      UsageError: if the folders cannot be used.
    """
    try:
        pool = read_pool(shards, where, "val")
    except NoSamplesError:
        return None, "the validation split has no samples"
    labels = set(pool.column("label"))
    if len(labels) == 1:
        return None, f"the validation split has {labels.pop()}s only"
    return pool, ""


def make_validation(
    shards: tuple[str, ...], where: str, params: TrainParams, process: Process, skip_broken: bool
) -> "Validation | None":
    """Validation on the samples of `read_validation`; None, said by the first process, without such."""
    pool, reason = read_validation(shards, where)
    if pool is not None:
        return Validation(pool, params, process, skip_broken)
    if process.first:
        print(f"no validation: {reason}; the last epoch is kept", flush=True)
    return None


class Validation:
    """`FIGURES` of a model, from all images of a pool, shared out among the processes.

    Attributes:
      skipped: samples that could not be read in the last epoch, by shard, over all processes.
    """

    def __init__(self, pool: Pool, params: TrainParams, process: Process, skip_broken: bool):
        """See that the shards are there.

        Args:
          pool: of both classes.
          params: with the input's size and the number of loading processes.
          process: this process.
          skip_broken: leave out what cannot be read.

        Raises:
          UsageError: if shards are missing or cut.
        """
        self.skipped: dict[str, int] = {}
        self._fake, self._process = pool.column("label") == "fake", process
        self._batches = EvaluationBatches(
            pool, params.size, params.batch, params.workers, process.rank, process.world, skip_broken
        )

    def __call__(self, model: LAE) -> dict[str, float]:
        """The figures of a model, on every process.

        Raises:
          UsageError: if a sample cannot be read and may not be skipped.
          StoppedError: if a score is not finite.
        """
        mine = predict(model, self._batches, self._process.device)
        parts = self._process.gather((mine.rows, mine.score, self._batches.skipped))
        rows, score = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
        lost = collections.Counter[str]()
        for part in parts:
            lost.update(part[2])
        self.skipped = dict(lost)
        if not np.isfinite(score).all():
            raise StoppedError(
                "the model's scores on the validation split are not finite; lower the learning rate "
                "(train.stage1.lr, train.stage2.lr), then run again: what was saved before is kept"
            )
        order = np.argsort(rows)
        found = detect(self._fake[rows[order]], score[order])
        return {name: found[name] for name in FIGURES if np.isfinite(found[name])}
