import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.balance import count_rewritten
from transforms.assignment import assign_shards, block_place, count_shards, most_groups, shard_starts

names = st.sets(st.text("abcdefgh0123", min_size=1, max_size=6), min_size=1, max_size=120)


@given(names, st.integers(1, 20), st.integers(0, 3))
def test_every_group_has_a_shard_that_exists(groups, per_shard, seed):
    numbers = assign_shards(groups, per_shard, seed)
    assert set(numbers) == groups
    assert set(numbers.values()) <= set(range(count_shards(len(groups), per_shard)))


@given(names, st.integers(1, 20), st.integers(0, 3))
def test_no_shard_holds_more_than_it_may(groups, per_shard, seed):
    held = Counter(assign_shards(groups, per_shard, seed).values())
    assert max(held.values()) <= most_groups(per_shard)


@pytest.mark.parametrize("seed", range(20))
def test_at_a_thousand_groups_the_largest_shard_is_at_most_one_and_a_half_times_the_mean(seed):
    held = Counter(assign_shards((f"youtube/{n:03d}" for n in range(1000)), 16, seed).values())
    assert max(held.values()) <= 1.5 * 1000 / count_shards(1000, 16)


@pytest.mark.parametrize("per_shard", [1, 4, 16])
def test_a_new_group_rewrites_few_shards(per_shard):
    groups = [f"g/{n}" for n in range(480)]
    rewritten = [count_rewritten(groups[:size], f"new/{size}", per_shard) for size in range(160, 480, 5)]
    assert sum(rewritten) / len(rewritten) < 2
    assert max(rewritten) <= 8


@given(names, st.integers(1, 20))
def test_names_alone_decide(groups, per_shard):
    assert assign_shards(sorted(groups), per_shard, 5) == assign_shards(
        sorted(groups, reverse=True), per_shard, 5
    )


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 64, 1000])
def test_no_arc_is_longer_than_its_bound(shards):
    starts = sorted(shard_starts(shards))
    arcs = [b - a for a, b in zip(starts, [*starts[1:], starts[0] + 1], strict=True)]
    assert max(arcs) * shards <= 1 / math.log(2) + 1e-9


def test_seeds_differ():
    groups = {f"youtube/{n:03d}" for n in range(100)}
    assert assign_shards(groups, 10, 0) != assign_shards(groups, 10, 1)
    assert block_place(0, "a", 1, "raw") != block_place(1, "a", 1, "raw")


def test_a_shard_of_no_groups_is_refused():
    with pytest.raises(ValueError, match=r"shard\.groups"):
        assign_shards({"a"}, 0, 0)
