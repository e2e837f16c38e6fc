"""FaceForensics++, with FaceShifter and DeepFakeDetection: the folders that its download script makes.

    original_sequences/{youtube,actors}/{raw,c23,c40}/videos/{000,01__exit_phone_room}.mp4
    manipulated_sequences/<METHOD>/{raw,c23,c40}/videos/<target>_<source>[__<scene>__<take>].mp4
    manipulated_sequences/<METHOD>/masks/videos/<name of the clip>.mp4
    {train,val,test,conversion_dict}.json, here or in splits/

Any part of this tree will do. A clip shows its target, with the face or the expression of its source.
Identities are `youtube:<id>` (of the thousand clips), `origin:<id>` (of the YouTube videos that they were cut
from) and `actor:<id>`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from schemas.clip import COMPRESSIONS, Clip, Split
from schemas.outcome import Outcome
from schemas.params import DatasetParams
from transforms.indexing.gaps import Entry, gaps
from transforms.indexing.layout import (
    DatasetError,
    Declared,
    Listing,
    check_names,
    failed,
    is_video,
    nothing_here,
    skipped,
    strays,
    suffix_rank,
)
from transforms.indexing.listfiles import PLACES, read_lists, read_table
from transforms.indexing.splits import Lists, hash_splits, repair

TERMS = (
    "FaceForensics++ and DeepFakeDetection may be used for non-commercial research and education only, as "
    "the FaceForensics Terms of Use say: http://kaldir.vc.in.tum.de/faceforensics_tos.pdf"
)

_REPOSITORY = "https://github.com/ondyari/FaceForensics/tree/master/dataset"
_ORIGINALS = ("youtube", "actors")
# What each method's fakes were made from.
_METHODS = {
    "Deepfakes": "youtube",
    "Face2Face": "youtube",
    "FaceSwap": "youtube",
    "NeuralTextures": "youtube",
    "FaceShifter": "youtube",
    "DeepFakeDetection": "actors",
}
_QUALITIES = {**{name: name for name in COMPRESSIONS}, "c0": "raw"}
_MASKS = "masks"
_CONVERSION = "conversion_dict.json"
_FILES = {
    f"{place}{name}" for place in PLACES for name in ("train.json", "val.json", "test.json", _CONVERSION)
}

_PATH = re.compile(
    rf"(original_sequences/(?:{'|'.join(_ORIGINALS)})|manipulated_sequences/(?:{'|'.join(_METHODS)}))"
    rf"/({'|'.join([*_QUALITIES, _MASKS])})/videos/([^/]+)(\.[^./]+)"
)
_FOLDER = re.compile(
    rf"splits|original_sequences(/({'|'.join(_ORIGINALS)})(/({'|'.join(_QUALITIES)})(/videos)?)?)?"
    rf"|manipulated_sequences(/({'|'.join(_METHODS)})(/({'|'.join([*_QUALITIES, _MASKS])})(/videos)?)?)?"
)
# What a name says, and how it looks, by kind of ids and whether the clip is real.
_NAMES = {
    ("youtube", True): (re.compile(r"(?P<target>[0-9]{3})"), "000"),
    ("youtube", False): (re.compile(r"(?P<target>[0-9]{3})_(?P<source>[0-9]{3})"), "000_003"),
    ("actors", True): (re.compile(r"(?P<target>[0-9]{2})__(?P<scene>.+)"), "01__exit_phone_room"),
    ("actors", False): (
        re.compile(r"(?P<target>[0-9]{2})_(?P<source>[0-9]{2})__(?P<scene>.+)__[A-Z0-9]{8}"),
        "01_02__exit_phone_room__YVGY8LOK",
    ),
}
_EXPECTED = (
    f"clips are original_sequences/{{{','.join(_ORIGINALS)}}}/<raw|c23|c40>/videos/000.mp4 and "
    f"manipulated_sequences/{{{','.join(_METHODS)}}}/<raw|c23|c40>/videos/000_003.mp4"
)


class _Video(NamedTuple):
    """What a video's path says."""

    path: str
    series: str  # "original_sequences/youtube"
    folder: str  # "youtube", "actors", or the method
    kind: str  # of ids: "youtube" or "actors"
    quality: str  # as the path has it; also "masks"
    stem: str
    target: str
    source: str
    scene: str

    @property
    def is_real(self) -> bool:
        return self.folder in _ORIGINALS

    @property
    def original(self) -> str:
        """Stem of the real clip."""
        return f"{self.target}__{self.scene}" if self.scene else self.target

    @property
    def group(self) -> str:
        return f"{self.kind}/{self.original}"


