"""Figures of a data set for its report: counts, quantiles and shares, as small plain rows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.clip import SPLITS, compression_rank
from schemas.leak import Leak
from schemas.outcome import Outcome
from transforms.audit.verify import ShardEntry

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FIGURES = ("score", "snr", "area", "official_iou", "temporal_iou", "residual")


@dataclass(frozen=True)
class Cell:
    """Samples of one label, method, compression and split."""

    label: str
    method: str
    compression: str
    split: str
    samples: int


@dataclass(frozen=True)
class Mixed:
    """Samples of one dataset, label and method: `counts` in train, val and test."""

    dataset: str
    label: str
    method: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Spread:
    """How one figure spreads over the known masks of one method and compression: its `QUANTILES`."""

    figure: str
    method: str
    compression: str
    count: int
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Kinds:
    """How many masks of each kind the fakes of one method and compression have."""

    method: str
    compression: str
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """All masks."""
        return sum(self.counts.values())

    @property
    def unknown(self) -> int:
        """Masks that are not there."""
        return self.counts.get("unknown", 0)


@dataclass(frozen=True)
class Fate:
    """Outcomes of one stage, status and reason: how many, and the first few."""

    stage: str
    status: str
    reason: str
    count: int
    examples: tuple[Outcome, ...]


@dataclass(frozen=True)
class Summary:
    """What the report says of the samples: their balance, and their masks' kinds and quality."""

    cells: list[Cell]
    kinds: list[Kinds]
    spreads: list[Spread]


def summarise(samples: pa.Table, masks: pa.Table) -> Summary:
    """Summarise rows of the index, and masks as `transforms.audit.checks.flatten_masks` makes them."""
    return Summary(cross_tabulate(samples), mask_kinds(masks), spreads(masks))


def cross_tabulate(samples: pa.Table) -> list[Cell]:
    """Samples by label, method, compression and split; reals first, then by name and quality."""
    names = ["label", "method", "compression", "split"]
    rows = samples.group_by(names).aggregate([([], "count_all")]).to_pylist()
    cells = [Cell(**{name: row[name] for name in names}, samples=row["count_all"]) for row in rows]
    return sorted(
        cells,
        key=lambda c: (c.label == "fake", c.method, compression_order(c.compression), split_rank(c.split)),
    )


def mix(samples: pa.Table) -> list[Mixed]:
    """Samples of each dataset by label and method, and by split; reals first, then by name."""
    names = ["dataset", "label", "method"]
    rows = samples.group_by([*names, "split"]).aggregate([([], "count_all")]).to_pylist()
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), {})[row["split"]] = row["count_all"]
    mixed = [
        Mixed(dataset, label, method, tuple(splits.get(split, 0) for split in SPLITS))
        for (dataset, label, method), splits in found.items()
    ]
    return sorted(mixed, key=lambda row: (row.dataset, row.label == "fake", row.method))


def compression_order(compression: str) -> tuple[int, str]:
    """Sorts compressions, best first."""
    return compression_rank(compression), compression


def split_rank(split: str) -> int:
    """Sorts splits: train, val, test."""
    return [*SPLITS, split].index(split)


def spreads(masks: pa.Table) -> list[Spread]:
    """Exact quantiles of every figure over the known masks of fakes, by method and compression."""
    known = pc.and_(pc.not_equal(masks["label"], "real"), pc.not_equal(masks["mask_kind"], "unknown"))
    fakes = masks.select(["method", "compression", *FIGURES]).filter(known)
    if not fakes.num_rows:
        return []
    codes, names = _codes(fakes, ["method", "compression"])
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    found = []
    for figure in FIGURES:
        parts = np.split(fakes[figure].to_numpy()[order], starts[1:])
        for code, part in zip(present, parts, strict=True):
            some = part[~np.isnan(part)]
            if len(some):
                method, compression = names[code]
                quantiles = tuple(float(value) for value in np.quantile(some, QUANTILES))
                found.append(Spread(figure, method, compression, len(some), quantiles))
    return sorted(found, key=lambda s: (FIGURES.index(s.figure), s.method, compression_order(s.compression)))


