"""The Locality-Aware AutoEncoder: an encoder whose latent has a real and a fake half, and a decoder."""

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GRID = 16
_RESIDUAL_GAIN = 12.0


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What a model is built from.

    Attributes:
      size: edge of the input in pixels, a multiple of 16 from 64 to 256.
      width: channels of the first layer.
      latent: channels of the latent, even.
      residual: give the encoder a high-pass residual of the image instead of the image.
    """

    size: int
    width: int
    latent: int
    residual: bool

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
          ValueError: naming the value.
        """
        if not 64 <= self.size <= 256 or self.size % 16:
            raise ValueError(f"train.size: {self.size}; it must be a multiple of 16 from 64 to 256")
        if self.width < 1:
            raise ValueError(f"train.width: {self.width}; it must be at least 1")
        if self.latent < 2 or self.latent % 2:
            raise ValueError(
                f"train.latent: {self.latent}; it must be even, a half for real and one for fake"
            )

    @property
    def halvings(self) -> int:
        """How often the encoder halves the resolution: the latent's grid is 16 to 30 cells wide."""
        return int(math.log2(self.size / GRID))

    @property
    def grid(self) -> int:
        """Cells along an edge of the latent and of the attention map."""
        return self.size >> self.halvings


@dataclasses.dataclass(frozen=True)
class Activity:
    """What the encoder says of a batch of B images.

    Attributes:
      latent: float (B, latent, g, g), at least 0; real channels first.
      real_map, fake_map: float (B, g, g): mean over the half's channels, which is the attention map (below).
      real, fake: float (B,): mean of the map over its pixels. An image is called fake where fake > real.

    With ReLU, the gradient of the score `fake` is the same for every active unit of its half, so that the map
    weighted by gradients (Grad-CAM, and the paper's local interpretation as far as it is recalled) is the
    half's channel mean, and the score is the mean of the map.
    """

    latent: Tensor
    real_map: Tensor
    fake_map: Tensor
    real: Tensor
    fake: Tensor

    @property
    def score(self) -> Tensor:
        """Float (B,): fake - real; above 0 is called fake."""
        return self.fake - self.real


def as_float(image: Tensor) -> Tensor:
    """Images as floats from 0 to 1, from 8 bit or from such floats."""
    return image.float() / 255 if image.dtype == torch.uint8 else image


def high_pass(image: Tensor) -> Tensor:
    """The image minus its 3 x 3 mean, amplified by 12; float (B, 3, S, S) in and out. Ours."""
    mean = functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="reflect"), 3, 1)
    return _RESIDUAL_GAIN * (image - mean)


def split(latent: Tensor) -> Activity:
    """A latent's halves, their maps and mean activities (as ForensicTransfer, arXiv 1812.02510)."""
    half = latent.shape[1] // 2
    real_map, fake_map = latent[:, :half].abs().mean(1), latent[:, half:].abs().mean(1)
    return Activity(latent, real_map, fake_map, real_map.mean((1, 2)), fake_map.mean((1, 2)))


def select(latent: Tensor, fake: Tensor) -> Tensor:
    """The latent with the half zeroed that the label does not name, as it goes to the decoder.

    Args:
      latent: float (B, latent, g, g).
      fake: (B,), 1 for fake and 0 for real.
    """
    half = latent.shape[1] // 2
    keep_fake = fake.to(latent.dtype).view(-1, 1, 1, 1)
    return torch.cat([latent[:, :half] * (1 - keep_fake), latent[:, half:] * keep_fake], 1)


def _block(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class LAE(nn.Module):
    """The autoencoder. The paper's layers are not known; these are ours, small enough for a CPU at 64 px.

    The encoder is a 5 x 5 convolution of stride 2, then alternately a 3 x 3 convolution and one of stride 2,
    until the grid is 16 to 30 cells wide; each with batch normalisation and ReLU. At 64 px and the default
    width it is the network of 16, 32, 48 and 64 channels.
    """

    def __init__(self, config: ModelConfig):
        """Build it, with PyTorch's initial weights."""
        super().__init__()
        self.config = config
        width, layers, inputs = config.width, [], 3
        for number in range(config.halvings):
            outputs = width * (1 + 2 * number)
            layers.append(_block(inputs, outputs, 2, 5 if number == 0 else 3))
            inputs = outputs
            if number < config.halvings - 1:
                layers.append(_block(inputs, width * (2 + 2 * number)))
                inputs = width * (2 + 2 * number)
        self.encoder = nn.Sequential(*layers, _block(inputs, config.latent))
        steps: list[nn.Module] = [_block(config.latent, 24)]
        inputs = 24
        for _ in range(config.halvings - 1):
            steps += [nn.Upsample(scale_factor=2, mode="nearest"), _block(inputs, 16)]
            inputs = 16
        last = [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(16, 3, 3, padding=1), nn.Sigmoid()]
        self.decoder = nn.Sequential(*steps, *last)

    def forward(self, image: Tensor, fake: Tensor | None = None) -> tuple[Activity, Tensor | None]:
        """Encode images, and decode them where labels are given.

        Args:
          image: uint8 (0 to 255) or float (0 to 1), (B, 3, S, S), RGB.
          fake: (B,), 1 for fake and 0 for real: which half is decoded; None decodes nothing.

        Returns:
          The activity, and float (B, 3, S, S) from 0 to 1 or None.
        """
        image = as_float(image)
        latent = self.encoder(high_pass(image) if self.config.residual else 2 * image - 1)
        decoded = None if fake is None else self.decoder(select(latent, fake))
        return split(latent.float()), decoded
