"""Forgeries of real frames with a known alpha: the ground truth for masks.

They stand in for four families of methods: `swap` (Deepfakes: another face with a feathered edge),
`hard_swap` (FaceSwap: with a hard edge), `expression` (Face2Face: the face itself, moved and rendered again)
and `mouth` (NeuralTextures: only the mouth). The true mask is alpha > 0.1.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from transforms.mesh import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE, five_points
from transforms.synthesis.warps import dense_map

Box = tuple[int, int, int, int]

FAMILIES = ("swap", "hard_swap", "expression", "mouth")

_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE_AND_CHEEKS = (6, 195, 1, 2, 98, 327, 50, 280, 205, 425)
# Points that the donor's face is pinned to; more of them only add the mesh's noise.
_CONTROL = (*FACE_OVAL[::2], *LIPS_OUTER[::2], *RIGHT_EYE[::2], *LEFT_EYE[::2], *_BROWS, *_NOSE_AND_CHEEKS)


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    Attributes:
      points: (468, 2) float32, Face Mesh points in frame pixels.
    """

    points: np.ndarray


@dataclass(frozen=True)
class _Style:
    """What a seed decides, once for all frames of a clip; numbers in -1..1."""

    size: float
    feather: float
    color: float
    light: float
    turn: float

    @classmethod
    def of(cls, seed: int) -> "_Style":
        return cls(*np.random.default_rng(seed).uniform(-1, 1, 5))


