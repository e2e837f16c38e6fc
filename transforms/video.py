"""Frames of a video file, by index."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from transforms.errors import ClipError

# What decord puts before its messages: a clock, and a line of its source.
_WHERE = re.compile(r"\[[0-9:]+\] \S+:\d+: ")


class Video:
    """Random access to the frames of a video, most efficient for increasing indices.

    Frames are counted in presentation order and turned as the file's display rotation asks, as ffmpeg shows
    them. One frame is held at a time, whatever the length of the clip.

    Args:
      path: of the file.

    Raises:
      ClipError: "missing", "empty_file", "unreadable" or "decode_error".
    """

    def __init__(self, path: str | Path):
        self._path = str(path)
        try:
            with Path(path).open("rb") as file:
                if not file.read(1):
                    raise ClipError("empty_file", f"{path}: no bytes")
        except FileNotFoundError:
            raise ClipError("missing", f"{path}: no such file") from None
        except OSError as error:
            raise ClipError("unreadable", f"{path}: {error.strerror}") from None
        # Imported here: it takes 370 MB, and only the process that decodes needs it.
        import decord

        self._errors = (decord.DECORDError, RuntimeError)
        try:
            self._reader = decord.VideoReader(self._path, ctx=decord.cpu(0), num_threads=1)
        except self._errors as error:
            raise ClipError("decode_error", f"{path}: {_first_line(error)}") from None

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def fps(self) -> float:
        """Nominal frames a second."""
        return float(self._reader.get_avg_fps())

    def __getitem__(self, index: int) -> np.ndarray:
        """A frame: (height, width, 3) uint8, RGB, read-only: it is the decoder's own memory.

        Raises:
          ClipError: "decode_error" if there is no such frame or it cannot be decoded.
        """
        if not 0 <= index < len(self):
            raise ClipError("decode_error", f"{self._path}: frame {index} of {len(self)} was asked for")
        try:
            frame = np.from_dlpack(_Shared(self._reader[index]))
        except self._errors as error:
            raise ClipError("decode_error", f"{self._path}: frame {index}: {_first_line(error)}") from None
        if frame.ndim != 3 or frame.shape[2] != 3:
            # decord does this to rotated pictures of less than about 100 pixels.
            raise ClipError("decode_error", f"{self._path}: frame {index}: shape {frame.shape}, not RGB")
        return frame


class _Shared:
    """An array of decord's as numpy takes it over, without a copy: decord has a protocol of before."""

    def __init__(self, array: Any):
        self._array = array

    def __dlpack__(self, stream: None = None) -> Any:
        return self._array.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the processor's memory


def _first_line(error: Exception) -> str:
    lines = [line for line in _WHERE.sub("", str(error)).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
