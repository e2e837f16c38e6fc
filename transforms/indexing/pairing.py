"""Fakes that go with their originals, and fakes that cannot."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from schemas.clip import SPLITS, Clip, Split
from schemas.params import DatasetParams
from transforms.indexing.splits import hash_splits


def pair(dataset: str, clips: Sequence[Clip], params: DatasetParams) -> tuple[list[Clip], list[str]]:
    """Put each fake in its original's group, if that is here and in the same split, else in one of its own.

    A fake of a group of its own, named by its path, has no truth: there is nothing to compare it with. Fakes
    that are not compared with an original (`Clip.truth`) stay as they are.

    Args:
      dataset: name.
      clips: each with its original's group, and the split that the dataset's lists give it.
      params: with split "official" clips keep their splits; with "repaired" each group goes to the most
        held out of its splits as a whole (test over val over train); with "hash" splits are those of
        `hash_splits`.

    Returns:
      The clips, and notes on what was moved and what has no truth.
    """
    clips, notes = _move(clips, params)
    reals = {clip.group: clip.split for clip in clips if clip.label == "real"}
    paired: list[Clip] = []
    alone: list[str] = []
    apart: list[str] = []
    for clip in clips:
        lone = clip.label == "real" or clip.truth != "original"
        if lone or reals.get(clip.group) == clip.split:
            paired.append(clip)
            continue
        (apart if clip.group in reals else alone).append(clip.clip)
        own = str(PurePosixPath(clip.clip).with_suffix(""))
        paired.append(replace(clip, group=own, truth="none"))
    if alone:
        notes.append(
            f"fakes without their originals: {len(alone)}, such as {alone[0]}; nothing can be compared with "
            "them, so that difference masks of them are unknown"
        )
    if apart:
        notes.append(
            f"fakes in another split than their originals: {len(apart)}, such as {apart[0]}; difference "
            f"masks of them are unknown; with datasets.{dataset}.split: repaired, whole groups move"
        )
    return paired, notes


def _move(clips: Sequence[Clip], params: DatasetParams) -> tuple[list[Clip], list[str]]:
    """The clips in the splits that the parameters ask for."""
    if params.split == "official":
        return [*clips], []
    if params.split == "hash":
        sets = [(*clip.identities, f"group:{clip.group}") for clip in clips]
        hashed = hash_splits(sets)
        return [replace(clip, split=hashed[many[0]]) for clip, many in zip(clips, sets, strict=True)], []
    last: dict[str, Split] = {}
    for clip in clips:
        last[clip.group] = max(last.get(clip.group, clip.split), clip.split, key=SPLITS.index)
    moves = Counter((clip.split, last[clip.group]) for clip in clips if clip.split != last[clip.group])
    notes = [
        f"repaired: clips that go from {before} to {after} with their groups: {count}"
        for (before, after), count in sorted(moves.items())
    ]
    return [replace(clip, split=last[clip.group]) for clip in clips], notes
