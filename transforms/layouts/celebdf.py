"""Celeb-DF v2 (and v1, which looks alike): three folders of videos and the list of those to test with.

    Celeb-real/id0_0000.mp4  YouTube-real/00000.mp4  Celeb-synthesis/<target>_<source>_<number>.mp4
    List_of_testing_videos.txt: lines `<1 = real, 0 = fake> <folder>/<name>.mp4`

`id0_id1_0000` was made from `id0_0000`, with the face of `id1`. Identities are `celebdf:id<number>` and, of
each video in YouTube-real, `celebdf-youtube:<number>`.
"""

import re

from schemas.clip import Clip
from schemas.outcome import Outcome
from schemas.params import DatasetParams
from transforms.indexing.gaps import absent
from transforms.indexing.layout import (
    DatasetError,
    Declared,
    Listing,
    check_choice,
    is_video,
    nothing_here,
    strays,
)
from transforms.indexing.pairing import pair
from transforms.indexing.texts import read_text
from transforms.indexing.twins import first_of_each

TERMS = (
    "Celeb-DF may be used as its Terms to Use say, which are agreed to before the download: "
    "https://github.com/yuezunli/celeb-deepfakeforensics"
)

_METHOD = "Celeb-DF"
_LIST = "List_of_testing_videos.txt"
_FAKES = "Celeb-synthesis"
# Names in each folder: id0_0000, 00000 and id0_id1_0000.
_NAMES = {
    "Celeb-real": re.compile(r"id[0-9]+_[0-9]+"),
    "YouTube-real": re.compile(r"[0-9]+"),
    _FAKES: re.compile(r"id[0-9]+_id[0-9]+_[0-9]+"),
}
_FOLDERS = {folder.lower(): folder for folder in _NAMES}
# Some tools put videos/ between; some write Youtube-real.
_FOLDER = re.compile(rf"({'|'.join(_NAMES)})(?:/videos)?", re.IGNORECASE)
_PATH = re.compile(rf"{_FOLDER.pattern}/([^/]+)\.[^./]+", re.IGNORECASE)
_LINE = re.compile(r"([01])\s+(\S+)")
_REMEDY = "take the list that comes with the dataset"

_Name = tuple[str, str]  # folder, as it should be spelled, and stem


def clips(dataset: str, listing: Listing, params: DatasetParams) -> Declared:
    """The clips of a Celeb-DF tree, or of a part of one; see `transforms.indexing.layout.Layout`."""
    named = [(name, path) for path in listing.files if is_video(path) and (name := _name(path))]
    if not named:
        expected = f"clips are {'/*.mp4, '.join(_NAMES)}/*.mp4"
        raise nothing_here(listing, "Celeb-DF", expected, "Celeb-real")
    check_choice(dataset, params, {_METHOD}, listing.root)
    videos, outcomes = first_of_each(dataset, named)
    tested = _tested(listing, params)
    missing, notes = _missing(dataset, tested, videos)
    found, said = pair(
        dataset, [_clip(dataset, *name, path, name in tested) for name, path in videos.items()], params
    )
    ours = {path for _, path in named} | ({_LIST} if tested else set())
    foreign = [path for path in listing.files if path not in ours]
    outcomes += missing + strays(dataset, foreign, _FOLDER, "not a place or a name of Celeb-DF's clips")
    return Declared(tuple(found), tuple(outcomes), (*notes, *said), frozenset({_LIST} if tested else ()))


def _name(path: str) -> _Name | None:
    match = _PATH.fullmatch(path)
    folder = _FOLDERS[match[1].lower()] if match else ""
    return (folder, match[2]) if match and _NAMES[folder].fullmatch(match[2]) else None


def _tested(listing: Listing, params: DatasetParams) -> dict[_Name, str]:
    """Names in the list of testing videos, and how it writes them.

    Raises:
      DatasetError: if it is missing and needed, or has a line that is not right.
    """
    name = f"{listing.root}/{_LIST}"
    text = read_text(listing, _LIST, _REMEDY)
    if text is None and params.split != "hash":
        raise DatasetError(f"{name}: not there; it comes with the dataset; or set split: hash")
    tested: dict[_Name, str] = {}
    # The list has no header: the first line is a video, too.
    for number, line in enumerate((text or "").splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        video = _name(match[2]) if match else None
        if match and video:
            if (match[1] == "0") != (video[0] == _FAKES):
                holds = "fakes" if video[0] == _FAKES else "real videos"
                raise DatasetError(
                    f"{name}, line {number}: {line.strip()!r}, but {video[0]} holds {holds}, and 1 says "
                    f"real, 0 fake; {_REMEDY}"
                )
            tested[video] = match[2]
        elif line.strip():
            what = "not like '1 Celeb-real/id0_0000.mp4'"
            raise DatasetError(f"{name}, line {number}: {line.strip()[:80]!r} is {what}; {_REMEDY}")
    if text is not None and not tested:
        raise DatasetError(f"{name}: names no video; {_REMEDY}")
    return tested


def _missing(
    dataset: str, tested: dict[_Name, str], videos: dict[_Name, str]
) -> tuple[list[Outcome], list[str]]:
    outcomes, notes = [], []
    for folder in _NAMES:
        listed = [video for video in tested if video[0] == folder]
        lost = {tested[video]: "" for video in listed if video not in videos}
        missing, said = absent(dataset, f"{_LIST} ({folder})", lost, len(listed) - len(lost))
        outcomes += missing
        notes += said
    return outcomes, notes


def _clip(dataset: str, folder: str, stem: str, path: str, is_tested: bool) -> Clip:
    *ids, number = stem.split("_")
    target, source = (*ids, "", "")[:2]
    return Clip(
        dataset=dataset,
        clip=path,
        group=f"celebdf/{target}_{number}" if ids else f"celebdf-youtube/{stem}",
        label="fake" if folder == _FAKES else "real",
        method=_METHOD if folder == _FAKES else "real",
        compression="raw",
        split="test" if is_tested else "train",
        target=target or stem,
        source=source,
        identities=tuple(f"celebdf:{one}" for one in dict.fromkeys(ids)) or (f"celebdf-youtube:{stem}",),
    )
