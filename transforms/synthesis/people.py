"""Identities for the demo: many people from one portrait, each with mesh points that are known exactly.

A person is a layer (picture, matte) over a backdrop. Shapes are smooth forward fields: a point p goes to
p + d(p), so that mesh points are carried without detecting again, and the picture follows by the inverse.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from transforms.mesh import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE, five_points
from transforms.synthesis.warps import Field, invert_field, upsample

# Portraits are enlarged once, so that filming them reduces.
ENLARGE = 1.5
# Colours (R, G, B) that mid-gray hair becomes, and hues that the clothes turn by in degrees.
_HAIR = (
    (45, 34, 30),
    (168, 138, 92),
    (104, 54, 36),
    (28, 28, 32),
    (118, 116, 116),
    (84, 58, 40),
    (140, 84, 48),
)
_CLOTHES = (200, 0, 120, 60, 320)
_LIPS = ((1.0, 1.0, 1.0), (1.0, 0.86, 0.90), (0.92, 0.98, 0.99))
_LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
_BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (336, 296, 334, 293, 300, 276, 283, 282, 295, 285))


@dataclass(frozen=True)
class Portrait:
    """A picture of one person, from the front.

    Attributes:
      image: (h, w, 3) uint8 RGB.
      matte: (h, w) float32, 1 on the person and 0 on the background.
      points: (468, 2) float32, Face Mesh points in pixels of the image.
    """

    image: np.ndarray
    matte: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Person:
    """One identity of the demo, ready to be filmed.

    Attributes:
      image: (h, w, 3) uint8 RGB, the person's layer.
      matte: (h, w) float32, its opacity.
      points: (468, 2) float32, Face Mesh points in pixels of the layer.
      backdrop: (h', w', 3) uint8 RGB, what is behind.
      seed: of the person's motion and light.
    """

    image: np.ndarray
    matte: np.ndarray
    points: np.ndarray
    backdrop: np.ndarray
    seed: int


class FaceFrame:
    """Coordinates of a face: (0, 0) between the eyes, (0, 1) between the mouth's corners, x to the right.

    The oval then reaches from about -0.9 to 1.7 in y, and 1 to either side.

    Args:
      points: (468, 2), mesh points in pixels.
    """

    def __init__(self, points: np.ndarray):
        right_eye, left_eye, _, right_mouth, left_mouth = five_points(points).astype(np.float64)
        self.origin = (right_eye + left_eye) / 2
        down = (right_mouth + left_mouth) / 2 - self.origin
        self.unit = float(np.linalg.norm(down))
        self._axes = np.array([[down[1], -down[0]], down]).T / self.unit

    def local(self, at: np.ndarray) -> np.ndarray:
        """Pixels to face coordinates: (..., 2) to (..., 2) float64."""
        return (at - self.origin) @ self._axes / self.unit

    def pixels(self, vector: np.ndarray) -> np.ndarray:
        """Vectors in face coordinates to vectors in pixels: (..., 2) to (..., 2)."""
        return vector @ self._axes.T * self.unit


def bump(x: np.ndarray, y: np.ndarray, at: tuple[float, float], reach: tuple[float, float]) -> np.ndarray:
    """A bell of height 1: at its centre, with its standard deviations, in face coordinates."""
    return np.exp(-(((x - at[0]) / reach[0]) ** 2 + ((y - at[1]) / reach[1]) ** 2) / 2)


def make_person(portrait: Portrait, backdrop: np.ndarray, index: int, seed: int = 0) -> Person:
    """Make the identity with an index: its own face shape, tone, hair, clothes and motion.

    Args:
      portrait: whom all identities are made from.
      backdrop: (h, w, 3) uint8 RGB.
      index: 0 and up; any two below 16 differ in 8 of their 15 traits.
      seed: of how strong each trait is.
    """
    random = np.random.default_rng((seed, index))
    traits = _signs(index) * random.uniform(0.7, 1.0, 15)
    height, width = portrait.image.shape[:2]
    size = (round(width * ENLARGE), round(height * ENLARGE))
    image = cv2.resize(portrait.image, size, interpolation=cv2.INTER_CUBIC)
    # The portrait's own background shines through the outer rim of its hair.
    matte = np.clip((cv2.resize(portrait.matte, size, interpolation=cv2.INTER_LINEAR) - 0.4) / 0.5, 0, 1)
    points = (portrait.points.astype(np.float64) + 0.5) * ENLARGE - 0.5
    image = _paint(image, matte, points, traits, index, random)

    field = _shape_field(FaceFrame(points), traits)
    step = 4
    grid = np.stack(np.meshgrid(np.arange(0, size[0] + step, step), np.arange(0, size[1] + step, step)), -1)
    maps = upsample(invert_field(field, grid.astype(np.float64)), step, size)
    image = cv2.remap(image, maps, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    matte = cv2.remap(matte, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    carried = (points + field(points)).astype(np.float32)
    return Person(image, matte, carried, backdrop, int(random.integers(2**31)))


def _signs(index: int) -> np.ndarray:
    """A row of a Hadamard matrix; the first eight are taken so that no trait is the same in all of them."""
    row = (1, 14, 2, 13, 4, 11, 8, 7, 15, 3, 5, 6, 9, 10, 12, 0)[index % 16]
    return np.array([(-1.0) ** (row & column).bit_count() for column in range(1, 16)])


def _shape_field(face: FaceFrame, traits: np.ndarray) -> Field:
    """Displacement in pixels of points in pixels."""
    width, jaw, chin, eyes_apart, eye_size, nose_width, nose_length, mouth, lips, brows, hair = traits[:11]

    def field(at: np.ndarray) -> np.ndarray:
        local = face.local(at)
        x, y = local[..., 0], local[..., 1]
        side, lower = np.tanh(x / 0.25), 1 / (1 + np.exp(-(y - 1.1) / 0.18))
        head = bump(x, y, (0, 0.3), (1.3, 1.2))
        dx = 0.13 * width * x * head + 0.16 * jaw * x * lower * bump(x, y, (0, 1.3), (0.9, 0.6))
        dx = dx + 0.055 * eyes_apart * side * (
            bump(x, y, (-0.6, 0), (0.4, 0.3)) + bump(x, y, (0.6, 0), (0.4, 0.3))
        )
        dx = dx + 0.30 * nose_width * x * bump(x, y, (0, 0.6), (0.25, 0.22))
        dx = dx + 0.24 * mouth * x * bump(x, y, (0, 1.0), (0.5, 0.2))
        dy = 0.16 * chin * lower * bump(x, y, (0, 1.6), (0.9, 0.5))
        dy = dy + 0.09 * nose_length * bump(x, y, (0, 0.62), (0.35, 0.25))
        dy = dy + 0.45 * lips * (y - 1) * bump(x, y, (0, 1.0), (0.45, 0.16))
        for eye in (-0.65, 0.65):
            reach = bump(x, y, (eye, 0), (0.28, 0.22))
            dx, dy = dx + 0.18 * eye_size * (x - eye) * reach, dy + 0.32 * eye_size * y * reach
            dy = dy - 0.10 * brows * bump(x, y, (eye, -0.42), (0.4, 0.2))
        volume = bump(x, y, (0, -1.2), (1.3, 0.8))
        dx, dy = dx + 0.10 * hair * x * volume, dy + 0.10 * hair * (y + 0.5) * volume
        return face.pixels(np.stack([dx, dy], -1))

    return field


def _paint(
    image: np.ndarray,
    matte: np.ndarray,
    points: np.ndarray,
    traits: np.ndarray,
    index: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Skin, hair, brows, lips, stubble and clothes in the colours of an identity."""
    tone, hue, stubble, brow = traits[11:]
    face = FaceFrame(points)
    height, width = matte.shape
    at = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    local = face.local(at)
    x, y = local[..., 0], local[..., 1]
    unit = face.unit
    oval = _fill(points[list(FACE_OVAL)], matte.shape, 0.05 * unit)
    eyes = sum(_fill(points[list(eye)], matte.shape, 0.03 * unit) for eye in (RIGHT_EYE, LEFT_EYE))
    mouth = _fill(points[list(LIPS_OUTER)], matte.shape, 0.03 * unit)
    lips = mouth - _fill(points[list(_LIPS_INNER)], matte.shape, 0.02 * unit) * mouth
    skin = _skin(image, oval, x, y) * matte * (1 - np.clip(eyes + mouth, 0, 1))
    hair = _hair(image, skin, oval, x, y) * matte
    brows = sum(_fill(points[list(brow_)], matte.shape, 0.06 * unit) for brow_ in _BROWS)

    out = image.astype(np.float32)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    out = _mix(
        out, _turn_hue(image, _CLOTHES[index % len(_CLOTHES)]), matte * (1 - skin) * (1 - oval) * (y > 1.6)
    )
    strands = luma[hair > 0.8].mean() if (hair > 0.8).any() else 128.0
    color = np.array(_HAIR[index % len(_HAIR)], np.float32)
    out = _mix(out, color * (luma / strands)[..., None] ** 1.2, 0.92 * hair)
    gain = np.array([1.02, 1.03, 1.05] if tone > 0 else [0.72, 0.61, 0.53]) * [
        1 + 0.03 * hue,
        1,
        1 - 0.05 * hue,
    ]
    out = _mix(out, out * gain, skin)
    out = _mix(out, out * (0.62 + 0.08 * brow), np.clip(brows, 0, 1) * (0.75 if brow < 0 else 0.25))
    out = _mix(out, out * np.array(_LIPS[index % len(_LIPS)]), lips)
    if stubble > 0:
        beard = oval * (1 - mouth) * np.clip((y - 0.78 - 0.25 * (np.abs(x) > 0.9)) / 0.2, 0, 1)
        beard = cv2.GaussianBlur(beard.astype(np.float32), (0, 0), 0.05 * unit)
        grain = cv2.GaussianBlur(random.normal(0, 1, matte.shape).astype(np.float32), (0, 0), 1.2)
        out = _mix(out, 0.35 * out + 0.3 * color, beard * np.clip(0.65 + 0.5 * grain, 0, 1))
    return out.clip(0, 255).astype(np.uint8)


