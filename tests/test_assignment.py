import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.assignment import assign_shards, block_place, count_shards, shard_starts

names = st.sets(st.text("abcdefgh0123", min_size=1, max_size=6), min_size=1, max_size=120)


@given(names, st.integers(1, 20), st.integers(0, 3))
def test_every_group_has_a_shard_that_exists(groups, per_shard, seed):
    numbers = assign_shards(groups, per_shard, seed)
    assert set(numbers) == groups
    assert set(numbers.values()) <= set(range(count_shards(len(groups), per_shard)))


@given(names, st.text("xyz", min_size=1, max_size=4), st.integers(1, 20))
def test_a_new_group_rewrites_at_most_two_shards(groups, new, per_shard):
    before = assign_shards(groups, per_shard, 0)
    after = assign_shards(groups | {new}, per_shard, 0)

    def contents(numbers):
        shards = {}
        for group, number in numbers.items():
            shards.setdefault(number, set()).add(group)
        return shards

    old, now = contents(before), contents(after)
    rewritten = [n for n in range(count_shards(len(groups), per_shard)) if old.get(n) != now.get(n)]
    assert len(rewritten) <= 2


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
