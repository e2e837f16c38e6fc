"""What a still image or a folder of frames holds: pictures, size and digest.

A still is decoded whole. Of a folder's pictures the headers are read, and those files decoded that do not end
as whole ones do (PNG and JPEG; BMP and WebP always are): decoding a million frames would take longer than
finding the faces in them. One that is damaged inside is found when it is used, and costs its clip then.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from schemas.digest import digest
from transforms.indexing.media_info import MediaInfo
from transforms.media import other_size
from transforms.opening import open_media
from transforms.stills import check_picture, picture_names, read_picture


def pictures_digest(pictures: Iterable[tuple[str, str]]) -> str:
    """Digest of a folder of frames: `schemas.digest` of its pictures' names and SHA-256s, sorted by name.

    Frames are the same in a folder and in an archive, and whatever else is there with them.

    Args:
      pictures: name in the folder, and SHA-256 of the file in hex digits.
    """
    return digest(sorted(pictures))


def watch_still(path: str | Path) -> Iterator[MediaInfo | None]:
    """What a still holds, after a None now and then.

    Raises:
      ClipError: as `read_picture`.
    """
    height, width, _ = read_picture(Path(path), str(path)).shape
    yield None
    with open_media(path, "image") as file:
        size, sha256 = _digest(file)
    yield MediaInfo(1, width, height, 0, 0.0, size, sha256)


def watch_folder(path: str | Path) -> Iterator[MediaInfo | None]:
    """What a folder of frames holds, after a None for each.

    Raises:
      ClipError: as `picture_names`; as `read_picture` for one of its pictures; "decode_error" where they
        differ in size.
    """
    names = picture_names(path)
    first: tuple[int, int] | None = None
    total = 0
    digests = []
    for name in names:
        with open_media(Path(path, name), "image", name=f"{path}: {name}") as file:
            shown = check_picture(file, f"{path}: {name}")
            first = first or shown
            if shown != first:
                raise other_size(f"{path}: {name}", shown, first)
            size, sha256 = _digest(file)
        total += size
        digests.append((name, sha256))
        yield None
    assert first is not None
    yield MediaInfo(len(names), *first, 0, 0.0, total, pictures_digest(digests))


def _digest(file: BinaryIO) -> tuple[int, str]:
    file.seek(0)
    return os.fstat(file.fileno()).st_size, hashlib.file_digest(
        cast(io.BufferedReader, file), "sha256"
    ).hexdigest()
