"""Taking people out of label requests and answers, which no stage can make again without them."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.annotation.ingest import ANNOTATIONS, LABELS
from pipelines.annotation.label_studio_answers import request_of
from pipelines.annotation.label_studio_export import NAME, read_export, write_export
from pipelines.annotation.question import TABLE, Requests
from schemas import files
from schemas.label import Annotation, Label
from schemas.request import LabelRequest
from transforms.takedown import Place

_SHEET = "requests.png"
_ID = 36  # characters of a UUID


@dataclass(frozen=True)
class Purge:
    """What goes from one folder, or from one Label Studio export.

    Attributes:
      path: of it.
      rows: what each table, by its name, keeps, with its class; tables that lose nothing are not named.
      pictures: files that go.
      tasks: what each export, by its path, keeps.
      said: what goes, in words; "" for nothing.
      project: Label Studio's name of the project before and after, for requests.
    """

    path: Path
    rows: dict[str, tuple[type, list[Any]]] = field(default_factory=dict)
    pictures: tuple[Path, ...] = ()
    tasks: Mapping[Path, list[Any]] = field(default_factory=dict)
    said: str = ""
    project: tuple[str, str] = ("", "")


def find_requests(places: Collection[Place], requests: Iterable[Path], labels: Iterable[Path]) -> set[str]:
    """The ids of requests that show clips, from all the tables there are.

    Raises:
      UsageError: if a table cannot be read.
    """
    asked = [row for folder in requests for row in files.read_rows(folder / TABLE, LabelRequest)]
    answered = [
        row for path in labels if (path / LABELS).is_file() for row in files.read_rows(path / LABELS, Label)
    ]
    return {row.request_id for row in (*asked, *answered) if (row.dataset, row.clip) in places}


def plan_requests(folder: Path, ids: Collection[str]) -> Purge:
    """What goes from a folder of training.request.

    Raises:
      UsageError: if its table cannot be read.
    """
    rows: list[LabelRequest] = files.read_rows(folder / TABLE, LabelRequest)
    left = [row for row in rows if row.request_id not in ids]
    pictures = list(_pictures(folder, ids))
    gone = len(rows) - len(left)
    if not gone and not pictures:
        return Purge(folder)
    sheet = folder / _SHEET
    pictures += [sheet] * sheet.is_file()
    title = f"lae r{rows[0].round}" if rows else ""
    return Purge(
        folder,
        {TABLE: (LabelRequest, left)} if gone else {},
        tuple(pictures),
        said=f"{gone} of {len(rows)} requests, {len(pictures)} pictures",
        project=(f"{title} {_digest(folder, rows)}", f"{title} {_digest(folder, left)}"),
    )


def plan_labels(path: Path, ids: Collection[str]) -> Purge:
    """What goes from a folder of pipelines.labels, from one of masks that people painted, or from an export.

    Raises:
      UsageError: if a table or an export cannot be read.
    """
    tasks = {}
    lost = 0
    for export in (path, path / NAME):
        if not export.is_file():
            continue
        whole = read_export(export)
        left = [task for task in whole if request_of(task) not in ids]
        if len(left) < len(whole):
            tasks[export], lost = left, lost + len(whole) - len(left)
    rows: dict[str, tuple[type, list[Any]]] = {}
    counts, drawn = [], set(ids)
    for name, cls in ((LABELS, Label), (ANNOTATIONS, Annotation)):
        if not (path / name).is_file():
            continue
        every = files.read_rows(path / name, cls)
        kept = [row for row in every if row.request_id not in ids]
        if cls is Annotation:
            drawn |= {row.annotation_id for row in every if row.request_id in ids}
        if len(kept) < len(every):
            rows[name] = cls, kept
            counts.append(f"{len(every) - len(kept)} of {len(every)} {Path(name).stem}")
    pictures = tuple(_pictures(path, drawn)) if path.is_dir() else ()
    counts += [f"{len(pictures)} masks"] * bool(pictures) + [f"{lost} tasks of Label Studio's export"] * bool(
        lost
    )
    return Purge(path, rows, pictures, tasks, ", ".join(counts))


def carry_out(purge: Purge) -> None:
    """Take out what a plan names.

    Pictures go first and `labels.parquet` last, since the tables say which pictures go: a purge that was
    killed is finished by the next one.

    Raises:
      UsageError: if another run writes there.
      StoppedError: if the folder cannot be written.
    """
    with files.exclusive(purge.path if purge.path.is_dir() else purge.path.parent):
        for picture in purge.pictures:
            picture.unlink(missing_ok=True)
        for export, tasks in purge.tasks.items():
            write_export(export, tasks)
        for name, (cls, rows) in reversed(list(purge.rows.items())):
            metadata = files.read_metadata(purge.path / name)
            files.write_rows(purge.path / name, cls, rows, metadata or None)


def _pictures(folder: Path, ids: Collection[str]) -> Iterator[Path]:
    """Files that are called by an id, whatever editors put before or after it."""
    for place, subfolders, names in os.walk(folder):
        subfolders.sort()
        for name in sorted(names):
            if name.lstrip("._~")[:_ID] in ids:
                yield Path(place, name)


def _digest(folder: Path, rows: Sequence[LabelRequest]) -> str:
    return Requests(folder, tuple(rows), {row.request_id: row for row in rows}).digest[:8]
