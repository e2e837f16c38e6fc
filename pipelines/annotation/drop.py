"""Masks that people painted with any editor, dropped into a folder."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from pipelines.annotation.png import png_size
from pipelines.annotation.question import Requests
from schemas.errors import UsageError
from schemas.label import Reason, Verdict
from transforms.labelling import Answer

ANNOTATOR = "folder"
"""Who answered with a PNG that lies in the folder itself."""

_LARGEST = 16 << 20  # bytes
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
        """One answer a file, by name.

        Left out is what editors and systems hide (`.name`), and what lies beside a PNG of the same name: an
        editor's project file (`.xcf`, `.psd`), a copy, an export in another format.
        """
        for folder, subfolders, names in os.walk(self.folder):
            links = [name for name in subfolders if Path(folder, name).is_symlink()]
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            painted = {Path(name).stem for name in names if name.lower().endswith(".png")}
            for name in sorted([*names, *links]):
                beside = Path(name).suffix.lower() != ".png" and Path(name).stem in painted
                if not name.startswith(".") and not beside:
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
        shape, size = png_size(data), self.requests.by_id[request].size
        if shape is None:
            return refuse("unreadable", "not a PNG; save it as PNG", payload)
        if shape != (size, size):
            return refuse(
                "wrong_size", f"{shape[0]}x{shape[1]}, the crop is {size}x{size}; paint on the crop", payload
            )
        picture = _decode(data)
        if picture is None:
            return refuse("unreadable", "the PNG is damaged; save it again", payload)
        light = _light(picture)
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
        if not mask.any() and picture.ndim == 3 and len(np.unique(picture[..., 3:])) > 1:
            return refuse(
                "no_verdict",
                "black is painted on transparency; paint white what is forged, or fill all with black",
                payload,
            )
        verdict: Verdict = "forged" if mask.any() else "authentic"
        return Answer(request, annotator, "folder", name, verdict, mask, payload, origin="manual")


def _decode(data: bytes) -> np.ndarray | None:
    """(height, width) or (height, width, 3 or 4) uint8, as OpenCV orders channels; None where it cannot."""
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if picture is not None and picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    return picture


def _light(picture: np.ndarray) -> np.ndarray:
    """Luma over black: (height, width) uint8."""
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
