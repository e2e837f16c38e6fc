"""DFFD, the Diverse Fake Face Dataset: stills, in the folders that its archives unpack to.

    <part>/{train,validation,test}/<name>.png, and their masks <part>/{train,validation,test}_mask/<name>.png
    {train,validation,test}_{real,fake}.txt, in scripts/data_lists/, data_lists/, scripts/, _lists/ or here

or as the authors' loader wants them: {train,eval,test}/{Real,Fake,Mask}/<name>.png. Any part of it will do;
the parts celeba, youtube, Deepfakes, FaceSwap, Face2Face and DeepFaceLab are those that users build. The
numbers in a name tell what a picture was made from: docs/layouts/dffd.md says how, and how sure that is.
Identities are `ffhq:<number>`, `celeba:<number>`, `stargan:<number>` and `youtube:<id>` (FaceForensics++'s).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from schemas.clip import Clip, Split
from schemas.outcome import Outcome
from schemas.params import DatasetParams
from transforms.indexing.layout import (
    DatasetError,
    Declared,
    Listing,
    check_choice,
    is_image,
    nothing_here,
    skipped,
    strays,
)
from transforms.indexing.pairing import pair
from transforms.indexing.texts import read_text

TERMS = (
    "DFFD is for research by those to whom Michigan State University gave access "
    "(http://cvlab.cse.msu.edu/dffd-dataset.html); what it took from FaceForensics++, FFHQ and CelebA keeps "
    "their terms"
)

# By part: the method, and whose numbers are in its names.
_PARTS = {
    "ffhq": ("real", "ffhq"),
    "celeba": ("real", "celeba"),
    "celeba_2w": ("real", "celeba"),
    "youtube": ("real", "youtube"),
    "deepfakes": ("Deepfakes", "youtube"),
    "faceswap": ("FaceSwap", "youtube"),
    "face2face": ("Face2Face", "youtube"),
    "deepfacelab": ("DeepFaceLab", ""),
    "faceapp": ("FaceApp", "ffhq"),
    "stargan": ("StarGAN", "celeba"),
    "pggan_v1": ("PGGAN", ""),
    "pggan_v2": ("PGGAN", ""),
    "stylegan_celeba": ("StyleGAN", ""),
    "stylegan_ffhq": ("StyleGAN", ""),
}
_SYNTHETIC = ("PGGAN", "StyleGAN")
# The authors' loader does not tell parts apart; how DFFD's names begin does.
_UNNAMED = {"Real": ("real", ""), "Fake": ("unknown", "")}
_PREFIXES = {
    "R_FFHQ": "ffhq",
    "F_FAP": "faceapp",
    "F_STGN": "stargan",
    "F_PGN": "pggan_v1",
    "F_SyCA": "stylegan_celeba",
    "F_SyFQ": "stylegan_ffhq",
}
_SPLITS: dict[str, Split] = {
    "train": "train",
    "validation": "val",
    "val": "val",
    "eval": "val",
    "test": "test",
}

_PART, _SIDE = f"({'|'.join(_PARTS)})", f"({'|'.join(_SPLITS)})"
_BY_PART = re.compile(rf"(?i:{_PART})/{_SIDE}(_mask)?/(.+)\.[^./]+")
_BY_LABEL = re.compile(rf"{_SIDE}/(Real|Fake|Mask)/(.+)\.[^./]+")
_LIST = re.compile(r"((?:scripts/)?data_lists/|scripts/|_lists/|)(train|validation|test)_(real|fake)\.txt")
_FOLDER = re.compile(
    rf"(scripts/)?data_lists|scripts|_lists|(?i:{_PART})(/{_SIDE}(_mask)?)?|{_SIDE}(/(Real|Fake|Mask))?"
)
_EXPECTED = "pictures are <part>/{train,validation,test}/*.png, and parts ffhq, faceapp, pggan_v1, ..."
_REMEDY = "mend it, or take the lists away: the folders say the split too"

_NUMBER = re.compile(r"(?:[RF]_[A-Za-z]+[0-9]?_)?[^0-9]*([0-9]+)")
_DIGITS = {"ffhq": 5, "celeba": 6}
_FRAME = r"[_/-][^0-9]*(?P<frame>[0-9]+)"
_REAL_FRAME = re.compile(rf"(?:.*?[_/-])?(?P<target>[0-9]{{3}})(?P<source>){_FRAME}")
_FAKE_FRAME = re.compile(rf"(?:.*?[_/-])?(?P<target>[0-9]{{3}})[_-](?P<source>[0-9]{{3}}){_FRAME}")


class _Still(NamedTuple):
    """What a picture's path says."""

    path: str
    stem: str  # without the suffix
    method: str
    kind: str  # of the numbers in its name
    split: Split
    name: str


