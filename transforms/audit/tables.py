"""Tables of the report, from figures of the data set: plain rows, in the order in which they are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.clip import SPLITS, Clip
from transforms.audit.summary import (
    FIGURES,
    Cell,
    Kinds,
    Mixed,
    Spread,
    Summary,
    compression_order,
    imbalance,
    split_rank,
)
from transforms.audit.verify import ShardEntry


@dataclass(frozen=True)
class Side:
    """How much is on one side of the split: counts, bytes of tars, and the largest shard over the mean."""

    split: str
    groups: int
    clips: int
    real: int
    fake: int
    shards: int
    bytes: int
    imbalance: float
    imbalance_samples: float


@dataclass(frozen=True)
class Agreement:
    """How difference masks of one method and compression agree with official ones (IoU).

    Attributes:
      method, compression: of the fakes.
      compared: masks of both kinds that were compared.
      known: known masks.
      quantiles: of the IoU at `QUANTILES`; () where there is none.
    """

    method: str
    compression: str
    compared: int
    known: int
    quantiles: tuple[float, ...]


def sides(clips: Iterable[Clip], cells: Sequence[Cell], entries: Sequence[ShardEntry]) -> list[Side]:
    """Each split's groups and clips as planned, and its samples and shards as made; train, val, test."""
    named: dict[str, set[tuple[str, str]]] = {}
    grouped: dict[str, set[tuple[str, str]]] = {}
    for clip in clips:
        named.setdefault(clip.split, set()).add((clip.dataset, clip.clip))
        grouped.setdefault(clip.split, set()).add((clip.dataset, clip.group))
    rows = []
    for split in sorted(named.keys() | {cell.split for cell in cells}, key=lambda s: (split_rank(s), s)):
        mine = [entry for entry in entries if entry.url.split("/")[0] == split]
        real, fake = (
            sum(c.samples for c in cells if c.split == split and (c.label == "real") is is_real)
            for is_real in (True, False)
        )
        rows.append(
            Side(
                split,
                len(grouped.get(split, ())),
                len(named.get(split, ())),
                real,
                fake,
                len(mine),
                sum(entry.bytes for entry in mine),
                imbalance([entry.bytes for entry in mine]),
                imbalance([entry.samples for entry in mine]),
            )
        )
    return rows


def agreements(made: Summary) -> list[Agreement]:
    """Agreement of every method and compression, also where there is none."""
    found = {(s.method, s.compression): s for s in made.spreads if s.figure == "official_iou"}
    return [_agreement(row, found.get((row.method, row.compression))) for row in made.kinds]


def _agreement(row: Kinds, spread: Spread | None) -> Agreement:
    known = row.total - row.unknown
    if spread is None:
        return Agreement(row.method, row.compression, 0, known, ())
    return Agreement(row.method, row.compression, spread.count, known, spread.quantiles)


def unknown(kinds: Sequence[Kinds]) -> dict[str, Any]:
    """Unknown masks of fakes: a row a method, a column a compression, and all of each.

    Returns:
      "columns": compressions; "rows": pairs of a method and its cells, a cell being the pair (unknown, all)
      masks or None where the method has no such compression; the last cell of a row, and the last row
      (called "all"), are sums.
    """
    columns = sorted({row.compression for row in kinds}, key=compression_order)
    found = {(row.method, row.compression): (row.unknown, row.total) for row in kinds}
    methods = list(dict.fromkeys(row.method for row in kinds))
    rows: list[tuple[str, list[tuple[int, int] | None]]] = []
    for method in methods:
        cells = [found.get((method, column)) for column in columns]
        rows.append((method, [*cells, _total(cells)]))
    sums = [_total([found.get((method, column)) for method in methods]) for column in columns]
    rows.append(("all", [*sums, _total(sums)]))
    return {"columns": columns, "rows": rows}


def _total(cells: Iterable[tuple[int, int] | None]) -> tuple[int, int]:
    there = [cell for cell in cells if cell is not None]
    return sum(part for part, _ in there), sum(whole for _, whole in there)


def balance(cells: Sequence[Cell]) -> dict[str, Any]:
    """The cross table: a row a method, a column a split and compression; and shares of the largest."""
    columns = sorted(
        {(cell.split, cell.compression) for cell in cells},
        key=lambda c: (split_rank(c[0]), compression_order(c[1])),
    )
    found = {(c.label, c.method, c.split, c.compression): c.samples for c in cells}
    most = max(found.values(), default=1)
    rows = []
    for label, method in dict.fromkeys((cell.label, cell.method) for cell in cells):
        values = [found.get((label, method, *column), 0) for column in columns]
        rows.append((label, method, [(value, round(100 * value / most)) for value in values], sum(values)))
    totals = [sum(row[2][number][0] for row in rows) for number in range(len(columns))]
    splits = [(split, sum(c[0] == split for c in columns)) for split in dict.fromkeys(c[0] for c in columns)]
    firsts = [n == 0 or columns[n - 1][0] != split for n, (split, _) in enumerate(columns)]
    shown = [(*column, first) for column, first in zip(columns, firsts, strict=True)]
    return {"columns": shown, "splits": splits, "rows": rows, "totals": totals, "total": sum(totals)}


def mixture(mixed: Sequence[Mixed]) -> list[dict[str, Any]]:
    """Each dataset's samples, by class and method and by split, and the share of fakes in each split.

    Returns:
      One for each dataset: "name"; "rows": triples of label, method and counts; "totals": counts; "fakes":
      pairs of fakes and all samples. Counts are of train, val and test, and of all three.
    """
    found: dict[str, list[Mixed]] = {}
    for row in mixed:
        found.setdefault(row.dataset, []).append(row)
    return [
        {
            "name": name,
            "rows": [(row.label, row.method, (*row.counts, sum(row.counts))) for row in rows],
            "totals": (totals := _sums(rows)),
            "fakes": list(zip(_sums([row for row in rows if row.label == "fake"]), totals, strict=True)),
        }
        for name, rows in found.items()
    ]


def _sums(rows: Sequence[Mixed]) -> list[int]:
    sums = [sum(row.counts[place] for row in rows) for place in range(len(SPLITS))]
    return [*sums, sum(sums)]


def quality(made: Summary) -> list[dict[str, Any]]:
    """For each method and compression: masks, unknown ones, and the quantiles of every figure."""
    spreads = {(s.method, s.compression, s.figure): s.quantiles for s in made.spreads}
    return [
        {
            "method": row.method,
            "compression": row.compression,
            "total": row.total,
            "unknown": (row.unknown, row.total),
            "figures": [spreads.get((row.method, row.compression, figure)) for figure in FIGURES],
        }
        for row in made.kinds
    ]
