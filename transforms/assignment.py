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


def assign_shards(groups: Iterable[str], per_shard: int, seed: int) -> dict[str, int]:
    """Consistent hashing of groups to shards numbered from 0 without gaps.

    A group that comes or goes changes its own shard. Where the number of shards
    grows by it, one more existing shard gives a part of its groups to the new one; nothing else moves. So a
    new clip rewrites at most two shards.

    Args:
      groups: names.
      per_shard: mean number of groups a shard.
      seed: other seeds give other assignments.

    Raises:
      ValueError: if `per_shard` is not positive.
    """
    names = sorted(set(groups))
    starts = sorted(
        (start, number) for number, start in enumerate(shard_starts(count_shards(len(names), per_shard)))
    )
    return {
        name: starts[bisect.bisect_right(starts, (_fraction(seed, "shard", name), math.inf)) - 1][1]
        for name in names
    }


def block_place(seed: int, group: str, frame: int, compression: str) -> float:
    """Place of a block (one group, frame and compression) in its shard: a seeded permutation.

    Blocks that come or go do not change the order of the others.
    """
    return _fraction(seed, "block", group, frame, compression)
