import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.loading import plan
from training.loading.plan import Place

CONSUMERS = st.tuples(st.integers(1, 4), st.integers(1, 4))


def places(world, workers):
    return [Place(rank, world, worker, workers) for rank in range(world) for worker in range(workers)]


@given(st.integers(0, 300), CONSUMERS)
def test_an_evaluation_holds_every_sample_once(samples, consumers):
    parts = [plan.slice_rows(samples, place) for place in places(*consumers)]
    assert [row for begin, end in parts for row in range(begin, end)] == list(range(samples))
    sizes = [end - begin for begin, end in parts]
    assert max(sizes) - min(sizes) <= 1


@st.composite
def pools(draw):
    """Classes of rows in shards of any mixture, each class at least once."""
    fake = np.array(draw(st.lists(st.booleans(), min_size=2, max_size=200)))
    fake[:2] = [False, True]
    breaks = np.array(draw(st.lists(st.booleans(), min_size=len(fake), max_size=len(fake))))
    return fake, np.cumsum(breaks) - breaks[0]


def recipes(fake, shard_of, half, world, workers, shuffle=5, seed=0, epoch=0):
    kinds = {"real": np.flatnonzero(~fake)[:, None], "fake": np.flatnonzero(fake)[:, None]}
    steps = plan.count_steps(max(map(len, kinds.values())), half, world)
    lines = plan.order_lines(kinds, dict.fromkeys(kinds, half), shard_of, seed, epoch)
    found = [plan.make_recipe(lines, steps, shuffle, seed, epoch, place) for place in places(world, workers)]
    return kinds, lines, steps, found


@given(pools(), st.integers(1, 8), CONSUMERS)
def test_ranks_have_equal_steps_and_consumers_show_samples_equally_often(pool, half, consumers):
    fake, shard_of = pool
    world, workers = consumers
    kinds, lines, steps, found = recipes(fake, shard_of, half, world, workers)
    for rank in range(world):
        mine = found[rank * workers : (rank + 1) * workers]
        assert sorted(number for recipe in mine for number in recipe.batches) == list(range(steps))
    for recipe in found:
        for kind, part in recipe.parts.items():
            drawn = recipe.draws[kind]
            assert drawn.shape == (len(recipe.batches), half)
            times = np.bincount(drawn.ravel(), minlength=len(part))
            assert times.max() - times.min() <= 1
            assert set(part[:, 0]) <= set(kinds[kind][:, 0])
            turns = lines.turns[shard_of[part[:, 0]]]
            assert (np.diff(turns) >= 0).all()
    most = max(kinds, key=lambda kind: len(kinds[kind]))
    if len(kinds[most]) >= world * workers:
        for kind, units in kinds.items():
            if len(units) >= world * steps:  # no consumer is without a sample of its own
                rows = np.concatenate([recipe.parts[kind][:, 0] for recipe in found if recipe.batches])
                assert sorted(rows) == sorted(units[:, 0])


@given(pools(), st.integers(1, 8), CONSUMERS)
def test_repeats_and_drops_are_counted(pool, half, consumers):
    fake, shard_of = pool
    kinds, _, steps, found = recipes(fake, shard_of, half, *consumers)
    drawn = {k: [recipe.parts[k][recipe.draws[k]] for recipe in found] for k in kinds}
    counted = plan.count_shown({k: (len(kinds[k]), drawn[k]) for k in kinds}, steps, left_out=3)
    repeats = drops = 0
    for kind, units in kinds.items():
        times = np.bincount(np.concatenate([rows.ravel() for rows in drawn[kind]]), minlength=len(fake))
        times = times[units[:, 0]]
        assert counted.kinds[kind][:2] == (len(units), steps * half * consumers[0])
        repeats += int(np.maximum(times - 1, 0).sum())
        drops += int((times == 0).sum())
    assert (counted.repeats, counted.drops) == (repeats, drops + 3)