class _Sides(NamedTuple):
    """The split that the parameters ask for: that of each stem, its identities, notes, and the files read."""

    splits: dict[str, Split | None]
    identities: dict[str, tuple[str, ...]]
    notes: list[str]
    used: list[str]


def clips(dataset: str, listing: Listing, params: DatasetParams) -> Declared:
    """The clips of a FaceForensics++ tree, or of a part of one; see `transforms.indexing.layout.Layout`."""
    everything, outcomes = _scan(dataset, listing.files)
    videos = [video for video in everything if video.quality != _MASKS]
    if not videos:
        raise nothing_here(listing, "FaceForensics++", _EXPECTED, "original_sequences")
    masks, extra = _masks(dataset, everything)
    taken, notes = _filter(dataset, listing.root, videos, params)
    taken, twice = _drop_aliases(dataset, taken)
    sides = _sides(dataset, listing, params, taken)
    reals = {video.group for video in taken if video.is_real and sides.splits[video.stem]}
    found, entries = [], []
    for video in taken:
        split = sides.splits[video.stem]
        if split is None:
            why = _why_not_in_split(dataset, video)
            outcomes.append(skipped(dataset, video.path, video.group, "not_in_split", why))
        elif video.group not in reals:
            qualities = "|".join(params.compressions or COMPRESSIONS)
            why = f"no original_sequences/{video.kind}/<{qualities}>/videos/{video.original}.mp4; download it"
            outcomes.append(failed(dataset, video.path, video.group, "no_original", why))
        else:
            found.append(
                Clip(
                    dataset=dataset,
                    clip=video.path,
                    group=video.group,
                    label="real" if video.is_real else "fake",
                    method="real" if video.is_real else video.folder,
                    compression=_QUALITIES[video.quality],
                    split=split,
                    target=video.target,
                    source=video.source,
                    actor=video.target if video.kind == "actors" else "",
                    scene=video.scene,
                    identities=sides.identities[video.stem],
                    official_mask=masks.get((video.folder, video.stem), ""),
                )
            )
            name = video.path.split("/", 3)[3]
            entries.append(Entry(video.series, _QUALITIES[video.quality], name, video.group))
    missing, parts = gaps(dataset, entries)
    return Declared(
        tuple(found),
        (*outcomes, *extra, *twice, *missing),
        (*notes, *sides.notes, *parts),
        frozenset(sides.used),
    )


def _why_not_in_split(dataset: str, video: _Video) -> str:
    if video.kind == "actors":
        return f"no list covers it, and datasets.{dataset}.unlisted_split is empty"
    what = "pair" if video.source else "id"
    return f"its {what} is in none of train.json, val.json and test.json; add it to one, or leave it"


def _scan(dataset: str, files: Sequence[str]) -> tuple[list[_Video], list[Outcome]]:
    """Videos (and mask videos) by what their paths say, and the rest."""
    videos, outcomes, foreign = [], [], []
    for path in files:
        match = _PATH.fullmatch(path)
        if not match or not is_video(path) or not _FOLDER.fullmatch(path.rpartition("/")[0]):
            if path not in _FILES:
                foreign.append(path)
            continue
        series, quality, stem, _ = match.groups()
        folder = series.partition("/")[2]
        kind = _METHODS.get(folder, folder)
        pattern, example = _NAMES[kind, folder in _ORIGINALS]
        name = pattern.fullmatch(stem)
        if name:
            said = name.groupdict()
            ids = said["target"], said.get("source", ""), said.get("scene", "")
            videos.append(_Video(path, series, folder, kind, quality, stem, *ids))
        else:
            why = f"its name is not like {example}; rename it, or leave it"
            outcomes.append(skipped(dataset, path, "", "not_in_layout", why))
    return videos, outcomes + strays(dataset, foreign, _FOLDER, "not a place of FaceForensics++'s clips")


