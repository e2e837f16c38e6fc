"""Masks that people painted with any editor, dropped into a folder."""

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from pipelines.annotation.question import Requests
from schemas.errors import UsageError
from schemas.label import Reason, Verdict
from transforms.labelling import Answer

ANNOTATOR = "folder"
"""Who answered with a PNG that lies in the folder itself."""

_LARGEST = 16 << 20  # bytes
_PNG = b"\x89PNG\r\n\x1a\n"
# A mask is black and white: soft edges are grey, and at most this share of the pixels.
_GREY, _MOST_GREY = (48, 207), 0.2


@dataclass(frozen=True)
class Drop:
    """A folder of PNGs: `<request_id>.png` or `<annotator>/<request_id>.png`.

    Attributes:
      folder: where they lie.
      requests: that they answer.
    """

    folder: Path
    requests: Requests
    by: Literal["oracle", "human"] = "human"

    def answers(self, out: Path) -> Iterator[Answer]:
        """One answer a file, by name; what editors and systems hide (`.name`) is left out."""
        for folder, subfolders, names in os.walk(self.folder):
            links = [name for name in subfolders if Path(folder, name).is_symlink()]
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted([*names, *links]):
                if not name.startswith("."):
                    yield self._read(Path(folder, name))

    def notes(self, waiting: int) -> list[str]:
        """Where answers go."""
        if not waiting:
            return []
        return [
            f"to answer, save masks as {self.folder}/ANNOTATOR/REQUEST_ID.png, white on black, as large as "
            f"the crops in {self.requests.folder}; then run this again"
        ]

    def _read(self, path: Path) -> Answer:
        parts = [
            os.fsencode(part).decode("utf-8", "backslashreplace")
            for part in path.relative_to(self.folder).parts
        ]
        name, annotator = "/".join(parts), parts[0] if len(parts) > 1 else ANNOTATOR
        request = parts[-1].rpartition(".")[0] or parts[-1]

        def refuse(reason: Reason, detail: str, payload: str = "") -> Answer:
            said = f"{name}: {detail}"
            return Answer(
                request, annotator, "folder", name, "none", None, payload, reason=reason, detail=said
            )

        if request not in self.requests.by_id or len(parts) > 2:
            return refuse(
                "unknown_request",
                "not REQUEST_ID.png or ANNOTATOR/REQUEST_ID.png of these requests; rename it",
            )
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                return refuse("unreadable", "a link out of the folder; put the file itself there")
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                return refuse("unreadable", "not a plain file; save a PNG")
            if found.st_size > _LARGEST:
                return refuse(
                    "unreadable", f"{found.st_size} bytes, more than {_LARGEST}; save a black and white PNG"
                )
            data = path.read_bytes()
        except (OSError, RuntimeError) as error:
            return refuse("unreadable", f"cannot be read ({error}); see who may read it")
        payload = hashlib.sha256(data).hexdigest()
        if not data.startswith(_PNG) or len(data) < 24:
            return refuse("unreadable", "not a PNG; save it as PNG", payload)
        size = self.requests.by_id[request].size
        width, height = struct.unpack(">II", data[16:24])
        if (width, height) != (size, size):
            return refuse(
                "wrong_size", f"{width}x{height}, the crop is {size}x{size}; paint on the crop", payload
            )
        light = read_light(data)
        if light is None:
            return refuse("unreadable", "the PNG is damaged; save it again", payload)
        grey = float(((light >= _GREY[0]) & (light <= _GREY[1])).mean())
        if grey > _MOST_GREY:
            return refuse(
                "unreadable",
                f"{grey:.0%} of it is grey: a picture, not a mask; paint white on black",
                payload,
            )
        mask = light > 127
        if light.any() and not mask.any():
            return refuse(
                "no_verdict",
                f"its brightest pixel is {light.max()} of 255; paint white, or all black",
                payload,
            )
        verdict: Verdict = "forged" if mask.any() else "authentic"
        return Answer(request, annotator, "folder", name, verdict, mask, payload, origin="manual")


def read_light(data: bytes) -> np.ndarray | None:
    """Luma of a PNG over black: (height, width) uint8; None where it cannot be decoded."""
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if picture is None:
        return None
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    if picture.ndim == 2:
        return picture
    light = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_BGR2GRAY)
    if picture.shape[2] == 4:
        light = np.round(light * (picture[..., 3] / 255)).astype(np.uint8)
    return light


def open_drop(folder: Path, requests: Requests) -> Drop:
    """Take answers from a folder.

    Raises:
      UsageError: if there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(
            f"--from folder:{folder}: no such folder; make it, and put REQUEST_ID.png files there"
        )
    return Drop(folder, requests)
