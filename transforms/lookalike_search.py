"""The search for crops that look alike across the split: hashed into buckets, then compared as pictures."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from transforms.lookalikes import EDGE, SIMILAR, correlate, detail, similarity

Indices = npt.NDArray[np.int64]

# Locality-sensitive hashing by bits (Indyk and Motwani 1998): two crops meet where all of some bits agree, in
# any of the tables.
_TABLES = 64
_BITS = 20
# Crops of a bucket that a crop is compared with, in one table.
_MOST = 256
# Of 256 bits: crops whose hashes differ in more are not compared.
_DISTANCE = 52
# Least correlation of thumbnails as they lie from which one is turned and shifted onto the other.
_NEAR = 0.6
# Most pairs of two groups that this is tried with, the nearest first.
_TRIES = 16
_CHUNK = 1 << 18
_POPCOUNT = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)


@dataclass(frozen=True)
class Crops:
    """Looks of crops, as `transforms.lookalikes.Looks` collects them.

    Attributes:
      hashes: (n, 32) uint8.
      thumbs: (n, EDGE * EDGE) uint8; may be mapped from a file.
      splits: (n,) number of each crop's split: 0, 1 or 2.
      groups: (n,) number of its group.
    """

    hashes: npt.NDArray[np.uint8]
    thumbs: npt.NDArray[np.uint8]
    splits: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two crops that look alike: positions, that of the earlier split first, and how much."""

    one: int
    other: int
    similarity: float


def find_pairs(crops: Crops) -> list[Pair]:
    """Crops of different splits that look alike, sorted.

    Not all pairs are compared, but those whose hashes are near each other. Of two groups that look alike at
    least one pair is given.
    """
    one, other = find_candidates(crops)
    found: list[Pair] = []
    doubtful: list[Pair] = []
    for start in range(0, len(one), _CHUNK >> 6):
        part = slice(start, start + (_CHUNK >> 6))
        near = correlate(_details(crops, one[part]), _details(crops, other[part]))
        for a, b, value in zip(one[part].tolist(), other[part].tolist(), near.tolist(), strict=True):
            if value >= SIMILAR:
                found.append(Pair(a, b, value))
            elif value >= _NEAR:
                doubtful.append(Pair(a, b, value))
    sure = {_groups(crops, pair) for pair in found}
    tries: Counter[tuple[int, int]] = Counter()
    for pair in sorted(doubtful, key=lambda pair: (-pair.similarity, pair.one, pair.other)):
        groups = _groups(crops, pair)
        tries[groups] += 1
        if groups not in sure and tries[groups] <= _TRIES:
            value = similarity(*_details(crops, np.array([pair.one, pair.other])))
            if value >= SIMILAR:
                found.append(Pair(pair.one, pair.other, value))
                sure.add(groups)
    return sorted(found, key=lambda pair: (pair.one, pair.other))


def _groups(crops: Crops, pair: Pair) -> tuple[int, int]:
    return int(crops.groups[pair.one]), int(crops.groups[pair.other])


def _details(crops: Crops, rows: Indices) -> npt.NDArray[np.float32]:
    return detail(crops.thumbs[rows].reshape(-1, EDGE, EDGE))


def find_candidates(crops: Crops) -> tuple[Indices, Indices]:
    """Pairs of crops of different splits with hashes that are near each other, without repetition."""
    random = np.random.default_rng(0)
    sides = [np.flatnonzero(crops.splits == split) for split in range(3)]
    codes: list[Indices] = [np.zeros(0, np.int64)]
    for _ in range(_TABLES):
        values = _sample(crops.hashes, random.choice(256, _BITS, replace=False))
        for first, second in combinations(sides, 2):
            for one, other in _meet(values, first, second):
                near = _distances(crops.hashes, one, other) <= _DISTANCE
                codes.append(one[near] * len(values) + other[near])
        codes = [np.unique(np.concatenate(codes))]
    return codes[0] // max(1, len(crops.hashes)), codes[0] % max(1, len(crops.hashes))


def _sample(hashes: npt.NDArray[np.uint8], bits: Indices) -> npt.NDArray[np.uint32]:
    values = np.zeros(len(hashes), np.uint32)
    for bit in bits.tolist():
        values = values << np.uint32(1) | (hashes[:, bit >> 3] >> np.uint8(bit & 7) & np.uint8(1))
    return values


def _meet(
    values: npt.NDArray[np.uint32], first: Indices, second: Indices
) -> Iterator[tuple[Indices, Indices]]:
    """Pairs from two sides with equal values, some at a time."""
    ordered = second[np.argsort(values[second], kind="stable")]
    starts = np.searchsorted(values[ordered], values[first], "left")
    counts = np.minimum(np.searchsorted(values[ordered], values[first], "right") - starts, _MOST)
    first, starts, counts = first[counts > 0], starts[counts > 0], counts[counts > 0]
    step = _CHUNK // _MOST
    for begin in range(0, len(first), step):
        some = counts[begin : begin + step]
        places = np.arange(some.sum()) - np.repeat(np.cumsum(some) - some, some)
        yield (
            np.repeat(first[begin : begin + step], some),
            ordered[np.repeat(starts[begin : begin + step], some) + places],
        )


def _distances(hashes: npt.NDArray[np.uint8], one: Indices, other: Indices) -> npt.NDArray[np.int64]:
    differ = np.ascontiguousarray(hashes[one] ^ hashes[other]).view(np.uint16)
    return _POPCOUNT[differ].sum(1, dtype=np.int64)