def _masks(dataset: str, videos: Sequence[_Video]) -> tuple[dict[tuple[str, str], str], list[Outcome]]:
    """Mask videos by folder and stem, and outcomes of those that have no clip, or are there twice."""
    stems = {(video.folder, video.stem) for video in videos if video.quality != _MASKS}
    masks: dict[tuple[str, str], str] = {}
    outcomes = []
    for video in sorted(videos, key=lambda video: suffix_rank(video.path)):
        key = video.folder, video.stem
        if video.quality != _MASKS:
            continue
        if key not in stems:
            why = f"a mask, and there is no clip {video.stem} of {video.folder}"
            outcomes.append(skipped(dataset, video.path, video.group, "not_in_layout", why))
        elif masks.setdefault(key, video.path) != video.path:
            why = f"differs from {masks[key]} in its suffix only, which was taken; remove one of them"
            outcomes.append(failed(dataset, video.path, video.group, "key_collision", why))
    return masks, outcomes


def _filter(
    dataset: str, root: str, videos: Sequence[_Video], params: DatasetParams
) -> tuple[list[_Video], list[str]]:
    """What the parameters take; originals go with the methods that were made from them."""
    qualities = {_QUALITIES.get(name, name) for name in params.compressions}
    methods = {video.folder for video in videos if not video.is_real}
    check_names(f"datasets.{dataset}.methods", {*params.methods}, methods, root)
    check_names(
        f"datasets.{dataset}.compressions", qualities, {_QUALITIES[video.quality] for video in videos}, root
    )
    folders = {*params.methods, *(_METHODS[method] for method in params.methods)}
    taken = [
        video
        for video in videos
        if (not folders or video.folder in folders)
        and (not qualities or _QUALITIES[video.quality] in qualities)
    ]
    left = len(videos) - len(taken)
    return taken, [f"{left} videos are left out by datasets.{dataset}.methods and .compressions"] * bool(left)


def _drop_aliases(dataset: str, videos: Sequence[_Video]) -> tuple[list[_Video], list[Outcome]]:
    """Without clips in c0 that are in raw as well."""
    raw = {(video.folder, video.stem): video.path for video in videos if video.quality == "raw"}
    kept, outcomes = [], []
    for video in videos:
        other = raw.get((video.folder, video.stem)) if video.quality == "c0" else None
        if other:
            why = f"c0 is another name of raw, and {other} was taken"
            outcomes.append(skipped(dataset, video.path, video.group, "not_in_layout", why))
        else:
            kept.append(video)
    return kept, outcomes


def _sides(dataset: str, listing: Listing, params: DatasetParams, videos: Sequence[_Video]) -> _Sides:
    remedy = f"copy it from {_REPOSITORY}, or set datasets.{dataset}.split: hash"
    names = {video.stem: video for video in videos}
    has_lists = any(video.kind == "youtube" for video in videos)
    texts, used = read_table(listing, _CONVERSION, remedy) if has_lists else ({}, [])
    origins = {one: text.split()[0] for one, text in texts.items()}
    identities = {stem: _identities(video, origins) for stem, video in names.items()}
    notes = []
    if has_lists and not texts:
        what = f"no {_CONVERSION}, here or in splits/, so that clips of one YouTube video cannot be told"
        if params.split == "repaired":
            raise DatasetError(f"{listing.root}: {what}; {remedy}")
        notes.append(f"{what}; copy it from {_REPOSITORY}")
    if params.split == "hash":
        hashed = hash_splits(identities.values())
        return _Sides({stem: hashed[many[0]] for stem, many in identities.items()}, identities, notes, used)
    lists = Lists({}, frozenset())
    if has_lists:
        lists, files = read_lists(listing, remedy)
        used += files
    if params.split == "repaired":
        lists, moves = repair(lists, origins)
        here = {one for video in videos for one in (video.target, video.source)}
        notes += [
            f"repaired: {', '.join(move.ids)} go from {move.before} to {move.after}, because of YouTube "
            f"video {move.origin}"
            for move in moves
            if here & {*move.ids}
        ]
    splits = {
        stem: lists.of(video.target, video.source)
        if video.kind == "youtube"
        else params.unlisted_split or None
        for stem, video in names.items()
    }
    return _Sides(splits, identities, notes, used)


def _identities(video: _Video, origins: dict[str, str]) -> tuple[str, ...]:
    ids = [one for one in dict.fromkeys((video.target, video.source)) if one]
    if video.kind == "actors":
        return tuple(f"actor:{one}" for one in ids)
    seen = dict.fromkeys(origins[one] for one in ids if one in origins)
    return (*(f"youtube:{one}" for one in ids), *(f"origin:{one}" for one in seen))