class _Origin(NamedTuple):
    """The real picture that a picture was made from, or is, and who is seen; "" where that is unknown."""

    group: str = ""
    target: str = ""
    source: str = ""
    identities: tuple[str, ...] = ()


def clips(dataset: str, listing: Listing, params: DatasetParams) -> Declared:
    """The stills of a DFFD tree, or of a part of one; see `transforms.indexing.layout.Layout`."""
    stills, masks, lists, outcomes = _scan(dataset, listing.files)
    if not stills:
        inner = (part for part in _PARTS if any(f"/{part}/" in path for path in listing.files))
        raise nothing_here(listing, "DFFD", _EXPECTED, next(inner, "ffhq"))
    methods = {still.method for still in stills} - {"real"}
    check_choice(dataset, params, methods, listing.root)
    taken = [s for s in stills if not params.methods or s.method in ("real", *params.methods)]
    left = len(stills) - len(taken)
    splits, notes = _split(taken, _read_lists(listing, lists))
    found: list[Clip] = []
    originals: dict[str, str] = {}
    for still in taken:
        origin = _origin(still)
        group = origin.group or still.stem
        if still.method == "real" and originals.setdefault(group, still.path) != still.path:
            group = still.stem
        found.append(_clip(dataset, still, origin, group, splits[still.path], masks))
    found, more = pair(dataset, found, params)
    notes += [f"pictures that datasets.{dataset}.methods leaves out: {left}"] * bool(left)
    return Declared(tuple(found), tuple(outcomes), (*notes, *more), frozenset(lists))


def _scan(
    dataset: str, files: Sequence[str]
) -> tuple[list[_Still], dict[str, str], list[str], list[Outcome]]:
    """Pictures, masks by the stem of their picture, lists, and outcomes of the rest."""
    stills, foreign = [], []
    masks: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for path in files:
        if match := _LIST.fullmatch(path):
            lists.setdefault(match[1], []).append(path)
        elif is_image(path) and (match := _BY_PART.fullmatch(path)):
            part, folder, is_mask, name = match.groups()
            stem = f"{part}/{folder}/{name}"
            if not is_mask:
                stills.append(_Still(path, stem, *_PARTS[part.lower()], _SPLITS[folder], name))
            elif masks.setdefault(stem, path) != path:
                foreign.append(path)
        elif is_image(path) and (match := _BY_LABEL.fullmatch(path)):
            folder, label, name = match.groups()
            stem = f"{folder}/{label.replace('Mask', 'Fake')}/{name}"
            if label != "Mask":
                said = (_PARTS[part] for prefix, part in _PREFIXES.items() if name.startswith(prefix))
                part_of = next(said, _UNNAMED[label])
                stills.append(_Still(path, stem, *part_of, _SPLITS[folder], name))
            elif masks.setdefault(stem, path) != path:
                foreign.append(path)
        else:
            foreign.append(path)
    used = next(iter(lists.values()), [])
    foreign += [path for paths in lists.values() for path in paths if path not in used]
    fakes = {still.stem for still in stills if still.method != "real"}
    why = "a mask, and there is no fake of its name"
    useless = [path for stem, path in masks.items() if stem not in fakes]
    outcomes = [skipped(dataset, path, "", "not_in_layout", why) for path in useless]
    return stills, masks, used, outcomes + strays(dataset, foreign, _FOLDER, "not a place of DFFD's pictures")


