"""Warping frames to aligned crops, and writing crops as images."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from transforms.alignment import apply, compose, invert, resizing, same_aspect, scale_of
from transforms.errors import ClipError
from transforms.media import open_clip
from transforms.resizing import reduced

# Seconds between two words on which crops are there.
_SAY = 0.2


def warp(frame: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The aligned crop of a frame: bilinear, black beyond the frame's edge.

    Where the crop has less than half the resolution of its part of the frame, that part is first reduced by a
    whole factor with area averaging, so that nothing aliases.

    Args:
      frame: (height, width) or (height, width, 3) uint8.
      matrix: (2, 3), crop pixel to frame pixel.
      size: edge of the crop in pixels.

    Returns:
      (size, size) or (size, size, 3) uint8.
    """
    matrix = np.asarray(matrix, np.float64)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    factor = max(1, int(scale))
    if factor > 1:
        edge = size - 1
        corners = apply(matrix, np.array([[0.0, 0], [edge, 0], [0, edge], [edge, edge]]))
        height, width = frame.shape[:2]
        # Starting at whole multiples of the factor keeps the reduction the same for every frame.
        x0, y0 = (int(max(0, v) // factor * factor) for v in np.floor(corners.min(0)) - 2 * factor)
        x1, y1 = np.minimum(np.ceil(corners.max(0)) + 2 * factor, [width, height]).astype(int)
        if x1 - x0 < factor or y1 - y0 < factor:
            return np.zeros((size, size, *frame.shape[2:]), np.uint8)
        columns, rows = (x1 - x0) // factor, (y1 - y0) // factor
        part = frame[y0 : y0 + rows * factor, x0 : x0 + columns * factor]
        frame = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
        matrix = matrix.copy()
        matrix[:, 2] -= (x0 + (factor - 1) / 2, y0 + (factor - 1) / 2)
        matrix /= factor
    return cv2.warpAffine(
        frame,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )


@dataclass(frozen=True)
class Shown:
    """How another clip shows a clip's frames.

    Attributes:
      matrix: (2, 3), from the clip's pixels to the other one's.
      size: width and height of the other one's picture.
    """

    matrix: np.ndarray
    size: tuple[int, int]


def warp_shown(frame: np.ndarray, matrices: np.ndarray, size: int, shown: Shown) -> list[np.ndarray]:
    """Crops of a frame that show no more than another clip does: where that is smaller, no more detail (area
    averaging), and black where its picture ends.

    Args:
      frame: (height, width, 3) uint8.
      matrices: (crops, 2, 3), crop pixel to frame pixel.
      size: edge of the crops in pixels.
      shown: the other clip.
    """
    small, shrunk = reduced(frame, min(1.0, scale_of(shown.matrix)))
    here, there = (np.full(shape, 255, np.uint8) for shape in (small.shape[:2], shown.size[::-1]))
    crops = []
    for matrix in matrices:
        crop = warp(small, compose(shrunk, matrix), size)
        own = warp(here, compose(shrunk, matrix), size).astype(np.float32)
        inside = warp(there, compose(shown.matrix, matrix), size)
        # At an edge that both have, the crop has faded to black already.
        left = np.minimum(inside / np.maximum(own, 1), 1)
        crops.append(np.rint(crop * left[..., None]).astype(np.uint8))
    return crops


@dataclass(frozen=True)
class FrameReads:
    """The crops of one frame.

    Attributes:
      frame: 0-based, in presentation order.
      slots: where they go, one for each crop.
      matrices: (crops, 2, 3) float64, crop pixel to frame pixel.
    """

    frame: int
    slots: tuple[int, ...]
    matrices: np.ndarray


def fill_crops(
    descriptor: int,
    path: str | Path,
    reads: Sequence[FrameReads],
    size: int,
    expected: tuple[int, int],
    shown: Shown | None = None,
    resizable: bool = False,
) -> Iterator[tuple[int, ...]]:
    """Write the crops of a clip into a file: (size, size, 3) uint8 RGB each, one after the other by slot.

    Stops early, without an error, where the clip is shorter than its group's reference clip.

    Args:
      descriptor: of the file.
      path: of the clip.
      reads: increasing by frame.
      size: edge of the crops in pixels.
      expected: width and height that the matrices are for.
      shown: crops are to be those of what another clip shows of this one's frames.
      resizable: frames of another size but the same aspect are taken as resized ones.

    Yields:
      The slots that were filled, every now and then: to say it of each frame would wake two processes.

    Raises:
      ClipError: if the clip cannot be read, or "other_size".
    """
    clip = open_clip(path)
    if len(clip) == 0:
        raise ClipError("no_frames", f"{path}: no frames")
    length = size * size * 3
    filled: list[int] = []
    said = time.monotonic()
    for wanted in reads:
        if wanted.frame >= len(clip):
            break
        frame = clip[wanted.frame]
        height, width = frame.shape[:2]
        matrices = wanted.matrices
        if (width, height) != expected:
            if not resizable or not same_aspect((width, height), expected):
                asked = f"{expected[0]}x{expected[1]}"
                raise ClipError("other_size", f"{path}: {width}x{height} pixels, not {asked}")
            matrices = compose(resizing(expected, (width, height)), matrices)
        crops = (
            warp_shown(frame, matrices, size, shown) if shown else [warp(frame, m, size) for m in matrices]
        )
        for slot, crop in zip(wanted.slots, crops, strict=True):
            data = crop.data.cast("B")
            written = 0
            while written < length:
                written += os.pwrite(descriptor, data[written:], slot * length + written)
        filled += wanted.slots
        if time.monotonic() - said > _SAY:
            yield tuple(filled)
            filled, said = [], time.monotonic()
    if filled:
        yield tuple(filled)


def points_in_crop(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Frame points, (..., k, 2), as crop points; `matrix` is (..., 2, 3), crop pixel to frame pixel."""
    return apply(invert(matrix), points)


def encode_image(image: np.ndarray, format: Literal["jpg", "png"], quality: int = 95) -> bytes:
    """A crop, (size, size, 3) uint8 RGB, or a mask, (size, size) uint8, as JPEG (4:4:4) or PNG."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if format == "jpg":
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
    else:
        options = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    whole, data = cv2.imencode(f".{format}", image, options)
    if not whole:
        raise ValueError(f"OpenCV could not encode a {image.shape} {image.dtype} image as {format}")
    return data.tobytes()
