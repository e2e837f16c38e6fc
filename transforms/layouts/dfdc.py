"""DFDC, the Deepfake Detection Challenge dataset, or any part or sample of it.

    [train/]dfdc_train_part_<0 to 49>/*.mp4, metadata.json:
        {"x.mp4": {"label": "FAKE", "split": "train", "original": "y.mp4"}, "y.mp4": {"label": "REAL", ...}}
    validation/, test/: *.mp4, labels.csv: filename,label (1 = fake)

A folder of videos with one of these tables is a part, wherever it is. The dataset names no people: identities
are `dfdc:<stem of the original>`.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from schemas.clip import Clip, Label, Split
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
from transforms.indexing.splits import hash_splits
from transforms.indexing.texts import kind_of, parse_json, read_text, shorten
from transforms.indexing.twins import first_of_each

TERMS = (
    "DFDC may be used as the agreement says that is accepted before the download: "
    "https://ai.meta.com/datasets/dfdc/"
)

_METHOD = "DFDC"
_JSON, _CSV = "metadata.json", "labels.csv"
_REMEDY = "download it again, or mend that entry"
# Where a table's videos are, relative to it; the first place counts.
_BESIDE = ("", "videos/", "test/", "test_videos/")
_PART = re.compile(r"dfdc_train_part_([0-9]+)")


class _Entry(NamedTuple):
    """What a table says of a video."""

    label: Label
    original: str  # its file's name; "" where it is not said


class _Table(NamedTuple):
    path: str
    entries: dict[str, _Entry]

    @property
    def folder(self) -> str:
        return self.path[: self.path.rfind("/") + 1]

    @property
    def part(self) -> int | None:
        numbers = _PART.findall(self.folder)
        return int(numbers[-1]) if numbers else None

    @property
    def split(self) -> Split | None:
        """None where its place does not say it."""
        if self.part is not None:
            return "train" if self.part < 35 else "val" if self.part < 40 else "test"
        if "validation" in self.folder.split("/"):
            return "val"
        return "test" if self.path.endswith(_CSV) or "test" in self.folder.split("/") else None


def clips(dataset: str, listing: Listing, params: DatasetParams) -> Declared:
    """The clips of DFDC, of its parts or of a sample; see `transforms.indexing.layout.Layout`."""
    tables = _tables(listing)
    if not tables:
        expected = f"clips are dfdc_train_part_<n>/*.mp4 with {_JSON}, and test/*.mp4 with {_CSV}"
        raise nothing_here(listing, "DFDC", expected, "dfdc_train_part_0")
    check_choice(dataset, params, {_METHOD}, listing.root)
    there, drafts, outcomes, notes = {*listing.files}, dict[str, Clip](), [], []
    for table in tables:
        lost = {}
        for name, entry in table.entries.items():
            places = [f"{table.folder}{place}{name}" for place in _BESIDE]
            path = next((path for path in places if path in there), "")
            clip = _clip(dataset, path or places[0], entry, table.split)
            if path:
                drafts.setdefault(path, clip)
            else:
                lost[clip.clip] = clip.group
        missing, said = absent(dataset, table.path, lost, len(table.entries) - len(lost))
        outcomes += missing
        notes += said
    unsaid = [table.path for table in tables if not table.split]
    if unsaid and params.split != "hash":
        notes.append(
            f"tables whose path names no part, such as {unsaid[0]}: {len(unsaid)}; splits of their clips are "
            "by hash of the originals"
        )
    videos, twice = first_of_each(dataset, [(PurePosixPath(path).stem, path) for path in drafts])
    found, said = pair(dataset, [drafts[path] for path in videos.values()], params)
    read = frozenset(table.path for table in tables)
    foreign = [path for path in listing.files if path not in drafts and path not in read]
    outcomes += twice + strays(dataset, foreign, _folders(drafts), f"not in a {_JSON} or {_CSV} beside it")
    return Declared(tuple(found), tuple(outcomes), (*notes, *said), read)


def _tables(listing: Listing) -> list[_Table]:
    """The tables that have videos beside them; numbered parts first.

    Raises:
      DatasetError: if one of them is broken.
    """
    folders = {path[: path.rfind("/") + 1] for path in listing.files if is_video(path)}
    tables = {}
    for name in (_JSON, _CSV):
        for path in listing.files:
            folder = path[: path.rfind("/") + 1]
            if path == f"{folder}{name}" and any(f"{folder}{place}" in folders for place in _BESIDE):
                tables[folder] = path
    read = [_Table(path, _entries(listing, path)) for path in tables.values()]
    return sorted(read, key=lambda table: (table.part is None, table.path))


def _entries(listing: Listing, path: str) -> dict[str, _Entry]:
    where = f"{listing.root}/{path}"
    text = read_text(listing, path, _REMEDY) or ""
    values = _from_csv(text, where) if path.endswith(_CSV) else parse_json(text, where, _REMEDY)
    if not isinstance(values, dict) or not values:
        raise DatasetError(f"{where}: holds {kind_of(values)}, not an object with videos; {_REMEDY}")
    entries = {}
    for name, value in values.items():
        if not isinstance(value, dict) or value.get("label") not in ("REAL", "FAKE"):
            raise DatasetError(f"{where}: {name!r} is {shorten(value)}, without REAL or FAKE; {_REMEDY}")
        is_fake = value["label"] == "FAKE"
        original = (value.get("original") if is_fake else "") or ""
        for file in (name, original or name):
            if not isinstance(file, str) or not is_video(file) or re.search(r"[/\\]", file):
                raise DatasetError(
                    f"{where}: {name!r}: {shorten(file)} is not the name of a video; {_REMEDY}"
                )
        entries[name] = _Entry("fake" if is_fake else "real", original)
    return entries


def _from_csv(text: str, where: str) -> dict[str, Any]:
    """Rows by file name, as metadata.json has them; there may be no header."""
    lines = text.splitlines()
    header = None if lines and "filename" in lines[0] else ("filename", "label")
    try:
        rows = [*csv.DictReader(lines, header, skipinitialspace=True)]
    except csv.Error as error:
        raise DatasetError(f"{where}: not CSV ({error}); {_REMEDY}") from None
    names = {"0": "REAL", "1": "FAKE"}
    return {row["filename"]: {**row, "label": names.get(row.get("label") or "")} for row in rows}


def _clip(dataset: str, path: str, entry: _Entry, split: Split | None) -> Clip:
    stem = PurePosixPath(entry.original or path).stem
    identities = (f"dfdc:{stem}",)
    return Clip(
        dataset=dataset,
        clip=path,
        group=f"dfdc/{stem}",
        label=entry.label,
        method=_METHOD if entry.label == "fake" else "real",
        compression="raw",
        split=split or hash_splits([identities])[identities[0]],
        target=stem,
        identities=identities,
    )


def _folders(paths: Iterable[str]) -> re.Pattern[str]:
    """Matches the folders that clips are in, and those above."""
    folders = {PurePosixPath(path[: path.rfind("/") + 1]) for path in paths}
    known = {str(one) for folder in folders for one in (folder, *folder.parents)}
    return re.compile("|".join(re.escape(folder) for folder in sorted(known)))
