"""The demo's camera: a person filmed with a moving camera, head and light."""

import cv2
import numpy as np

from transforms.synthesis.people import FaceFrame, Person, bump
from transforms.synthesis.warps import Field, invert_field, upsample

# At widths that are no multiple of 128, x264 (mbtree, assembler) reads memory that was never written, and the
# same frames give other bytes.
WIDTH, HEIGHT = 512, 384
_STEP = 8
# Width of the face in the frame at zoom 1.
_FACE = 128.0


class Motion:
    """Slow random swings: each is a mean of two sines with periods of 2 to 6 s.

    Args:
      random: gives frequencies and phases.
      count: how many swings there are.
    """

    def __init__(self, random: np.random.Generator, count: int):
        self._frequency = 2 * np.pi / random.uniform(2, 6, (2, count))
        self._phase = random.uniform(0, 2 * np.pi, (2, count))

    def __call__(self, seconds: float) -> np.ndarray:
        """Values at a time: (count,) float64 in -1..1."""
        return np.sin(self._frequency * seconds + self._phase).mean(0)


def film(person: Person, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """The frame at a time.

    Args:
      person: who is filmed.
      seconds: since the clip began.

    Returns:
      The frame, (384, 512, 3) uint8 RGB, and the person's mesh points in it, (468, 2) float32.
    """
    random = np.random.default_rng(person.seed)
    pan_x, pan_y, zoom, tilt, nod, turn, talk, light, slope = Motion(random, 9)(seconds)
    exposure, warmth = random.uniform(-0.06, 0.06, 2)

    field = _expression(FaceFrame(person.points), turn, talk)
    points = person.points + field(person.points.astype(np.float64))
    scale = _FACE / np.ptp(person.points[:, 0]) * (1 + 0.09 * zoom)
    center = np.array([WIDTH * (0.5 + 0.07 * pan_x), HEIGHT * (0.46 + 0.05 * pan_y)])
    angle = np.deg2rad(7 * tilt + 2 * nod)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = center - linear @ person.points.mean(0)
    points = points @ linear.T + shift

    backdrop = _film_backdrop(person.backdrop, pan_x, pan_y, zoom, tilt)
    grid = np.stack(np.meshgrid(np.arange(0, WIDTH + _STEP, _STEP), np.arange(0, HEIGHT + _STEP, _STEP)), -1)
    layer = invert_field(field, (grid - shift) @ np.linalg.inv(linear).T, rounds=5)
    maps = upsample(layer, _STEP, (WIDTH, HEIGHT))
    image = cv2.remap(person.image, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    matte = cv2.remap(person.matte, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    frame = backdrop + matte[..., None] * (image.astype(np.float32) - backdrop)

    across = np.linspace(-0.08, 0.08, WIDTH, dtype=np.float32) * np.float32(slope)
    gain = np.float32(1 + exposure + 0.07 * light) + across[None, :, None]
    white = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    # Grain of its own in every frame, the same whenever this frame is filmed again.
    noise = np.random.default_rng((person.seed, round(seconds * 1e6)))
    grain = noise.standard_normal((HEIGHT, WIDTH, 1), np.float32) * np.float32(0.8)
    return np.rint(frame * gain * white + grain).clip(0, 255).astype(np.uint8), points.astype(np.float32)


def _expression(face: FaceFrame, turn: float, talk: float) -> Field:
    """The head turns a little (what is near the nose moves more than the ears), and the jaw moves."""

    def field(at: np.ndarray) -> np.ndarray:
        local = face.local(at)
        x, y = local[..., 0], local[..., 1]
        dx = 0.10 * turn * bump(x, y, (0, 0.5), (0.55, 0.8))
        dy = 0.06 * (1 + talk) * bump(x, y, (0, 1.35), (0.5, 0.28)) - 0.03 * talk * bump(
            x, y, (0, -0.3), (0.8, 0.2)
        )
        return face.pixels(np.stack([dx, dy], -1))

    return field


def _film_backdrop(backdrop: np.ndarray, pan_x: float, pan_y: float, zoom: float, tilt: float) -> np.ndarray:
    """What is behind, half as fast as the person: (384, 512, 3) float32."""
    height, width = backdrop.shape[:2]
    scale = 1.3 * max(WIDTH / width, HEIGHT / height) * (1 + 0.03 * zoom)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -2 * tilt, scale)
    matrix[:, 2] += (WIDTH * (0.5 + 0.035 * pan_x) - width / 2, HEIGHT * (0.5 + 0.025 * pan_y) - height / 2)
    return cv2.warpAffine(
        backdrop, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.float32)
