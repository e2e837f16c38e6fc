"""The training loop: batches in, a model out; knows no folder."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from schemas.errors import StoppedError
from schemas.params_training import LossParams, StageParams, TrainParams
from training.devices import CPU, Process, autocast, check_precision, unshared
from training.fitting.meter import Epoch, Meter, first_broken
from training.lae import losses
from training.lae.model import LAE

if TYPE_CHECKING:
    from training.data import Batch

# Reading a loss waits for the GPU: there the losses of several steps are read at once.
_UNREAD_CUDA = 25

_BEST_BY = {"accuracy": "balanced_accuracy", "auc": "auc"}

Stage = Literal[1, 2]


class Batches(Protocol):
    """Where batches come from: `training.data.TrainingLoader`, or anything like it."""

    @property
    def steps(self) -> int:
        """Batches of an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator["Batch"]:
        """The batches of an epoch (0 is the first) from batch `start` on, the same at every call."""


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
      model: with the weights that were kept, in training mode.
      history: every epoch.
      best: the epoch that the weights are of; 1 is the first.
    """

    model: LAE
    history: tuple[Epoch, ...]
    best: int


Validate = Callable[[LAE], dict[str, float]]


def fit(
    model: LAE,
    batches: Batches,
    params: TrainParams,
    stage: Stage,
    *,
    prior: Tensor | None = None,
    perceptual: losses.Perceptual | None = None,
    validate: Validate | None = None,
    process: Process = CPU,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Train a model, in place.

    The same model, batches and parameters give the same weights on the CPU, as long as the number of threads
    (`torch.set_num_threads`) is the same: sums are in another order for another number. No random number is
    drawn here.

    Args:
      model: to train.
      batches: what to train it on.
      params: `size`, `width`, `latent` and `residual` are not looked at: the model has its own.
      stage: whose epochs and learning rate count.
      prior: float (g, g) of `losses.face_prior`; with it, the masks of labelled images train as well. None
        is stage 1, or a mask-free twin of stage 2.
      perceptual: None leaves the perceptual loss out.
      validate: figures of the model after an epoch, on every process. For `keep` "best" it gives
        "balanced_accuracy" or "auc", whichever `best_by` asks for; without it the last epoch is kept.
      process: where to compute.
      on_epoch: is told of every epoch.

    Raises:
      UsageError: for a precision that the device has not.
      StoppedError: if the loss is no longer finite.
    """
    trainer = Trainer(model, batches, params, stage, prior, perceptual, validate, process)
    return trainer.run(on_epoch=on_epoch)


