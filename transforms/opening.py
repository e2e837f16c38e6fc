"""Opening a file of a dataset for reading."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, Literal

from schemas.outcome import Reason
from transforms.errors import ClipError

_NOT_A_FILE: dict[str, Reason] = {"video": "not_video", "image": "not_image"}


def open_media(
    path: str | Path, kind: Literal["video", "image"], *, name: str = "", buffering: int = -1
) -> BinaryIO:
    """A file that holds something; never waits, as opening a pipe would.

    Args:
      path: of the file.
      kind: what it should be.
      name: of it, in errors; "" is its path.
      buffering: as of `open`.

    Raises:
      ClipError: "missing", "unreadable", "empty_file", or "not_video" or "not_image" where it is no file.
    """
    name = name or str(path)
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ClipError(_NOT_A_FILE[kind], f"{name}: not a file; put the {kind} itself there")
        file: BinaryIO = open(path, "rb", buffering=buffering)  # noqa: PTH123, SIM115 - closed by the caller
    except (FileNotFoundError, NotADirectoryError):
        raise ClipError("missing", f"{name}: no such file; put it back, or index again") from None
    except OSError as error:
        raise ClipError("unreadable", f"{name}: {error.strerror}; make it readable") from None
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise ClipError("empty_file", f"{name}: no bytes; download it again")
    return file
