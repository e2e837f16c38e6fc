"""The request stage: which crops people are asked to mask, within a budget."""

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from tqdm import tqdm

from schemas import files, program
from schemas.errors import UsageError
from schemas.params_file import read_params
from schemas.params_training import RequestParams
from schemas.paths import local
from schemas.request import LabelRequest, Strategy
from training import command, devices
from training.asking import writing
from training.asking.evidence import gather_evidence
from training.asking.plan import LIMIT, Round, make_requests, plan_round, select
from training.asking.selection import Evidence, Floats, Rows, separations
from training.data import EvaluationBatches
from training.evaluation.predict import Predictions, predict
from training.fitting.run_folder import load_model
from training.loading.pool import Pool, is_url
from training.loading.stream import Skips, locate, read_rows

_BATCH = 64

# To be raised when the same input gives other requests.
VERSION = 1

_DESCRIPTION = """
Choose fakes whose forged region people should draw, and write them down: requests.parquet, the crops, the
run's attention maps as proposals, and requests.png, which shows the first 24.

Strategies, all on fakes of the training split that no earlier round asked about:
  ranking          those that most excite the channel that tells fakes from reals best: a channel that is too
                   good may have learnt an artefact of the data (the paper's idea, as recalled)
  uncertainty      those whose fake and real activity differ least
  mislocalisation  those with most of the attention outside the face (its region is from the landmarks)
  random           by lot: the control; the summary compares every other strategy with it
Of a clip at most --per-clip frames are asked about, over all rounds. Methods and compressions are not spread
by force: the summary counts them. One forgery at several compressions is several clips; to ask about it once,
give --where "compression == 'c23'".

The budget is a share of all training images, real and fake, over all rounds: what the run was given as labels
has been spent, answered or not. So train on a round's labels before asking for the next.
Without --where the run's own filter holds; with a narrower one the budget is a share of fewer images.
"""

_EPILOG = """
Examples:
  python -m training.request --shards WORK/shards --run WORK/runs/r0 --out WORK/requests/r1
  ... --strategy uncertainty --where "compression == 'c23'"
Two rounds share a budget of 3%, half each:
  ... --run WORK/runs/r0 --budget 0.015 --out WORK/requests/r1    then label, train r1 from r0, and
  ... --run WORK/runs/r1 --budget 0.03  --out WORK/requests/r2
or give --count for the crops of this round.
Exit codes: 0 whole; 1 stopped (a full disk); 2 bad usage, such as a budget that is spent.
"""


def run_stage(
    plan: Round,
    folder: Path,
    out: Path,
    params: RequestParams,
    device: str = "auto",
    workers: int = 2,
    skip_broken: bool = False,
) -> list[str]:
    """Ask the model, choose, and write the requests; returns what there is to say.

    Args:
      plan: what may be asked.
      folder: of the run.
      out: folder of the requests.
      params: with the strategy.
      device: as `--device`.
      workers: loading processes.
      skip_broken: leave out what cannot be read.

    Raises:
      UsageError: if the model, the shards or the device cannot be used.
      StoppedError: if the folder cannot be written.
    """
    place = devices.choose(device)
    model = load_model(folder, place)
    size, every = model.config.size, len(plan.pool)
    with files.exclusive(out):
        files.remove_parts(out)
        batches = EvaluationBatches(plan.pool, size, _BATCH, workers, skip_broken=skip_broken)
        progress = tqdm(batches, "training images", unit="batch", disable=None)
        evidence = gather_evidence(model, plan.pool.table, progress, place)
        plan = dataclasses.replace(plan, pool=plan.pool.take(evidence.rows))
        rows, score, lots = select(plan, evidence, params)
        requests = make_requests(plan, rows, score, evidence, params.strategy)
        order = np.sort(rows)
        part = plan.pool.take(order)
        batches = EvaluationBatches(part, size, _BATCH, workers, skip_broken=skip_broken)
        maps = _maps(predict(model, batches, place, maps=True), len(part))[np.searchsorted(order, rows)]
        metadata = {
            "run": plan.run.model_sha256,
            "round": str(plan.run.round + 1),
            "images": str(plan.budget.images),
            "spent": str(plan.budget.spent),
            "budget": f"{params.budget:g}",
            "strategy": params.strategy,
            "per_clip": str(params.per_clip),
            "seed": str(params.seed),
            "where": plan.where,
            "mean_score": f"{score[rows].mean():.6g}",
            "mean_score_random": f"{score[lots].mean():.6g}",
        }
        crops = _read_crops(part, skip_broken)
        dropped = writing.write_requests(out, requests, crops, maps, metadata)
    said = _describe(plan, requests, evidence, score, rows, lots)
    if len(plan.pool) < every:
        said.append(f"  {every - len(plan.pool):,} images could not be read and were skipped")
    if dropped:
        said.append(f"  {dropped:,} earlier requests in {out} are not asked any more; they were removed")
    return said


def _maps(found: Predictions, count: int) -> Floats:
    """Maps by row, (count, g, g); zeros for what was lost since it was read first."""
    assert found.maps is not None
    maps = np.zeros((count, *found.maps.shape[1:]), np.float16)
    maps[found.rows] = found.maps
    return maps


