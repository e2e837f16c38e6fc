from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clip import SPLITS
from transforms.indexing.layout import DatasetError, Listing
from transforms.indexing.listfiles import read_lists, read_table
from transforms.indexing.splits import Lists, hash_splits, repair, straddlers

FFPP = Path(__file__).parents[2] / "shared/data/ffpp"
needs_ffpp = pytest.mark.skipif(not FFPP.is_dir(), reason=f"the official lists are not in {FFPP}")


def listing(files):
    def read_text(path):
        if path not in files:
            raise FileNotFoundError(path)
        content = files[path]
        return content.decode() if isinstance(content, bytes) else content

    return Listing("ROOT", sorted(files), read_text)


@st.composite
def split_lists(draw):
    """Disjoint pairs on the three sides, and what some of their ids were cut from."""
    sides = draw(st.lists(st.sampled_from(SPLITS), max_size=15))
    pairs = {(f"{2 * n:03}", f"{2 * n + 1:03}"): side for n, side in enumerate(sides)}
    ids = {one: side for pair, side in pairs.items() for one in pair}
    origins = {one: draw(st.sampled_from("ABCDEFGH")) for one in ids if draw(st.booleans())}
    return Lists(ids, frozenset({*pairs, *(pair[::-1] for pair in pairs)})), origins


@given(split_lists())
def test_the_repaired_split_never_leaks(given_lists):
    lists, origins = given_lists
    repaired, moves = repair(lists, origins)
    assert straddlers(repaired, origins) == {}
    assert repaired.pairs == lists.pairs
    assert all(repaired.ids[a] == repaired.ids[b] for a, b in repaired.pairs)
    for one, split in lists.ids.items():
        assert SPLITS.index(repaired.ids[one]) >= SPLITS.index(split)  # never less held out
    for move in moves:
        assert {lists.ids[one] for one in move.ids} == {move.before}
        assert {repaired.ids[one] for one in move.ids} == {move.after}
    moved = [one for move in moves for one in move.ids]
    assert sorted(moved) == sorted(one for one in lists.ids if lists.ids[one] != repaired.ids[one])
    assert repair(repaired, origins) == (repaired, [])
    if not straddlers(lists, origins):
        assert repaired == lists


groups = st.lists(st.lists(st.integers(0, 30).map(str), min_size=1, max_size=3), max_size=30)


@given(groups, st.integers(0, 3), st.randoms())
def test_the_hash_split_never_separates_and_needs_no_order(sets, seed, random):
    split = hash_splits(sets, seed)
    assert all(len({split[one] for one in members}) == 1 for members in sets)
    assert hash_splits(random.sample(sets, len(sets)), seed) == split


def test_the_hash_split_has_its_shares_and_a_seed():
    sets = [(f"x:{number}",) for number in range(20_000)]
    counts = Counter(hash_splits(sets).values())
    assert [round(counts[split] / 20_000, 2) for split in SPLITS] == [0.72, 0.14, 0.14]
    assert hash_splits(sets, 1) != hash_splits(sets)


def test_a_fake_is_where_its_pair_is_listed():
    lists = Lists(
        {"000": "val", "003": "val", "001": "val", "002": "val"}, frozenset({("000", "003"), ("003", "000")})
    )
    assert lists.of("000", "003") == lists.of("003", "000") == lists.of("000") == "val"
    assert lists.of("000", "001") is None
    assert lists.of("999") is None


@needs_ffpp
def test_the_official_split_has_seven_videos_on_two_sides():
    real = Listing("ffpp", (), lambda path: (FFPP / path).read_text())
    lists, used = read_lists(real, "copy it")
    table, _ = read_table(real, "conversion_dict.json", "copy it")
    origins = {one: text.split()[0] for one, text in table.items()}
    assert used == ["train.json", "val.json", "test.json"]
    assert Counter(lists.ids.values()) == {"train": 720, "val": 140, "test": 140}
    found = {ids: tuple(lists.ids[one] for one in ids) for ids in straddlers(lists, origins).values()}
    assert found == {
        ("605", "606"): ("train", "val"),
        ("639", "640"): ("train", "val"),
        ("755", "756"): ("test", "train"),
        ("837", "838"): ("val", "train"),
        ("875", "876"): ("val", "train"),
        ("954", "955"): ("train", "test"),
        ("982", "983"): ("val", "train"),
    }
    repaired, moves = repair(lists, origins)
    assert straddlers(repaired, origins) == {}
    assert [len(move.ids) for move in moves] == [2] * 7
    assert Counter(repaired.ids.values()) == {"train": 706, "val": 150, "test": 144}


GOOD = {"train.json": '[["000", "003"]]', "val.json": "[]", "test.json": '[["001", "002"]]'}


def test_lists_are_found_in_splits_too():
    lists, used = read_lists(listing({f"splits/{name}": text for name, text in GOOD.items()}), "copy it")
    assert lists.ids == {"000": "train", "003": "train", "001": "test", "002": "test"}
    assert used == ["splits/train.json", "splits/val.json", "splits/test.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"val.json": None}, "ROOT: neither val.json nor splits/val.json is there; copy it"),
        ({"val.json": "[[1, 2]"}, r"ROOT/val.json: not JSON at line 1, column 8 \(.*\); copy it"),
        ({"val.json": ""}, "ROOT/val.json: not JSON at line 1, column 1"),
        ({"val.json": "<!DOCTYPE html>"}, "ROOT/val.json: not JSON at line 1, column 1"),
        ({"val.json": b'["\xff"]'}, "ROOT/val.json: not UTF-8 at byte 2; copy it"),
        ({"val.json": "{}"}, "ROOT/val.json: holds an object, not a list of pairs; copy it"),
        ({"val.json": "null"}, "ROOT/val.json: holds a number or null, not a list"),
        (
            {"val.json": '[["004", "005"], ["006"]]'},
            r'ROOT/val.json: entry 1 is \["006"\], not a pair of ids',
        ),
        ({"val.json": "[[4, 5]]"}, r"ROOT/val.json: entry 0 is \[4, 5\], not a pair"),
        ({"val.json": '["000", "003"]'}, 'ROOT/val.json: entry 0 is "000", not a pair'),
        ({"val.json": '[["000", "004"]]'}, "ROOT/val.json: '000' is in ROOT/train.json too"),
    ],
)
def test_a_broken_list_is_named_with_its_place_and_the_remedy(change, said):
    files = {name: text for name, text in {**GOOD, **change}.items() if text is not None}
    with pytest.raises(DatasetError, match=said):
        read_lists(listing(files), "copy it")


def test_tables():
    table = {"t.json": '{"000": "abc 0"}'}
    assert read_table(listing(table), "t.json", "copy it") == ({"000": "abc 0"}, ["t.json"])
    assert read_table(listing({}), "t.json", "copy it") == ({}, [])
    for text, said in (("[]", "holds a list, not an object"), ('{"0": " "}', "'0' is \" \", not a text")):
        with pytest.raises(DatasetError, match=said):
            read_table(listing({"t.json": text}), "t.json", "copy it")
