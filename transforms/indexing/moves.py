"""Moves of whole groups to another side of the split: `moves.csv`, which the audit writes and index reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from schemas.clip import SPLITS, Clip, Split
from schemas.files import atomic_write
from schemas.leak import Leak
from transforms.indexing.layout import DatasetError, Declared
from transforms.leaks import connect, group_of

COLUMNS = ("dataset", "group", "before", "after", "because")
_NEEDED = ("dataset", "group", "after")
_MOST = 3


@dataclass(frozen=True)
class GroupMove:
    """A group that goes to another side, and why.

    Attributes:
      dataset, group: as in `Clip`.
      before: side that its dataset gives it; "" is not known.
      after: side that it goes to.
      because: the leak, for a person.
    """

    dataset: str
    group: str
    before: str
    after: Split
    because: str


def plan_moves(clips: Sequence[Clip], leaked: Sequence[Leak]) -> list[GroupMove]:
    """Moves after which nothing leaks: each component with a leak goes to one side as a whole.

    That side is the most held out of those it was on, test over val over train, as in the repaired split
    (`transforms.indexing.splits.repair`): all that was tested on still is, and nobody trains on it.

    Args:
      clips: of all datasets.
      leaked: as `transforms.leaks.find_leaks` finds them among these clips.
    """
    if not leaked:
        return []
    component = connect(clips, leaked)
    why: dict[str, str] = {}
    reason: dict[str, str] = {}
    for leak in leaked:
        why.setdefault(leak.component, describe(leak))
        for group in leak.groups:
            reason.setdefault(group, describe(leak))
    side: dict[str, Split] = {}
    groups: dict[str, Clip] = {}
    for clip in clips:
        name = component[group_of(clip)]
        if name in why:
            side[name] = max(side.get(name, clip.split), clip.split, key=SPLITS.index)
            groups.setdefault(group_of(clip), clip)
    return [
        GroupMove(
            clip.dataset,
            clip.group,
            clip.split,
            side[component[group]],
            reason.get(group, why[component[group]]),
        )
        for group, clip in sorted(groups.items())
        if clip.split != side[component[group]]
    ]


def describe(leak: Leak) -> str:
    """A leak in a few words."""
    if leak.kind == "identity":
        return f"{leak.identity} is in {' and '.join(leak.splits)}"
    places = (f"{clip} in {split}" for clip, split in zip(leak.clips, leak.splits, strict=True))
    return f"{' looks like '.join(places)} ({leak.similarity:.2f})"


def merge(before: Iterable[GroupMove], after: Iterable[GroupMove]) -> list[GroupMove]:
    """Moves and later ones, sorted: the last one of a group counts, and what comes back is left out."""
    found: dict[tuple[str, str], GroupMove] = {}
    for move in (*before, *after):
        earlier = found.get((move.dataset, move.group))
        found[move.dataset, move.group] = replace(move, before=earlier.before) if earlier else move
    return [move for _, move in sorted(found.items()) if move.before != move.after]


def write_moves(path: Path, moves: Sequence[GroupMove]) -> None:
    """Write moves as CSV."""
    table = pa.table(
        {name: pa.array([getattr(move, name) for move in moves], pa.string()) for name in COLUMNS}
    )
    with atomic_write(path) as file:
        csv.write_csv(table, file, csv.WriteOptions(quoting_style="needed"))


def read_moves(path: Path) -> list[GroupMove]:
    """Read moves: a header that names dataset, group and after (before and because may be left out).

    Raises:
      DatasetError: naming the file, the line and the remedy.
    """
    try:
        names = csv.open_csv(path).schema.names
        text = csv.ConvertOptions(column_types={name: pa.string() for name in names})
        table = csv.read_csv(path, convert_options=text)
    except (pa.ArrowInvalid, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise DatasetError(f"{path}: not readable as CSV ({said}); mend it, or remove it") from None
    missing = [name for name in _NEEDED if name not in table.column_names]
    if missing:
        raise DatasetError(
            f"{path}: line 1: no column {', '.join(missing)} among {', '.join(table.column_names)}; the "
            f"header is {','.join(COLUMNS)}"
        )
    moves = []
    for line, row in enumerate(table.to_pylist(), 2):
        if row["after"] not in SPLITS:
            raise DatasetError(
                f"{path}: line {line}: after is {row['after']!r}, not one of {', '.join(SPLITS)}; mend it"
            )
        if not row["dataset"] or not row["group"]:
            raise DatasetError(f"{path}: line {line}: names no dataset or no group; mend the line")
        moves.append(GroupMove(**{name: row.get(name, "") for name in COLUMNS}))
    return moves


def apply_moves(declared: Declared, dataset: str, moves: Iterable[GroupMove]) -> Declared:
    """What a layout declares, with groups moved to other sides, and notes that say so.

    The last move of a group counts. A group that is on its side already stays; one that is not here is noted.

    Args:
      declared: what the layout declares.
      dataset: its name; moves of others are ignored.
      moves: as `read_moves` reads them.
    """
    wanted = {move.group: move.after for move in moves if move.dataset == dataset}
    groups = {clip.group: clip.split for clip in declared.clips}
    moved = sorted(group for group, split in groups.items() if wanted.get(group, split) != split)
    unknown = sorted(wanted.keys() - groups.keys())
    notes = [f"moves: {_some(moved)} went to another side of the split"] * bool(moved)
    notes += [f"moves: not in this dataset: {_some(unknown)}; nothing to move there"] * bool(unknown)
    clips = tuple(
        clip if wanted.get(clip.group, clip.split) == clip.split else replace(clip, split=wanted[clip.group])
        for clip in declared.clips
    )
    return replace(declared, clips=clips, notes=(*declared.notes, *notes))


def _some(groups: Sequence[str]) -> str:
    more = f" and {len(groups) - _MOST} more" if len(groups) > _MOST else ""
    return f"{len(groups)} group{'s' * (len(groups) > 1)} ({', '.join(groups[:_MOST])}{more})"
