"""Batches for training and evaluation, from shards on a disk or behind a URL."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import torch

from schemas.params_training import TrainParams
from training.loading import plan, stream, units
from training.loading.augment import WHOLE, decode
from training.loading.batch import Batch as Batch
from training.loading.batch import Canvas
from training.loading.consumer import LABELLED, Consumer, Task
from training.loading.labels import Labels
from training.loading.plan import EpochPlan, Place
from training.loading.pool import Pool
from training.loading.stream import Encoded, Skips, Source
from training.loading.workers import deliver


class TrainingLoader:
    """Batches of which half is real and half fake, for one of `world` processes.

    An epoch is one pass over the more frequent class; the other is repeated, each of its samples as often as
    any other, or once more. Every rank makes equally many batches, each by one worker, which reads its part
    of the shards once and shuffles it. Batches depend on the seed, the epoch, rank and world, and the number
    of workers (it decides the order), and on nothing else. Reals come first in a batch, labelled fakes last.

    With labels, `params.labelled` fakes of each batch are drawn from the labelled ones in turn (more where
    these are a larger share of all fakes); they leave the others. An epoch has as many steps with labels as
    without. With pairs, fake i of a batch belongs to its real i (same group, track, frame and compression)
    and is seen through the same view.

    Memory: each worker holds at most about `params.shuffle` encoded samples (some 25 kB each at 256 px), and
    the batches that wait; labelled samples are held, encoded, from the start. Workers share the pool's table.

    Args:
      pool: what to draw from.
      params: size, batch, labelled, workers, shuffle, crop, flip and seed count.
      labels: masks of some fakes.
      rank, world: of this process.
      pairs: make batches of couples.
      skip_broken: count what cannot be read, and go on with the rest.

    Attributes:
      steps: batches of an epoch, equal on every rank.

    Raises:
      UsageError: if a class is missing, shards or labelled samples are broken, or parameters do not fit.
    """

    def __init__(
        self,
        pool: Pool,
        params: TrainParams,
        labels: Labels | None = None,
        rank: int = 0,
        world: int = 1,
        pairs: bool = False,
        skip_broken: bool = False,
    ):
        half = units.check_batch(params, labels)
        source = stream.locate(pool)
        self._rank, self._world, self._workers = rank, world, max(1, params.workers)
        self._skips = _make_skips(source, self._workers, skip_broken)
        present = np.ones(len(pool), bool)
        if skip_broken:
            present = stream.find_present(source, self._skips)
        else:
            stream.check_shards(source)
        kinds, self._left_out = (
            units.by_couple(source, present) if pairs else (units.by_class(source, present), 0)
        )
        fakes = list(kinds)[-1]
        self.steps = plan.count_steps(max(len(found) for found in kinds.values()), half, world)
        slots = dict.fromkeys(kinds, half)
        labelled, kept = kinds[fakes][:0], dict[int, Encoded]()
        if labels is not None:
            labelled, kept = units.collect(source, kinds[fakes], labels, self._skips)
            kinds[fakes] = kinds[fakes][~np.isin(kinds[fakes][:, -1], labelled[:, -1])]
            slots[fakes] -= units.count_labelled(params, half, len(labelled), len(kinds[fakes]))
        self._left_out += sum(len(found) for kind, found in kinds.items() if not slots[kind])
        self._task = Task(
            source=source,
            params=params,
            kinds={kind: found for kind, found in kinds.items() if slots[kind]},
            slots={kind: count for kind, count in slots.items() if count},
            labelled=labelled,
            label_slots=half - slots[fakes],
            kept=kept,
            steps=self.steps,
        )

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from `start` on: the same that an epoch from its beginning would give.

        Raises:
          UsageError: if a sample cannot be read and may not be skipped, or none of a class can be.
          StoppedError: if a worker was killed.
        """
        self._skips.counts[: self._workers] = 0
        yield from deliver(functools.partial(self._work, number, start), self._task.params.workers)

    def plan(self, number: int) -> EpochPlan:
        """What an epoch shows over all ranks, and how often."""
        lines = self._task.lines(number)
        drawn: dict[str, tuple[int, list[np.ndarray]]] = {
            kind: (len(units), []) for kind, units in self._task.kinds.items()
        }
        if self._task.label_slots:
            drawn[LABELLED] = len(self._task.labelled), []
        for rank in range(self._world):
            for worker in range(self._workers):
                place = Place(rank, self._world, worker, self._workers)
                recipe = self._task.recipe(lines, number, place)
                for kind, part in recipe.parts.items():
                    drawn[kind][1].append(part[recipe.draws[kind]][..., -1])
                if self._task.label_slots:
                    drawn[LABELLED][1].append(self._task.turns_of_labelled(number, place)[..., -1])
        return plan.count_shown(drawn, self.steps, self._left_out)

    @property
    def skipped(self) -> dict[str, int]:
        """Samples that this rank could not read, by shard: when it began, and in its last epoch."""
        return _sum(self._task.source, self._skips)

    def _work(self, number: int, start: int, worker: int) -> Iterator[Batch]:
        place = Place(self._rank, self._world, (worker + start) % self._workers, self._workers)
        skips = dataclasses.replace(self._skips, consumer=worker)
        return iter(Consumer(self._task, number, start, place, skips))


