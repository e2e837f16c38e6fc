"""Batches in memory, and tiny parameters, for tests of training."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from schemas import files
from schemas.label import Label
from schemas.params_training import LossParams, StageParams, TrainParams
from schemas.request import request_id
from training.data import Batch
from training.loading.pool import read_pool

TINY = TrainParams(
    size=64,
    width=4,
    latent=8,
    batch=8,
    labelled=4,
    workers=0,
    stage1=StageParams(epochs=2),
    stage2=StageParams(epochs=2, drop=0.2, last=0.3),
    loss=LossParams(pixel=0.0),
)


def make_batch(size: int = 64, count: int = 8, seed: int = 0, labelled: bool = True) -> Batch:
    """Reals of low noise, then fakes with strong noise in a square, which is their mask."""
    random = torch.Generator().manual_seed(seed)
    image = 128 + 4 * torch.randn(count, 3, size, size, generator=random)
    fake = (torch.arange(count) >= count // 2).float()
    mask = torch.zeros(count, size, size, dtype=torch.uint8)
    part = slice(size // 4, size // 2)
    mask[count // 2 :, part, part] = 255
    image += (mask > 0)[:, None] * 40 * torch.randn(count, 3, size, size, generator=random)
    return Batch(
        rows=torch.arange(count),
        image=image.clamp(0, 255).to(torch.uint8),
        fake=fake,
        mask=mask,
        known=torch.ones(count, dtype=torch.bool),
        labelled=(fake > 0) & labelled,
    )


@dataclasses.dataclass
class Memory:
    """Batches that are drawn from seed, epoch and position."""

    steps: int = 6
    count: int = 8
    seed: int = 0
    labelled: bool = True
    asked: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        self.asked.append((number, start))
        for position in range(start, self.steps):
            yield make_batch(64, self.count, self.seed + 1000 * number + position, self.labelled)


def make_labels(folder: Path, shards: Path, count: int = 4, first: int = 0, **changes) -> Path:
    """A folder of labels of some fakes in the training split: ellipses; `changes` are to every row."""
    pool = read_pool([str(shards)], "label == 'fake'", "train")
    rows = []
    for number, row in enumerate(pool.table.slice(first, count).to_pylist()):
        name = f"masks/{row['key']}.png"
        mask = np.zeros((row["size"], row["size"]), np.uint8)
        middle = row["size"] // 2
        cv2.ellipse(mask, (middle, middle), (middle // 2, middle // 2 + number), 0, 0, 360, 255, -1)
        with files.atomic_write(folder / name) as file:
            file.write(cv2.imencode(".png", mask)[1].tobytes())
        label = Label(
            request_id=request_id(1, row["key"], row["crop_sha256"]),
            round=1,
            key=row["key"],
            crop_sha256=row["crop_sha256"],
            dataset=row["dataset"],
            clip=row["clip"],
            source="oracle",
            state="labelled",
            verdict="forged",
            mask=name,
            area=float((mask > 0).mean()),
            annotations=1,
            annotators=("oracle",),
            agreement=None,
            reason="",
            detail="",
        )
        rows.append(dataclasses.replace(label, **changes))
    files.write_rows(folder / "labels.parquet", Label, rows)
    return folder