def _read_crops(pool: Pool, skip_broken: bool) -> Iterator[tuple[str, bytes]]:
    """Key and encoded image of every sample of a pool that can be read."""
    source, keys = locate(pool), pool.column("key")
    skips = Skips(skip_broken, torch.zeros((1, len(source.shards)), dtype=torch.int64))
    for row, encoded in read_rows(source, np.arange(len(pool)), skips):
        if encoded is not None:
            yield keys[row], encoded[0]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    params = read_params(arguments.params)
    asking = _settle(arguments, params.request)
    _check_out(arguments.out, arguments.run, arguments.shards)
    plan = plan_round(arguments.run, arguments.shards, arguments.where, asking, arguments.count)
    print("\n".join(_describe_plan(plan, asking)))
    if arguments.dry_run:
        print(f"would ask for {plan.count} at most by {asking.strategy}, and write into {arguments.out}")
        return program.WHOLE
    said = run_stage(
        plan,
        arguments.run,
        arguments.out,
        asking,
        arguments.device,
        params.train.workers,
        arguments.skip_broken,
    )
    print("\n".join(said))
    print(f"see {arguments.out / writing.SHEET}; answers go through python -m pipelines.labels")
    return program.WHOLE


def _parser() -> argparse.ArgumentParser:
    parser = program.make_parser("training.request", _DESCRIPTION, _EPILOG)
    command.add_shards(parser)
    command.add_device(parser)
    parser.set_defaults(where=None)
    add = parser.add_argument
    add("--run", type=local, required=True, metavar="FOLDER", help="run whose model chooses")
    add("--out", type=local, required=True, metavar="FOLDER", help="folder of the requests")
    add("--strategy", choices=get_args(Strategy), help="see above (default: request.strategy)")
    add("--budget", type=float, metavar="SHARE", help="of the training images (default: request.budget)")
    add("--count", type=int, metavar="N", help="crops of this round (default: what the budget leaves)")
    add("--per-clip", type=int, metavar="K", help="most frames of a clip (default: request.per_clip)")
    add("--exceed-budget", action="store_true", help=f"allow a budget above {LIMIT:g}")
    add("--dry-run", action="store_true", help="print what may be asked, and write nothing")
    return parser


def _settle(arguments: argparse.Namespace, params: RequestParams) -> RequestParams:
    """The parameters with the flags' values in them, checked."""
    given = {name: getattr(arguments, name) for name in ("strategy", "budget", "per_clip")}
    params = dataclasses.replace(
        params, **{name: value for name, value in given.items() if value is not None}
    )
    if not 0 < params.budget <= 1:
        raise UsageError(f"--budget {params.budget:g}: it must be above 0 and at most 1, a share")
    if params.budget > LIMIT and not arguments.exceed_budget:
        raise UsageError(
            f"--budget {params.budget:g}: above {LIMIT:g} of the training images; give less, or "
            "--exceed-budget where that is meant"
        )
    if params.per_clip < 1:
        raise UsageError(f"--per-clip {params.per_clip}: it must be at least 1")
    if arguments.count is not None and arguments.count < 1:
        raise UsageError(f"--count {arguments.count}: it must be at least 1")
    return params


def _check_out(out: Path, run: Path, shards: Sequence[str]) -> None:
    for folder in (str(run), *(name for name in shards if not is_url(name))):
        if out.resolve().is_relative_to(Path(folder).resolve()):
            raise UsageError(f"--out {out}: inside {folder}, which is another stage's; give another folder")


def _describe_plan(plan: Round, params: RequestParams) -> list[str]:
    said, budget = [], plan.budget
    if plan.run.images != len(plan.pool):
        said.append(
            f"note: the run was trained on {plan.run.images:,} images, and these shards have "
            f"{len(plan.pool):,} under this filter; the budget is a share of the fewer"
        )
    said.append(
        f"{len(plan.pool):,} training images; may be asked about: {plan.candidates:,} fakes of "
        f"{plan.clips:,} clips, at most {params.per_clip} of a clip"
    )
    said.append(
        f"budget {params.budget:g} of {budget.images:,}: {budget.allowed:,} requests, "
        f"{budget.spent:,} spent, {budget.left:,} left"
    )
    return said


def _describe(
    plan: Round, requests: Sequence[LabelRequest], evidence: Evidence, score: Floats, rows: Rows, lots: Rows
) -> list[str]:
    strategy = requests[0].strategy
    said = [f"round {requests[0].round}: {len(requests):,} requests by {strategy}"]
    if len(requests) < plan.count:
        said.append(f"  fewer than the {plan.count:,} wanted: all clips are full; raise --per-clip for more")
    if strategy == "ranking":
        fake = np.array([label == "fake" for label in plan.pool.table["label"].to_pylist()])
        apart = separations(evidence.channels, fake)
        channel = int(np.abs(apart).argmax())
        half = "real" if channel < len(apart) // 2 else "fake"
        said.append(f"  channel {channel} ({half} half) separates most: d' {apart[channel]:.2f}")
    if strategy != "random":
        both = len(set(rows) & set(lots))
        said.append(
            f"  mean score {score[rows].mean():.4g}; drawn by lot it would be {score[lots].mean():.4g}, "
            f"with {both:,} of the same crops"
        )
    counts = Counter((request.method, request.compression) for request in requests)
    said += [
        f"  {method} {compression}: {count:,}" for (method, compression), count in sorted(counts.items())
    ]
    return said


if __name__ == "__main__":
    program.run_main("training.request")
