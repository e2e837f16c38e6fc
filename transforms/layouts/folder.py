"""A folder of your own: `real/` and `fake/`, or a manifest.

    [<split>/]real/<clip>  [<split>/]fake/[<method>/]<clip>     splits are train, val (or validation) and test
    manifest.csv or manifest.parquet, of clips anywhere below

A clip is a video, a picture, or a folder of frames: a picture right in `real/`, `fake/` or `fake/<method>/`
is a clip of its own, and pictures in a folder below that are a clip's frames. A fake was made from the real
clip of its name: `fake/faceswap/a.mp4` from `real/a.mp4`. A manifest says all of this in columns, and more.
Identities without a column of their own are the source groups, as `<dataset>:<group>`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from schemas.clip import Clip, Split
from schemas.params import DatasetParams
from transforms.indexing.layout import (
    DatasetError,
    Declared,
    Listing,
    check_choice,
    is_image,
    is_video,
    nothing_here,
)
from transforms.indexing.manifest import NAMES
from transforms.indexing.manifest_clips import Form, clips_of_manifest, others, stem
from transforms.indexing.pairing import pair

TERMS = "Data of your own: its owner knows whose faces it shows, and what it may be used for"

_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_PATH = re.compile(rf"(?:({'|'.join(_SPLITS)})/)?(?i:(real|fake))/(.+)")
_EXPECTED = f"clips are in real/ and fake/<method>/, or in {' or '.join(NAMES)}"
_HASHED = (
    "no split is given, so that 72, 14 and 14 % are train, val and test, by hash; people who are seen in "
    "several clips stay together only where a manifest names them (column identity)"
)
_NAME_THEM = (
    "a fake is compared with the real clip of its name: name fake/<method>/a like real/a, or write a "
    "manifest with a column source"
)


def clips(dataset: str, listing: Listing, params: DatasetParams) -> Declared:
    """The clips of a folder of any dataset; see `transforms.indexing.layout.Layout`."""
    files = {*listing.files}
    manifests = [name for name in NAMES if name in files]
    if len(manifests) > 1:
        raise DatasetError(f"{listing.root}: both {' and '.join(manifests)} are there; remove one of them")
    form = clips_of_manifest(dataset, listing, manifests[0]) if manifests else _by_folders(dataset, listing)
    taken, notes = _filter(dataset, listing.root, form.clips, params)
    if not form.has_splits and params.split != "hash":
        params = replace(params, split="hash")
        notes.append(_HASHED)
    found, more = pair(dataset, taken, params)
    if not manifests and any(clip.truth == "none" for clip in found):
        more.append(_NAME_THEM)
    return Declared(tuple(found), tuple(form.outcomes), (*form.notes, *notes, *more), form.used)


def _filter(
    dataset: str, root: str, clips: Sequence[Clip], params: DatasetParams
) -> tuple[list[Clip], list[str]]:
    """What the parameters take: fakes by their methods, and all real clips."""
    methods = {clip.method for clip in clips if clip.label == "fake"}
    check_choice(dataset, params, methods, root, {clip.compression for clip in clips})
    taken = [
        clip
        for clip in clips
        if (not params.methods or clip.label == "real" or clip.method in params.methods)
        and (not params.compressions or clip.compression in params.compressions)
    ]
    left = len(clips) - len(taken)
    return taken, [f"clips that datasets.{dataset}.methods and .compressions leave out: {left}"] * bool(left)


def _by_folders(dataset: str, listing: Listing) -> Form:
    found: dict[str, Clip] = {}
    foreign = []
    bare = Counter[bool]()
    for path in listing.files:
        match = _PATH.fullmatch(path) if is_video(path) or is_image(path) else None
        if not match:
            foreign.append(path)
            continue
        split, label, below = match[1], match[2].lower(), match[3]
        method = "real" if label == "real" else "unknown"
        if label == "fake" and "/" in below:
            method, _, below = below.partition("/")
        clip = path
        if is_image(path) and "/" in below:
            clip, below = path.rpartition("/")[0], below.rpartition("/")[0]
            if is_video(clip) or is_image(clip):
                foreign.append(path)
                continue
        if clip in found:
            continue
        bare[split is None] += 1
        group = f"{split}/real/{stem(below)}" if split else f"real/{stem(below)}"
        found[clip] = Clip(
            dataset=dataset,
            clip=clip,
            group=group,
            label="real" if label == "real" else "fake",
            method=method,
            compression="raw",
            split=_SPLITS[split or "train"],
        )
    if not found:
        raise nothing_here(listing, "dataset of your own", _EXPECTED, "real")
    if len(bare) > 1:
        inside, outside = (
            next(one for one in found if (one.partition("/")[0] in _SPLITS) == side) for side in (True, False)
        )
        raise DatasetError(
            f"{listing.root}: {inside} is in a split, and {outside} in none; move all of them into "
            "train/, val/ and test/, or none"
        )
    stills = {one.group: is_image(one.clip) for one in found.values() if one.label == "real"}
    clips = []
    for one in found.values():
        # A picture was not made from a video of its name.
        alike = stills.get(one.group) == is_image(one.clip)
        group = one.group if alike else stem(one.clip)
        clips.append(replace(one, group=group, identities=(f"{dataset}:{group}",)))
    outcomes = others(dataset, foreign, found, "no clip in real/ or fake/")
    return Form(clips, True not in bare, outcomes, [], frozenset())
