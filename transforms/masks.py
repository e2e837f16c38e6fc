"""Masks of a pair of aligned crops, other than the calibrated difference: one pure function a kind."""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Gray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

DFFD_THRESHOLD = 0.1
OFFICIAL_THRESHOLD = 127
_LUMA = np.array([[0.299, 0.587, 0.114]])
_SSIM_SIGMA = 1.5


def soft(real: Image, fake: Image) -> Gray:
    """Absolute difference in gray: FakeLocator's fakeness map.

    Source: Huang et al., FakeLocator: Robust Localization of GAN-Based Face Manipulations, 2022 (the gray
    |real - fake| of aligned pictures, before scaling to 0..1).

    Args:
      real: (H, W, 3) uint8 RGB.
      fake: as `real`.

    Returns:
      (H, W) uint8; the channels' differences weighed 0.299, 0.587, 0.114.

    Raises:
      ValueError: shapes differ, or are not (H, W, 3) uint8.
    """
    _check_pair(real, fake)
    return cv2.cvtColor(cv2.absdiff(real, fake), cv2.COLOR_RGB2GRAY)


def dffd(real: Image, fake: Image, threshold: float = DFFD_THRESHOLD) -> Mask:
    """DFFD's ground truth: gray absolute difference over 255, cut at 0.1.

    Source: Dang et al., On the Detection of Digital Face Manipulation, CVPR 2020 ("the absolute pixel-wise
    difference in the RGB channels, converted into grayscale, and divided by 255", threshold 0.1).

    Args:
      real: (H, W, 3) uint8 RGB.
      fake: as `real`.
      threshold: 0 to 1; what lies above it is forged.

    Returns:
      (H, W) bool.

    Raises:
      ValueError: shapes differ, or are not (H, W, 3) uint8.
    """
    return soft(real, fake) / 255.0 > threshold


def ssim(real: Image, fake: Image) -> Gray:
    """1 - SSIM of the gray crops, clipped to 0..1, times 255.

    Computed in floats and clipped before the cast, since SSIM may be negative: the same map cast straight to
    uint8 wraps (as published DFDC code does).

    Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004
    (Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03).

    Args:
      real: (H, W, 3) uint8 RGB.
      fake: as `real`.

    Returns:
      (H, W) uint8: 0 equal, 255 unlike.

    Raises:
      ValueError: shapes differ, or are not (H, W, 3) uint8.
    """
    _check_pair(real, fake)
    a = cv2.transform(real.astype(np.float64), _LUMA)
    b = cv2.transform(fake.astype(np.float64), _LUMA)
    mean_a, mean_b = _window(a), _window(b)
    var_a = _window(a * a) - mean_a * mean_a
    var_b = _window(b * b) - mean_b * mean_b
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a * mean_a + mean_b * mean_b + c1) * (var_a + var_b + c2)
    )
    return np.rint(255 * np.clip(1 - index, 0, 1)).astype(np.uint8)


def hull(outline: npt.NDArray[np.floating], size: int) -> Mask:
    """The convex hull of the face's outline, filled.

    Args:
      outline: (n, 2) float, n >= 3, x and y in crop pixels (pixel centres at whole numbers).
      size: edge of the crop.

    Returns:
      (size, size) bool.

    Raises:
      ValueError: `outline` is not (n, 2) with n >= 3 and all finite.
    """
    if outline.ndim != 2 or outline.shape[1] != 2 or len(outline) < 3 or not np.isfinite(outline).all():
        raise ValueError(f"an outline of shape {outline.shape}, or not finite")
    corners = cv2.convexHull(outline.astype(np.float32))
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners * 16).astype(np.int32), 1, shift=4)
    return mask.astype(bool)


def boundary(mask: Mask, sigma: float | None = None) -> Gray:
    """Face X-ray's blending boundary, 4 m (1 - m) of the softened mask, times 255.

    Source: Li et al., Face X-ray for More General Face Forgery Detection, CVPR 2020, eq. 2.

    Args:
      mask: (H, W) bool.
      sigma: of the Gaussian that softens it, pixels; None is 1/64 of the crop's height.

    Returns:
      (H, W) uint8: 255 on the boundary, 0 far from it.
    """
    width = mask.shape[0] / 64 if sigma is None else sigma
    softened = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), width, borderType=cv2.BORDER_REPLICATE)
    return np.rint(255 * np.clip(4 * softened * (1 - softened), 0, 1)).astype(np.uint8)


def all_one(size: int) -> Mask:
    """The mask of a wholly synthetic crop: (size, size) bool, True."""
    return np.ones((size, size), bool)


def all_zero(size: int) -> Mask:
    """The mask of a real crop: (size, size) bool, False."""
    return np.zeros((size, size), bool)


def official(frame: npt.NDArray[np.uint8]) -> Mask:
    """A dataset's own mask, cut at 127 (lower cuts widen it by the video codec's ringing).

    Args:
      frame: (H, W) or (H, W, 3) uint8; of colours the brightest channel counts.

    Returns:
      (H, W) bool.

    Raises:
      ValueError: another shape or type.
    """
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3):
        raise ValueError(f"a mask of {frame.dtype} {frame.shape}")
    return (frame if frame.ndim == 2 else frame.max(2)) > OFFICIAL_THRESHOLD


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union, 0 to 1; 1 where both are empty.

    Raises:
      ValueError: shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"masks of {a.shape} and {b.shape}")
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0


def _window(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return cv2.GaussianBlur(values, (11, 11), _SSIM_SIGMA)


def _check_pair(real: Image, fake: Image) -> None:
    if real.shape != fake.shape or real.ndim != 3 or real.shape[2] != 3:
        raise ValueError(f"crops of {real.shape} and {fake.shape}")
    if real.dtype != np.uint8 or fake.dtype != np.uint8:
        raise ValueError(f"crops of {real.dtype} and {fake.dtype}")
