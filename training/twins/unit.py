"""One unit of the experiment: twins that share a first stage and differ in their masks alone."""

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from schemas.errors import UsageError
from schemas.experiment import Arm, Figure, Variant
from schemas.params_training import ExperimentParams, LossParams, StageParams, TrainParams
from schemas.request import Strategy
from training.asking.evidence import gather_evidence, read_landmarks
from training.asking.selection import Asked, Budget, choose, face_region, measure
from training.devices import CPU, Process
from training.fitting.loop import fit
from training.lae import losses
from training.lae.build import make_model
from training.lae.model import LAE
from training.twins.artefacts import plant
from training.twins.figures import Judged, judge
from training.twins.memory import Images, MemoryBatches
from training.twins.plan import Unit

Rows = npt.NDArray[np.int64]

_STRATEGY: dict[Arm, Strategy] = {
    "random": "random",
    "fake-half": "random",
    "paper": "random",
    "inverted": "random",
    "none": "random",
    "ranking": "ranking",
    "uncertainty": "uncertainty",
    "mislocalisation": "mislocalisation",
}
# Half the width of the band around a mask's outline, as a share of the edge.
_BAND = 0.04


def vary(train: TrainParams, variant: Variant) -> TrainParams:
    """Parameters of a variant; the reconstruction is left out but where the variant is that."""
    loss = dataclasses.replace(train.loss, pixel=0.0, perceptual=0.0)
    base = dataclasses.replace(train, loss=loss, keep="last")
    changes: dict[Variant, dict] = {
        "base": {},
        "narrow": {},
        "boundary": {},
        "rgb": {"residual": False},
        "large": {"size": 2 * train.size},
        "reconstruction": {"loss": dataclasses.replace(loss, pixel=train.loss.pixel)},
    }
    return dataclasses.replace(base, **changes[variant])


def run_unit(
    unit: Unit,
    train: Images,
    judged: Images,
    params: TrainParams,
    lengths: ExperimentParams,
    process: Process = CPU,
) -> list[Figure]:
    """Train a unit's models and judge them.

    Args:
      unit: which.
      train: training images with a margin, of all methods.
      judged: images of other people, as large, of all methods.
      params: `vary` makes the variant's.
      lengths: steps of the stages.
      process: where to compute.

    Returns:
      Figures of every arm and budget, over everybody and for each person.
    """
    params = dataclasses.replace(vary(params, unit.variant), seed=unit.seed)
    params = dataclasses.replace(params, stage1=_once(params.stage1), stage2=_once(params.stage2))
    twins = _Twins(unit, _mark(_seen(train, unit), unit), params, lengths, process)
    first = twins.first()
    panel = Judged(judged.centre(params.size), _marked(judged, unit, params.size), unit.seen, process.device)
    shared = {name: getattr(unit, name) for name in ("setting", "artefact", "seen", "variant", "seed")}
    found: list[Figure] = []
    for arm, budget, rows in twins.choices(first):
        model = twins.second(copy.deepcopy(first), rows, arm)
        row: dict[str, Any] = {**shared, "arm": arm, "budget": budget, "masks": len(rows)}
        found += [
            Figure(**row, identity=identity, figure=name, value=value)
            for identity, name, value in judge(panel, model)
        ]
    return found


