"""The experiment with twins: what do masks of less than 3% of the images buy?"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from schemas import digest, files, program
from schemas.errors import UsageError
from schemas.experiment import Figure, Setting, Variant
from schemas.params import Params
from schemas.params_file import read_params
from schemas.paths import local
from training import devices
from training.command import add_device, add_shards
from training.devices import Process
from training.lae.build import check_params
from training.loading.pool import Pool, read_pool
from training.twins import memory
from training.twins.plan import SETTINGS, Unit, plan_units
from training.twins.tables import write_tables
from training.twins.unit import run_unit, vary

# To be raised when the same parameters give other figures.
VERSION = 1

_DESCRIPTION = """
Train twins of LAE that differ in one thing, their masks, on the same images, seeds and batches, and compare
them on people that neither has seen:

  shortcut   an artefact outside the face is planted on the seen fakes: do masks keep a twin from learning it?
  plain      no artefact; each forgery method is seen in turn, all others are unseen
  budgets    do selection strategies beat lots, at 0.5 to 3% of the images?
  variants   no artefact; do breadth, resolution, input, reconstruction or boundary masks change the answer?

Masks are the shards' own (an oracle). Tune on --on val; look at --on test once.
"""
_EPILOG = """
examples:
  python -m training.experiment --shards WORK/shards --out WORK/experiment --on val --only shortcut
  python -m training.experiment --shards WORK/shards --out WORK/experiment --on test