def _codes(table: pa.Table, columns: list[str]) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """A number for each row that tells the combination of some dictionary-encoded columns."""
    codes = np.zeros(table.num_rows, np.int64)
    dictionaries = []
    for name in columns:
        column = table[name].combine_chunks()
        column = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
        codes = codes * len(column.dictionary) + column.indices.to_numpy(zero_copy_only=False)
        dictionaries.append(column.dictionary.to_pylist())
    sizes = [len(dictionary) for dictionary in dictionaries]
    names = []
    for code in range(int(np.prod(sizes))):
        places = np.unravel_index(code, sizes)
        names.append(tuple(dictionary[place] for dictionary, place in zip(dictionaries, places, strict=True)))
    return codes, names


def mask_kinds(masks: pa.Table) -> list[Kinds]:
    """Mask kinds of the fakes, by method and compression."""
    fakes = masks.filter(pc.not_equal(masks["label"], "real"))
    rows = fakes.group_by(["method", "compression", "mask_kind"]).aggregate([([], "count_all")]).to_pylist()
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: row["mask_kind"]):
        counts.setdefault((row["method"], row["compression"]), {})[row["mask_kind"]] = row["count_all"]
    return [
        Kinds(*key, counts[key])
        for key in sorted(counts, key=lambda key: (key[0], compression_order(key[1])))
    ]


def fates(outcomes: Iterable[Outcome], examples: int = 3) -> list[Fate]:
    """Outcomes that are not ok by stage and reason: failures first, then the most frequent."""
    grouped: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.status != "ok":
            grouped.setdefault((outcome.stage, outcome.status, outcome.reason), []).append(outcome)
    rows = [Fate(*key, len(group), tuple(group[:examples])) for key, group in grouped.items()]
    return sorted(rows, key=lambda fate: (fate.status != "failed", -fate.count, fate.stage, fate.reason))


def imbalance(sizes: Sequence[int]) -> float:
    """The largest shard over the mean, in bytes or samples: how long the last reader of an epoch waits."""
    return max(sizes) * len(sizes) / sum(sizes) if sum(sizes) else 0.0


def metrics(
    samples: pa.Table,
    masks: pa.Table,
    cells: Sequence[Cell],
    groups: int,
    identities: int,
    leaks: Sequence[Leak],
    outcomes: Sequence[Outcome],
    entries: Sequence[ShardEntry],
    findings: dict[str, int],
) -> dict[str, int | float]:
    """Flat figures for `dvc metrics`: the same names whatever the numbers are.

    Args:
      samples: rows of the index.
      masks: as `flatten_masks` makes them.
      cells: as `cross_tabulate` makes them.
      groups: source groups that were planned.
      identities: distinct identities of their clips.
      leaks: what is on more than one side.
      outcomes: of every stage.
      entries: of the shards.
      findings: number of findings by check.
    """
    status = Counter((outcome.stage, outcome.status) for outcome in outcomes)
    fakes = masks.filter(pc.not_equal(masks["label"], "real"))
    known = fakes.filter(pc.not_equal(fakes["mask_kind"], "unknown"))
    values: dict[str, Any] = {
        "samples": samples.num_rows,
        "images": masks.num_rows,
        "clips": samples.group_by(["dataset", "clip"]).aggregate([]).num_rows,
        "groups": groups,
        "identities": identities,
        "shards": len(entries),
        "bytes": sum(entry.bytes for entry in entries),
        "shard_imbalance": imbalance([entry.bytes for entry in entries]),
        "shard_imbalance_samples": imbalance([entry.samples for entry in entries]),
        "leaks": len(leaks),
        "lookalikes": sum(leak.kind == "lookalike" for leak in leaks),
        "masks": fakes.num_rows,
        "unknown_masks": fakes.num_rows - known.num_rows,
        "unknown_share": (fakes.num_rows - known.num_rows) / fakes.num_rows if fakes.num_rows else 0.0,
    }
    values |= {f"samples_{name}": 0 for name in ("real", "fake", *SPLITS)}
    for cell in cells:
        for name in (cell.label, cell.split, f"method_{cell.method}", f"compression_{cell.compression}"):
            values[f"samples_{name}"] = values.get(f"samples_{name}", 0) + cell.samples
    for stage in ("index", "track", "shard"):
        for state in ("ok", "skipped", "failed"):
            values[f"{stage}_{state}"] = status[stage, state]
    for name, count in findings.items():
        values[f"findings_{name}"] = count
    for figure in FIGURES:
        column = known[figure].drop_null().to_numpy()
        if len(column):
            values[f"mask_{figure}_p10"], values[f"mask_{figure}_p50"] = np.quantile(column, (0.1, 0.5))
    return {
        name: value if isinstance(value, int) else round(float(value), 6)
        for name, value in sorted(values.items())
    }