def forge(
    family: str,
    frame: np.ndarray,
    face: Face,
    donor: np.ndarray | None,
    donor_face: Face | None,
    *,
    phase: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Forge the face of a frame.

    Args:
      family: one of `FAMILIES`.
      frame: (h, w, 3) uint8 RGB, the real frame.
      face: the face in it that is forged.
      donor: (h', w', 3) uint8 RGB, a frame with the other face. Swaps need it; `mouth` takes the donor's
        mouth where there is one, and else moves the face's own; `expression` does not look at it.
      donor_face: that face.
      phase: time in radians: expressions move with it, periodic over 2 pi.
      seed: of what differs between clips (size and feather of the region, colour, light); one for a clip.

    Returns:
      The fake, (h, w, 3) uint8 RGB, and alpha, (h, w) float32 in multiples of 1/255: 0 where the frame is
      left as it is, bit by bit; 1 where nothing of it is left.

    Raises:
      ValueError: for an unknown family, or a swap without a donor.
    """
    if family not in FAMILIES:
        raise ValueError(f"family {family!r}: not one of {FAMILIES}")
    style = _Style.of(seed)
    alpha, box = _region(family, (frame.shape[0], frame.shape[1]), face.points, style)
    if box[0] >= box[2] or box[1] >= box[3]:  # The face is outside the picture.
        return frame.copy(), alpha
    x0, y0, x1, y1 = box
    old = frame[y0:y1, x0:x1].astype(np.float32)
    part = alpha[y0:y1, x0:x1]
    if donor is not None and donor_face is not None and family != "expression":
        new = _match_color(_transplant(face, donor, donor_face, box), old, part, style)
    elif family in ("expression", "mouth"):
        new = _relight(_express(frame, face, alpha, box, family, phase), face, box, style)
    else:
        raise ValueError(f"{family} needs a donor and its face")
    fake = frame.copy()
    blend = np.rint(old + part[..., None] * (new - old)).clip(0, 255).astype(np.uint8)
    fake[y0:y1, x0:x1] = np.where(part[..., None] > 0, blend, frame[y0:y1, x0:x1])
    return fake, alpha


def official_mask(kind: str, face: Face, alpha: np.ndarray) -> np.ndarray:
    """A mask like those that come with FaceForensics++: not always what was changed.

    Args:
      kind: "box" (Deepfakes: the area that was blended, larger than the face), "face" (Face2Face, FaceSwap
        and NeuralTextures: the face model, although NeuralTextures changes only the mouth) or "alpha"
        (DeepFakeDetection: what was changed).
      face: the forged face.
      alpha: (h, w) float32, as `forge` gives it.

    Returns:
      (h, w) uint8, 0 or 255.

    Raises:
      ValueError: for an unknown kind.
    """
    mask = np.zeros(alpha.shape, np.uint8)
    oval = face.points[list(FACE_OVAL)]
    if kind == "box":
        low, high = oval.min(0), oval.max(0)
        x0, y0 = np.maximum(np.rint(low - 0.12 * (high - low)).astype(int), 0)
        x1, y1 = np.maximum(np.rint(high + 0.12 * (high - low)).astype(int), 0)
        mask[y0:y1, x0:x1] = 255
    elif kind == "face":
        cv2.fillPoly(mask, [np.rint(oval).astype(np.int32)], 255)
    elif kind == "alpha":
        mask[alpha > 0.1] = 255
    else:
        raise ValueError(f"kind {kind!r}: not box, face or alpha")
    return mask


def _region(family: str, shape: tuple[int, int], points: np.ndarray, style: _Style) -> tuple[np.ndarray, Box]:
    """Alpha, (h, w) float32, and the box that holds what is not zero of it."""
    oval = np.asarray(points, np.float64)[list(FACE_OVAL)]
    width = _unit(points) * 2.2
    if family == "mouth":
        hull, grow, feather = points[list(LIPS_OUTER)], 0.085 + 0.015 * style.size, 0.018
    else:
        shrink = {"swap": 0.90, "hard_swap": 0.93, "expression": 0.91}[family] + 0.02 * style.size
        center = oval.mean(0)
        hull, grow = center + shrink * (oval - center), 0.0
        if family != "expression":
            hull = _below_hair(hull, points)
        feather = {"swap": 0.045, "hard_swap": 0.0, "expression": 0.025}[family]
    feather *= width * (1 + 0.3 * style.feather)
    margin = int(np.ceil(grow * width + 3 * feather)) + 2
    x0, y0 = np.floor(hull.min(0)).astype(int) - margin
    x1, y1 = np.ceil(hull.max(0)).astype(int) + margin + 1
    canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
    fixed = np.rint((hull - (x0, y0)) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 255, cv2.LINE_AA, shift=4)
    if grow:
        size = 2 * round(grow * width) + 1
        canvas = cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    if feather:
        size = 2 * int(np.ceil(2.5 * feather)) + 1
        canvas = cv2.GaussianBlur(canvas, (size, size), feather, borderType=cv2.BORDER_CONSTANT)
    height, width_ = shape
    box = (max(0, x0), max(0, y0), min(width_, x1), min(height, y1))
    alpha = np.zeros(shape, np.float32)
    if box[0] < box[2] and box[1] < box[3]:
        part = canvas[box[1] - y0 : box[3] - y0, box[0] - x0 : box[2] - x0]
        alpha[box[1] : box[3], box[0] : box[2]] = part.astype(np.float32) / 255
    return alpha, tuple(int(edge) for edge in box)  # type: ignore[return-value]


def _below_hair(hull: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Lower the forehead of a contour: swaps end above the brows, where hair may begin."""
    right_eye, left_eye, _, right_mouth, left_mouth = five_points(points).astype(np.float64)
    eyes = (right_eye + left_eye) / 2
    down = (right_mouth + left_mouth) / 2 - eyes
    down /= np.linalg.norm(down)
    height = np.minimum((hull - eyes) @ down, 0)
    return hull - 0.3 * height[:, None] * down


def _unit(points: np.ndarray) -> float:
    """Distance from between the eyes to between the corners of the mouth: the measure of a face."""
    right_eye, left_eye, _, right_mouth, left_mouth = five_points(points).astype(np.float64)
    return float(np.linalg.norm(right_eye + left_eye - right_mouth - left_mouth) / 2)


def _transplant(face: Face, donor: np.ndarray, donor_face: Face, box: Box) -> np.ndarray:
    """The donor's face in the place and shape of the target's: (box) float32."""
    control = list(_CONTROL)
    maps = dense_map(face.points[control], donor_face.points[control], box)
    return cv2.remap(donor, maps, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def _match_color(new: np.ndarray, old: np.ndarray, alpha: np.ndarray, style: _Style) -> np.ndarray:
    """Give the new face the old one's mean and, partly, contrast; a little off, as in every real swap."""
    inside = (alpha > 0.5).astype(np.uint8)
    if not inside.any():
        return new
    (mean, spread), (goal, goal_spread) = cv2.meanStdDev(new, mask=inside), cv2.meanStdDev(old, mask=inside)
    gain = np.clip(goal_spread / np.maximum(spread, 1), 0.6, 1.3)[:, 0]
    cast = 4 * style.color * np.array([1.0, 0.2, -1.0]) + 3 * style.light
    return (new * gain.astype(np.float32) + (goal[:, 0] - mean[:, 0] * gain + cast).astype(np.float32)).clip(
        0, 255
    )


def _express(
    frame: np.ndarray,
    face: Face,
    alpha: np.ndarray,
    box: Box,
    family: str,
    phase: float,
) -> np.ndarray:
    """The face itself with brows, mouth and jaw moved: (box) float32. Nothing moves where alpha is 0."""
    x0, y0, x1, y1 = box
    unit = _unit(face.points)
    five = five_points(face.points).astype(np.float64)
    right = five[1] - five[0]
    right /= np.linalg.norm(right)
    down = np.array([-right[1], right[0]])
    at = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1).astype(np.float32)
    corner, jaw = 0.07 + 0.07 * np.sin(phase + 1), 0.09 + 0.09 * np.sin(phase + 2.5)
    brows = -0.06 - 0.07 * np.sin(phase)
    moves = [
        (five[3], -corner * right - 0.5 * corner * down, 0.25),
        (five[4], corner * right - 0.5 * corner * down, 0.25),
        (face.points[17], jaw * down, 0.3),
    ]
    if family == "expression":
        moves += [(face.points[index], brows * down, 0.28) for index in (105, 334)]
    shift = np.zeros_like(at)
    for center, move, reach in moves:
        bump = np.exp(-((at - center.astype(np.float32)) ** 2).sum(-1) / (2 * (reach * unit) ** 2))
        shift += bump[..., None] * (move * unit).astype(np.float32)
    source = at - shift * alpha[y0:y1, x0:x1, None]
    moved = cv2.remap(frame, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # A rendered face has less detail than a filmed one.
    return cv2.GaussianBlur(moved, (0, 0), 0.4 + 0.004 * unit).astype(np.float32)


def _relight(picture: np.ndarray, face: Face, box: Box, style: _Style) -> np.ndarray:
    """Other light on a part of a frame: a gain with a gradient, and a cast. Never near no change at all."""
    unit, center = _unit(face.points), face.points.mean(0)
    y, x = np.mgrid[box[1] : box[3], box[0] : box[2]].astype(np.float32)
    angle = np.pi * style.turn
    slope = ((x - center[0]) * np.cos(angle) + (y - center[1]) * np.sin(angle)) / unit
    sign = 1.0 if style.light >= 0 else -1.0
    gain = 1 + sign * (0.05 + 0.02 * abs(style.light)) * (1 + 0.35 * np.clip(slope, -1, 1))
    cast = 2 * style.color * np.array([1.0, 0.0, -1.0])
    return (picture * gain[..., None] + cast).clip(0, 255).astype(np.float32)
