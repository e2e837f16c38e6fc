from hypothesis import given
from hypothesis import strategies as st

from schemas import Clip, Leak
from schemas.clip import SPLITS
from transforms.leaks import components, leaks


def clip(name, split, *identities, dataset="d"):
    return Clip(dataset, name, f"g/{name}", "real", "real", "c23", split, identities=identities)


def test_an_identity_in_two_splits_is_a_leak_with_examples():
    found = leaks(
        [
            clip("b.mp4", "train", "youtube:001", "origin:x"),
            clip("c.mp4", "test", "youtube:002", "origin:x"),
            clip("a.mp4", "train", "youtube:003", "origin:x"),
            clip("d.mp4", "val", "youtube:004"),
        ]
    )
    assert found == [Leak("origin:x", ("train", "test"), ("d/a.mp4", "d/c.mp4"), (2, 1))]


def test_other_datasets_count_and_other_kinds_do_not():
    assert leaks([clip("a", "train", "actor:01"), clip("b", "test", "actor:01", dataset="e")]) == [
        Leak("actor:01", ("train", "test"), ("d/a", "e/b"), (1, 1))
    ]
    assert leaks([clip("a", "train", "actor:01"), clip("b", "test", "youtube:01")]) == []
    assert leaks([clip("a", "train"), clip("b", "test")]) == []


def test_an_identity_that_a_clip_names_twice_counts_once():
    (leak,) = leaks([clip("a", "train", "x:1", "x:1"), clip("b", "val", "x:1")])
    assert leak.counts == (1, 1)


sets = st.lists(st.lists(st.integers(0, 12).map(lambda n: f"x:{n:02}"), min_size=1, max_size=3), max_size=20)


@given(sets, st.randoms())
def test_components_join_what_is_joined_and_nothing_else(groups, random):
    found = components(groups)
    shuffled = [random.sample(group, len(group)) for group in random.sample(groups, len(groups))]
    assert components(shuffled) == found
    assert set(found) == {one for group in groups for one in group}
    for group in groups:
        assert len({found[one] for one in group}) == 1
    # Naive closure: no two sets of one component are apart.
    for name in set(found.values()):
        reached = {name}
        for _ in groups:
            reached |= {one for group in groups if reached & set(group) for one in group}
        assert reached == {one for one, other in found.items() if other == name}


@given(
    st.lists(st.tuples(st.sampled_from(SPLITS), st.sets(st.sampled_from("abcd"), max_size=3)), max_size=12)
)
def test_leaks_are_those_of_the_definition(rows):
    clips = [clip(str(number), split, *who) for number, (split, who) in enumerate(rows)]
    sides = {one: {split for split, who in rows if one in who} for one in "abcd"}
    assert [leak.identity for leak in leaks(clips)] == sorted(one for one, at in sides.items() if len(at) > 1)
