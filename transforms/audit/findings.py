"""Collecting what is wrong, one line a problem."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.finding import CheckName, Finding


@dataclass
class Findings:
    """Findings of one place, one for each problem: the first example, and how many there are."""

    where: str
    check: CheckName = "integrity"
    _found: dict[str, Finding] = field(default_factory=dict)

    def add(self, problem: str, example: str, detail: str, count: int = 1) -> None:
        """Note a problem."""
        first = self._found.get(problem)
        if first is None:
            self._found[problem] = Finding(self.check, problem, self.where, example, detail, count)
        else:
            self._found[problem] = Finding(
                self.check, problem, self.where, first.example, first.detail, first.count + count
            )

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found.values())
