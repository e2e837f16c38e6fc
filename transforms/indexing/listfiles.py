"""Split lists and tables of ids: JSON files that stand in a dataset's folder."""

from collections.abc import Sequence
from typing import Any

from schemas.clip import SPLITS, Split
from transforms.indexing.layout import DatasetError, Listing
from transforms.indexing.splits import Lists
from transforms.indexing.texts import kind_of, parse_json, read_text, shorten

# Where such files are, relative to the root; the first one found counts.
PLACES = ("", "splits/")


def read_lists(listing: Listing, remedy: str) -> tuple[Lists, list[str]]:
    """The lists train.json, val.json and test.json, each of pairs of ids.

    Args:
      listing: of the dataset.
      remedy: what to do where a list cannot be used.

    Returns:
      The lists, and the paths of their files.

    Raises:
      DatasetError: if a list is missing or broken, or an id is in two of them.
    """
    ids: dict[str, tuple[Split, str]] = {}
    pairs = set()
    used = []
    for split in SPLITS:
        found = _read(listing, f"{split}.json", remedy)
        if found is None:
            looked = " nor ".join(f"{place}{split}.json" for place in PLACES)
            raise DatasetError(f"{listing.root}: neither {looked} is there; {remedy}")
        path, values = found
        used.append(path)
        name = f"{listing.root}/{path}"
        for pair in _pairs(values, name, remedy):
            for one in pair:
                other = ids.setdefault(one, (split, name))
                if other[0] != split:
                    raise DatasetError(
                        f"{name}: {one!r} is in {other[1]} too, and an id has one split; {remedy}"
                    )
            pairs |= {pair, pair[::-1]}
    return Lists({one: split for one, (split, _) in ids.items()}, frozenset(pairs)), used


def read_table(listing: Listing, name: str, remedy: str) -> tuple[dict[str, str], list[str]]:
    """The texts by id in a JSON object; none, and no path, where there is no such file.

    Raises:
      DatasetError: if the file is broken.
    """
    found = _read(listing, name, remedy)
    if found is None:
        return {}, []
    path, values = found
    if not isinstance(values, dict):
        raise DatasetError(f"{listing.root}/{path}: holds {kind_of(values)}, not an object; {remedy}")
    for key, value in values.items():
        if not isinstance(value, str) or not value.strip():
            raise DatasetError(f"{listing.root}/{path}: {key!r} is {shorten(value)}, not a text; {remedy}")
    return values, [path]


def _pairs(values: Any, name: str, remedy: str) -> Sequence[tuple[str, str]]:
    if not isinstance(values, list):
        raise DatasetError(f"{name}: holds {kind_of(values)}, not a list of pairs; {remedy}")
    for number, pair in enumerate(values):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair)):
            raise DatasetError(f"{name}: entry {number} is {shorten(pair)}, not a pair of ids; {remedy}")
    return [(first, second) for first, second in values]


def _read(listing: Listing, name: str, remedy: str) -> tuple[str, Any] | None:
    for place in PLACES:
        path = f"{place}{name}"
        text = read_text(listing, path, remedy)
        if text is not None:
            return path, parse_json(text, f"{listing.root}/{path}", remedy)
    return None
