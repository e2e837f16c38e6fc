"""The frames of a clip, whatever it is: a video, a still image, a folder of frames, or one in an archive."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from transforms.errors import ClipError
from transforms.indexing.layout import is_archive, is_image, is_video
from transforms.stills import picture_names, read_picture
from transforms.video import Video

MediaKind = Literal["video", "still", "folder", "archived"]


class Frames(Protocol):
    """Random access to a clip's frames, most efficient for increasing indices."""

    def __len__(self) -> int: ...

    @property
    def fps(self) -> float:
        """Nominal frames a second; 0 where pictures are not known to follow each other in time."""

    def __getitem__(self, index: int, /) -> np.ndarray:
        """A frame as it is to be shown: (height, width, 3) uint8, RGB.

        Raises:
          ClipError: if there is no such frame or it cannot be decoded.
        """


def media_kind(path: str | Path) -> MediaKind:
    """What a clip's path names: by its suffix, and a folder of frames where it has none.

    A file with any other suffix is taken for a video.
    """
    if split_archive(path) is not None:
        return "archived"
    if is_image(str(path)):
        return "still"
    # These say no, and do not raise, where they may not look.
    if is_video(str(path)) or os.path.isfile(path):  # noqa: PTH113
        return "video"
    return "folder"


def split_archive(path: str | Path) -> tuple[Path, str] | None:
    """The archive that a path goes through, and the folder in it; None where it does not.

    A folder may be named as an archive is, and is none.
    """
    parts = Path(path).parts
    for number, part in enumerate(parts, 1):
        archive = Path(*parts[:number])
        if is_archive(part) and not os.path.isdir(archive):  # noqa: PTH112
            return archive, "/".join(parts[number:])
    return None


def open_clip(path: str | Path) -> Frames:
    """The frames of a clip.

    Pictures of a folder are in natural order, and decoded when they are asked for. Their numbers are their
    places in that order: names may begin at any number, and leave some out.

    Raises:
      ClipError: if it cannot be read.
    """
    kind = media_kind(path)
    if kind == "video":
        return Video(path)
    if kind == "still":
        return _Pictures(str(path), [(str(path), Path(path))])
    if kind == "folder":
        names = picture_names(path)
        return _Pictures(str(path), [(f"{path}: {name}", Path(path, name)) for name in names])
    # Imported here: only some datasets are in archives.
    from transforms.archive import read_folder

    through = split_archive(path)
    assert through is not None
    return _Pictures(str(path), [(f"{path}: {name}", data) for name, data in read_folder(*through)])


class _Pictures:
    """Pictures as frames, decoded one at a time.

    Args:
      clip: its path, for errors.
      pictures: name, for errors, and path or bytes of each.
    """

    fps = 0.0

    def __init__(self, clip: str, pictures: Sequence[tuple[str, Path | bytes]]):
        self._clip, self._pictures = clip, pictures
        self._first: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int, /) -> np.ndarray:
        if not 0 <= index < len(self):
            raise ClipError("decode_error", f"{self._clip}: frame {index} of {len(self)} was asked for")
        frame = self._read(index)
        self._first = self._first or (frame if index == 0 else self._read(0)).shape
        if frame.shape != self._first:
            raise other_size(self._pictures[index][0], frame.shape[1::-1], self._first[1::-1])
        return frame

    def _read(self, index: int) -> np.ndarray:
        name, source = self._pictures[index]
        return read_picture(source, name)


def other_size(name: str, size: Sequence[int], first: Sequence[int]) -> ClipError:
    """What a picture is that is not as large as the first of its folder; sizes are width and height."""
    detail = f"{name}: {size[0]}x{size[1]}, the first picture of its folder {first[0]}x{first[1]} pixels"
    return ClipError("decode_error", f"{detail}; frames of one clip have one size")
