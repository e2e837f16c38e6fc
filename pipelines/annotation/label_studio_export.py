"""Label Studio's JSON export as a file that loses nothing."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.annotation.label_studio_answers import EARLIER, identity, items, read_answers, request_of
from pipelines.annotation.question import Requests
from schemas.errors import UsageError
from schemas.files import atomic_write
from transforms.labelling import Answer

NAME = "export.json"
_REMEDY = "export it as JSON (not JSON-MIN), all tasks"


@dataclass(frozen=True)
class Export:
    """A JSON export on disk.

    Attributes:
      path: of the file.
      tasks: that it holds.
      requests: that they answer.
    """

    path: Path
    tasks: list[Any]
    requests: Requests
    by: Literal["oracle", "human"] = "human"

    def answers(self, out: Path) -> Iterator[Answer]:
        """All answers; keeps the export in `out`, with what that held before."""
        tasks = keep_export(out / NAME, self.tasks)
        yield from read_answers(tasks, self.requests)

    def notes(self, waiting: int) -> list[str]:
        """What an export cannot do."""
        return [f"{waiting} tasks are not answered in {self.path}"] if waiting else []


def open_export(path: Path, requests: Requests) -> Export:
    """Take answers from a JSON export.

    Raises:
      UsageError: if it is none, or is of other requests.
    """
    tasks = read_export(path)
    if tasks and not any(request_of(task) in requests.by_id for task in tasks):
        raise UsageError(
            f"--from label-studio:{path}: none of its {len(tasks)} tasks asks a request of "
            f"{requests.folder}; give the requests that it was exported for"
        )
    return Export(path, tasks, requests)


def read_export(path: Path) -> list[Any]:
    """The tasks of a JSON export.

    Raises:
      UsageError: if it is none.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); give http://HOST:PORT or a JSON export"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error}); {_REMEDY}") from None
    return check_tasks(value, str(path))


def check_tasks(value: Any, where: str) -> list[Any]:
    """The same value, if it is a list of tasks with their annotations.

    Raises:
      UsageError: if it is not.
    """
    if not isinstance(value, list):
        raise UsageError(f"{where}: holds a {type(value).__name__}, not a list of tasks; {_REMEDY}")
    if value and not any(isinstance(task, dict) and "annotations" in task for task in value):
        raise UsageError(f"{where}: its tasks have no annotations; {_REMEDY}")
    return value


def keep_export(path: Path, tasks: Sequence[Any]) -> list[Any]:
    """Write tasks, a line each, in their numbers' order, merged with what the file held; returns them."""
    merged = merge(tasks, read_export(path) if path.exists() else [])
    write_export(
        path,
        sorted(merged, key=lambda task: _number(task.get("id")) if isinstance(task, dict) else 0),
    )
    return merged


def write_export(path: Path, tasks: Iterable[Any]) -> None:
    """Write tasks as JSON, a line each."""
    lines = [json.dumps(task, sort_keys=True, separators=(",", ":")) for task in tasks]
    with atomic_write(path) as file:
        file.write(("[\n" + ",\n".join(lines) + "\n]\n").encode())


def merge(tasks: Sequence[Any], before: Sequence[Any]) -> list[Any]:
    """Add to a new export, as `EARLIER`, what an earlier one held and it does not: nothing is lost."""
    merged = [dict(task) if isinstance(task, dict) else task for task in tasks]
    places = {(repr(task.get("id")), request_of(task)): task for task in merged if isinstance(task, dict)}
    seen = {identity(item) for task in merged for item in items(task, "annotations")}
    for old in before:
        kept = {
            identity(item): item
            for name in (EARLIER, "annotations")
            for item in items(old, name)
            if identity(item) not in seen
        }
        if not kept:
            continue
        place = repr(old.get("id")), request_of(old)
        if place not in places:
            places[place] = {**old, "annotations": []}
            merged.append(places[place])
        places[place][EARLIER] = [kept[identity] for identity in sorted(kept)]
    return merged


def proposals(tasks: Sequence[Any]) -> dict[str, str]:
    """What each request's task made of the model's proposal ("shown", "hidden" or "empty"), by request id."""
    return {
        request_of(task): str(task["data"]["proposal_shown"])
        for task in tasks
        if request_of(task) and "proposal_shown" in task["data"]
    }


def has_answers(tasks: Sequence[Any]) -> bool:
    """Whether an export holds any, of whatever kind."""
    return any(items(task, "annotations") or items(task, EARLIER) for task in tasks)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
