"""From encoded members to the pixels of a batch: decoding, one view of image and mask, resizing."""

from dataclasses import dataclass

import cv2
import numpy as np

from training.loading.stream import Encoded


@dataclass(frozen=True)
class View:
    """What is seen of a crop, whatever its size.

    Attributes:
      side: of the square that is seen, as a share of the edge, above 0 to 1.
      x, y: where it lies, 0 (left, top) to 1 (right, bottom) of the room that is left.
      mirrored: whether left and right change places.
    """

    side: float = 1.0
    x: float = 0.0
    y: float = 0.0
    mirrored: bool = False


WHOLE = View()


def draw_views(count: int, crop: float, flip: float, random: np.random.Generator) -> list[View]:
    """Random views, one a sample.

    Args:
      count: how many.
      crop: most of the edge that is left out, 0 to below 1; how much is uniform below it, so that evaluation,
        which sees whole crops, sees a scale of training.
      flip: share that is mirrored, 0 to 1.
      random: where they come from.
    """
    drawn = random.random((count, 4))
    return [View(1 - crop * left, x, y, bool(turn < flip)) for left, x, y, turn in drawn.tolist()]


def decode(encoded: Encoded) -> tuple[np.ndarray, np.ndarray | None]:
    """Image, uint8 (H, W, 3) BGR, and mask, uint8 (H, W), None where there is none.

    Raises:
      ValueError: naming the member that is not a picture, or not as large as the other.
    """
    image = _decode(encoded[0], cv2.IMREAD_COLOR, "image")
    if encoded[1] is None:
        return image, None
    mask = decode_mask(encoded[1])
    if mask.shape != image.shape[:2]:
        (height, width), (rows, columns) = mask.shape, image.shape[:2]
        raise ValueError(f"the mask is {width}x{height} px, the image {columns}x{rows}")
    return image, mask


def decode_mask(data: bytes) -> np.ndarray:
    """A mask, uint8 (H, W).

    Raises:
      ValueError: if it is not a picture.
    """
    return _decode(data, cv2.IMREAD_GRAYSCALE, "mask")


def _decode(data: bytes, flags: int, what: str) -> np.ndarray:
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # no bytes, or more pixels than OpenCV takes
        picture = None
    if picture is None:
        raise ValueError(f"the {what} ({len(data):,} bytes) cannot be decoded")
    return np.asarray(picture)


def put_image(image: np.ndarray, view: View, out: np.ndarray) -> None:
    """Write a view of a BGR image into `out`, uint8 (S, S, 3) RGB."""
    _put(image, view, out)
    cv2.cvtColor(out, cv2.COLOR_BGR2RGB, dst=out)


def put_mask(mask: np.ndarray, view: View, out: np.ndarray) -> None:
    """Write a view of a mask into `out`, uint8 (S, S); its edges become grey where it is resized."""
    _put(mask, view, out)


def _put(picture: np.ndarray, view: View, out: np.ndarray) -> None:
    """One resampling: area means where pixels become fewer, linear where they become more."""
    height, width = (max(1, round(edge * view.side)) for edge in picture.shape[:2])
    top = round((picture.shape[0] - height) * view.y)
    left = round((picture.shape[1] - width) * view.x)
    seen = picture[top : top + height, left : left + width]
    if seen.shape == out.shape:
        out[:] = seen
    else:
        shrinks = height * width > out.shape[0] * out.shape[1]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cv2.resize(seen, out.shape[1::-1], dst=out, interpolation=way)
    if view.mirrored:
        cv2.flip(out, 1, dst=out)
