"""Takedowns applied to clips: what goes with a person or a clip that must not be in anything that is made."""

import bisect
import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from schemas.clip import Clip
from schemas.names import clip_name
from schemas.outcome import Outcome
from schemas.takedown import Tombstone
from transforms.indexing.declare import elect
from transforms.indexing.layout import Declared, skipped

Place = tuple[str, str]
"""A dataset, and a path in it."""

_MASK = "the official mask of a clip that is taken down; delete it"
_ABSENT = "of a clip that is taken down, so that nothing is missing"
# Names on either side, in their order, among which near ones are looked for.
_NEIGHBOURS = 500


@dataclass(frozen=True)
class Named:
    """What some takedowns name.

    Attributes:
      people: datasets ("" for every) and identities.
      clips: datasets ("" for every) and paths.
    """

    people: frozenset[Place]
    clips: frozenset[Place]

    @classmethod
    def of(cls, tombstones: Iterable[Tombstone]) -> "Named":
        """What they name."""
        found: dict[str, set[Place]] = {"identity": set(), "clip": set()}
        for tombstone in tombstones:
            found[tombstone.kind].add((tombstone.dataset, tombstone.name))
        return cls(frozenset(found["identity"]), frozenset(found["clip"]))

    def has_person(self, clip: Clip) -> bool:
        """Whether a clip shows, or was made of, somebody who is named."""
        return any((dataset, one) in self.people for dataset in ("", clip.dataset) for one in clip.identities)

    def has_path(self, dataset: str, path: str) -> bool:
        """Whether a clip is named itself."""
        return ("", path) in self.clips or (dataset, path) in self.clips


def find_taken(clips: Collection[Clip], tombstones: Iterable[Tombstone]) -> dict[Place, str]:
    """Which clips go, and why, in words; by dataset and path.

    A clip goes that is named, or that shows or was made of somebody who is named. With a real clip goes its
    whole group, and each fake elsewhere that was made with it: whose `source` is the real clip's `target`,
    and that shares an identity with it. With a fake go its versions at other compressions.

    Args:
      clips: of any datasets; groups must be whole.
      tombstones: that hold.
    """
    named = Named.of(tombstones)
    taken: dict[Place, str] = {}
    for clip in clips:
        if named.has_path(clip.dataset, clip.clip):
            taken[clip.dataset, clip.clip] = "a takedown names it; delete it"
        elif named.has_person(clip):
            taken[clip.dataset, clip.clip] = "a takedown names somebody in it; delete it"
    direct = [clip for clip in clips if (clip.dataset, clip.clip) in taken]
    reals = [clip for clip in direct if clip.label == "real"]
    groups = {(clip.dataset, clip.group) for clip in reals}
    made_with = {(clip.dataset, clip.target, one) for clip in reals for one in clip.identities if clip.target}
    versions: dict[tuple[str, ...], set[str]] = {}
    for clip in direct:
        versions.setdefault(_version(clip), set()).add(clip.compression)
    for clip in clips:
        why = ""
        if (clip.dataset, clip.group) in groups:
            why = "its original is taken down; delete it"
        elif any((clip.dataset, clip.source, one) in made_with for one in clip.identities):
            why = "what it was made with is taken down; delete it"
        elif clip.compression not in versions.get(_version(clip), {clip.compression}):
            why = "it is taken down at another compression; delete it"
        if why:
            taken.setdefault((clip.dataset, clip.clip), why)
    return taken


def _version(clip: Clip) -> tuple[str, ...]:
    return clip.dataset, clip.group, clip.method, clip_name(clip.clip)


def apply_takedowns(declared: Declared, dataset: str, tombstones: Iterable[Tombstone]) -> Declared:
    """Leave out what is taken down, with a `taken_down` outcome for each clip, and for its official mask.

    The split of what is left is as it was. What failed only for want of something that is taken down is no
    failure any more.

    Args:
      declared: by the layout, with reference clips.
      dataset: its name.
      tombstones: of any datasets.
    """
    mine = [tombstone for tombstone in tombstones if tombstone.dataset in ("", dataset)]
    taken = find_taken(declared.clips, mine)
    gone = [clip for clip in declared.clips if (clip.dataset, clip.clip) in taken]
    left, lost = elect([clip for clip in declared.clips if (clip.dataset, clip.clip) not in taken], {})
    outcomes = [
        skipped(dataset, clip.clip, clip.group, "taken_down", taken[clip.dataset, clip.clip]) for clip in gone
    ]
    masks = {clip.official_mask: clip.group for clip in gone if clip.official_mask}
    for mask in masks.keys() - {clip.official_mask for clip in left}:
        outcomes.append(skipped(dataset, mask, masks[mask], "taken_down", _MASK))
    known = {outcome.unit for outcome in outcomes}
    others = [outcome for outcome in (*declared.outcomes, *lost) if outcome.unit not in known]
    settled = _settle(others, gone, left, Named.of(mine))
    return replace(
        declared,
        clips=tuple(left),
        outcomes=tuple(sorted([*outcomes, *settled], key=lambda outcome: outcome.unit)),
        notes=(*declared.notes, *_notes(declared, mine)),
    )


def _settle(
    outcomes: Iterable[Outcome], gone: Iterable[Clip], left: Iterable[Clip], named: Named
) -> list[Outcome]:
    """Failures that are due to what is taken down, as what they are; others as they were."""

    def place(group: str, path: str) -> tuple[str, str]:
        return group, clip_name(path)

    kept = {place(clip.group, clip.clip) for clip in left}
    absent = {place(clip.group, clip.clip) for clip in gone} - kept
    return [
        replace(outcome, status="skipped", reason="taken_down", detail=_ABSENT)
        if outcome.status == "failed"
        and (place(outcome.group, outcome.unit) in absent or named.has_path(outcome.dataset, outcome.unit))
        else outcome
        for outcome in outcomes
    ]


def _notes(declared: Declared, mine: Sequence[Tombstone]) -> list[str]:
    """One line on takedowns that match nothing."""
    people = {identity for clip in declared.clips for identity in clip.identities}
    paths = {clip.clip for clip in declared.clips} | {outcome.unit for outcome in declared.outcomes}
    there = {"identity": people, "clip": paths}
    idle = [tombstone for tombstone in mine if tombstone.name not in there[tombstone.kind]]
    if not idle:
        return []
    return [
        f"{len(idle)} of {len(mine)} takedowns match nothing here, such as {idle[0].kind} {idle[0].name}: "
        "it was deleted, is of another dataset, or is misspelt"
    ]


def find_near(name: str, names: Collection[str]) -> list[str]:
    """Up to three names that a misspelt one may mean."""
    folded = name.casefold()
    ordered = sorted(names)
    at = bisect.bisect(ordered, name)
    inside = [one for one in ordered if folded in one.casefold()]
    around = ordered[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS]
    return [*dict.fromkeys([*inside[:3], *difflib.get_close_matches(name, around)])][:3]
