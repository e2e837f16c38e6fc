"""Pictures for tests: files of every format and mode, whole and broken."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def numbered(number: int, width: int = 40, height: int = 30) -> np.ndarray:
    """A picture that tells its number (a bar of that length) and its orientation (corners differ)."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x * 5, y * 6, np.full_like(x, 40)], 2).astype(np.uint8)
    picture[: height // 4, : width // 4] = (255, 255, 0)
    picture[-height // 6 :, : 2 * number + 2] = 255
    return picture


def encoded(picture: np.ndarray | Image.Image, format: str = "PNG", **options) -> bytes:
    """What a file of the picture holds."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    """EXIF data with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def write_pictures(folder: Path, pictures, names=None) -> Path:
    """A folder of PNGs, `0.png` and on, or of the names given."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        (folder / (names[number] if names else f"{number}.png")).write_bytes(encoded(picture))
    return folder


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that says it is so large, whatever is in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")
