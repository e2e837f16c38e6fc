"""What a dataset's layout is: a module in `transforms/layouts` that turns a list of files into clips."""

import errno
import importlib
import os
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from schemas.clip import Clip
from schemas.names import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from schemas.outcome import Outcome, Reason
from schemas.params import DatasetParams
from transforms import layouts

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")


class DatasetError(Exception):
    """A dataset cannot be understood: names the value, the file and the remedy."""


def _read_nothing(path: str) -> bytes:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


@dataclass(frozen=True)
class Listing:
    """What is in a dataset's folder.

    Attributes:
      root: the folder, for messages.
      files: paths relative to the root, with `/`, sorted; bytes that are not UTF-8 are lone surrogates
        (surrogateescape).
      read_text: the text of a file by such a path; raises OSError or UnicodeDecodeError.
      read_bytes: the bytes of one; raises OSError.
      archived: folders of pictures inside archives, as `<archive>/<folder>`, and how many are in each;
        for layouts with `ARCHIVES`.
    """

    root: str
    files: Sequence[str]
    read_text: Callable[[str], str]
    read_bytes: Callable[[str], bytes] = _read_nothing
    archived: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Declared:
    """What a layout makes of a listing.

    Attributes:
      clips: without media facts, and from a layout without `reference` too.
      outcomes: what became of the other files.
      notes: what a person should know before anything is run, a line each.
      used: files that were read, such as lists.
    """

    clips: tuple[Clip, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()


class Layout(Protocol):
    """A module of `transforms/layouts`: the only one that knows the folders of its dataset.

    Attributes:
      TERMS: one sentence on the dataset's licence or terms of use, with their address.

    A module whose clips lie in archives has `ARCHIVES = True` as well: the index stage then lists what is in
    them (`Listing.archived`).
    """

    TERMS: str

    def clips(self, dataset: str, listing: Listing, params: DatasetParams) -> Declared:
        """The clips that a listing declares, and an outcome for each other video.

        Names are UTF-8 here. A clip's group, label, split and identities must be right: all clips of a group
        are in one split, and an identity's `<kind>:<id>` is the same in every dataset that shows it.

        Raises:
          DatasetError: if nothing is of this layout, or lists cannot be read.
        """


def load_layout(name: str) -> Layout:
    """The layout of a name.

    Raises:
      DatasetError: if there is no such module.
    """
    known = sorted(module.name for module in pkgutil.iter_modules(layouts.__path__))
    if name not in known:
        raise DatasetError(
            f"layout {name!r}: not one of {known}; params.yaml says which one a dataset of another name has"
        )
    return cast(Layout, importlib.import_module(f"{layouts.__name__}.{name}"))


def check_names(name: str, asked: set[str], there: set[str], root: str) -> None:
    """Check that what a parameter asks for is there.

    Raises:
      DatasetError: naming the parameter, what is not there, and what is.
    """
    if asked - there:
        raise DatasetError(
            f"{name}: {', '.join(sorted(asked - there))} not in {root}, which has "
            f"{', '.join(sorted(there)) or 'none'}; take it out, or download it"
        )


def check_choice(
    dataset: str, params: DatasetParams, methods: set[str], root: str, compressions: Iterable[str] = ("raw",)
) -> None:
    """Check that the methods and compressions that the parameters of a dataset ask for are there.

    Raises:
      DatasetError: as `check_names`.
    """
    check_names(f"datasets.{dataset}.methods", {*params.methods}, methods, root)
    check_names(f"datasets.{dataset}.compressions", {*params.compressions}, {*compressions}, root)


def nothing_here(listing: Listing, name: str, expected: str, marker: str) -> DatasetError:
    """What to say of a root without a single clip.

    Args:
      listing: of the root.
      name: of the dataset.
      expected: where its clips are.
      marker: a folder right below the root of such a dataset.
    """
    found = sorted({path.partition("/")[0] for path in listing.files})
    named = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    remedy = f"set the root to the folder that holds {marker}"
    inner = next((path for path in listing.files if f"/{marker}/" in path), "")
    if inner:
        remedy = f"try {listing.root}/{inner.partition(f'/{marker}/')[0]}"
    return DatasetError(f"{listing.root}: no {name} here: {expected}; found {named or 'nothing'}; {remedy}")


def is_video(path: str) -> bool:
    """Whether a file's suffix is that of a video."""
    return path[path.rfind(".") :].lower() in VIDEO_SUFFIXES


def is_image(path: str) -> bool:
    """Whether a file's suffix is that of a picture."""
    return path[path.rfind(".") :].lower() in IMAGE_SUFFIXES


def is_archive(path: str) -> bool:
    """Whether a file's suffix is that of an archive."""
    return path.lower().endswith(ARCHIVE_SUFFIXES)


def suffix_rank(path: str) -> int:
    """Position of a suffix from best (0) to worst: videos, then pictures, then anything else."""
    known, suffix = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES), path[path.rfind(".") :].lower()
    return known.index(suffix) if suffix in known else len(known)


def failed(dataset: str, unit: str, group: str, reason: Reason, detail: str) -> Outcome:
    """The outcome of something to mend, in the index stage."""
    return Outcome("index", dataset, unit, group, "failed", reason, detail)


def skipped(dataset: str, unit: str, group: str, reason: Reason, detail: str) -> Outcome:
    """The outcome of something that is rightly left out, in the index stage."""
    return Outcome("index", dataset, unit, group, "skipped", reason, detail)


def strays(dataset: str, paths: Iterable[str], folders: re.Pattern[str], detail: str) -> list[Outcome]:
    """`not_in_layout` outcomes: one for each video, and one for all the other files of each foreign place.

    A place is the first folder (or the file) on a path that is not of the layout: a folder of a million
    extracted frames is one outcome.

    Args:
      dataset: name.
      paths: the files.
      folders: matches the folders of the layout, relative to the root.
      detail: what to say of each.
    """
    outcomes = []
    others: dict[str, int] = {}
    for path in paths:
        if is_video(path):
            outcomes.append(skipped(dataset, path, "", "not_in_layout", detail))
            continue
        end = path.find("/")
        while end >= 0 and folders.fullmatch(path, 0, end):
            end = path.find("/", end + 1)
        place = path if end < 0 else path[:end]
        others[place] = others.get(place, 0) + 1
    for place, count in others.items():
        said = "not a video" if count == 1 else f"{count} files, not videos"
        outcomes.append(skipped(dataset, place, "", "not_in_layout", f"{said}; {detail}"))
    return outcomes
