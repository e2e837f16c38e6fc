"""Takedowns: what must not be in anything that is made, and the file that says so."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, fields
from datetime import date
from pathlib import Path
from typing import Literal, cast, get_args

from schemas.errors import UsageError
from schemas.files import atomic_write
from schemas.params_file import DEFAULT
from schemas.record import record

Kind = Literal["identity", "clip"]


@record
class Tombstone:
    """A person or a clip that is taken down; a row of `takedowns.csv`. Of a person it holds an id alone.

    Attributes:
      kind: what is named.
      dataset: where it holds; "" for every dataset.
      name: an identity, `<kind>:<id>`, or a clip's path relative to the dataset's root, as in `Clip`.
      date: ISO 8601, of a day; "" where nobody said.
      because: a remark; "" where nobody made one.
    """

    kind: Kind
    dataset: str
    name: str
    date: str = ""
    because: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """What makes two of them the same."""
        return self.kind, self.dataset, self.name


COLUMNS = [field.name for field in fields(Tombstone)]


def takedowns_path(params: Path | None) -> Path:
    """Where takedowns are unless a flag says otherwise: beside the parameters."""
    return (params or DEFAULT).with_name("takedowns.csv")


def read_takedowns(path: Path) -> tuple[Tombstone, ...]:
    """The takedowns of a file, in its order, each once.

    A line that cannot be read is an error and never left out: somebody would come back by it.

    Raises:
      UsageError: if the file is missing or is not one.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; python -m pipelines.takedown writes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not readable as UTF-8 text ({error}); restore it") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: dict[tuple[str, str, str], Tombstone] = {}
    try:
        header = next(rows, [])
        if header != COLUMNS:
            raise UsageError(
                f"{path}: its first line is {','.join(header)!r}, not {','.join(COLUMNS)!r}; mend it"
            )
        for row in rows:
            if row:
                tombstone = _parse(row, f"{path}, line {rows.line_num}")
                found.setdefault(tombstone.place, tombstone)
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.line_num}: not CSV ({error}); mend it") from None
    return tuple(found.values())


def write_takedowns(path: Path, tombstones: Iterable[Tombstone]) -> None:
    """Write a file of takedowns."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(tombstone) for tombstone in tombstones)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def check_date(text: str, where: str) -> str:
    """A date as it is written here, or "".

    Raises:
      UsageError: if it is none.
    """
    try:
        return text and date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"{where}: {text!r} is no date; write it as 2024-12-31") from None


def _parse(row: list[str], where: str) -> Tombstone:
    if len(row) != len(COLUMNS):
        raise UsageError(f"{where}: {len(row)} columns, not {len(COLUMNS)} ({','.join(COLUMNS)}); mend it")
    kind, dataset, name, day, because = row
    if kind not in get_args(Kind):
        raise UsageError(f"{where}: kind {kind!r} is none of {', '.join(get_args(Kind))}; mend it")
    if not name or name != name.strip():
        raise UsageError(f"{where}: name {name!r} is empty, or has spaces around it; mend it")
    return Tombstone(cast(Kind, kind), dataset, name, check_date(day, where), because)
