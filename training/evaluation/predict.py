"""What a model says of images: the same for validation, label requests and evaluation."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data import Batch
from training.lae.model import LAE

_MOST = float(torch.finfo(torch.float16).max)


@dataclass(frozen=True)
class Predictions:
    """Activities of N images, ordered by their row.

    Attributes:
      rows: int64 (N,), rows of the pool's table.
      real, fake: float32 (N,), mean activity of either half; at least 0.
      maps: float16 (N, g, g), the fake half's attention maps; None where none were asked for.
    """

    rows: NDArray[np.int64]
    real: NDArray[np.float32]
    fake: NDArray[np.float32]
    maps: NDArray[np.float16] | None

    @property
    def score(self) -> NDArray[np.float32]:
        """Float32 (N,): fake - real. An image is called fake where it is above 0, that is fake > real."""
        return self.fake - self.real

    @property
    def called_fake(self) -> NDArray[np.bool_]:
        """Bool (N,): fake > real, the test rule (recalled; as ForensicTransfer's)."""
        return self.fake > self.real


def predict(
    model: LAE, batches: Iterable[Batch], device: torch.device | str, maps: bool = False
) -> Predictions:
    """Activities of all images of some batches, in float32 (autocast is off) and without gradients.

    The model is put into evaluation mode (batch normalisation uses its running figures) and gets its mode
    back, so that a training loop can ask in between. Nothing is decoded.

    Args:
      model: on `device`.
      batches: every row at most once.
      device: where to compute.
      maps: keep the fake half's attention maps as well.

    Returns:
      A row an image, ordered by row, whatever the order of the batches.
    """
    rows, real, fake, kept = [], [], [], []
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(torch.device(device).type, enabled=False):
            for batch in batches:
                activity, _ = model(batch.image.to(device, non_blocking=True))
                # A copy: on the CPU it is a loading process's shared memory, an open file while it is kept.
                rows.append(batch.rows.to("cpu", copy=True))
                real.append(activity.real.float().cpu())
                fake.append(activity.fake.float().cpu())
                if maps:
                    kept.append(activity.fake_map.float().clamp(max=_MOST).half().cpu())
    finally:
        model.train(training)
    order = np.argsort(_join(rows), kind="stable")
    return Predictions(
        rows=_join(rows).astype(np.int64)[order],
        real=_join(real).astype(np.float32)[order],
        fake=_join(fake).astype(np.float32)[order],
        maps=(_join(kept) if kept else np.zeros((0, 0, 0))).astype(np.float16)[order] if maps else None,
    )


def _join(parts: list[torch.Tensor]) -> NDArray:
    return torch.cat(parts).numpy() if parts else np.zeros(0)
