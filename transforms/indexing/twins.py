"""One file of each name, where a name says which clip it is."""

from collections.abc import Hashable, Iterable
from typing import TypeVar

from schemas.outcome import Outcome
from transforms.indexing.layout import failed, suffix_rank

Name = TypeVar("Name", bound=Hashable)


def first_of_each(dataset: str, files: Iterable[tuple[Name, str]]) -> tuple[dict[Name, str], list[Outcome]]:
    """The file of each name, and a `key_collision` outcome for each other one.

    Args:
      dataset: name.
      files: names and paths; of one name, the best suffix is taken, and of these the first.
    """
    taken: dict[Name, str] = {}
    outcomes = []
    for name, path in sorted(files, key=lambda file: suffix_rank(file[1])):
        if taken.setdefault(name, path) != path:
            why = f"has the name of {taken[name]}, which was taken; remove one of them"
            outcomes.append(failed(dataset, path, "", "key_collision", why))
    return taken, outcomes