A rerun continues: units that are done are kept. Writes figures.parquet (a row a figure), tables.md,
tables.json and plots. Exit codes: 0 whole; 1 stopped; 2 bad usage.
"""
_images: dict[str, memory.Images] = {}


def _start_worker() -> None:
    torch.set_num_threads(1)


def _edge(params: Params, variant: Variant) -> int:
    train = vary(params.train, variant)
    return round(train.size / (1 - train.crop))


def _load(folder: Path, split: str, edge: int) -> memory.Images:
    """Images that the parent has read; mapped, so that processes share them."""
    name = f"{split}-{edge}"
    if name not in _images:
        kept = torch.load(folder / f"{name}.pt", mmap=True, weights_only=True)
        table = pq.read_table(folder / f"{split}.parquet")
        _images[name] = memory.Images(table, kept["image"], kept["mask"], kept["known"])
    return _images[name]


def _run(unit: Unit, folder: Path, split: str, params: Params, device: torch.device, done: Path) -> None:
    edge = _edge(params, unit.variant)
    train, judged = _load(folder, "train", edge), _load(folder, split, edge)
    figures = run_unit(unit, train, judged, params.train, params.experiment, Process(device))
    files.write_rows(done, Figure, figures)


def _keep(pool: Pool, split: str, edges: set[int], folder: Path, workers: int) -> None:
    files.write_tables(folder / f"{split}.parquet", pool.table.schema, [pool.table])
    for edge in sorted(edges):
        images = memory.load(pool, edge, workers)
        with files.atomic_write(folder / f"{split}-{edge}.pt") as file:
            torch.save({"image": images.image, "mask": images.mask, "known": images.known}, file)


def _check(params: Params) -> None:
    """Refuse parameters that a unit would stumble over.

    Raises:
      UsageError: naming the value.
    """
    chosen = params.experiment
    for variant in {"base", *chosen.variants}:
        check_params(vary(params.train, variant))
    half = params.train.batch // 2
    rules = [
        ("train.batch", params.train.batch, params.train.batch >= 4, "at least 4"),
        ("train.labelled", params.train.labelled, 1 <= params.train.labelled <= half, f"from 1 to {half}"),
        ("experiment.seeds", chosen.seeds, chosen.seeds >= 2, "at least 2, for a spread"),
        ("experiment.steps1", chosen.steps1, chosen.steps1 >= 1, "at least 1"),
        ("experiment.steps2", chosen.steps2, chosen.steps2 >= 1, "at least 1"),
        ("experiment.resamples", chosen.resamples, chosen.resamples >= 1, "at least 1"),
        ("experiment.workers", chosen.workers, chosen.workers >= 0, "at least 0"),
        ("experiment.budgets", chosen.budgets, _rising(chosen.budgets), "rising shares from above 0 to 1"),
        (
            "experiment.arms",
            chosen.arms,
            "none" in chosen.arms,
            "none, with which all are compared, and more",
        ),
    ]
    for name, value, right, wanted in rules:
        if not right:
            raise UsageError(f"{name}: {value}; it must be {wanted}. Set it in the file of --params")


def _rising(budgets: Sequence[float]) -> bool:
    edges = [0.0, *budgets]
    return len(edges) > 1 and edges[-1] <= 1 and all(a < b for a, b in pairwise(edges))


def run(
    shards: Sequence[str],
    split: str,
    settings: Sequence[Setting],
    params: Params,
    out: Path,
    where: str,
    device: torch.device,
) -> list[Figure]:
    """Train and judge what is not there yet, and write the tables; returns all figures.

    Raises:
      UsageError: if shards or parameters cannot be used.
      StoppedError: on a full disk, or a loss that is not finite.
    """
    _check(params)
    chosen = params.experiment
    narrowed = f"compression == {chosen.compression!r}" if chosen.compression else ""
    both = " and ".join(f"({part})" for part in (where, narrowed) if part)
    pools = {name: read_pool(shards, both, name) for name in ("train", split)}
    methods = sorted({*pools["train"].table["method"].to_pylist()} - {"real"})
    if chosen.seen not in methods:
        raise UsageError(f"experiment.seen: {chosen.seen}; the shards have {methods}: name one of them")
    units = plan_units(chosen, methods, settings)
    made_of = [VERSION, params.train, split, *(pool.digest for pool in pools.values())]
    made_of += [chosen.steps1, chosen.steps2]
    done = {unit: out / "units" / f"{unit.name}-{digest(unit, *made_of)[:12]}.parquet" for unit in units}
    pending = [unit for unit in units if not done[unit].exists()]
    print(
        f"{len(units)} units, {len(units) - len(pending)} of them done before; judged on {split}", flush=True
    )
    with files.exclusive(out):
        folder = out / "images"
        if pending:
            edges = {_edge(params, unit.variant) for unit in pending}
            for name, pool in pools.items():
                _keep(pool, name, edges, folder, params.train.workers)
            _train(pending, folder, split, params, device, done)
        figures = [figure for unit in units for figure in files.read_rows(done[unit], Figure)]
        for path in folder.glob("*"):
            path.unlink()
        files.write_rows(out / "figures.parquet", Figure, figures)
        write_tables(out, figures, split, chosen)
    return figures


def _train(
    units: Sequence[Unit],
    folder: Path,
    split: str,
    params: Params,
    device: torch.device,
    done: dict[Unit, Path],
) -> None:
    one_a_core = len(os.sched_getaffinity(0)) if device.type == "cpu" else 1
    count = params.experiment.workers or one_a_core
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawn, initializer=_start_worker) as pool:
        waiting: list[Future] = [
            pool.submit(_run, unit, folder, split, params, device, done[unit]) for unit in units
        ]
        try:
            for task in tqdm(as_completed(waiting), "units", total=len(waiting)):
                task.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = program.make_parser("training.experiment", _DESCRIPTION, _EPILOG)
    add_shards(parser)
    parser.add_argument("--out", type=local, required=True, metavar="FOLDER", help="figures and tables")
    parser.add_argument("--on", choices=("val", "test"), default="val", help="who is judged (default: val)")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=SETTINGS, help="settings to run")
    add_device(parser)
    arguments = parser.parse_args(argv)
    params = read_params(arguments.params)
    device = devices.choose(arguments.device)
    run(arguments.shards, arguments.on, arguments.only, params, arguments.out, arguments.where, device)
    print(f"see {arguments.out / 'tables.md'}")
    return program.WHOLE


if __name__ == "__main__":
    program.run_main("training.experiment")
