"""LAE's losses. Recalled, not read, are the paper's; where it is silent or forgotten, these are ours."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.errors import UsageError
from schemas.params_training import LossParams
from training.lae.model import Activity, as_float

_RELU3_3 = 16
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_EPSILON = 1e-4

Perceptual = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Losses:
    """The losses of a batch before they are weighted, scalars; None where one does not apply."""

    latent: Tensor
    pixel: Tensor | None
    perceptual: Tensor | None
    attention: Tensor | None
    outside: Tensor | None

    def total(self, weights: LossParams) -> Tensor:
        """Their weighted sum."""
        parts = [
            (weights.latent, self.latent),
            (weights.pixel, self.pixel),
            (weights.perceptual, self.perceptual),
            (weights.attention, self.attention),
            (weights.outside, self.outside),
        ]
        return torch.stack([weight * loss for weight, loss in parts if weight and loss is not None]).sum()


def latent_loss(activity: Activity, fake: Tensor) -> Tensor:
    """The activation loss: mean of |a_F - y| + |a_T - (1 - y)| (ForensicTransfer, arXiv 1812.02510).

    Args:
      activity: of B images.
      fake: float (B,), y: 1 for fake and 0 for real.
    """
    return ((activity.fake - fake).abs() + (activity.real - (1 - fake)).abs()).mean()


def shrink(mask: Tensor, grid: int) -> Tensor:
    """Masks averaged over the cells of the latent's grid.

    Args:
      mask: uint8 (B, S, S), 0 to 255.
      grid: g, cells along an edge.

    Returns:
      Float (B, g, g), share of each cell that is masked.
    """
    return functional.adaptive_avg_pool2d(mask.float() / 255, grid)


def attention_loss(activity: Activity, mask: Tensor, chosen: Tensor, form: str) -> Tensor | None:
    """The fake half's map against the forged region, over the annotated images of a batch.

    "mse" compares the map over its maximum, which is the paper's loss as far as it is recalled (its
    normalisation is ours); "bce" is the cross-entropy of 1 - exp(-map), clamped, which is ours: it does not
    fight the activation loss, which asks for a mean of 1.

    Args:
      activity: of B images.
      mask: uint8 (B, S, S), 0 to 255.
      chosen: int64 (n,), which images are annotated; by number, so that no GPU need be waited for.
      form: "mse" or "bce".

    Returns:
      A scalar, or None where no image is annotated.
    """
    if not len(chosen):
        return None
    found = activity.fake_map.index_select(0, chosen)
    target = shrink(mask.index_select(0, chosen), found.shape[-1])
    if form == "mse":
        return functional.mse_loss(normalise(found), target)
    chance = (1 - torch.exp(-found)).clamp(_EPSILON, 1 - _EPSILON)
    return functional.binary_cross_entropy(chance, target)


def normalise(found: Tensor) -> Tensor:
    """Maps (B, g, g) divided by their maximum: 0 to 1."""
    return found / (found.amax((1, 2), keepdim=True) + 1e-6)


def outside_loss(activity: Activity, real: Tensor, prior: Tensor) -> Tensor | None:
    """How much of the real half's activity on reals lies outside the face: keeps shortcuts out of that half.

    Ours: attention on the fake half alone lets a shortcut move to the real half, which it switches off.

    Args:
      activity: of B images.
      real: int64 (n,), which images are real.
      prior: float (g, g), 1 inside the face region that annotated masks span, else 0.

    Returns:
      A scalar from 0 to 1, or None where no image is real.
    """
    if not len(real):
        return None
    found = activity.real_map.index_select(0, real)
    return ((found * (1 - prior)).sum((1, 2)) / (found.sum((1, 2)) + 1e-6)).mean()


def face_prior(masks: Tensor, grid: int) -> Tensor:
    """Where annotated masks say that faces are: their mean and its mirror above 0.1, on the latent's grid.

    Args:
      masks: uint8 (N, S, S), 0 to 255, N at least 1.
      grid: g, cells along an edge.

    Returns:
      Float (g, g), 0 or 1.
    """
    mean = shrink(masks, grid).mean(0)
    return ((mean + mean.flip(-1)) / 2 > 0.1).float()


def measure(
    activity: Activity,
    decoded: Tensor | None,
    image: Tensor,
    fake: Tensor,
    mask: Tensor,
    labelled: Tensor,
    real: Tensor,
    weights: LossParams,
    prior: Tensor | None,
    perceptual: Perceptual | None,
) -> Losses:
    """All losses of a batch that have a weight; without a prior (stage 1) neither attention nor outside.

    Args:
      activity: of B images.
      decoded: float (B, 3, S, S), their reconstructions.
      image: (B, 3, S, S), bytes or floats.
      fake: float (B,), 1 for fake and 0 for real.
      mask: uint8 (B, S, S), 0 to 255.
      labelled: int64 (n,), which images have masks that train.
      real: int64 (n,), which images are real.
      weights: 0 leaves a loss out.
      prior: of `face_prior`.
      perceptual: such as `VggDistance`.
    """
    image = as_float(image)
    second = prior is not None
    return Losses(
        latent=latent_loss(activity, fake),
        pixel=functional.mse_loss(decoded, image) if weights.pixel and decoded is not None else None,
        perceptual=perceptual(decoded, image) if perceptual is not None and decoded is not None else None,
        attention=attention_loss(activity, mask, labelled, weights.attention_form)
        if second and weights.attention
        else None,
        outside=outside_loss(activity, real, prior) if prior is not None and weights.outside else None,
    )


class VggDistance(nn.Module):
    """Mean squared error of VGG-16 features after the third block (relu3_3), on images from 0 to 1."""

    def __init__(self, path: Path):
        """Load torchvision's weights (`vgg16-397923af.pth`, or a state dict of the same names).

        Raises:
          UsageError: if the file is missing or holds something else.
        """
        super().__init__()
        from torchvision.models import vgg16

        with torch.device("meta"):  # Its 138 million weights are not drawn: most are not used.
            features = vgg16(weights=None).features[:_RELU3_3]
        wanted = {f"features.{name}" for name in features.state_dict()}
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            weights = {name.removeprefix("features."): found[name] for name in wanted}
            features.load_state_dict(weights, assign=True)
        except FileNotFoundError:
            raise UsageError(
                f"train.loss.perceptual_weights: {path}: no such file; give torchvision's VGG-16 weights, "
                "or set train.loss.perceptual to 0"
            ) from None
        except Exception as error:
            raise UsageError(
                f"train.loss.perceptual_weights: {path}: not VGG-16 weights of torchvision ({error}); give "
                "vgg16-397923af.pth, or set train.loss.perceptual to 0"
            ) from None
        self.features = features.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The distance, a scalar; float (B, 3, S, S) each."""
        return functional.mse_loss(self._look(first), self._look(second))

    def _look(self, image: Tensor) -> Tensor:
        return self.features((image - self.mean) / self.std)  # type: ignore[operator]
