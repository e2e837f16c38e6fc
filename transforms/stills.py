"""Pictures: their order in a folder, and what they show as 8-bit RGB."""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from transforms.errors import ClipError
from transforms.indexing.layout import is_image
from transforms.opening import open_media

MOST_PIXELS = 100_000_000
"""Pixels of a picture above which it is not decoded."""

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_MAGIC = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|BM|RIFF....WEBP", re.DOTALL)
# First and last bytes of files that were not cut off; of other formats the end does not tell.
_ENDS = ((b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"), (b"\xff\xd8", b"\xff\xd9"))
_NUMBER = re.compile(r"([0-9]+)")

# How a picture of each EXIF orientation is turned upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = {_TURNS[number] for number in (5, 6, 7, 8)}


def natural_key(name: str) -> tuple:
    """Sorts names as people count: numbers in them as numbers, all else by code point.

    No two names have the same key, so that the order is the same wherever they are listed.

    >>> sorted(["10.png", "9.png", "b1.png", "a12.png", "a2.png", "09.png"], key=natural_key)
    ['09.png', '9.png', '10.png', 'a2.png', 'a12.png', 'b1.png']
    """
    parts = _NUMBER.split(name)
    # Digits by their count, then as text: int() refuses some thousands of them.
    numbers = [(len(digits), digits) for digits in (part.lstrip("0") for part in parts[1::2])]
    texts = parts[::2]
    return *(key for pair in zip(texts, [*numbers, ()], strict=True) for key in pair), name


def picture_names(folder: str | Path) -> list[str]:
    """Names of the pictures in a folder, in natural order: a clip's frames.

    They are told by their suffix. Other files, hidden ones (macOS puts `._1.png` beside `1.png`) and folders
    in it do not count; a link to nothing does, so that the frames after it keep their numbers.

    Raises:
      ClipError: "missing", "unreadable", "bad_name" or "no_frames".
    """
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if is_image(entry.name) and not entry.name.startswith(".") and not entry.is_dir()
            ]
    except (FileNotFoundError, NotADirectoryError):
        raise ClipError("missing", f"{folder}: no such folder; put it back, or index again") from None
    except OSError as error:
        raise ClipError("unreadable", f"{folder}: {error.strerror}; make it readable") from None
    if not names:
        raise ClipError("no_frames", f"{folder}: no pictures in this folder; put its frames back")
    for name in names:
        if not name.isprintable():
            raise ClipError("bad_name", f"{folder}: {name!a} cannot be printed as UTF-8; rename it")
    return sorted(names, key=natural_key)


def read_picture(source: Path | bytes, name: str) -> np.ndarray:
    """What a picture shows: (height, width, 3) uint8, RGB.

    Turned as its EXIF orientation asks. Gray and palettes become RGB; of 16 bits the upper 8 are taken; alpha
    is dropped, and the colours under it stay as they are stored; CMYK is converted without a colour profile,
    and embedded profiles are not applied; an animation is its first picture.

    Args:
      source: path, or what is in the file.
      name: of the picture, in errors.

    Raises:
      ClipError: "missing", "unreadable", "empty_file", "not_image", "too_large" (over `MOST_PIXELS`; known
        before anything is decoded) or "decode_error" (cut off, or damaged).
    """
    if source == b"":
        raise ClipError("empty_file", f"{name}: no bytes; download it again")
    file = io.BytesIO(source) if isinstance(source, bytes) else open_media(source, "image", name=name)
    with file, _opened(file, name) as image:
        turn = _turn(image)
        if image.mode.startswith("I;16"):
            # Pillow's own conversion makes everything over 255 white.
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image = image.convert("RGB")
        return np.array(image if turn is None else image.transpose(turn))


def check_picture(file: BinaryIO, name: str) -> tuple[int, int]:
    """Width and height of a picture as `read_picture` gives it, from its header.

    A file that does not end as whole ones do is decoded; one that is damaged inside is not found here.

    Args:
      file: at its start; not empty.
      name: of the picture, in errors.

    Raises:
      ClipError: as `read_picture`.
    """
    whole = _ends_whole(file)
    with _opened(file, name) as image:
        width, height = image.size
        turn = _turn(image)
        if not whole:
            image.load()
        return (height, width) if turn in _ON_ITS_SIDE else (width, height)


def _ends_whole(file: BinaryIO) -> bool:
    head = file.read(12)
    file.seek(max(0, file.seek(0, os.SEEK_END) - 12))
    tail = file.read(12)
    file.seek(0)
    return any(head.startswith(first) and tail.endswith(last) for first, last in _ENDS)


@contextlib.contextmanager
def _opened(file: BinaryIO, name: str) -> Iterator[Image.Image]:
    """A picture whose header was read; whatever goes wrong with it is a ClipError."""
    megapixels = f"more than {MOST_PIXELS // 10**6} megapixels; scale it down"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise ClipError("too_large", f"{name}: {width}x{height} pixels, {megapixels}")
                yield image
    except (ClipError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise ClipError("too_large", f"{name}: {megapixels}") from None
    except Exception as error:  # Pillow's readers raise whatever their parsing runs into.
        if isinstance(error, OSError) and error.errno:
            raise ClipError("unreadable", f"{name}: {error.strerror}; make it readable") from None
        file.seek(0)
        head = file.read(12)
        if _MAGIC.match(head):
            said = str(error) or type(error).__name__
            detail = f"{name}: cut off, or damaged ({said.splitlines()[0][:200]}); download it again"
            raise ClipError("decode_error", detail) from None
        detail = f"{name}: begins with {head!r}, which is no PNG, JPEG, BMP or WebP; download it again"
        raise ClipError("not_image", detail) from None


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        # A PNG's own getexif() decodes all of it in search of one at its end.
        return _TURNS.get(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:  # Damaged EXIF says nothing; the picture may be whole.
        return None
