"""Clips that are not there although their siblings are: what an unfinished download looks like."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.outcome import Outcome
from transforms.indexing.layout import failed


class Entry(NamedTuple):
    """A clip's path, `<series>/<quality>/<name>`; all qualities of a series should hold the same names."""

    series: str
    quality: str
    name: str
    group: str


def gaps(dataset: str, entries: Iterable[Entry]) -> tuple[list[Outcome], list[str]]:
    """What misses in a quality that another quality of its series has.

    A quality that holds half of its series or less is taken for a part that somebody chose, and gets a note
    instead; a quality that holds nothing was not wanted.

    Returns:
      `missing` outcomes, their unit the path where the clip should be, and notes.
    """
    series: dict[str, dict[str, dict[str, Entry]]] = defaultdict(lambda: defaultdict(dict))
    for entry in entries:
        stem = entry.name.rpartition(".")[0]
        series[entry.series][entry.quality][stem] = entry
    outcomes, notes = [], []
    for place, qualities in sorted(series.items()):
        union = {stem: entry for members in qualities.values() for stem, entry in members.items()}
        for quality, members in sorted(qualities.items()):
            absent = sorted(union.keys() - members.keys())
            if absent and 2 * len(members) <= len(union):
                notes.append(
                    f"{place}/{quality} holds {len(members)} of the {len(union)} clips of its siblings"
                )
                continue
            for stem in absent:
                there = union[stem]
                why = (
                    f"{there.quality} has it; download it, or leave {quality} out "
                    f"(datasets.{dataset}.compressions)"
                )
                path = f"{place}/{quality}/{there.name}"
                outcomes.append(failed(dataset, path, there.group, "missing", why))
    return outcomes, notes


def absent(dataset: str, name: str, lost: Mapping[str, str], there: int) -> tuple[list[Outcome], list[str]]:
    """What a list names and its folder does not hold.

    A folder that holds less than half of what is listed is taken for a part that somebody chose.

    Args:
      dataset: name.
      name: of the list, for messages.
      lost: the groups of the files that are not there, by path.
      there: how many of the list are.

    Returns:
      `missing` outcomes, or a note in their place.
    """
    if len(lost) > there:
        return [], [f"{there} of the {there + len(lost)} videos that {name} names are here"]
    why = f"{name} names it; download it, or take it out of the list"
    return [failed(dataset, path, group, "missing", why) for path, group in sorted(lost.items())], []
