"""What an epoch is made of: reals and fakes, or couples of both, and the labelled among them."""

import hashlib

import numpy as np
import pandas as pd

from schemas.errors import UsageError
from schemas.params_training import TrainParams
from training.loading import stream
from training.loading.augment import decode
from training.loading.labels import Labels
from training.loading.pool import Pool
from training.loading.stream import Encoded, Skips, Source

_BLOCK = ["shard", "dataset", "group", "track", "frame", "compression"]


def check_batch(params: TrainParams, labels: Labels | None) -> int:
    """Images of each class in a batch.

    Raises:
      UsageError: naming the parameter that does not fit.
    """
    half, odd = divmod(params.batch, 2)
    if odd or half < 1:
        raise UsageError(f"train.batch: {params.batch}; it must be even and at least 2: half of it is real")
    if labels is not None and not 1 <= params.labelled <= half:
        raise UsageError(
            f"train.labelled: {params.labelled}; with --labels it must be 1 to {half}, the fakes of a batch"
        )
    if not 0 <= params.crop < 1 or not 0 <= params.flip <= 1:
        raise UsageError(
            f"train.crop {params.crop}, train.flip {params.flip}; they must be from 0 to below 1, and 0 to 1"
        )
    if params.shuffle < 1 or params.workers < 0:
        raise UsageError(
            f"train.shuffle {params.shuffle}, train.workers {params.workers}; they must be at least 1 and 0"
        )
    return half


def count_labelled(params: TrainParams, half: int, labelled: int, others: int) -> int:
    """How many of a batch's fakes are labelled: `params.labelled`, or their share of all, if that is more."""
    if not others:
        return half
    return max(params.labelled, min(round(half * labelled / (labelled + others)), half - 1))


def by_class(source: Source, present: np.ndarray) -> dict[str, np.ndarray]:
    """Rows (n, 1) of "real" and "fake".

    Raises:
      UsageError: if one is missing.
    """
    found = {
        "real": np.flatnonzero(~source.fake & present)[:, None],
        "fake": np.flatnonzero(source.fake & present)[:, None],
    }
    for kind, units in found.items():
        if not len(units):
            raise UsageError(_describe(source.pool, present, f"no {kind} sample", "needs reals and fakes"))
    return found


def by_couple(source: Source, present: np.ndarray) -> tuple[dict[str, np.ndarray], int]:
    """Rows (n, 2), real and fake, of "couple", in the order of the fakes; and how many fakes have no real.

    Raises:
      UsageError: if there is no couple.
    """
    table = source.pool.table.select(_BLOCK).to_pandas()
    table["row"] = np.arange(len(table))
    reals = table[~source.fake & present].drop_duplicates(_BLOCK)
    fakes = table[source.fake & present]
    couples = pd.merge(reals, fakes, on=_BLOCK, suffixes=("_real", "_fake")).sort_values("row_fake")
    if not len(couples):
        raise UsageError(_describe(source.pool, present, "no fake with its real", "of pairs needs both"))
    units = couples[["row_real", "row_fake"]].to_numpy(np.int64)
    return {"couple": units}, len(fakes) - len(units)


def _describe(pool: Pool, present: np.ndarray, problem: str, need: str) -> str:
    return (
        f"--shards {', '.join(pool.folders)}: {problem} among {int(present.sum()):,} samples ({pool.said}); "
        f"training {need}: widen the filter, or name more shards"
    )


def collect(
    source: Source, units: np.ndarray, labels: Labels, skips: Skips
) -> tuple[np.ndarray, dict[int, Encoded]]:
    """The labelled ones among units whose last row is a fake, and their samples, with the labels' masks.

    Reads only shards that hold some.

    Raises:
      UsageError: if one cannot be read or is not as indexed, and none may be skipped; if none is left.
    """
    masks = labels.rows(source.pool)
    labelled = units[np.isin(units[:, -1], list(masks))]
    digests = source.pool.table.column("crop_sha256")
    kept: dict[int, Encoded] = {}
    for row, encoded in stream.read_rows(source, np.unique(labelled), skips):
        if encoded is None:
            continue
        sample = encoded[0], masks[row].read_bytes() if row in masks else None
        try:
            if hashlib.sha256(encoded[0]).hexdigest() != digests[row].as_py():
                raise ValueError("is not the image of index.parquet (crop_sha256)")
            decode(sample)
        except ValueError as error:
            stream.lose(source, row, str(error), skips)
            continue
        kept[row] = sample
    labelled = labelled[np.isin(labelled, list(kept)).all(axis=1)]
    if not len(labelled):
        raise UsageError(
            f"--labels: none of {len(labels):,} labelled samples is among those that can be trained on "
            f"({source.pool.said}); name the shards that the requests were made from"
        )
    return labelled, kept
