"""Moves that end all leaks: what they are, how they lie in a file, and what they do to a dataset."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Clip
from schemas.clip import SPLITS
from transforms.indexing.layout import DatasetError, Declared
from transforms.indexing.moves import (
    GroupMove,
    apply_moves,
    merge,
    plan_moves,
    read_moves,
    write_moves,
)
from transforms.leaks import Lookalike, find_leaks, leaks


def clip(name: str, group: str, split, *identities: str, dataset: str = "d") -> Clip:
    return Clip(dataset, name, group, "real", "real", "c23", split, identities=identities)


@st.composite
def trees(draw):
    """Clips of two datasets with random identities, groups on one side each, and groups that look alike."""
    sides = draw(st.lists(st.tuples(st.sampled_from("de"), st.sampled_from(SPLITS)), max_size=12))
    clips = [
        clip(
            f"{number}/{n}.mp4",
            f"g{number}",
            split,
            *draw(st.sets(st.sampled_from("abcdefgh"), max_size=2)),
            dataset=dataset,
        )
        for number, (dataset, split) in enumerate(sides)
        for n in range(draw(st.integers(1, 3)))
    ]
    alike = []
    for a, b in (
        draw(st.lists(st.tuples(st.sampled_from(clips), st.sampled_from(clips)), max_size=3)) if clips else ()
    ):
        one, other = sorted((a, b), key=lambda clip: SPLITS.index(clip.split))
        if one.split != other.split:
            alike.append(look(one, other))
    return clips, alike


def look(one: Clip, other: Clip) -> Lookalike:
    return Lookalike(
        groups=(f"{one.dataset}/{one.group}", f"{other.dataset}/{other.group}"),
        splits=(one.split, other.split),
        clips=(f"{one.dataset}/{one.clip}", f"{other.dataset}/{other.clip}"),
        samples=("a", "b"),
        counts=(1, 1),
        similarity=0.95,
    )


def move(clips: list[Clip], moves: list[GroupMove]) -> list[Clip]:
    moved: list[Clip] = []
    for dataset in sorted({clip.dataset for clip in clips}):
        mine = tuple(clip for clip in clips if clip.dataset == dataset)
        moved += apply_moves(Declared(mine, ()), dataset, moves).clips
    return moved


@settings(deadline=None)
@given(trees())
def test_after_the_moves_nothing_leaks(tree):
    clips, alike = tree
    leaked = find_leaks(clips, alike)
    moves = plan_moves(clips, leaked)
    moved = move(clips, moves)
    sides = {(clip.dataset, clip.group): clip.split for clip in moved}
    assert len({(clip.dataset, clip.group, clip.split) for clip in moved}) == len(sides)
    left = [pair for pair in alike if len({sides[group[0], group[2:]] for group in pair.groups}) > 1]
    assert find_leaks(moved, left) == [] == left
    assert plan_moves(moved, []) == []
    if not leaked:
        assert moves == []
    before = {(clip.dataset, clip.group): clip.split for clip in clips}
    for one in moves:
        assert before[one.dataset, one.group] == one.before != one.after
        assert SPLITS.index(one.after) > SPLITS.index(one.before)  # never less held out
        assert one.because
    assert len({(one.dataset, one.group) for one in moves}) == len(moves)


@settings(deadline=None)
@given(trees(), st.randoms())
def test_leaks_and_moves_need_no_order(tree, random):
    clips, alike = tree
    leaked = find_leaks(clips, alike)
    shuffled = random.sample(clips, len(clips))
    again = find_leaks(shuffled, random.sample(alike, len(alike)))
    assert again == leaked
    assert plan_moves(shuffled, again) == plan_moves(clips, leaked)


def test_a_component_moves_as_a_whole_and_says_why():
    clips = [
        clip("a", "ga", "train", "x:1", "x:2"),
        clip("b", "gb", "train", "x:2"),
        clip("c", "gc", "val", "x:1"),
        clip("still", "gs", "test", dataset="e"),
        clip("alone", "gz", "train", "x:9"),
    ]
    found = find_leaks(clips, [look(clips[1], clips[3])])
    assert [(leak.kind, leak.identity, leak.component) for leak in found] == [
        ("identity", "x:1", "d/ga"),
        ("lookalike", "", "d/ga"),
    ]
    assert found[0].groups == ("d/ga", "d/gc")
    moves = plan_moves(clips, found)
    assert [(one.group, one.before, one.after, one.because) for one in moves] == [
        ("ga", "train", "test", "x:1 is in train and val"),
        ("gb", "train", "test", "d/b in train looks like e/still in test (0.95)"),
        ("gc", "val", "test", "x:1 is in train and val"),
    ]


def test_what_identities_say_is_not_said_again_by_looks():
    one, other = clip("a", "ga", "train", "x:1"), clip("b", "gb", "test", "x:1")
    assert [leak.kind for leak in find_leaks([one, other], [look(one, other)])] == ["identity"]
    other = replace(other, identities=("x:2",))
    assert [leak.kind for leak in find_leaks([one, other], [look(one, other)])] == ["lookalike"]


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(st.builds(GroupMove, names, names, st.sampled_from(SPLITS), st.sampled_from(SPLITS), names)))
def test_moves_come_back_from_their_file(tmp_path_factory, moves):
    path = tmp_path_factory.mktemp("moves") / "moves.csv"
    write_moves(path, moves)
    assert read_moves(path) == moves


def test_later_moves_add_to_earlier_ones():
    first = GroupMove("d", "a", "train", "val", "one")
    other = GroupMove("d", "b", "train", "test", "one")
    assert merge([first, other], [GroupMove("d", "a", "val", "test", "two")]) == [
        GroupMove("d", "a", "train", "test", "two"),
        other,
    ]
    assert merge([first], [GroupMove("d", "a", "val", "train", "back")]) == []


def test_a_file_by_hand_needs_three_columns(tmp_path):
    path = tmp_path / "moves.csv"
    path.write_text('after,group,dataset\ntest,"a,b",d\nval,007,d\n')
    assert read_moves(path) == [GroupMove("d", "a,b", "", "test", ""), GroupMove("d", "007", "", "val", "")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not readable as CSV"),
        (
            "dataset,group\nd,a\n",
            "line 1: no column after among dataset, group; the header is dataset,group,b",
        ),
        ("dataset;group;after\nd;a;test\n", "line 1: no column dataset, group, after"),
        ("dataset,group,after\nd,a,test\nd,b,Test\n", "line 3: after is 'Test', not one of train, val, test"),
        ("dataset,group,after\nd,,test\n", "line 2: names no dataset or no group"),
        ("dataset,group,after\nd,a,test\nd,a\n", "Row #3: Expected 3 columns, got 2"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, said):
    path = tmp_path / "moves.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=said) as error:
        read_moves(path)
    assert str(path) in str(error.value)
    with pytest.raises(DatasetError, match="No such file"):
        read_moves(tmp_path / "nothing.csv")


def test_moves_of_groups_that_are_not_here_are_noted():
    declared = Declared((clip("a", "ga", "train", "x:1"), clip("b", "gb", "val")), (), ("before",))
    moves = [
        GroupMove("d", "ga", "train", "val", ""),
        GroupMove("d", "ga", "val", "test", ""),
        GroupMove("d", "gb", "train", "val", ""),
        GroupMove("d", "gone", "train", "test", ""),
        GroupMove("other", "gb", "val", "test", ""),
    ]
    moved = apply_moves(declared, "d", moves)
    assert [one.split for one in moved.clips] == ["test", "val"]
    assert moved.clips[1] is declared.clips[1]
    assert moved.notes == (
        "before",
        "moves: 1 group (ga) went to another side of the split",
        "moves: not in this dataset: 1 group (gone); nothing to move there",
    )
    assert apply_moves(declared, "e", moves[:4]) == declared
    assert leaks(moved.clips) == []
