"""What lies in the folder of a run: the record, the model, the labels that it was given."""

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from pydantic import ValidationError

from schemas import SCHEMA_VERSION, files
from schemas.convert import from_row, to_row
from schemas.digest import digest
from schemas.errors import UsageError
from schemas.label import Label
from schemas.run import Run
from training.fitting import checkpoint
from training.lae.model import LAE, ModelConfig
from training.loading.labels import last_answers

RUN, MODEL, CURVES, PLOT, LABELS = "run.json", "model.pt", "curves.csv", "curves.png", "labels"
_MASKS = "masks"
_OURS = re.compile(r"[0-9a-f]{64}\.png")


def read_run(folder: Path) -> Run:
    """The record of a finished run.

    Raises:
      UsageError: if the folder holds none, or one that cannot be read.
    """
    path = folder / RUN
    try:
        run = from_row(Run, json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        unfinished = (folder / checkpoint.NAME).exists()
        remedy = (
            "its training has not ended: run the same command again"
            if unfinished
            else "give the --out of a finished training.train"
        )
        raise UsageError(f"{path}: no such file; {remedy}") from None
    except (ValidationError, ValueError, TypeError, OSError) as error:
        raise UsageError(
            f"{path}: not the record of a run ({checkpoint.summarise(error)}); train this run again"
        ) from None
    if run.schema_version != SCHEMA_VERSION:
        raise UsageError(
            f"{path}: schema version {run.schema_version}; this program reads {SCHEMA_VERSION}: train this "
            "run again"
        )
    return run


def load_model(folder: Path, device: torch.device | str) -> LAE:
    """The model of a finished run, in evaluation mode.

    Raises:
      UsageError: if the folder holds no finished run, or its model is not the one that the record tells of.
    """
    path, wanted = folder / MODEL, read_run(folder).model_sha256
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; train this run again") from None
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise UsageError(
            f"{path}: SHA-256 {found[:12]}…, but {RUN} says {wanted[:12]}…: it was damaged or exchanged; "
            "train this run again"
        )
    try:
        saved = checkpoint.from_bytes(data)
        model = LAE(ModelConfig(**saved["config"]))
        model.load_state_dict(saved["state_dict"])
    except (*checkpoint.UNREADABLE, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: not a model of this program ({checkpoint.summarise(error)}); train this run again"
        ) from None
    return model.to(device).eval()


def write_model(folder: Path, model: LAE) -> str:
    """Write the weights and what they are built from; gives the file's SHA-256."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in model.state_dict().items()}
    data = checkpoint.to_bytes({"config": dataclasses.asdict(model.config), "state_dict": weights})
    with files.atomic_write(folder / MODEL) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def clear(folder: Path) -> None:
    """Remove a run, its record first; leaves files alone that are not ours."""
    for name in (RUN, checkpoint.NAME, MODEL, CURVES, PLOT, f"{LABELS}/labels.parquet"):
        (folder / name).unlink(missing_ok=True)
    masks = folder / LABELS / _MASKS
    for path in masks.glob("*.png"):
        if _OURS.fullmatch(path.name):
            path.unlink()
    remove_parts(folder)
    for place in (masks, folder / LABELS):
        with contextlib.suppress(OSError):  # It is not there, or holds something else.
            place.rmdir()


def remove_parts(folder: Path) -> None:
    """Remove what killed writers of a run left behind, and nothing of folders that lie in it."""
    for place in (folder, folder / LABELS, folder / LABELS / _MASKS):
        for path in place.glob(f".*{files.PART}"):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class GivenLabels:
    """All label rows that a run was given, in whatever state.

    Attributes:
      rows: one a request, by round and id; a mask is named by its SHA-256, in a run's labels folder.
      masks: where the PNG of each such name is now.
    """

    rows: tuple[Label, ...]
    masks: dict[str, Path]

    @property
    def digest(self) -> str:
        """Of the rows, and so of the masks."""
        return digest([to_row(row) for row in self.rows])


def gather_labels(folders: Sequence[Path]) -> GivenLabels:
    """The label rows of several folders, as `last_answers` chooses them.

    Raises:
      UsageError: if a folder holds no labels, or a row's mask is not there.
    """
    rows, masks = [], {}
    for row, folder in last_answers(folders):
        if row.mask:
            if ".." in PurePosixPath(row.mask).parts or PurePosixPath(row.mask).is_absolute():
                raise UsageError(
                    f"{folder}/labels.parquet: mask {row.mask!r} is not inside the folder; make it again"
                )
            path = folder / row.mask
            try:
                name = f"{_MASKS}/{files.file_sha256(path)}.png"
            except OSError as error:
                raise UsageError(
                    f"{path}: {error.strerror}, but labels.parquet names it; make the labels again"
                ) from None
            row, masks[name] = dataclasses.replace(row, mask=name), path
        rows.append(row)
    return GivenLabels(tuple(rows), masks)


def write_labels(folder: Path, labels: GivenLabels) -> None:
    """Write them into a run's folder, where the next run finds them."""
    for name, path in labels.masks.items():
        with files.atomic_write(folder / LABELS / name) as file:
            file.write(path.read_bytes())
    files.write_rows(folder / LABELS / "labels.parquet", Label, labels.rows)
