"""What is the same for every layout: names that cannot be used, keys that collide, and reference clips."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from schemas.clip import Clip, compression_rank
from schemas.names import clip_stem
from schemas.outcome import Outcome
from schemas.params import DatasetParams
from transforms.indexing.layout import DatasetError, Declared, Layout, Listing, failed, suffix_rank


def declare(layout: Layout, dataset: str, listing: Listing, params: DatasetParams) -> Declared:
    """What a layout makes of a listing, with reference clips; clips sorted by group, outcomes by unit.

    Raises:
      DatasetError: as the layout does; or if the layout divides a group.
    """
    files, bad = _split_bad_names(dataset, listing.files)
    declared = layout.clips(dataset, replace(listing, files=files), params)
    clips, collisions = _split_collisions(declared.clips)
    clips, lost = elect(clips, {})
    side: dict[str, str] = {}
    for clip in clips:
        if side.setdefault(clip.group, clip.split) != clip.split:
            raise DatasetError(
                f"layout {params.layout}: {clip.group} is in {side[clip.group]}, {clip.clip} of it in "
                f"{clip.split}; mend the layout"
            )
    outcomes = sorted([*bad, *declared.outcomes, *collisions, *lost], key=lambda outcome: outcome.unit)
    return Declared(tuple(clips), tuple(outcomes), declared.notes, declared.used)


def elect(clips: Iterable[Clip], lost: Mapping[str, str]) -> tuple[list[Clip], list[Outcome]]:
    """Mark each group's reference clip: its real clip at the best quality that is there, else its best fake.

    Args:
      clips: in any order.
      lost: why a group has no real clip, by group, where that is known.

    Returns:
      Clips sorted by group, and a `no_original` outcome for each that needs a real clip (`Clip.truth`) where
      its group has none.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    kept, outcomes = [], []
    for group, members in sorted(groups.items()):
        members.sort(key=_order)
        if members[0].label != "real":
            why = lost.get(group, f"no real clip of {group} is here; download it")
            orphans = [clip for clip in members if clip.truth == "original"]
            outcomes += [failed(clip.dataset, clip.clip, group, "no_original", why) for clip in orphans]
            members = [clip for clip in members if clip.truth != "original"]
        kept += [
            clip if clip.reference == (number == 0) else replace(clip, reference=number == 0)
            for number, clip in enumerate(members)
        ]
    return kept, outcomes


def _order(clip: Clip) -> tuple[bool, int, str, str]:
    return clip.label != "real", compression_rank(clip.compression), clip.method, clip.clip


def printable(path: str) -> str:
    r"""A path with the bytes that are not UTF-8 as `\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _split_bad_names(dataset: str, files: Sequence[str]) -> tuple[list[str], list[Outcome]]:
    """Files with names that can be used, and an outcome for each name, of a file or folder, that cannot."""
    good = []
    bad: dict[str, int] = {}
    for path in files:
        try:
            path.encode()
            good.append(path)
        except UnicodeEncodeError as error:
            end = path.find("/", error.start)
            place = printable(path if end < 0 else path[:end])
            bad[place] = bad.get(place, 0) + 1
    detail = "its name is not UTF-8; rename it"
    return good, [
        failed(dataset, place, "", "bad_name", detail if count == 1 else f"{detail} (holds {count} files)")
        for place, count in bad.items()
    ]


def _split_collisions(clips: Iterable[Clip]) -> tuple[list[Clip], list[Outcome]]:
    """Clips with keys of their own, and an outcome for each other one; the better suffix keeps the key."""
    taken: dict[str, Clip] = {}
    outcomes = []
    for clip in clips:
        key = clip_stem(clip.clip)
        before = taken.setdefault(key, clip)
        if before is not clip:
            keeps, loses = sorted((before, clip), key=lambda one: (suffix_rank(one.clip), one.clip))
            taken[key] = keeps
            why = f"differs from {keeps.clip} in its suffix only, which was taken; remove one of them"
            outcomes.append(failed(loses.dataset, loses.clip, loses.group, "key_collision", why))
    return list(taken.values()), outcomes
