"""What a source of answers is to the label stage."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

from transforms.labelling import Answer


class Source(Protocol):
    """Something that has answers."""

    @property
    def by(self) -> Literal["oracle", "human"]:
        """Who answers: the labels' `source`."""

    def answers(self, out: Path) -> Iterator[Answer]:
        """All answers, good or bad, one by one; `out` is the labels' folder, which is held."""

    def notes(self, waiting: int) -> list[str]:
        """What a person should know or do next, after `answers`; `waiting` requests have none."""
