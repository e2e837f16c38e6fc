"""One pass of a run's model over the training images: what the selection strategies judge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from training.asking.selection import Evidence, Floats, outside_share
from training.lae.model import LAE

if TYPE_CHECKING:
    from training.data import Batch


def read_landmarks(table: pa.Table) -> Floats:
    """The landmarks column of a pool's table: float64 (N, 5, 2), crop pixels."""
    flat = pc.list_flatten(pc.list_flatten(table["landmarks"]))
    landmarks: Floats = flat.to_numpy().reshape(-1, 5, 2)
    return landmarks


def gather_evidence(
    model: LAE, table: pa.Table, batches: Iterable[Batch], device: torch.device | str
) -> Evidence:
    """What a model says of the rows of a table; holds no images and no maps, but 4 bytes a channel.

    Args:
      model: on `device`; it is put into evaluation mode.
      table: N rows, columns landmarks and size of `schemas.sample.Sample`.
      batches: every row at most once, in any order.
      device: where to compute.

    Returns:
      The evidence of the rows that came, by row.
    """
    count, landmarks, sizes = len(table), read_landmarks(table), table["size"].to_numpy()
    read = np.zeros(count, bool)
    real, fake, outside = (np.zeros(count, np.float32) for _ in range(3))
    channels = np.zeros((count, model.config.latent), np.float32)
    model.eval()
    with torch.inference_mode(), torch.autocast(torch.device(device).type, enabled=False):
        for batch in batches:
            activity, _ = model(batch.image.to(device, non_blocking=True))
            rows = batch.rows.cpu().numpy()
            read[rows] = True
            real[rows], fake[rows] = activity.real.cpu().numpy(), activity.fake.cpu().numpy()
            channels[rows] = activity.latent.mean((2, 3)).cpu().numpy()
            maps = activity.fake_map.cpu().numpy()
            outside[rows] = outside_share(maps, landmarks[rows], sizes[rows])
    return Evidence(np.flatnonzero(read), real[read], fake[read], channels[read], outside[read])
