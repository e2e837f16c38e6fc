"""What a person must know of units that went well: the notes in the details of their outcomes, by kind."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.outcome import Outcome

OTHER = "other"
_OFFICIAL = "official mask:"


@dataclass(frozen=True)
class Kind:
    """A kind of note.

    Attributes:
      stage: that makes it.
      name: for a person.
      pattern: what its text has in it, and no other kind's has.
      meaning: what follows from it, and what to do.
      masks: True if it tells why masks are unknown or weak.
    """

    stage: str
    name: str
    pattern: str
    meaning: str
    masks: bool = False


@dataclass(frozen=True)
class Noted:
    """Outcomes with a note of one kind: how many, and the first few.

    Attributes:
      stage, kind, meaning: as in `Kind`.
      count: outcomes with such a note.
      passed: outcomes of the stage that are ok.
      examples: unit and note of the first few by name.
    """

    stage: str
    kind: str
    meaning: str
    count: int
    passed: int
    examples: tuple[tuple[str, str], ...]


KINDS = (
    Kind(
        "shard",
        "shifted in time",
        r"^frame i shows frame i[+-]\d+ of its original",
        "The fake starts or skips frames elsewhere than its original, so pixels cannot be compared: masks are "
        "unknown. Trim either clip, or leave the fake out.",
        masks=True,
    ),
    Kind(
        "shard",
        "another scene",
        r"^what is beside the face is not what its original shows",
        "Its original is probably another clip: masks are unknown. Look at both.",
        masks=True,
    ),
    Kind(
        "shard",
        "shaking",
        r"^frames shake against those of its original",
        "Each frame moves otherwise than its original's, so pixels cannot be compared: masks are unknown.",
        masks=True,
    ),
    Kind(
        "shard",
        "not registrable",
        r"not registrable: masks are unknown$",
        "Shifted, scaled or turned against its original, and no one motion undoes it: masks are unknown.",
        masks=True,
    ),
    Kind(
        "shard",
        "registered first",
        r"registered before comparing$",
        "Shifted, scaled or turned against its original; the original was moved onto it to compare them. Masks "
        "are known, and a little less sure: look at some.",
        masks=True,
    ),
    Kind(
        "shard",
        "fewer samples",
        r"^\d+ of \d+ samples:",
        "The clip ends before its original does: it has fewer samples, the others are whole. If it was cut off, "
        "get it again.",
    ),
    Kind(
        "shard",
        "official mask",
        f"^{_OFFICIAL}",
        "The dataset's own mask is missing or wrong for (part of) the clip. The difference mask does not need "
        "it; agreement is measured without it.",
        masks=True,
    ),
    Kind(
        "track",
        "cut",
        r":cut\b",
        "The scene was cut while the face was followed: its track ends there, and what comes after it is another one.",
    ),
    Kind(
        "track",
        "lost",
        r":lost\b",
        "The face was not seen for longer than track.max_gap: nothing is taken from the gap. Raise it if the face is there.",
    ),
    Kind(
        "track",
        "switch",
        r":switch\b",
        "Two faces were as near: the track may have gone over to another person. Look at who is seen.",
    ),
)


def split_note(detail: str) -> list[str]:
    """The notes in an outcome's detail; what follows one on an official mask and is of no kind belongs to it."""
    notes: list[str] = []
    for part in filter(None, detail.split("; ")):
        if notes and notes[-1].startswith(_OFFICIAL) and kind_of("shard", part) is None:
            notes[-1] += f"; {part}"
        else:
            notes.append(part)
    return notes


def kind_of(stage: str, note: str) -> Kind | None:
    """The kind of one note; None for a text that is not known here."""
    return next((kind for kind in KINDS if kind.stage == stage and re.search(kind.pattern, note)), None)


def why_masks(detail: str) -> str:
    """Of an outcome's detail, the notes that tell why masks are unknown or weak; "" where none does."""
    kinds = ((note, kind_of("shard", note)) for note in split_note(detail))
    return "; ".join(note for note, kind in kinds if kind is not None and kind.masks)


def count_notes(outcomes: Iterable[Outcome], examples: int = 3) -> list[Noted]:
    """Notes of outcomes that are ok, by stage and kind: the most frequent first; unknown kinds are "other"."""
    passed: dict[str, int] = {}
    found: dict[tuple[str, str, str], dict[tuple[str, str, str], str]] = {}
    for outcome in outcomes:
        if outcome.status != "ok":
            continue
        passed[outcome.stage] = passed.get(outcome.stage, 0) + 1
        for kind, text in _kinds(outcome):
            name, meaning = (kind.name, kind.meaning) if kind else (OTHER, "")
            mine = found.setdefault((outcome.stage, name, meaning), {})
            mine.setdefault((outcome.dataset, outcome.group, outcome.unit), text)
    rows = [
        Noted(
            *key,
            len(units),
            passed[key[0]],
            tuple((unit[2], text) for unit, text in sorted(units.items())[:examples]),
        )
        for key, units in found.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.stage, row.kind))


def _kinds(outcome: Outcome) -> list[tuple[Kind | None, str]]:
    if outcome.stage == "track":
        named = [kind for kind in KINDS if kind.stage == "track" and re.search(kind.pattern, outcome.detail)]
        return [(kind, outcome.detail) for kind in named or ([None] if outcome.detail else [])]
    return [(kind_of(outcome.stage, note), note) for note in split_note(outcome.detail)]
