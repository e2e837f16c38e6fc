import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Clip, Leak
from schemas.clip import SPLITS
from transforms.indexing.moves import plan_moves
from transforms.leaks import components, find_leaks, group_of, leaks

FFPP = Path(__file__).parents[2] / "shared/data/ffpp"


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


def test_a_file_that_is_there_twice_is_a_leak():
    one, other = (
        replace(clip(name, split), sha256="f" * 64) for name, split in (("a", "train"), ("b", "val"))
    )
    (leak,) = leaks([one, other])
    assert (leak.identity, leak.clips) == (f"file:{'f' * 64}", ("d/a", "d/b"))
    assert leaks([one, replace(other, split="train")]) == []


def test_frames_of_another_dataset_are_found_by_the_ids_of_their_clips():
    tested = [
        clip("original_sequences/youtube/c23/videos/000.mp4", "test", "youtube:000", dataset="ffpp"),
        clip(
            "manipulated_sequences/FaceSwap/c23/videos/003_000.mp4",
            "test",
            "youtube:003",
            "youtube:000",
            dataset="ffpp",
        ),
    ]
    trained = clip(
        "identity_swap/train/003_000_12.png", "train", "youtube:003", "youtube:000", dataset="dffd"
    )
    other = clip("ffhq/train/00001.png", "train", "ffhq:00001", dataset="dffd")
    found = find_leaks([*tested, trained, other])
    assert [(leak.identity, leak.splits, leak.counts) for leak in found] == [
        ("youtube:000", ("train", "test"), (1, 2)),
        ("youtube:003", ("train", "test"), (1, 1)),
    ]
    assert {leak.component for leak in found} == {min(group_of(one) for one in (*tested, trained))}


@pytest.mark.skipif(not FFPP.is_dir(), reason=f"the official lists are not in {FFPP}")
def test_the_seven_straddlers_of_the_official_split_are_named_and_move():
    cut_from = json.loads((FFPP / "conversion_dict.json").read_text())
    clips = [
        clip(one, split, f"youtube:{one}", f"youtube:{other}", f"origin:{cut_from[one].split()[0]}")
        for split in SPLITS
        for pair in json.loads((FFPP / f"{split}.json").read_text())
        for one, other in (pair, pair[::-1])
    ]
    found = find_leaks(clips)
    origins = {one: cut_from[one].split()[0] for one in cut_from}
    pairs = ("605 606", "639 640", "755 756", "837 838", "875 876", "954 955", "982 983")
    assert {leak.identity for leak in found} == {f"origin:{origins[pair.split()[0]]}" for pair in pairs}
    assert {" ".join(sorted(name.split("/")[-1] for name in leak.clips)) for leak in found} == set(pairs)
    after = {move.group: move.after for move in plan_moves(clips, found)}
    moved = [replace(one, split=after.get(one.group, one.split)) for one in clips]
    assert Counter(one.split for one in moved) == {
        "train": 706,
        "val": 150,
        "test": 144,
    }  # As the repaired split.
    assert leaks(moved) == []


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