def _read_lists(listing: Listing, paths: Sequence[str]) -> dict[str, tuple[Split, bool]]:
    """The split of each name on the lists, and whether it is real there.

    Raises:
      DatasetError: if a list cannot be read, or two disagree.
    """
    listed: dict[str, tuple[Split, bool]] = {}
    for path in paths:
        folder, _, label = PurePosixPath(path).stem.partition("_")
        here = _SPLITS[folder], label == "real"
        for number, line in enumerate((read_text(listing, path, _REMEDY) or "").splitlines(), 1):
            name = "/".join(line.strip().split("/")[-3:])
            if name and listed.setdefault(name, here) != here:
                other = f"{listed[name][0]}'s {'real' if listed[name][1] else 'fake'} ones"
                raise DatasetError(
                    f"{listing.root}/{path}: line {number}: {name} is among {other} too; {_REMEDY}"
                )
    return listed


def _split(
    stills: Sequence[_Still], listed: Mapping[str, tuple[Split, bool]]
) -> tuple[dict[str, Split], list[str]]:
    """The split of each picture, by the lists or else its folder, and notes on how these agree."""
    splits = {still.path: still.split for still in stills}
    if not listed:
        return splits, []
    seen = set()
    moved, mislabelled, unlisted = [], [], []
    for path, _, method, _, split, _ in stills:
        name = path if path in listed else path.rpartition("/")[2]
        if name not in listed:
            unlisted.append(path)
            continue
        seen.add(name)
        splits[path], is_real = listed[name]
        if splits[path] != split:
            moved.append(path)
        if is_real != (method == "real"):
            mislabelled.append(path)
    said = {
        "pictures whose list and folder are of different splits, and the list counts": moved,
        "pictures whose list and folder are of different labels, and the folder counts": mislabelled,
        "pictures on no list, which are in their folder's split": unlisted,
        f"of the {len(listed)} names on the lists, those that are not here": sorted(listed.keys() - seen),
    }
    return splits, [f"{what}: {len(some)}, such as {some[0]}" for what, some in said.items() if some]


def _origin(still: _Still) -> _Origin:
    if still.kind == "youtube":
        frame = (_REAL_FRAME if still.method == "real" else _FAKE_FRAME).fullmatch(still.name)
        if not frame:
            return _Origin()
        target, source, number = frame.group("target", "source", "frame")
        ids = tuple(f"youtube:{one}" for one in (target, source) if one)
        return _Origin(f"youtube/{target}/{int(number)}", target, source, ids)
    match = _NUMBER.match(PurePosixPath(still.name).name) if still.kind else None
    if not match:
        return _Origin()
    if still.method == "StarGAN" and len(match[1]) != _DIGITS["celeba"]:
        # A number of its own, not CelebA's.
        return _Origin("", match[1], "", (f"stargan:{match[1]}",))
    one = match[1].zfill(_DIGITS[still.kind])
    return _Origin(f"{still.kind}/{one}", one, "", (f"{still.kind}:{one}",))


def _clip(
    dataset: str, still: _Still, origin: _Origin, group: str, split: Split, masks: Mapping[str, str]
) -> Clip:
    is_real = still.method == "real"
    return Clip(
        dataset=dataset,
        clip=still.path,
        group=group,
        label="real" if is_real else "fake",
        method=still.method,
        compression="raw",
        split=split,
        target=origin.target,
        source=origin.source,
        identities=origin.identities,
        official_mask="" if is_real else masks.get(still.stem, ""),
        truth="all_one" if still.method in _SYNTHETIC else "original",
        cropped=True,
    )
