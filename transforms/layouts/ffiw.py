"""FFIW-10K: real videos of several people, fakes of some of their faces, and where these are.

    source/{train,val,test}/<name>.mp4                real
    target/{train,val,test}/<name>.mp4                fake, made from the source of that name
    target_mask/{train,val,test}/<name>[_mask].mp4    where its forged faces are

The dataset names no people: identities are `ffiw:<folder>/<name>`, one for each source.
"""

import re
from collections.abc import Sequence
from typing import cast

from schemas.clip import SPLITS, Clip, Split
from schemas.params import DatasetParams
from transforms.indexing.layout import (
    Declared,
    Listing,
    check_choice,
    is_video,
    nothing_here,
    skipped,
    strays,
)
from transforms.indexing.pairing import pair
from transforms.indexing.twins import first_of_each

TERMS = (
    "FFIW-10K may be used as its Terms to Use say, which are agreed to before the download: "
    "https://github.com/tfzhou/FFIW"
)

_METHOD = "FFIW"
_SIDES = "|".join(SPLITS)
# Some tools put videos/ between.
_FOLDER = re.compile(rf"(?:source|target|target_mask)(?:/(?:{_SIDES})(?:/videos)?)?")
_PATH = re.compile(rf"(source|target|target_mask)/({_SIDES})/(?:videos/)?([^/]+)\.[^./]+")

_Name = tuple[str, str, str]  # "source", "target" or "target_mask"; the split; and the stem of the source


def clips(dataset: str, listing: Listing, params: DatasetParams) -> Declared:
    """The clips of an FFIW-10K tree, or of a part of one; see `transforms.indexing.layout.Layout`."""
    named = _named(listing.files)
    videos, outcomes = first_of_each(dataset, named)
    drafts, masks = [], {name[1:]: path for name, path in videos.items() if name[0] == "target_mask"}
    for name, path in videos.items():
        if name[0] != "target_mask":
            drafts.append(_clip(dataset, name, path, masks.get(name[1:], "")))
        elif ("target", *name[1:]) not in videos:
            why = f"a mask, and there is no target/{name[1]}/{name[2]}.mp4"
            outcomes.append(skipped(dataset, path, "", "not_in_layout", why))
    if not drafts:
        expected = f"clips are {{source,target}}/{{{','.join(SPLITS)}}}/*.mp4"
        raise nothing_here(listing, "FFIW-10K", expected, "target")
    check_choice(dataset, params, {_METHOD}, listing.root)
    found, notes = pair(dataset, drafts, params)
    bare = [clip.clip for clip in found if clip.label == "fake" and not clip.official_mask]
    if bare:
        notes.append(f"fakes without their mask videos: {len(bare)}, such as {bare[0]}")
    ours = {path for _, path in named}
    foreign = [path for path in listing.files if path not in ours]
    outcomes += strays(dataset, foreign, _FOLDER, "not a place of FFIW-10K's clips")
    return Declared(tuple(found), tuple(outcomes), tuple(notes))


def _named(files: Sequence[str]) -> list[tuple[_Name, str]]:
    """Videos and what their paths say."""
    matches = [(match, path) for path in files if is_video(path) and (match := _PATH.fullmatch(path))]
    fakes = {match.groups()[1:] for match, _ in matches if match[1] == "target"}
    named = []
    for match, path in matches:
        kind, split, stem = match.groups()
        if kind == "target_mask" and (split, stem) not in fakes:
            stem = stem.removesuffix("_mask")
        named.append(((kind, split, stem), path))
    return named


def _clip(dataset: str, name: _Name, path: str, mask: str) -> Clip:
    kind, split, stem = name
    is_fake = kind == "target"
    return Clip(
        dataset=dataset,
        clip=path,
        group=f"ffiw/{split}/{stem}",
        label="fake" if is_fake else "real",
        method=_METHOD if is_fake else "real",
        compression="raw",
        split=cast(Split, split),
        target=stem,
        identities=(f"ffiw:{split}/{stem}",),
        official_mask=mask if is_fake else "",
    )
