"""Which samples an epoch shows, in which batch: pure functions of the index, a seed and who asks.

A consumer is one loading worker of one rank (a rank without workers is one consumer). Shards are permuted;
the samples of each kind (real, fake, couple) form a line in that order, and the line is cut among the
consumers in proportion to the batches that each makes. So a shard is read by two consumers only where a cut
falls into it, there may be fewer shards than consumers, and every consumer has each kind. All of it is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Names of the streams of random numbers.
ORDER, TIMES, LABELLED, VIEWS, SPARES = range(5)


@dataclass(frozen=True)
class Place:
    """Who asks.

    Attributes:
      rank, world: of this process, and how many there are.
      worker, workers: of this rank; `workers` is at least 1.
    """

    rank: int = 0
    world: int = 1
    worker: int = 0
    workers: int = 1


@dataclass(frozen=True)
class EpochPlan:
    """What an epoch shows, over all ranks.

    Attributes:
      steps: batches of each rank.
      repeats: how often a sample (with pairs: a couple) is shown again.
      drops: samples (couples) that are not shown; fakes without their real are among them.
      kinds: for each kind, "real", "fake", "couple" or "labelled": (samples, shown, repeats, drops).
    """

    steps: int
    repeats: int
    drops: int
    kinds: dict[str, tuple[int, int, int, int]]


def rng(seed: int, *names: int) -> np.random.Generator:
    """Random numbers that depend on these numbers alone."""
    return np.random.default_rng([seed % 2**64, *names])


def count_steps(samples: int, per_batch: int, world: int) -> int:
    """Batches a rank of one pass over `samples`, of which every rank's batch shows `per_batch`."""
    return max(1, math.ceil(samples / (per_batch * world)))


def batches_of(place: Place, steps: int) -> range:
    """The batches that a worker makes: every `workers`-th."""
    return range(place.worker, steps, place.workers)


