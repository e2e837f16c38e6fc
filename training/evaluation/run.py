"""Running models over the images of an evaluation."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from schemas.errors import StoppedError, UsageError
from schemas.run import Run
from training.data import Batch
from training.evaluation.localisation import localise
from training.evaluation.predict import predict
from training.lae.model import LAE
from training.loading.pool import Pool

_COLUMNS = ("key", "dataset", "group", "clip", "track", "frame", "method", "compression", "label", "split")

# Besides parameters; what they started from may differ as well.
_SAME = (
    *("stage", "round", "where", "shards", "images"),
    *("requested", "labelled", "methods", "sources"),
)


@dataclass(frozen=True)
class Evaluated:
    """What a model says of images.

    Attributes:
      frames: a row an image, in the pool's order: `row` of the pool, its columns key, dataset, group, clip,
        track, frame, method, compression, label, split; `is_fake`, `known` (its mask is), `real`, `fake`,
        `score`, and the figures of `training.evaluation.localisation.localise`.
      maps: float16 (N, g, g), attention maps of these rows; None where they are not kept.
    """

    frames: pd.DataFrame
    maps: NDArray[np.float16] | None


def run_model(
    model: LAE,
    pool: Pool,
    batches: Iterable[Batch],
    device: torch.device,
    threshold: float,
    keep: bool = False,
) -> Evaluated:
    """Predict and localise, batch by batch: masks are not kept.

    Args:
      model: on `device`.
      pool: of the images.
      batches: of the pool.
      device: where to compute.
      threshold: of the attention map over its maximum.
      keep: the attention maps.

    Raises:
      UsageError: if no image can be read.
      StoppedError: if a score is not a number.
    """
    parts, maps = [], []
    for batch in batches:
        said = predict(model, [batch], device, maps=True)
        order = torch.argsort(batch.rows)
        assert said.maps is not None
        figures = localise(said.maps, batch.mask[order].cpu().numpy(), said.called_fake, threshold)
        known = batch.known[order].cpu().numpy()
        values = {"real": said.real, "fake": said.fake, "score": said.score}
        values |= {name: np.where(known, figure, np.nan) for name, figure in figures.items()}
        parts.append(pd.DataFrame({"row": said.rows, "known": known, **values}))
        if keep:
            maps.append(said.maps)
    if not parts:
        raise UsageError(f"--shards {', '.join(pool.folders)}: no image could be read; copy the shards again")
    frames = pd.concat(parts, ignore_index=True)
    if not np.isfinite(frames.score).all():
        raise StoppedError("the model's scores are not finite: its training went wrong; train the run again")
    by_row = np.argsort(frames.row.to_numpy(), kind="stable")
    frames = frames.iloc[by_row].reset_index(drop=True)
    rows = frames.row.to_numpy()
    for name in _COLUMNS:
        frames[name] = pool.column(name)[rows]
    frames["is_fake"] = (frames.label == "fake").to_numpy(bool)
    return Evaluated(frames, np.concatenate(maps)[by_row] if keep else None)


def check_seeds(runs: Sequence[tuple[str, Run]]) -> None:
    """Refuse runs that differ in more than their seed.

    Raises:
      UsageError: naming the run and what differs.
    """
    name, first = runs[0]
    seeds = {first.train.seed: name}
    for other, run in runs[1:]:
        here, there = (dataclasses.asdict(dataclasses.replace(r.train, seed=0)) for r in (first, run))
        differ = [f"train.{key}" for key in here if here[key] != there[key]]
        differ += [key for key in _SAME if getattr(first, key) != getattr(run, key)]
        if differ:
            raise UsageError(
                f"--also {other}: differs from {name} in {', '.join(differ)}; intervals over seeds are of "
                "runs that differ in train.seed only: evaluate it by itself"
            )
        if run.train.seed in seeds:
            raise UsageError(
                f"--also {other}: has the seed {run.train.seed} as {seeds[run.train.seed]} has; "
                "name runs of other seeds"
            )
        seeds[run.train.seed] = other
