"""What a person must know of units that went well: the notes in the details of their outcomes, by kind."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.outcome import Outcome

OTHER = "other"
_OFFICIAL = "official mask:"
# Letters of an example: a track may have hundreds of events.
_LONGEST = 240


@dataclass(frozen=True)
class Kind:
    """A kind of note.

    Attributes:
      stage: that makes it.
      name: for a person.
      pattern: what its text has in it, and no other kind's has.
      meaning: what follows from it, and what to do.
      explains: the kind of mask whose weakness or absence it explains: "difference" (and all that compares),
        "official", or "" for none.
    """

    stage: str
    name: str
    pattern: str
    meaning: str
    explains: str = ""


@dataclass(frozen=True)
class Noted:
    """Outcomes with a note of one kind: how many, and the first few.

    Attributes:
      stage, kind, meaning: as in `Kind`.
      count: outcomes with such a note.
      passed: outcomes of the stage that are ok.
      examples: dataset, unit and note of the first few, each of another group.
    """

    stage: str
    kind: str
    meaning: str
    count: int
    passed: int
    examples: tuple[tuple[str, str, str], ...]


KINDS = (
    Kind(
        "shard",
        "shifted in time",
        r"^frame i shows frame i[+-]\d+ of its original",
        "The fake starts elsewhere than its original, so frames of one number cannot be compared: masks are "
        "unknown. Trim either clip, or leave the fake out.",
        explains="difference",
    ),
    Kind(
        "shard",
        "another scene",
        r"^what is beside the face is not what its original shows",
        "Its original is probably another clip: masks are unknown. Look at both.",
        explains="difference",
    ),
    Kind(
        "shard",
        "shaking",
        r"^frames shake against those of its original",
        "Each frame moves otherwise than its original's, so pixels cannot be compared: masks are unknown.",
        explains="difference",
    ),
    Kind(
        "shard",
        "tracked alone",
        r"^not registrable |: tracked on its own$",
        "The picture has another size than its original's and does not show the same, or has nothing to be "
        "compared with: its faces were followed for themselves, and its masks are unknown.",
        explains="difference",
    ),
    Kind(
        "shard",
        "of another size",
        r"^registered: scale ",
        "The picture has another size than its original's, and was registered to it: masks are known, and a "
        "little less sure.",
        explains="difference",
    ),
    Kind(
        "shard",
        "not registrable",
        r"not registrable: masks are unknown$",
        "Shifted, scaled or turned against its original, and no one motion undoes it: masks are unknown.",
        explains="difference",
    ),
    Kind(
        "shard",
        "registered first",
        r"registered before comparing$",
        "Shifted, scaled or turned against its original, which was moved onto it to compare them. Masks are "
        "known, and less sure: look at some.",
        explains="difference",
    ),
    Kind(
        "shard",
        "fewer samples",
        r"^\d+ of \d+ samples:",
        "The clip ends before its original does, so it has fewer samples. If it was cut off, get it again.",
    ),
    Kind(
        "shard",
        "official mask",
        f"^{_OFFICIAL}",
        "The dataset's own mask is missing or wrong for (part of) the clip. Difference masks do not need it; "
        "agreement is not measured there.",
        explains="official",
    ),
    Kind(
        "track",
        "no face in crops",
        r"^no face in \d+ of \d+ pictures: taken as they are$",
        "Pictures that are face crops already, in which no face was found: they are not aligned. "
        "index.parquet tells them by alignment == 'picture'.",
    ),
    Kind(
        "track",
        "cut",
        r":cut\b",
        "The scene was cut while the face was followed: its track ends there, and another one follows.",
    ),
    Kind(
        "track",
        "lost",
        r":lost\b",
        "The face was not seen for longer than track.max_gap: nothing is taken from the gap. Raise it if the "
        "face is there.",
    ),
    Kind(
        "track",
        "switch",
        r":switch\b",
        "Two faces were as near: the track may have gone over to another person. Look at who is seen.",
    ),
    Kind(
        "track",
        "passed over",
        r"\bpassed over \S.* \(\w+\)$",
        "Faces were looked for in the lossless clip, because its c23 version is damaged or shows "
        "none. If that one is damaged, get it again.",
    ),
)


def split_note(detail: str) -> list[str]:
    """The notes in an outcome's detail; what follows one on an official mask may be the rest of it."""
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


def why_masks(detail: str, train: str) -> str:
    """Of an outcome's detail, the notes that tell why its masks of a kind are unknown or weak; may be ""."""
    wanted = "official" if train == "official" else "difference"
    kinds = ((note, kind_of("shard", note)) for note in split_note(detail))
    return "; ".join(note for note, kind in kinds if kind is not None and kind.explains == wanted)


def count_notes(outcomes: Iterable[Outcome], examples: int = 3) -> list[Noted]:
    """Notes of outcomes that are ok by stage and kind, the most frequent first; "other" where unknown."""
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
            _examples(units)[:examples],
        )
        for key, units in found.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.stage, row.kind))


def _examples(units: Mapping[tuple[str, str, str], str]) -> tuple[tuple[str, str, str], ...]:
    """Dataset, unit and note of each group's first unit."""
    firsts: dict[tuple[str, str], tuple[str, str, str]] = {}
    for (dataset, group, unit), text in sorted(units.items()):
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        firsts.setdefault((dataset, group), (dataset, unit, shown))
    return tuple(firsts.values())


def _kinds(outcome: Outcome) -> list[tuple[Kind | None, str]]:
    if outcome.stage == "track":
        events = [kind for kind in KINDS if kind.stage == "track" and re.search(kind.pattern, outcome.detail)]
        if events or not outcome.detail:
            return [(kind, outcome.detail) for kind in events]
        return [(None, outcome.detail)]
    return [(kind_of(outcome.stage, note), note) for note in split_note(outcome.detail)]