@dataclasses.dataclass(frozen=True)
class _Twins:
    """What the models of a unit share."""

    unit: Unit
    images: Images
    params: TrainParams
    lengths: ExperimentParams
    process: Process

    def first(self) -> LAE:
        """The first stage, of all arms."""
        batches = self._batches(self.images, self.lengths.steps1, self.unit.seed)
        return fit(make_model(self.params), batches, self.params, 1, process=self.process).model

    def choices(self, model: LAE) -> Iterator[tuple[Arm, float, Rows]]:
        """Which fakes each arm has masks of, at each budget.

        Raises:
          UsageError: if none of those chosen has a mask that is known.
        """
        known, keys = self.images.known.numpy(), self.images.table["key"].to_pylist()
        seen = self.images.centre(self.params.size)
        evidence = gather_evidence(model, seen.table, seen.batches(), self.process.device)
        for arm in self.unit.arms:
            for budget in self.unit.budgets:
                if arm == "all":
                    rows = np.flatnonzero(self.images.fake)
                else:
                    score = measure(_STRATEGY[arm], evidence, self.images.fake, keys, self.unit.seed)
                    count = Budget(len(self.images), budget, 0).allowed
                    rows = choose(self.images.table, score, Asked(), count, 1)
                if not known[rows].any():
                    raise UsageError(
                        f"{self.unit.name}: {budget:.1%} of {len(self.images)} training images is "
                        f"{len(rows)} fakes by {arm}, and none of them has a mask that is known; raise "
                        "experiment.budgets, or take shards with masks"
                    )
                yield arm, budget, rows[known[rows]]

    def second(self, model: LAE, rows: Rows, arm: Arm) -> LAE:
        """The second stage of an arm; the twin without masks sees the same batches as `random`."""
        masks = _drawn(self.images.mask, rows, arm, self.unit.variant)
        images = dataclasses.replace(self.images, mask=masks)
        prior = None
        if arm != "none":
            prior = losses.face_prior(images.take(rows).centre(self.params.size).mask, model.config.grid)
        params = dataclasses.replace(self.params, loss=_weights(self.params.loss, arm))
        batches = self._batches(images, self.lengths.steps2, self.unit.seed + 1000, rows)
        return fit(model, batches, params, 2, prior=prior, process=self.process).model

    def _batches(self, images: Images, steps: int, seed: int, rows: Rows | None = None) -> MemoryBatches:
        params = self.params
        return MemoryBatches(
            images, params.size, params.batch, steps, seed, rows, params.labelled, params.flip
        )


def _once(stage: StageParams) -> StageParams:
    return dataclasses.replace(stage, epochs=1)


def _seen(images: Images, unit: Unit) -> Images:
    """Reals and the fakes of the seen method; of each person with two others only, for `narrow`."""
    method = images.column("method")
    chosen = (method == "real") | (method == unit.seen)
    if unit.variant == "narrow":
        pairs = sorted(set(zip(images.column("target"), images.column("source"), strict=True)))
        kept, taken = set(), dict[str, int]()
        for target, source in pairs:
            if source and taken.get(target, 0) < 2:
                taken[target] = taken.get(target, 0) + 1
                kept.add((target, source))
        of = zip(images.column("target"), images.column("source"), strict=True)
        chosen &= (method == "real") | np.array([pair in kept for pair in of])
    return images.take(np.flatnonzero(chosen))


def background(images: Images) -> npt.NDArray[np.float32]:
    """Where an artefact may go: outside the face's ellipse and the forged region. (N, E, E), 0 to 1."""
    edge = images.image.shape[-1]
    face = face_region(read_landmarks(images.table), images.table["size"].to_numpy(), edge)
    return ((1 - face) * (images.mask.numpy() < 8)).astype(np.float32)


def _planted(images: Images, kind: str, seed: int) -> torch.Tensor:
    pictures = images.image.permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(plant(pictures, background(images), kind, seed)).permute(0, 3, 1, 2).contiguous()


def _mark(images: Images, unit: Unit) -> Images:
    """The training images; their fakes carry the artefact."""
    if not unit.artefact:
        return images
    fakes = torch.from_numpy(np.flatnonzero(images.fake))
    image = images.image.clone()
    image[fakes] = _planted(images.take(fakes.numpy()), unit.artefact, 0)
    return dataclasses.replace(images, image=image)


def _marked(images: Images, unit: Unit, size: int) -> Images | None:
    """Reals and seen fakes of other people that carry the artefact, too."""
    if not unit.artefact:
        return None
    method = images.column("method")
    part = images.take(np.flatnonzero((method == "real") | (method == unit.seen)))
    return dataclasses.replace(part, image=_planted(part, unit.artefact, 1)).centre(size)


def _weights(loss: LossParams, arm: Arm) -> LossParams:
    if arm == "fake-half":
        return dataclasses.replace(loss, outside=0.0)
    if arm == "paper":
        return dataclasses.replace(loss, outside=0.0, attention_form="mse")
    return loss


def _drawn(masks: torch.Tensor, rows: Rows, arm: Arm, variant: str) -> torch.Tensor:
    """The masks as the arm is given them."""
    if arm != "inverted" and variant != "boundary":
        return masks
    masks = masks.clone()
    if arm == "inverted":
        masks[rows] = 255 - masks[rows]
    if variant == "boundary":
        for row in rows:
            masks[row] = torch.from_numpy(_boundary(masks[row].numpy()))
    return masks


def _boundary(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The band around a mask's outline: 4 m (1 - m) of the mask out of focus (Face X-ray, 1912.13458)."""
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), _BAND * len(mask))
    return np.asarray(np.rint(255 * 4 * soft * (1 - soft)), np.uint8)
