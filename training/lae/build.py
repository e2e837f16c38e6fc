"""The model that parameters ask for."""

import dataclasses
import math

import torch

from schemas.errors import UsageError
from schemas.params_training import TrainParams
from training.lae.model import LAE, ModelConfig


def config_of(params: TrainParams) -> ModelConfig:
    """The model that parameters ask for.

    Raises:
      UsageError: if it cannot be built.
    """
    try:
        return ModelConfig(params.size, params.width, params.latent, params.residual)
    except ValueError as error:
        raise UsageError(f"{error}; set it in the file of --params") from None


def make_model(params: TrainParams) -> LAE:
    """A model with initial weights drawn from `params.seed`; leaves PyTorch's own generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        return LAE(config_of(params))


def check_params(params: TrainParams) -> None:
    """Refuse values that no training can have.

    Raises:
      UsageError: naming the value and what it may be.
    """
    config_of(params)
    stages = {"stage1": params.stage1, "stage2": params.stage2}
    weights = {
        name: value for name, value in dataclasses.asdict(params.loss).items() if isinstance(value, float)
    }
    image = ("latent", "pixel", "perceptual")
    rules = [
        ("accumulate", params.accumulate, params.accumulate >= 1, "at least 1"),
        ("weight_decay", params.weight_decay, 0 <= params.weight_decay < math.inf, "at least 0"),
        *((f"{n}.epochs", s.epochs, s.epochs >= 1, "at least 1") for n, s in stages.items()),
        *((f"{n}.lr", s.lr, 0 < s.lr < math.inf, "above 0") for n, s in stages.items()),
        *((f"{n}.drop", s.drop, 0 < s.drop < math.inf, "above 0") for n, s in stages.items()),
        *((f"{n}.last", s.last, 0 <= s.last <= 1, "from 0 to 1") for n, s in stages.items()),
        *((f"loss.{n}", w, 0 <= w < math.inf, "at least 0") for n, w in weights.items()),
        ("loss.latent", 0.0, any(weights[n] for n in image), "above 0 where pixel and perceptual are 0"),
    ]
    if params.loss.perceptual and not params.loss.perceptual_weights:
        raise UsageError(
            f"train.loss.perceptual is {params.loss.perceptual}, but train.loss.perceptual_weights names no "
            "file; give torchvision's VGG-16 weights (vgg16-397923af.pth), or set train.loss.perceptual to 0"
        )
    for name, value, right, wanted in rules:
        if not right:
            raise UsageError(f"train.{name}: {value}; it must be {wanted}. Set it in the file of --params")