def _mix(base: np.ndarray, layer: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return (base + opacity[..., None] * (layer - base)).astype(np.float32)


def _fill(contour: np.ndarray, shape: tuple[int, ...], feather: float) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(
        canvas, [np.rint(cv2.convexHull(contour.astype(np.float32)) * 16).astype(np.int32)], 255, 8, 4
    )
    return cv2.GaussianBlur(canvas, (0, 0), feather).astype(np.float32) / 255


def _skin(image: np.ndarray, oval: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Opacity of skin: the face, and what is of its colour around it (ears, neck, forehead)."""
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    middle = np.median(ycc[(oval > 0.95) & (y > 0)], 0)
    like = np.exp(-(((ycc - middle) / (70.0, 10.0, 10.0)) ** 2).sum(-1) / 2)
    like = cv2.GaussianBlur(np.clip(3 * like, 0, 1), (0, 0), 1.5) * (
        bump(x, y, (0, 0.9), (0.75, 0.95)) > 0.25
    )
    # Hair falls into the oval at the forehead and the temples: there skin is what is bright.
    light = cv2.GaussianBlur(ycc[..., 0], (0, 0), 1.5) / middle[0]
    fringe = np.clip((-0.25 - y) / 0.1, 0, 1) * (1 - np.clip((light - 0.72) / 0.1, 0, 1) * (y > -0.75))
    temple = np.clip((np.abs(x) - 0.8) / 0.1, 0, 1) * (y < 0.6) * (1 - np.clip((light - 0.42) / 0.1, 0, 1))
    return (np.maximum(oval, like) * (1 - np.maximum(fringe, temple))).astype(np.float32)


def _hair(image: np.ndarray, skin: np.ndarray, oval: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Opacity of hair: what is around and above the face and not skin."""
    inside = (np.abs(x) < 2.6) & (y < 1.2 - 0.2 * np.abs(x))
    around = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 3)
    return around * (1 - skin) * (1 - oval * np.clip((y + 0.3) / 0.1, 0, 1) * (np.abs(x) < 0.85))


def _turn_hue(image: np.ndarray, degrees: float) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 2)) % 180
    hsv[..., 1] = (hsv[..., 1] * 0.7).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)