class EvaluationBatches:
    """Every sample of a pool exactly once over all ranks and workers, whole and not augmented.

    A worker reads its part of the shards in order and holds one batch; its last one is smaller. The number of
    workers decides the order. Iterate again to read again.

    Args:
      pool: the samples.
      size: edge of an image in pixels.
      batch: images a batch.
      workers: loading processes.
      rank, world: of this process.
      skip_broken: count what cannot be read, and leave it out.

    Raises:
      UsageError: if shards are missing or cut.
    """

    def __init__(
        self,
        pool: Pool,
        size: int,
        batch: int,
        workers: int,
        rank: int = 0,
        world: int = 1,
        skip_broken: bool = False,
    ):
        self._source = stream.locate(pool)
        self._size, self._batch, self._workers = size, batch, workers
        self._rank, self._world = rank, world
        self._skips = _make_skips(self._source, max(1, workers), skip_broken)
        if not skip_broken:
            stream.check_shards(self._source)

    def __iter__(self) -> Iterator[Batch]:
        """The batches.

        Raises:
          UsageError: if a sample cannot be read and may not be skipped.
          StoppedError: if a worker was killed.
        """
        self._skips.counts.zero_()
        return deliver(self._work, self._workers)

    def __len__(self) -> int:
        """How many batches there are, where nothing is skipped."""
        parts = [self._part(worker) for worker in range(max(1, self._workers))]
        return sum(-(-(end - begin) // self._batch) for begin, end in parts)

    @property
    def skipped(self) -> dict[str, int]:
        """Samples that this rank could not read when it last iterated, by shard."""
        return _sum(self._source, self._skips)

    def _part(self, worker: int) -> tuple[int, int]:
        place = Place(self._rank, self._world, worker, max(1, self._workers))
        return plan.slice_rows(len(self._source.pool), place)

    def _work(self, worker: int) -> Iterator[Batch]:
        skips = dataclasses.replace(self._skips, consumer=worker)
        canvas, filled = Canvas(self._source, self._batch, self._size), 0
        for row, encoded in stream.read_rows(self._source, np.arange(*self._part(worker)), skips):
            if encoded is None:
                continue
            try:
                canvas.put(filled, row, decode(encoded), WHOLE, False)
            except ValueError as error:
                stream.lose(self._source, row, str(error), skips)
                continue
            filled += 1
            if filled == self._batch:
                yield canvas.batch(filled)
                canvas, filled = Canvas(self._source, self._batch, self._size), 0
        if filled:
            yield canvas.batch(filled)


def _make_skips(source: Source, workers: int, allowed: bool) -> Skips:
    """Counts of each worker, and, last, of the process that starts them."""
    counts = torch.zeros((workers + 1, len(source.shards)), dtype=torch.int64).share_memory_()
    return Skips(allowed, counts, workers)


def _sum(source: Source, skips: Skips) -> dict[str, int]:
    counts = skips.counts.sum(dim=0).tolist()
    return {shard: count for shard, count in zip(source.shards, counts, strict=True) if count}