class Trainer:
    """Adam on LAE's losses, as `fit`, but one that can be stopped and continued.

    Attributes:
      epoch: epochs done.
      batch: batches done of the next one.
      step: optimizer steps done.
      history: the epochs that are done.
      rate: training images a second and process in the last epoch, loading included.
    """

    def __init__(
        self,
        model: LAE,
        batches: Batches,
        params: TrainParams,
        stage: Stage,
        prior: Tensor | None = None,
        perceptual: losses.Perceptual | None = None,
        validate: Validate | None = None,
        process: Process = CPU,
    ):
        """See `fit`."""
        check_precision(process.device, params.precision)
        self.epoch = self.batch = self.step = 0
        self.history: list[Epoch] = []
        self.rate = 0.0
        self._model = model.to(process.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batches, self._params, self._process, self._number = batches, params, process, stage
        self._stage: StageParams = params.stage1 if stage == 1 else params.stage2
        self._weights: LossParams = params.loss
        self._prior = None if prior is None else prior.to(process.device)
        self._perceptual, self._validate = perceptual, validate
        self._decodes = bool(params.loss.pixel) or perceptual is not None
        model.decoder.requires_grad_(self._decodes)  # DDP waits for every gradient that it may expect.
        self._net = process.spread(self._model)
        weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.Adam(weights, self._stage.lr, weight_decay=params.weight_decay)
        self._scaler = torch.amp.GradScaler(process.device.type, enabled=params.precision == "fp16")
        self._best: dict[str, Any] = {}
        self._meter = Meter(process)

    def capture(self) -> dict[str, Any]:
        """All that `restore` needs, plain values and tensors (not copies); to be asked for in a hook."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "prior": self._prior,
            "best": self._best,
            "meter": self._meter.capture(),
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from where `capture` was called.

        Raises:
          KeyError, RuntimeError, TypeError, ValueError: if the state is of another model.
        """
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self._prior = None if state["prior"] is None else state["prior"].to(self._process.device)
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self._best = state["best"]
        self._meter.restore(state["meter"])
        self.history = [Epoch(**epoch) for epoch in state["history"]]

    def run(
        self,
        on_step: Callable[[], None] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
        progress: bool = False,
    ) -> Fitted:
        """Train to the end.

        Args:
          on_step: is called where the state may be captured, the losses being finite until then: after every
            optimizer step on the CPU, after every 25 on CUDA.
          on_epoch: is called after every epoch and its validation.
          progress: draw a bar where the output is a terminal.
        """
        while self.epoch < self._stage.epochs:
            done = self._train_epoch(on_step, progress)
            self.history.append(done)
            self._keep(done)
            self.epoch, self.batch = self.epoch + 1, 0
            self._meter = Meter(self._process)
            if on_epoch is not None:
                on_epoch(done)
        if self._best:
            self._model.load_state_dict(self._best["model"])
        return Fitted(self._model, tuple(self.history), self._best.get("epoch", self.epoch))

    def _train_epoch(self, on_step: Callable[[], None] | None, progress: bool) -> Epoch:
        self._net.train()
        steps, first, images, began = self._batches.steps, self.batch, 0, time.monotonic()
        title = f"epoch {self.epoch + 1}/{self._stage.epochs}"
        with tqdm(
            total=steps, initial=first, desc=title, disable=None if progress else True, leave=False
        ) as bar:
            for batch in self._batches.epoch(self.epoch, first):
                group = self.batch - self.batch % self._params.accumulate
                size = min(self._params.accumulate, steps - group)
                ends = self.batch + 1 == group + size
                if self.batch == group:
                    self._optimizer.zero_grad()
                    self._set_lr()
                with contextlib.nullcontext() if ends else unshared(self._net):
                    self._backward(batch, size)
                images += len(batch.fake)
                self.batch += 1
                bar.update()
                if ends:
                    self._scaler.step(self._optimizer)
                    self._scaler.update()
                    self.step += 1
                    if self._due(steps):
                        loss = self._read_loss()
                        bar.set_postfix(loss=f"{loss:.3f}", lr=f"{self._lr:g}", refresh=False)
                        if on_step is not None and self.batch < steps:
                            on_step()
        self.rate = images / max(time.monotonic() - began, 1e-9)
        self._process.align(self._model)
        figures = self._validate(self._model) if self._validate is not None else {}
        return Epoch(self.epoch + 1, self.step, self._lr, self._meter.means(), figures)

    def _backward(self, batch: "Batch", size: int) -> None:
        device = self._process.device
        # Found before the move: how many there are is then known without waiting for the GPU.
        chosen = (batch.labelled, batch.fake < 0.5)
        labelled, real = (part.nonzero().flatten().to(device, non_blocking=True) for part in chosen)
        batch = batch.to(device)
        image = losses.as_float(batch.image).contiguous(memory_format=torch.channels_last)
        with autocast(device, self._params.precision):
            activity, decoded = self._net(image, batch.fake if self._decodes else None)
        found = losses.measure(
            activity,
            None if decoded is None else decoded.float(),
            image,
            batch.fake,
            batch.mask,
            labelled,
            real,
            self._weights,
            self._prior,
            self._perceptual,
        )
        total = found.total(self._weights)
        self._scaler.scale(total / size).backward()
        self._meter.add(total, found)

    def _set_lr(self) -> None:
        total = self._batches.steps * self._stage.epochs
        dropped = self.epoch * self._batches.steps + self.batch >= total - round(total * self._stage.last)
        for group in self._optimizer.param_groups:
            group["lr"] = self._stage.lr * (self._stage.drop if dropped else 1.0)

    @property
    def _lr(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def _due(self, steps: int) -> bool:
        often = 1 if self._process.device.type == "cpu" else _UNREAD_CUDA
        return self.step % often == 0 or self.batch == steps

    def _read_loss(self) -> float:
        """The mean loss since the last call.

        Raises:
          StoppedError: if one is not finite.
        """
        totals = self._meter.read()
        broken = first_broken(totals)
        if broken is None:
            return sum(totals) / len(totals)
        loss, batch = totals[broken], self.batch - len(totals) + broken + 1
        half = self._params.precision == "fp16"
        raise StoppedError(
            f"the loss is {loss} at batch {batch} of epoch {self.epoch + 1} (step {self.step}); lower "
            f"train.stage{self._number}.lr ({self._stage.lr:g})"
            f"{', or set train.precision to bf16 or fp32' if half else ''}, then run again: what was saved "
            "before is kept"
        )

    def _keep(self, done: Epoch) -> None:
        """Remember the weights of the best epoch so far, of equally good ones the later.

        Where nothing can be compared, the last are kept.
        """
        figure = done.figures.get(_BEST_BY[self._params.best_by])
        if self._params.keep == "last" or figure is None:
            return
        if not self._best or figure >= self._best["figure"]:
            weights = {name: weight.clone() for name, weight in self._model.state_dict().items()}
            self._best = {"epoch": done.epoch, "figure": figure, "model": weights}
