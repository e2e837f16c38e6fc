"""Clips that a manifest names, and the other files of its folder."""

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath
from typing import NamedTuple

from schemas.clip import Clip
from schemas.outcome import Outcome
from transforms.indexing.layout import DatasetError, Listing, failed, is_image, is_video, skipped
from transforms.indexing.manifest import Entry, read_manifest


class Form(NamedTuple):
    """Clips with the split that they came with ("train" where they came with none), and what else was found.

    Attributes:
      clips: each in its original's group, whether or not that is here.
      has_splits: whether they came with splits.
      outcomes: of the other files.
      notes: for a person.
      used: files that were read.
    """

    clips: list[Clip]
    has_splits: bool
    outcomes: list[Outcome]
    notes: list[str]
    used: frozenset[str]


def clips_of_manifest(dataset: str, listing: Listing, name: str) -> Form:
    """What the manifest of a name says, checked against the files that are there.

    Raises:
      DatasetError: naming the row, if the manifest cannot be used.
    """
    entries, notes = read_manifest(listing, name)
    path = f"{listing.root}/{name}"
    unsplit = [entry for entry in entries if entry.split is None]
    if unsplit and len(unsplit) < len(entries):
        raise DatasetError(f"{path}: {unsplit[0].place}: no split, and others have one; give all of them one")
    files, frames = {*listing.files}, {one.rpartition("/")[0] for one in listing.files if is_image(one)}
    groups, unknown = _groups(path, entries)
    outcomes: dict[str, Outcome] = {}
    clips = []
    for entry, group in zip(entries, groups, strict=True):
        problem = _problem(dataset, name, entry.clip, group, files, frames)
        if problem:
            outcomes[entry.clip] = problem
            continue
        lost = _problem(dataset, name, entry.mask, group, files, frames) if entry.mask else None
        if lost:
            outcomes[entry.mask] = lost
        people = (one if ":" in one else f"{dataset}:{one}" for one in entry.identities or (group,))
        clips.append(
            Clip(
                dataset=dataset,
                clip=entry.clip,
                group=group,
                label=entry.label,
                method=entry.method,
                compression=entry.compression,
                split=entry.split or "train",
                source=entry.source if entry.label == "fake" else "",
                identities=tuple(people),
                official_mask="" if lost else entry.mask,
                truth=entry.truth if entry.label == "fake" else "original",
                cropped=entry.cropped,
            )
        )
    if not clips:
        raise DatasetError(
            f"{path}: none of its {len(entries)} clips can be used, such as {entries[0].clip}: "
            f"{outcomes[entries[0].clip].detail}"
        )
    if unknown:
        notes.append(f"sources that are no clip of {name}: {len(unknown)}, such as {unknown[0]}")
    taken = {clip.clip for clip in clips} | {clip.official_mask for clip in clips} - {""}
    rest = [
        one
        for one in listing.files
        if one != name
        and one not in taken
        and one not in outcomes
        and not (is_image(one) and one.rpartition("/")[0] in taken)
    ]
    for stray in others(dataset, rest, taken, f"not in {name}"):
        outcomes.setdefault(stray.unit, stray)
    return Form(clips, not unsplit, [*outcomes.values()], notes, frozenset({name}))


def _problem(
    dataset: str, name: str, path: str, group: str, files: AbstractSet[str], frames: AbstractSet[str]
) -> Outcome | None:
    """Why a path that a manifest names cannot be used."""
    if path in files:
        if is_video(path) or is_image(path):
            return None
        why = "neither a video nor a picture; take it out of the manifest"
        return failed(dataset, path, group, "not_video", why)
    if path in frames and not is_video(path) and not is_image(path):
        return None
    why = f"{name} names it, and it is no file, nor a folder of pictures; put it there, or mend the path"
    return failed(dataset, path, group, "missing", why)


def _groups(path: str, entries: Sequence[Entry]) -> tuple[list[str], list[str]]:
    """The group of each row, and the sources that are no clip of the manifest.

    Raises:
      DatasetError: if a source may be several clips or is a fake, or a group's real clips are in two splits.
    """
    reals: dict[str, set[int]] = {}
    for number, entry in enumerate(entries):
        if entry.label == "real":
            name = entry.clip.rpartition("/")[2]
            for one in {entry.clip, stem(entry.clip), name, stem(name)}:
                reals.setdefault(one, set()).add(number)
    clips = {entry.clip: number for number, entry in enumerate(entries)}
    groups, unknown = [], []
    sides: dict[str, Entry] = {}
    for entry in entries:
        if entry.label == "real":
            group = entry.group or stem(entry.clip)
            other = sides.setdefault(group, entry)
            if other.split != entry.split:
                raise DatasetError(
                    f"{path}: {entry.place}: group {group} is in {entry.split}, and in {other.place} in "
                    f"{other.split}; give it one split"
                )
            groups.append(group)
            continue
        exact = clips.get(entry.source)
        sources = reals.get(entry.source, set()) if exact is None else {exact}
        if len(sources) > 1:
            some = " and ".join(sorted(entries[one].clip for one in sources)[:2])
            raise DatasetError(f"{path}: {entry.place}: source {entry.source} may be {some}; write its path")
        origin = next((entries[one] for one in sources), None)
        if origin and origin.label == "fake":
            raise DatasetError(
                f"{path}: {entry.place}: source {entry.source} is a fake ({origin.place}); name the real clip"
            )
        if entry.source and not origin:
            unknown.append(f"{entry.source} ({entry.place})")
        shared = entry.group or (origin and (origin.group or stem(origin.clip)))
        groups.append(shared if shared and entry.truth == "original" else stem(entry.clip))
    return groups, unknown


def stem(path: str) -> str:
    """The path of a file without its suffix; that of a folder as it is."""
    return str(PurePosixPath(path).with_suffix("")) if is_video(path) or is_image(path) else path


def others(dataset: str, paths: Iterable[str], clips: Iterable[str], detail: str) -> list[Outcome]:
    """An outcome for each video, and one for all other files of each folder that holds no clip."""
    folders = {str(above) for clip in clips for above in PurePosixPath(clip).parents} | {*clips}
    places: Counter[str] = Counter()
    for path in paths:
        parts = path.split("/")
        above = ("/".join(parts[:end]) for end in range(1, len(parts)))
        place = path if is_video(path) else next((one for one in above if one not in folders), path)
        places[place] += 1
    return [
        skipped(dataset, place, "", "not_in_layout", f"{detail} ({count} files)" if count > 1 else detail)
        for place, count in places.items()
    ]
