"""A manifest: a table of clips that a person wrote, as CSV or Parquet."""

import csv
import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.clip import COMPRESSIONS, Label, Split, Truth
from transforms.indexing.layout import DatasetError, Listing
from transforms.indexing.texts import read_text

NAMES = ("manifest.csv", "manifest.parquet")

_NEEDED = ("clip", "label")
_COLUMNS = (
    *_NEEDED, "method", "source", "split", "compression", "identity", "mask", "group", "truth", "cropped",
)  # fmt: skip
_LABELS: dict[str, Label] = {"real": "real", "fake": "fake"}
_SPLITS: dict[str, Split | None] = {
    "": None,
    "train": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
}
_TRUTHS: dict[str, Truth] = {"": "original", "original": "original", "all_one": "all_one"}
_YES = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}
_DRIVE = re.compile(r"[A-Za-z]:[/\\]|[/\\]")


class Entry(NamedTuple):
    """A row: what it says of a clip. Texts are "" where it says nothing."""

    place: str  # "line 3" or "row 3", for messages
    clip: str
    label: Label
    method: str
    source: str
    split: Split | None
    compression: str
    identities: tuple[str, ...]
    mask: str
    group: str
    truth: Truth
    cropped: bool


def read_manifest(listing: Listing, name: str) -> tuple[list[Entry], list[str]]:
    """The rows of a manifest, and notes on what is not used of it.

    Raises:
      DatasetError: naming the row, if it cannot be read or a value is not one that is known.
    """
    path = f"{listing.root}/{name}"
    columns, rows = _read_csv(listing, name) if name.endswith(".csv") else _read_parquet(listing, name)
    missing = [column for column in _NEEDED if column not in columns]
    if missing:
        raise DatasetError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}; name them in "
            f"its first row, with commas between: {','.join(_COLUMNS[:5])}"
        )
    entries: list[Entry] = []
    seen: dict[str, str] = {}
    for place, values in rows:
        entry = _entry(listing, f"{path}: {place}", place, values)
        other = seen.setdefault(entry.clip, place)
        if other != place:
            raise DatasetError(f"{path}: {place}: {entry.clip} is in {other} too; remove one of them")
        entries.append(entry)
    if not entries:
        raise DatasetError(f"{path}: has no rows; write one for each clip")
    unknown = [column for column in columns if column not in _COLUMNS]
    said = f"columns of {name} that mean nothing here: {', '.join(unknown)} (known: {', '.join(_COLUMNS)})"
    return entries, [said] * bool(unknown)


def _entry(listing: Listing, where: str, place: str, values: Mapping[str, str]) -> Entry:
    def one_of(column: str, known: Mapping[str, Any], remedy: str) -> Any:
        text = values.get(column, "").strip()
        if text.lower() not in known:
            words = ", ".join(word for word in known if word)
            raise DatasetError(f"{where}: {column} {text!r} is not one of {words}; {remedy}")
        return known[text.lower()]

    def path(column: str) -> str:
        text = values.get(column, "").strip()
        clean = _clean(text)
        if _DRIVE.match(text) or clean.split("/")[0] == "..":
            raise DatasetError(
                f"{where}: {column} {text!r} is not below {listing.root}; write its path from there, and "
                "copy or mount there what is elsewhere"
            )
        return clean

    clip = path("clip")
    if clip in ("", "."):
        raise DatasetError(f"{where}: clip is empty; write the path of a video, a picture or a folder")
    label = one_of("label", _LABELS, "what 0 and 1 mean differs from dataset to dataset, so write the word")
    qualities = {"": "raw", **{name: name for name in COMPRESSIONS}}
    names = [name.strip() for name in values.get("identity", "").split(";")]
    method = values.get("method", "").strip()
    if label == "fake" and method.lower() == "real":
        raise DatasetError(f"{where}: label fake, and method {method!r}; one of them is wrong")
    return Entry(
        place,
        clip,
        label,
        "real" if label == "real" else method or "unknown",
        _clean(values.get("source", "").strip()),
        one_of("split", _SPLITS, "leave it empty in every row for a split by hash"),
        one_of("compression", qualities, "leave it empty where there is one quality"),
        tuple(dict.fromkeys(name for name in names if name)),
        path("mask"),
        values.get("group", "").strip(),
        one_of("truth", _TRUTHS, "leave it empty where a fake is a changed clip"),
        one_of("cropped", _YES, "leave it empty where clips are not face crops"),
    )


Rows = Iterator[tuple[str, Mapping[str, str]]]


def _read_csv(listing: Listing, name: str) -> tuple[list[str], Rows]:
    path = f"{listing.root}/{name}"
    text = read_text(listing, name, "save it as UTF-8")
    reader = csv.reader(io.StringIO(text or "", newline=""), strict=True)

    def lines() -> Iterator[list[str]]:
        try:
            yield from reader
        except csv.Error as error:
            raise DatasetError(f"{path}: line {reader.line_num}: not CSV ({error}); mend it") from None

    found = lines()
    columns = [column.strip().lower() for column in next(found, [])]

    def rows() -> Rows:
        for cells in found:
            place = f"line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                raise DatasetError(
                    f"{path}: {place}: has {len(cells)} cells, and there are {len(columns)} columns; put "
                    "cells with a comma in quotes"
                )
            yield place, dict(zip(columns, cells, strict=True))

    return columns, rows()


def _read_parquet(listing: Listing, name: str) -> tuple[list[str], Rows]:
    path = f"{listing.root}/{name}"
    try:
        data = listing.read_bytes(name)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}; make it readable") from None
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path}: not Parquet ({str(error).splitlines()[0]}); write it again") from None
    columns = [str(column).strip().lower() for column in table.column_names]

    def rows() -> Rows:
        values = [column.to_pylist() for column in table.columns]
        for number, cells in enumerate(zip(*values, strict=True), 1):
            yield f"row {number}", dict(zip(columns, map(_text, cells), strict=True))

    return columns, rows()


def _clean(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/")) if path else ""


def _text(value: object) -> str:
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return "" if value is None or value != value else str(value)
