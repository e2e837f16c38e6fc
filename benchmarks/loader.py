"""How fast training is fed: our epochs against plainly decoding the same members.

    python -m benchmarks.loader --shards FOLDER [--workers N] [--size 256] [--where FILTER] [--rounds 7]

Plain is webdataset's own loader: as many processes read the same members of the same shards (image and mask),
decode them in order, and batch them through the same DataLoader; it shuffles, balances and augments nothing.
It decodes once with Pillow, as webdataset does by itself, and once with OpenCV, which is faster and what we
use. Sides alternate, and ratios are of one round. Printed are images a second and, for machines that do other
things as well, images a second of processor time: medians and ranges over the rounds.
With a filter that leaves as many reals as fakes, an epoch shows every member once, as the plain side does.
"""

import argparse
import resource
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
import webdataset as wds
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from schemas.params_training import TrainParams
from training.data import TrainingLoader
from training.loading.plan import Place, slice_rows
from training.loading.pool import Pool, read_pool

_MEMBERS = ("jpg", "png", "mask.png")
_OURS = "ours"


def decode_cv2(name: str, data: bytes) -> np.ndarray | None:
    """RGB of images, grey of masks."""
    if not name.endswith(_MEMBERS):
        return None
    mask = name.endswith("mask.png")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if mask else cv2.IMREAD_COLOR)
    return picture if mask else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


_DECODERS = {
    "Pillow": [wds.imagehandler("l8", ["mask.png"]), wds.imagehandler("rgb8", ["jpg", "png"])],
    "OpenCV": [decode_cv2],
}


class Plain(IterableDataset[Any]):
    """Image and mask of each sample of a pool, in order; workers share the pool as in an evaluation."""

    def __init__(self, pool: Pool, decoders: list[Any]):
        self._shards, self._keys = pool.column("shard"), pool.column("key")
        self._decoders = decoders

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        cv2.setNumThreads(0)
        worker = get_worker_info()
        place = Place() if worker is None else Place(worker=worker.id, workers=worker.num_workers)
        part = slice(*slice_rows(len(self._keys), place))
        keys = set(self._keys[part])

        def select(name: str) -> bool:
            key, _, suffix = name.partition(".")
            return suffix in _MEMBERS and key in keys

        shards = list(dict.fromkeys(self._shards[part]))
        data = wds.WebDataset(shards, shardshuffle=False, workersplitter=None, select_files=select)
        samples = data.decode(*self._decoders).to_tuple("jpg;png", "mask.png", missing_is_error=False)
        for image, mask in samples.slice(len(keys)):
            yield image, np.zeros(image.shape[:2], np.uint8) if mask is None else mask


def measure(batches: Iterable[Any]) -> tuple[float, float]:
    """Images a second, from the start of the processes to the last batch, and a second of processor time."""
    began, busy, images = time.perf_counter(), _processor_time(), 0
    for batch in batches:
        images += len(batch[0] if isinstance(batch, list) else batch)
    return images / (time.perf_counter() - began), images / (_processor_time() - busy)


def _processor_time() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def compare(pool: Pool, params: TrainParams, rounds: int) -> dict[str, np.ndarray]:
    """What `measure` says of each side, (rounds, 2)."""
    loader = TrainingLoader(pool, params)
    fork = "fork" if params.workers else None

    def plain(name: str) -> Callable[[int], Iterable[Any]]:
        data = Plain(pool, _DECODERS[name])
        return lambda number: DataLoader(
            data, params.batch, num_workers=params.workers, multiprocessing_context=fork
        )

    sides = {"Pillow": plain("Pillow"), _OURS: loader.epoch, "OpenCV": plain("OpenCV")}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            speeds = measure(sides[name](number))
            if number:  # the first round warms the page cache
                found[name].append(speeds)
    return {name: np.array(speeds) for name, speeds in found.items()}


def _show(values: np.ndarray, form: str) -> str:
    middle, low, high = (format(value, form) for value in (np.median(values), values.min(), values.max()))
    return f"{middle} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", action="append", required=True)
    parser.add_argument("--where", default="")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    pool = read_pool(arguments.shards, arguments.where)
    params = TrainParams(size=arguments.size, workers=arguments.workers)
    plan = TrainingLoader(pool, params).plan(0)
    shown = plan.steps * params.batch
    print(f"{len(pool):,} samples; an epoch shows {shown:,} images, {plan.repeats:,} of them again")
    found = compare(pool, params, arguments.rounds)
    for column, unit in enumerate(("second", "second of processor time")):
        for name, speeds in found.items():
            said = f"images a {unit}, {name}: {_show(speeds[:, column], '.0f')}"
            if name != _OURS:
                said += f"; ours over it: {_show(found[_OURS][:, column] / speeds[:, column], '.2f')}"
            print(said)


if __name__ == "__main__":
    main()