@given(st.integers(1, 60), st.integers(0, 200), st.floats(0.01, 0.99), st.integers(0, 9))
def test_no_sample_waits_longer_than_the_window(samples, slots, share, seed):
    drawn = plan.spread(samples, slots, share, np.random.default_rng(seed))
    times = np.bincount(drawn, minlength=samples)
    assert len(drawn) == slots
    assert times.max() - times.min() <= 1
    copies = np.repeat(np.arange(samples), times)
    window = int(np.ceil(share * slots))
    for slot, sample in enumerate(drawn):  # a sample is read before its turn, and soon after it was read
        where = np.flatnonzero(copies == sample)
        assert where[0] <= slot + window
        assert where[-1] >= slot - window


def test_a_shuffle_moves_samples_all_over_its_window():
    drawn = plan.spread(10_000, 10_000, 0.1, np.random.default_rng(0))
    moved = np.arange(10_000) - drawn
    assert np.abs(moved).max() <= 1000
    assert np.abs(moved).mean() > 200
    whole = plan.spread(10_000, 10_000, 1.0, np.random.default_rng(0))
    assert np.abs(np.arange(10_000) - whole).mean() == pytest.approx(10_000 / 3, rel=0.05)


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 9), CONSUMERS)
def test_labelled_samples_take_turns_over_all_consumers(samples, slots, steps, consumers):
    drawn = [plan.draw_labelled(samples, slots, steps, 0, 0, place) for place in places(*consumers)]
    for place, mine in zip(places(*consumers), drawn, strict=True):
        assert mine.shape == (len(plan.batches_of(place, steps)), slots)
    times = np.bincount(np.concatenate([mine.ravel() for mine in drawn]), minlength=samples)
    assert times.max() - times.min() <= 1


def test_classes_in_shards_of_their_own_are_read_apart():
    fake = np.r_[np.zeros(500, bool), np.ones(500, bool)]
    mixed = np.tile([False, True], 500)
    shard_of = np.repeat(np.arange(10), 100)
    (apart,) = recipes(fake, shard_of, 4, 1, 1, shuffle=50)[3]
    (together,) = recipes(mixed, shard_of, 4, 1, 1, shuffle=50)[3]
    (small,) = recipes(fake, shard_of, 4, 1, 1, shuffle=1000)[3]
    assert not apart.together
    assert together.together
    assert small.together


def test_seeds_epochs_and_places_have_their_own_orders():
    fake, shard_of = np.tile([False, True], 100), np.repeat(np.arange(10), 20)

    def order(world=1, **names):
        found = recipes(fake, shard_of, 4, world, 1, **names)[3]
        return [np.concatenate([r.parts[k][r.draws[k]].ravel() for k in r.parts]).tolist() for r in found]

    assert order() == order()
    assert order() != order(seed=1)
    assert order() != order(epoch=1)
    turns = [recipes(fake, shard_of, 4, 1, 1, epoch=epoch)[1].turns.tolist() for epoch in range(2)]
    assert turns[0] != turns[1]
    one, other = order(world=2)
    assert not set(one) & set(other)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("shuffle", [50, 200])
def test_no_more_samples_wait_than_asked_for(mixed, shuffle):
    fake = np.arange(3000) % 6 > 0 if mixed else np.arange(3000) > 500
    shard_of = np.repeat(np.arange(10), 300)
    for recipe in recipes(fake, shard_of, 8, 1, 2, shuffle)[3]:
        lines = recipes(fake, shard_of, 8, 1, 2, shuffle)[1]
        drawn = {kind: recipe.parts[kind][recipe.draws[kind]][..., 0] for kind in recipe.parts}
        streams = [list(drawn)] if recipe.together else [[kind] for kind in drawn]
        waiting = np.zeros(len(recipe.batches), int)
        for kinds in streams:
            shown = np.concatenate([drawn[kind] for kind in kinds], axis=1)
            order = lines.in_order(shown).tolist()
            place = {row: number for number, row in enumerate(order)}
            read = np.maximum.accumulate([max(place[row] for row in batch) for batch in shown.tolist()]) + 1
            last = {row: number for number, batch in enumerate(shown.tolist()) for row in batch}
            done = np.cumsum(np.bincount(list(last.values()), minlength=len(shown)))
            waiting += read - done
        assert recipe.together == mixed
        assert shuffle / 4 < waiting.max() <= 1.2 * shuffle + 16
