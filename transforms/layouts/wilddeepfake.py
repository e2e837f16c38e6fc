"""WildDeepfake: face crops of videos from the internet, in an archive for each video.

    [deepfake_in_the_wild/]{real,fake}_{train,test}/<n>.tar.gz    also spelled "real train"
      [./<n>/]{real,fake}/<sequence>/<frame>.png                  in it

One clip a sequence. Sequences are numbered anew in each archive, and frames as in their video, with gaps.
Labels are those of the split's folder and of the folder in the archive: the folder of all of them is called
deepfake, of reals too. Identities are `wilddeepfake:<label>_<split>/<n>`, one for each archive.
"""

import re
from typing import cast

from schemas.clip import Clip, Label, Split
from schemas.outcome import Outcome
from schemas.params import DatasetParams
from transforms.indexing.layout import Declared, Listing, check_choice, failed, nothing_here, skipped, strays
from transforms.indexing.pairing import pair

ARCHIVES = True
TERMS = (
    "WildDeepfake is given out on request, for research; its authors remove a face from it where the person "
    "asks for that (recalled, not verified): https://github.com/OpenTAI/wild-deepfake"
)

_METHOD = "WildDeepfake"
_TOP = "deepfake_in_the_wild"
_PLACE = re.compile(rf"{_TOP}|(?:{_TOP}/)?(?:real|fake)[ _](?:train|test)")
_ARCHIVE = re.compile(
    rf"(?:{_TOP}/)?(real|fake)[ _](train|test)/([^/]+?)\.(?:tar\.gz|tgz|tar)(?![^/])", re.IGNORECASE
)
_SEQUENCE = re.compile(r"(?:[^/]+/)?(real|fake)/([^/]+)")
_EXPECTED = f"archives are {_TOP}/{{real,fake}}_{{train,test}}/<n>.tar.gz"


def clips(dataset: str, listing: Listing, params: DatasetParams) -> Declared:
    """The clips of a WildDeepfake tree, or of a part of one; see `transforms.indexing.layout.Layout`."""
    archives = {path for path in listing.files if _ARCHIVE.fullmatch(path)}
    if not archives:
        raise nothing_here(listing, "WildDeepfake", _EXPECTED, _TOP)
    check_choice(dataset, params, {_METHOD}, listing.root)
    foreign = [path for path in listing.files if path not in archives]
    why = f"not a place of WildDeepfake's archives, which are read as they are: {_EXPECTED}"
    outcomes = strays(dataset, foreign, _PLACE, why)
    found: dict[str, Clip] = {}
    for path in sorted(listing.archived):
        archive = _ARCHIVE.match(path)
        if not archive or archive[0] not in archives:
            continue  # In an archive elsewhere, which is a stray as a whole.
        made = _clip(dataset, path, archive)
        if isinstance(made, Outcome):
            outcomes.append(made)
        elif (first := found.setdefault(made.group, made)) is not made:
            why = f"sequence {made.group} again, after {first.clip}; remove one of them"
            outcomes.append(failed(dataset, path, made.group, "key_collision", why))
    paired, notes = pair(dataset, list(found.values()), params)
    return Declared(tuple(paired), tuple(outcomes), tuple(notes))


def _clip(dataset: str, path: str, archive: re.Match[str]) -> Clip | Outcome:
    """The clip of a sequence, by its path and what its archive's path says."""
    sequence = _SEQUENCE.fullmatch(path, archive.end() + 1)
    if not sequence:
        why = "not a sequence: those are <n>/{real,fake}/<sequence> in their archive"
        return skipped(dataset, path, "", "not_in_layout", why)
    label, split, number = archive[1].lower(), archive[2].lower(), archive[3]
    group = f"{label}_{split}/{number}/{sequence[2]}"
    if sequence[1] != label:
        why = (
            f"its archive is {label}, its folder in there {sequence[1]}; find out which is true, and move it"
        )
        return failed(dataset, path, group, "not_in_layout", why)
    return Clip(
        dataset=dataset,
        clip=path,
        group=group,
        label=cast(Label, label),
        method="real" if label == "real" else _METHOD,
        compression="raw",
        split=cast(Split, split),
        target=number,
        identities=(f"wilddeepfake:{label}_{split}/{number}",),
        truth="original" if label == "real" else "none",
        cropped=True,
    )
