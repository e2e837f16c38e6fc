"""How even shards are, and how many of them a new source group rewrites.

    python -m benchmarks.balance [--per-shard 16] [--seeds 20]

Prints, for several numbers of groups: the largest shard over the mean, in groups; and the shards that were
there and hold other groups after one more came, over 64 that came one after the other. Beside it, plain
consistent hashing on the same arcs, without a bound.
"""

import argparse
import bisect
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from transforms import assignment
from transforms.assignment import assign_shards, count_shards, shard_starts

SIZES = (60, 200, 1000, 4000)
STEPS = 64

Assign = Callable[[Iterable[str], int, int], dict[str, int]]


def assign_unbounded(groups: Iterable[str], per_shard: int, seed: int) -> dict[str, int]:
    """The same places and arcs, and every group in the shard whose arc it is on."""
    names = set(groups)
    arcs = sorted((start, n) for n, start in enumerate(shard_starts(count_shards(len(names), per_shard))))
    place = assignment._fraction
    return {
        name: arcs[bisect.bisect_right(arcs, (place(seed, "shard", name), math.inf)) - 1][1] for name in names
    }


def _contents(numbers: dict[str, int]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for group, number in numbers.items():
        found.setdefault(number, set()).add(group)
    return found


def count_rewritten(
    groups: Sequence[str], new: str, per_shard: int, seed: int = 0, assign: Assign = assign_shards
) -> int:
    """Shards that were there and hold other groups after one more came."""
    before, after = (_contents(assign(names, per_shard, seed)) for names in (groups, [*groups, new]))
    return sum(
        before.get(number) != after.get(number) for number in range(count_shards(len(groups), per_shard))
    )


def largest(groups: Sequence[str], per_shard: int, seed: int, assign: Assign = assign_shards) -> float:
    """Groups of the largest shard over the mean."""
    held = np.bincount(list(assign(groups, per_shard, seed).values()))
    return float(held.max()) * count_shards(len(groups), per_shard) / len(groups)


def _line(size: int, per_shard: int, seeds: int, assign: Assign) -> str:
    names = [f"youtube/{number:07d}" for number in range(size + STEPS)]
    ratios = [largest(names[:size], per_shard, seed, assign) for seed in range(seeds)]
    same: list[int] = []
    grown: list[int] = []
    for seed in range(seeds):
        for have in range(size, size + STEPS):
            count = count_rewritten(names[:have], names[have], per_shard, seed, assign)
            (grown if have % per_shard == 0 else same).append(count)
    found = [*same, *grown]
    return (
        f"{size:6d} {np.mean(ratios):9.2f} {max(ratios):6.2f} {np.mean(found):12.2f} {max(found):6d} "
        f"{np.mean(same) if same else math.nan:12.2f} {np.mean(grown):9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--per-shard", type=int, default=16, help="shard.groups (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    for title, assign in (("bounded loads", assign_shards), ("without a bound", assign_unbounded)):
        print(f"{title}, {options.per_shard} groups a shard, {options.seeds} seeds")
        print("groups  largest/mean        rewritten by one more")
        print("            mean  worst         mean  worst  same number  one more shard")
        for size in SIZES:
            print(_line(size, options.per_shard, options.seeds, assign), flush=True)


if __name__ == "__main__":
    main()
