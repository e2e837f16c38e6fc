"""Which group goes to which shard, and where its blocks stand there: functions of names and a seed."""

import bisect
import hashlib
import math
from collections.abc import Iterable


def _fraction(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    name = "\x1f".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") / 2**64


def shard_starts(shards: int) -> list[float]:
    """Where each shard's arc of the circle [0, 1) starts: frac(log2(2 k + 1)) for shard k.

    Adding shard n splits one arc and leaves the others as they are, and no arc is ever longer than
    1 / ln 2 = 1.44 times the mean (de Bruijn and Erdős 1949, "Sequences of points on a circle").
    """
    return [math.log2(2 * k + 1) % 1.0 for k in range(shards)]


def count_shards(groups: int, per_shard: int) -> int:
    """Number of shards for a number of groups.

    Raises:
      ValueError: if `per_shard` is not positive.
    """
    if per_shard < 1:
        raise ValueError(f"shard.groups must be at least 1, not {per_shard}")
    return math.ceil(groups / per_shard)


def most_groups(per_shard: int) -> int:
    """Most groups that a shard may hold: 1.45 times the mean; for small shards two more than it.

    The room above the mean is what keeps a change local: a tighter bound rewrites more shards.
    """
    return max(per_shard * 145 // 100, per_shard + 2)


def _offset(turn: int) -> float:
    """How far along the circle a group looks in its n-th turn: 0, 1/2, 1/4, 3/4, 1/8 … (van der Corput)."""
    offset, step = 0.0, 0.5
    while turn:
        offset += step * (turn & 1)
        turn, step = turn >> 1, step / 2
    return offset


def assign_shards(groups: Iterable[str], per_shard: int, seed: int) -> dict[str, int]:
    """Consistent hashing with bounded loads of groups to shards numbered from 0 without gaps.

    Every group has a place on the circle and goes to the shard whose arc it is on. A shard takes
    `most_groups` of them at most, in the order of their places; the others look half the circle further, then
    a quarter, and so on (after Mirrokni, Thorup and Zadimoghaddam 2018, arXiv 1608.01350). What does not fit
    in one shard so goes to one or two others, and comes back from there together.

    A group that comes or goes changes its own shard, and those of the few that change places with it. Where
    the number of shards grows by it, one shard gives a part of its groups to the new one, and what did not
    fit there before comes back (`benchmarks.balance` counts it). The result depends on the set of names
    alone, not on their order.

    Args:
      groups: names.
      per_shard: mean number of groups a shard.
      seed: other seeds give other assignments.

    Raises:
      ValueError: if `per_shard` is not positive.
    """
    names = set(groups)
    shards = count_shards(len(names), per_shard)
    arcs = sorted((start, number) for number, start in enumerate(shard_starts(shards)))
    starts = [start for start, _ in arcs]
    room = [most_groups(per_shard)] * shards
    waiting = sorted((_fraction(seed, "shard", name), name) for name in names)
    found: dict[str, int] = {}
    turn = 0
    while waiting:
        offset, left = _offset(turn), []
        for place, name in waiting:
            number = arcs[bisect.bisect_right(starts, (place + offset) % 1.0) - 1][1]
            if room[number]:
                room[number] -= 1
                found[name] = number
            else:
                left.append((place, name))
        waiting, turn = left, turn + 1
    return found


def block_place(seed: int, group: str, frame: int, compression: str) -> float:
    """Place of a block (one group, frame and compression) in its shard: a seeded permutation.

    Blocks that come or go do not change the order of the others.
    """
    return _fraction(seed, "block", group, frame, compression)
