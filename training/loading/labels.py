"""Masks that people (or an oracle) drew, joined to the samples that they were drawn on."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas import files
from schemas.errors import UsageError
from schemas.files import file_sha256
from schemas.label import Label
from training.loading.augment import decode_mask
from training.loading.pool import Pool


@dataclass(frozen=True)
class Labels:
    """Masks of a pool's fakes. Shards are never rewritten: the join is by key and the crop's digest.

    Attributes:
      masks: PNG of each (key, crop_sha256).
      other_digest: labels of a crop that has changed since; they are not used.
      absent: labels of keys that the pool does not hold.
      replaced: labels that gave way to a later answer: another mask of the same crop, or none.
      sources: who drew the masks ("human", "oracle"), sorted.
    """

    masks: Mapping[tuple[str, str], Path]
    other_digest: int = 0
    absent: int = 0
    replaced: int = 0
    sources: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.masks)

    def rows(self, pool: Pool) -> dict[int, Path]:
        """The pool's rows that are labelled, and their masks."""
        found = _find_fakes(pool, self.masks)
        return {row: self.masks[crop] for row, crop, _ in found if crop in self.masks}

    def describe(self) -> str:
        """The counts, in words."""
        parts = [f"{len(self.masks):,} labelled samples"]
        for number, text in (
            (self.other_digest, "labels of crops that have changed since are not used"),
            (self.absent, "labels are of samples that were not chosen"),
            (self.replaced, "masks gave way to later answers"),
        ):
            parts += [f"{number:,} {text}"] if number else []
        return "; ".join(parts)


def last_answers(folders: Sequence[Path]) -> list[tuple[Label, Path]]:
    """The label rows of several folders, each with its folder, by round and request.

    Of several rows about one request the last of the last folder counts.

    Raises:
      UsageError: if a `labels.parquet` cannot be used.
    """
    found = {row.request_id: (row, folder) for row, folder in _read_all(folders)}
    return sorted(found.values(), key=lambda item: (item[0].round, item[0].request_id))


def _read_all(folders: Sequence[Path]) -> list[tuple[Label, Path]]:
    return [
        (row, folder)
        for folder in map(Path, folders)
        for row in files.read_rows(folder / "labels.parquet", Label)
    ]


def read_labels(folders: Sequence[Path], pool: Pool) -> Labels:
    """Join the labels of one or more folders to a pool: state "labelled", verdict "forged".

    Of `last_answers`: of a request that is in several folders the last answer counts, also where it takes a
    label back; and of several requests of one crop the mask of the last round.

    Raises:
      UsageError: if a `labels.parquet` cannot be used, a mask is missing or of another size than its crop, or
        none of the labels is of a fake in the pool.
    """
    drawn = {
        (label.key, label.crop_sha256, file_sha256(_find_mask(folder, label)))
        for label, folder in _read_all(folders)
        if _trains(label)
    }
    rows = last_answers(folders)
    states = collections.Counter(
        label.state if label.state != "labelled" else label.verdict for label, _ in rows
    )
    last = {(label.key, label.crop_sha256): (label, folder) for label, folder in rows if _trains(label)}
    found = {crop: _find_mask(folder, label) for crop, (label, folder) in last.items()}
    names = ", ".join(str(folder) for folder in folders)
    if not found:
        said = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "no rows"
        raise UsageError(
            f"--labels {names}: no label is 'labelled' and 'forged' ({said}); "
            "wait for answers, or train without --labels"
        )
    joined, other, absent = _join(found, pool)
    if not joined:
        raise UsageError(
            f"--labels {names}: none of {len(found):,} labels fits --shards {', '.join(pool.folders)} "
            f"({other:,} are of other crop_sha256, {absent:,} of samples that are no fakes of {pool.said}); "
            "name the shards that the requests were made from, or request again"
        )
    sources = {last[crop][0].source for crop in joined}
    return Labels(joined, other, absent, len(drawn) - len(found), tuple(sorted(sources)))


def _trains(label: Label) -> bool:
    return label.state == "labelled" and label.verdict == "forged"


def _find_fakes(pool: Pool, crops: Iterable[tuple[str, str]]) -> list[tuple[int, tuple[str, str], int]]:
    """Row, (key, crop_sha256) as it is there, and size of the pool's fakes with these keys."""
    keys = pa.array(list(dict.fromkeys(key for key, _ in crops)), pa.string())
    table = pool.table.select(["key", "crop_sha256", "size", "label"])
    table = table.append_column("row", pa.array(np.arange(len(pool))))
    chosen = pc.and_(pc.is_in(table["key"], value_set=keys), pc.equal(table["label"], "fake"))
    rows = table.filter(chosen).to_pylist()
    return [(row["row"], (row["key"], row["crop_sha256"]), row["size"]) for row in rows]


def _join(found: Mapping[tuple[str, str], Path], pool: Pool) -> tuple[dict[tuple[str, str], Path], int, int]:
    """The labels of fakes in the pool, and how many are of other digests, and absent; checks masks' sizes."""
    there = {crop[0]: (crop, size) for _, crop, size in _find_fakes(pool, found)}
    joined, other, absent = {}, 0, 0
    for crop, mask in found.items():
        if crop[0] not in there:
            absent += 1
        elif there[crop[0]][0] != crop:
            other += 1
        else:
            _check_size(mask, *there[crop[0]])
            joined[crop] = mask
    return joined, other, absent


def _find_mask(folder: Path, label: Label) -> Path:
    mask = folder / label.mask
    if not label.mask or not mask.resolve().is_relative_to(folder.resolve()) or not mask.is_file():
        raise UsageError(
            f"{folder / 'labels.parquet'}: the mask of {label.key}, {label.mask!r}, is not a file in that "
            "folder; run pipelines.labels again"
        )
    return mask


def _check_size(path: Path, crop: tuple[str, str], size: int) -> None:
    try:
        mask = decode_mask(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}; run pipelines.labels again") from None
    if mask.shape != (size, size):
        raise UsageError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]} px, the crop {crop[0]} has {size}x{size}; "
            "draw it on the crop of the request"
        )
