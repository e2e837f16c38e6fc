"""Forgeries whose shape breaks a mask rule's assumptions: boxes, separate parts, occluders, weak blends."""

import cv2
import numpy as np
import numpy.typing as npt

from transforms.mesh import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE
from transforms.synthesis.forgery import Face, forge

HARD = ("box", "parts", "occluded", "weak")


def forge_hard(
    family: str,
    frame: npt.NDArray[np.uint8],
    face: Face,
    donor: npt.NDArray[np.uint8],
    donor_face: Face,
    *,
    phase: float,
    seed: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """As `transforms.synthesis.forgery.forge`, for the families in `HARD`.

    box: a hard square 1.1 times the face's height (it covers half of the background in the crop), the swapped
    face inside, its surround slightly moved and blurred, as an autoencoder gives it back. parts: eyes and
    mouth, three regions (as far as the swap reaches). occluded: a swap with a moving bar left real.
    weak: the mouth blended at 40%.
    """
    oval = face.points[list(FACE_OVAL)]
    low, high = oval.min(0), oval.max(0)
    width = float((high - low).max())
    shape = (frame.shape[0], frame.shape[1])
    if family == "box":
        fake, _ = forge("swap", frame, face, donor, donor_face, phase=phase, seed=seed)
        shift = np.array([[1.02, 0, 0], [0, 1.02, 0]])
        middle = (low + high) / 2
        shift[:, 2] = -0.02 * middle + 0.004 * width * np.array([np.cos(phase), np.sin(phase)])
        fake = cv2.warpAffine(fake, shift, shape[::-1], borderMode=cv2.BORDER_REFLECT)
        fake = cv2.GaussianBlur(fake, (0, 0), width / 160)
        x0, y0 = np.maximum(np.rint(middle - 0.55 * width), 0).astype(int)
        x1, y1 = np.rint(middle + 0.55 * width).astype(int)
        alpha = np.zeros(shape, np.float32)
        alpha[y0:y1, x0:x1] = 1
        return _blend(frame, fake, alpha), alpha
    if family == "parts":
        fake, swapped = forge("hard_swap", frame, face, donor, donor_face, phase=phase, seed=seed)
        alpha = np.max([_part(shape, face.points[list(c)], s) for c, s in _PARTS], axis=0) * swapped
    elif family == "occluded":
        fake, alpha = forge("swap", frame, face, donor, donor_face, phase=phase, seed=seed)
        across = np.array([np.cos(0.7), np.sin(0.7)])
        centre = oval.mean(0) + 0.12 * width * np.sin(phase) * across
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        distance = (columns - centre[0]) * across[0] + (rows - centre[1]) * across[1]
        alpha = alpha * (np.abs(distance) > 0.09 * width)
        return np.where(alpha[..., None] > 0, fake, frame), alpha.astype(np.float32)
    elif family == "weak":
        fake, alpha = forge("mouth", frame, face, donor, donor_face, phase=phase, seed=seed)
        return _blend(frame, fake, np.full(shape, 0.4, np.float32)), alpha
    else:
        raise ValueError(family)
    return _blend(frame, fake, alpha), alpha


_PARTS = ((RIGHT_EYE, 1.8), (LEFT_EYE, 1.8), (LIPS_OUTER, 1.4))


def _part(shape: tuple[int, int], points: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float32]:
    middle = points.mean(0)
    spread = points.max(0) - points.min(0)
    mask = np.zeros(shape, np.float32)
    axes = (max(spread[0] * scale / 2, 3), max(spread[1] * scale / 2, spread[0] * scale / 3.2, 3))
    box = cv2.RotatedRect(middle.tolist(), (2 * axes[0], 2 * axes[1]), 0)
    cv2.ellipse(mask, box, 1, -1)
    return np.clip(cv2.GaussianBlur(mask, (0, 0), max(spread[0] / 24, 0.5)), 0, 1)


def _blend(
    frame: npt.NDArray[np.uint8], fake: npt.NDArray[np.uint8], alpha: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    mixed = frame + alpha[..., None] * (fake.astype(np.float32) - frame)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
