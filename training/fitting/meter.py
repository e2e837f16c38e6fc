"""What the losses of an epoch come to, read from the device now and then."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.devices import Process
from training.lae.losses import Losses

PARTS = ("total", *(field.name for field in dataclasses.fields(Losses)))


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training came to.

    Attributes:
      epoch: 1 is the first.
      step: optimizer steps so far.
      lr: learning rate of its last step.
      losses: mean of each of `PARTS` over its batches; without those that never applied.
      figures: what validation says.
    """

    epoch: int
    step: int
    lr: float
    losses: dict[str, float]
    figures: dict[str, float]


class Meter:
    """Means of the losses of an epoch over all processes, "total" weighted and the parts not.

    Values stay on the device until `read`, which waits for it.
    """

    def __init__(self, process: Process):
        """Start an epoch."""
        self._process = process
        self._unread: list[tuple[Tensor, list[float]]] = []
        self._sums = dict.fromkeys(PARTS, 0.0)
        self._counts = dict.fromkeys(PARTS, 0.0)

    def add(self, total: Tensor, parts: Losses) -> None:
        """Note a batch's weighted sum and its parts."""
        values = [total, *(getattr(parts, name) for name in PARTS[1:])]
        kept = torch.stack([total.new_zeros(()) if value is None else value.detach() for value in values])
        self._unread.append((kept, [float(value is not None) for value in values]))

    def read(self) -> list[float]:
        """The total of each batch since the last call."""
        if not self._unread:
            return []
        values = self._process.add(torch.stack([values for values, _ in self._unread]).double()).tolist()
        counts = self._process.add(torch.tensor([there for _, there in self._unread]).double()).tolist()
        self._unread.clear()
        for value, count in zip(values, counts, strict=True):
            for name, part, times in zip(PARTS, value, count, strict=True):
                self._sums[name] += part
                self._counts[name] += times
        return [value[0] / count[0] for value, count in zip(values, counts, strict=True)]

    def means(self) -> dict[str, float]:
        """The mean of each of `PARTS` over the batches read; without those that never applied."""
        return {name: self._sums[name] / count for name, count in self._counts.items() if count}

    def capture(self) -> dict[str, Any]:
        """What was read, as plain values."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `capture`."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


def first_broken(totals: list[float]) -> int | None:
    """The position of the first loss that is not finite."""
    return next((number for number, total in enumerate(totals) if not math.isfinite(total)), None)
