"""What a loading worker does in an epoch: read samples, hold them until their turn, fill batches."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch

from schemas.errors import UsageError
from schemas.params_training import TrainParams
from training.loading import plan, stream
from training.loading.augment import decode, draw_views
from training.loading.batch import Batch, Canvas
from training.loading.plan import Place
from training.loading.stream import Encoded, Held, Skips, Source

LABELLED = "labelled"
Picture = tuple[np.ndarray, np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class Task:
    """What all workers and epochs of a rank share.

    Attributes:
      source: of the samples.
      params: of training.
      kinds: units of each kind that the shards are streamed for, (n, k) rows: "real" and "fake", or "couple".
      slots: of each kind in a batch.
      labelled: labelled units, (n, k) rows.
      label_slots: of these in a batch.
      kept: encoded samples of the labelled units.
      steps: batches of an epoch.
    """

    source: Source
    params: TrainParams
    kinds: dict[str, np.ndarray]
    slots: dict[str, int]
    labelled: np.ndarray
    label_slots: int
    kept: dict[int, Encoded]
    steps: int

    def lines(self, epoch: int) -> plan.Lines:
        """Its samples in the order of an epoch."""
        return plan.order_lines(self.kinds, self.slots, self.source.shard_of, self.params.seed, epoch)

    def recipe(self, lines: plan.Lines, epoch: int, place: Place) -> plan.Recipe:
        """What a consumer shows in an epoch."""
        return plan.make_recipe(lines, self.steps, self.params.shuffle, self.params.seed, epoch, place)

    def turns_of_labelled(self, epoch: int, place: Place) -> np.ndarray:
        """Rows of the labelled units of a consumer's batches, (batches, label_slots, k)."""
        numbers = plan.draw_labelled(
            len(self.labelled), self.label_slots, self.steps, self.params.seed, epoch, place
        )
        return self.labelled[numbers]


class Consumer:
    """A worker's batches of an epoch, from number `start` on.

    A sample that is lost is replaced by one of its kind: one of the first that are there in the worker's part
    of the shards, so that a resumed epoch shows the same.

    Args:
      task: of the rank.
      epoch: its number.
      start: first batch of the rank that is wanted.
      place: which consumer.
      skips: what happens to samples that cannot be read.
    """

    def __init__(self, task: Task, epoch: int, start: int, place: Place, skips: Skips):
        self._task, self._epoch, self._start, self._place, self._skips = task, epoch, start, place, skips
        self._lines = task.lines(epoch)
        self._recipe = task.recipe(self._lines, epoch, place)
        self._bad: set[int] = set()
        self._spares: dict[str, list[tuple[list[int], list[Encoded]]]] = {}

    def __iter__(self) -> Iterator[Batch]:
        """Its batches.

        Raises:
          UsageError: if a sample cannot be read and may not be skipped, or all of a kind are lost.
        """
        first = sum(number < self._start for number in self._recipe.batches)
        units = {kind: part[self._recipe.draws[kind][first:]] for kind, part in self._recipe.parts.items()}
        if self._task.label_slots:
            units[LABELLED] = self._task.turns_of_labelled(self._epoch, self._place)[first:]
        held = self._hold({kind: units[kind] for kind in self._recipe.parts})
        for local, number in enumerate(self._recipe.batches[first:]):
            drawn = [(kind, unit) for kind, chosen in units.items() for unit in chosen[local].tolist()]
            yield self._fill(held, number, drawn)

    def _hold(self, units: dict[str, np.ndarray]) -> Held:
        drawn = [part.ravel() for part in units.values()]
        rows, uses = np.unique(np.concatenate([np.empty(0, int), *drawn]), return_counts=True)
        if self._recipe.together:
            streams = dict.fromkeys(units, self._read(rows, self._skips))
        else:
            streams = {kind: self._read(part, self._skips) for kind, part in units.items()}
        return Held(streams, dict(zip(rows.tolist(), uses.tolist(), strict=True)))

    def _read(self, rows: np.ndarray, skips: Skips) -> Iterator[tuple[int, Encoded | None]]:
        return stream.read_rows(self._task.source, self._lines.in_order(rows), skips)

    def _fill(self, held: Held, number: int, drawn: list[tuple[str, list[int]]]) -> Batch:
        params, rank = self._task.params, self._place.rank
        canvas = Canvas(self._task.source, params.batch, params.size)
        views = draw_views(
            len(drawn), params.crop, params.flip, plan.rng(params.seed, self._epoch, plan.VIEWS, rank, number)
        )
        for place, ((kind, unit), view) in enumerate(zip(drawn, views, strict=True)):
            pictures = self._fetch(held, kind, unit)
            if pictures is None:
                unit, pictures = self._substitute(kind, number, place)
            for part, (row, picture) in enumerate(zip(unit, pictures, strict=True)):
                canvas.put(
                    place + part * len(drawn), row, picture, view, kind == LABELLED and row == unit[-1]
                )
        return canvas.batch(params.batch)

    def _fetch(self, held: Held, kind: str, unit: list[int]) -> list[Picture] | None:
        """A unit's pictures; None if one of them is lost."""
        if kind == LABELLED:
            return [decode(self._task.kept[row]) for row in unit]
        found = [held.take(kind, row) for row in unit]
        pictures = []
        for row, encoded in zip(unit, found, strict=True):
            if encoded is None:
                return None
            try:
                pictures.append(decode(encoded))
            except ValueError as error:
                if row not in self._bad:
                    stream.lose(self._task.source, row, str(error), self._skips)
                    self._bad.add(row)
                return None
        return pictures

    def _substitute(self, kind: str, number: int, place: int) -> tuple[list[int], list[Picture]]:
        if kind not in self._spares:
            self._spares[kind] = self._find_spares(kind)
        spares = self._spares[kind]
        if not spares:
            raise UsageError(
                f"--shards {', '.join(self._task.source.pool.folders)}: no {kind} sample can be read; "
                "copy the shards again"
            )
        params = self._task.params
        random = plan.rng(params.seed, self._epoch, plan.SPARES, self._place.rank, number, place)
        unit, encoded = spares[random.integers(len(spares))]
        return unit, [decode(part) for part in encoded]

    def _find_spares(self, kind: str) -> list[tuple[list[int], list[Encoded]]]:
        """Units that can be read, of the worker's part or else of all."""
        uncounted = Skips(True, torch.zeros_like(self._skips.counts))
        found: list[tuple[list[int], list[Encoded]]] = []
        for units in (self._recipe.parts[kind], self._lines.units[kind]):
            read = self._read(units, uncounted)
            found = found or stream.first_good(read, units, _is_good, self._task.params.batch)
        return found


def _is_good(encoded: Encoded) -> bool:
    try:
        decode(encoded)
    except ValueError:
        return False
    return True
