"""What an evaluation finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from schemas.params_training import EvaluateParams
from schemas.run import Run
from training.evaluation.figures import Part
from training.evaluation.intervals import Seeds
from training.evaluation.metrics import Calibration

SeedKey = tuple[str, str, str, str]


@dataclass(frozen=True)
class Evaluation:
    """What was found of a run.

    Attributes:
      name: of the run's folder.
      run: its record.
      shards, split, where: what it was tested on, as given.
      digest: of the shards' indexes and the filter.
      lost: images that could not be read.
      frames: see `training.evaluation.run.Evaluated`.
      parts: figures.
      calibration: None without reals.
      runs: name and record of all runs, this one first; one for no other seeds.
      seeds: figures over them, by level, kind, name of the part and figure.
      params: of evaluation.
    """

    name: str
    run: Run
    shards: Sequence[str]
    split: str
    where: str
    digest: str
    lost: int
    frames: pd.DataFrame
    parts: Sequence[Part]
    calibration: Calibration | None
    runs: Sequence[tuple[str, Run]]
    seeds: Mapping[SeedKey, Seeds]
    params: EvaluateParams

    @property
    def seen(self) -> frozenset[str]:
        """Methods that the run was trained on, or the runs it started from."""
        return frozenset(self.run.methods)

    def part(self, level: str, kind: str, name: str = "") -> Part | None:
        """A part by what it is of."""
        wanted = level, kind, name or kind
        return next((part for part in self.parts if (part.level, part.kind, part.name) == wanted), None)