def cut(samples: int, steps: int, place: Place) -> tuple[int, int]:
    """Where a consumer's part of a line begins and ends: in proportion to its batches, and never empty.

    Parts overlap only where there are fewer samples than consumers.
    """
    quotas = [
        len(batches_of(Place(worker=worker, workers=place.workers), steps)) for worker in range(place.workers)
    ]
    before = place.rank * steps + sum(quotas[: place.worker])
    total = place.world * steps
    begin = min(samples * before // total, samples - 1)
    return begin, max(begin + 1, samples * (before + quotas[place.worker]) // total)


def slice_rows(samples: int, place: Place) -> tuple[int, int]:
    """Where a consumer's part of an evaluation begins and ends: the parts hold every sample exactly once."""
    consumers, mine = place.world * place.workers, place.rank * place.workers + place.worker
    return samples * mine // consumers, samples * (mine + 1) // consumers


def spread(samples: int, slots: int, share: float, random: np.random.Generator) -> np.ndarray:
    """Fill slots with samples that come in order: each as often as any other, or once more; shuffled.

    The n-th copy in order goes where n + uniform(0, window) sorts it, so that no sample waits longer than
    for the window and the same slots come from any position on.

    Args:
      samples: how many there are, at least 1.
      slots: to be filled.
      share: the window as a share of the slots; from 1 on, all orders are equally likely.
      random: where the order comes from.

    Returns:
      (slots,) numbers of samples.
    """
    times = np.full(samples, slots // samples)
    times[random.permutation(samples)[: slots % samples]] += 1
    copies = np.repeat(np.arange(samples), times)
    if share >= 1:
        return random.permutation(copies)
    return copies[np.argsort(np.arange(slots) + random.random(slots) * share * slots, kind="stable")]


@dataclass(frozen=True)
class Lines:
    """An epoch's samples in the order in which they are read.

    Attributes:
      turns: (S,) when each shard is read.
      shard_of: (rows,) number of each row's shard.
      units: for each kind, (n, k) rows in reading order, n at least 1.
      slots: of each kind in a batch.
    """

    turns: np.ndarray
    shard_of: np.ndarray
    units: dict[str, np.ndarray]
    slots: dict[str, int]

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        """Rows as they are read, each once."""
        rows = np.unique(rows)
        return rows[np.argsort(self.turns[self.shard_of[rows]], kind="stable")]


def order_lines(
    kinds: dict[str, np.ndarray], slots: dict[str, int], shard_of: np.ndarray, seed: int, epoch: int
) -> Lines:
    """Permute an epoch's shards: the same for every consumer.

    Args:
      kinds: units of each kind, (n, k) rows in the pool's order; a unit is a sample (k = 1), or a real and
        its fake (k = 2), of one shard.
      slots: of each kind in a batch.
      shard_of: (rows,) number of each row's shard.
      seed: of the run.
      epoch: its number.
    """
    turns = rng(seed, epoch, ORDER).permutation(int(shard_of.max()) + 1)
    units = {
        kind: found[np.argsort(turns[shard_of[found[:, -1]]], kind="stable")] for kind, found in kinds.items()
    }
    return Lines(turns, shard_of, units, slots)


@dataclass(frozen=True)
class Recipe:
    """What a consumer shows in an epoch.

    Attributes:
      batches: its batches' numbers.
      parts: for each kind, its part of the line: (n, k) rows in reading order.
      draws: for each kind, (batches, slots) numbers into the part.
      together: whether one pass over the shards serves all kinds: where they lie mixed. Otherwise each
        kind has its own, so that neither waits in memory for the other.
    """

    batches: range
    parts: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]
    together: bool


def make_recipe(lines: Lines, steps: int, shuffle: int, seed: int, epoch: int, place: Place) -> Recipe:
    """What a consumer shows in an epoch.

    Args:
      lines: of the epoch.
      steps: batches a rank.
      shuffle: samples that may wait for their turn.
      seed: of the run.
      epoch: its number.
      place: which consumer.
    """
    batches = batches_of(place, steps)
    parts = {}
    for kind, units in lines.units.items():
        begin, end = cut(len(units), steps, place)
        parts[kind] = units[begin:end]
    share = shuffle / max(1, sum(part.size for part in parts.values()))
    draws = {}
    for number, (kind, part) in enumerate(parts.items()):
        random = rng(seed, epoch, TIMES, number, place.rank, place.worker)
        drawn = spread(len(part), len(batches) * lines.slots[kind], share, random)
        draws[kind] = drawn.reshape(len(batches), lines.slots[kind])
    return Recipe(batches, parts, draws, _lie_mixed(list(parts.values()), lines, shuffle))


def _lie_mixed(parts: Sequence[np.ndarray], lines: Lines, most: int) -> bool:
    """Whether reading all kinds at once keeps no more than `most` samples waiting for the other kind."""
    if len(parts) < 2:
        return True
    rows = lines.shard_of.size
    one, other = (lines.turns[lines.shard_of[part[:, -1]]].astype(int) * rows + part[:, -1] for part in parts)
    ahead = np.arange(1, len(one) + 1) / len(one) - np.searchsorted(other, one) / len(other)
    return bool(np.abs(ahead).max() * (len(one) + len(other)) <= most)


def draw_labelled(samples: int, slots: int, steps: int, seed: int, epoch: int, place: Place) -> np.ndarray:
    """Numbers of labelled samples for a consumer's batches, (batches, slots): one permutation after another.

    All ranks and workers share them, so that each sample's turn comes equally often, whoever shows it.
    """
    total = place.world * steps * slots
    rounds = math.ceil(total / samples)
    random = rng(seed, epoch, LABELLED)
    drawn = random.permuted(np.tile(np.arange(samples), (rounds, 1)), axis=1).ravel()[:total]
    return drawn.reshape(steps, place.world, slots)[np.array(batches_of(place, steps), int), place.rank]


def count_shown(kinds: dict[str, tuple[int, list[np.ndarray]]], steps: int, left_out: int) -> EpochPlan:
    """Count an epoch's repeats and drops.

    Args:
      kinds: for each kind, how many units there are, and the units that each consumer draws, by number.
      steps: batches a rank.
      left_out: units beside these that are never shown.
    """
    found = {}
    for kind, (samples, drawn) in kinds.items():
        shown = sum(part.size for part in drawn)
        distinct = len(np.unique(np.concatenate([part.ravel() for part in drawn])))
        found[kind] = (samples, shown, shown - distinct, samples - distinct)
    repeats, drops = (sum(counts[part] for counts in found.values()) for part in (2, 3))
    return EpochPlan(steps, repeats, drops + left_out, found)
