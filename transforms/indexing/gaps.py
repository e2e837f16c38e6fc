"""Clips that are not there although their siblings are: what an unfinished download looks like."""

from collections import defaultdict
from collections.abc import Iterable
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
