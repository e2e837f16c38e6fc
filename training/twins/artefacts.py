"""Planted shortcuts: marks outside the face that seen fakes alone carry."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Share = npt.NDArray[np.floating]

_NOISE = 10.0
_BLUR = 1.2
_LOGO, _MARGIN = 0.16, 0.07
_LOGO_OPACITY = 0.6


def plant(images: Images, background: Share, kind: str, seed: int) -> Images:
    """Images that carry an artefact in their background; the rest of them stays as it is, bit by bit.

    noise: Gaussian noise of 10 grey levels. blur: a Gaussian of 1.2 pixels. logo: a striped square of 16% of
    the edge in one of the two upper corners, drawn by lot.

    Args:
      images: uint8 (N, S, S, 3).
      background: (N, S, S), 0 (face, left alone) to 1.
      kind: a name in `KINDS`.
      seed: of what is drawn by lot.

    Returns:
      uint8 (N, S, S, 3).
    """
    draw = KINDS[kind]
    marked = images.copy()
    for number, image in enumerate(images):
        rng = np.random.default_rng([seed, number])
        weight = background[number][..., None].astype(np.float32)
        mixed = image + weight * (draw(image.astype(np.float32), rng) - image)
        marked[number] = np.clip(np.rint(mixed), 0, 255)
    return marked


def _noise(image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    return image + rng.normal(0, _NOISE, image.shape).astype(np.float32)


def _blur(image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _BLUR), np.float32)


def _logo(image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    edge = round(_LOGO * len(image))
    top = round(_MARGIN * len(image))
    left = top if rng.random() < 0.5 else image.shape[1] - edge - top
    stripes = np.where(np.arange(edge) // 2 % 2, 255.0, 30.0)[None, :, None]
    marked = image.copy()
    corner = marked[top : top + edge, left : left + edge]
    corner[:] = (1 - _LOGO_OPACITY) * corner + _LOGO_OPACITY * stripes
    return marked


KINDS: dict[str, Callable[[npt.NDArray[np.float32], np.random.Generator], npt.NDArray[np.float32]]] = {
    "noise": _noise,
    "blur": _blur,
    "logo": _logo,
}
