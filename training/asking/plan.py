"""A round of label requests before and after the model is asked: what may be chosen, what is."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas import files
from schemas.errors import UsageError
from schemas.label import Label
from schemas.params_training import RequestParams
from schemas.request import LabelRequest, Strategy, request_id
from schemas.run import Run
from training.asking import writing
from training.asking.selection import (
    Asked,
    Budget,
    Evidence,
    Floats,
    Rows,
    asked_before,
    choose,
    draw_lots,
    find_candidates,
    measure,
)
from training.fitting.run_folder import LABELS, read_run
from training.loading.pool import Pool, read_pool

# The share of the training images above which a person must say that it is meant.
LIMIT = 0.03


@dataclasses.dataclass(frozen=True)
class Round:
    """What is known before the model is asked.

    Attributes:
      run: that asks.
      pool: the training images.
      where: the filter on them.
      asked: in earlier rounds.
      budget: over all rounds.
      candidates, clips: fakes that may be asked about, and the clips that they are of.
      count: requests of this round, unless candidates run out.
    """

    run: Run
    pool: Pool
    where: str
    asked: Asked
    budget: Budget
    candidates: int
    clips: int
    count: int


def plan_round(
    folder: Path, shards: Sequence[str], where: str | None, params: RequestParams, count: int | None
) -> Round:
    """See what may be asked.

    Args:
      folder: of the run.
      shards: folders or URLs of shards.
      where: filter on their samples; None is the run's own.
      params: with the budget.
      count: requests to make; None is what the budget leaves.

    Raises:
      UsageError: if nothing may be asked, or not as much as wanted.
    """
    run = read_run(folder)
    where = run.where if where is None else where
    pool = read_pool(shards, where, "train")
    labels = files.read_rows(folder / LABELS / "labels.parquet", Label) if run.requested else []
    asked = asked_before(labels)
    rows = sum(asked.clips.values())
    if rows != run.requested:
        raise UsageError(
            f"{folder}: run.json counts {run.requested:,} requests, its labels {rows:,}; "
            "one of them was changed: train this run again"
        )
    budget = Budget(min(run.images, len(pool)), params.budget, run.requested)
    if not budget.left:
        raise UsageError(
            f"--budget {params.budget:g}: of {budget.images:,} training images that is {budget.allowed:,}, "
            f"and {budget.spent:,} were spent in earlier rounds; nothing is left: give a larger --budget "
            f"(above {LIMIT:g} with --exceed-budget), or more shards"
        )
    if count is not None and count > budget.left:
        raise UsageError(
            f"--count {count}: the budget of {params.budget:g} leaves {budget.left:,} of {budget.allowed:,} "
            f"({budget.spent:,} were spent); ask for fewer, or give a larger --budget"
        )
    candidates = find_candidates(pool.table, asked, params.per_clip)
    if not len(candidates):
        raise UsageError(
            f"--shards {' '.join(shards)}: no fake of the training split is left to ask about "
            f"(where {where!r}, {len(asked.keys):,} asked before, at most {params.per_clip} of a clip); "
            "give more shards, another --where, or a larger --per-clip"
        )
    clips = pool.table.take(pa.array(candidates)).group_by(["dataset", "clip"]).aggregate([]).num_rows
    count = budget.left if count is None else count
    return Round(run, pool, where, asked, budget, len(candidates), clips, count)


def select(plan: Round, evidence: Evidence, params: RequestParams) -> tuple[Rows, Floats, Rows]:
    """Choose this round's crops.

    Returns:
      Rows of the pool by rank; the score of every row of the pool; the rows that lots would have chosen.

    Raises:
      UsageError: if the model's activities cannot be compared.
    """
    table = plan.pool.table
    fake = np.array([label == "fake" for label in table["label"].to_pylist()])
    if not all(np.isfinite(values).all() for values in (evidence.channels, evidence.real, evidence.fake)):
        raise UsageError(
            "--run: its model gives activities that are not finite; it diverged: train it again with a "
            "lower train.stage1.lr"
        )
    if params.strategy == "ranking" and fake.all():
        raise UsageError(
            "--strategy ranking: no real is among the training images, so that no channel can be "
            "compared; widen --where, or use another strategy"
        )
    keys = table["key"].to_pylist()
    score = measure(params.strategy, evidence, fake, keys, params.seed)
    rows = choose(table, score, plan.asked, plan.count, params.per_clip)
    if not len(rows):
        raise UsageError("--skip-broken: no fake that may be asked about can be read; copy the shards again")
    lots = choose(table, draw_lots(keys, params.seed), plan.asked, len(rows), params.per_clip)
    return rows, score, lots


def make_requests(
    plan: Round, rows: Rows, score: Floats, evidence: Evidence, strategy: Strategy
) -> list[LabelRequest]:
    """The requests of chosen rows, by rank."""
    requests, number = [], plan.run.round + 1
    samples = plan.pool.table.take(pa.array(rows)).to_pylist()
    for rank, (row, sample) in enumerate(zip(rows, samples, strict=True), 1):
        name = request_id(number, sample["key"], sample["crop_sha256"])
        shared = {
            field: sample[field]
            for field in ("key", "dataset", "group", "clip", "method", "compression", "crop_sha256", "size")
        }
        requests.append(
            LabelRequest(
                request_id=name,
                round=number,
                strategy=strategy,
                score=float(score[row]),
                rank=rank,
                landmarks=tuple(map(tuple, sample["landmarks"])),  # type: ignore[arg-type]
                fake_score=float(evidence.fake[row] - evidence.real[row]),
                crop=writing.crop_path(name),
                proposal=writing.proposal_path(name),
                model_sha256=plan.run.model_sha256,
                **shared,
            )
        )
    return requests
