"""A folder of label requests, as training leaves it."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from schemas.digest import digest
from schemas.errors import UsageError
from schemas.files import read_rows
from schemas.request import LabelRequest

TABLE = "requests.parquet"
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A UUID: what requests and answers are called."""

_REMEDY = "make them again with training.request"


@dataclass(frozen=True)
class Requests:
    """Requests, and where their pictures are.

    Attributes:
      folder: of `requests.parquet`.
      rows: in its order.
      by_id: the same.
    """

    folder: Path
    rows: tuple[LabelRequest, ...]
    by_id: dict[str, LabelRequest]

    @property
    def digest(self) -> str:
        """Which questions these are: the same for the same ids, in any order."""
        return digest(sorted(self.by_id))

    def crop(self, request: LabelRequest) -> bytes:
        """The PNG of a request's crop.

        Raises:
          UsageError: if it is missing, or not as large as the request says.
        """
        return self._read(request.crop, request.size, cv2.IMREAD_COLOR)[0]

    def proposal(self, request: LabelRequest) -> np.ndarray:
        """The attention map of a request: (size, size) uint8.

        Raises:
          UsageError: if it is missing, or not as large as the request says.
        """
        return self._read(request.proposal, request.size, cv2.IMREAD_GRAYSCALE)[1]

    def _read(self, name: str, size: int, flags: int) -> tuple[bytes, np.ndarray]:
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from None
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
        if picture is None or picture.shape[:2] != (size, size):
            found = "not a picture" if picture is None else f"{picture.shape[1]}x{picture.shape[0]}"
            raise UsageError(f"{path}: {found}, where {TABLE} says {size}x{size}; {_REMEDY}")
        return data, picture


def read_requests(folder: Path) -> Requests:
    """Read a folder of requests; its pictures are read when they are needed.

    Raises:
      UsageError: if it is not one, holds none, or its ids or paths cannot be used.
    """
    path = folder / TABLE
    if not path.is_file():
        raise UsageError(f"--requests {folder}: holds no {TABLE}; name a folder that training.request made")
    rows = tuple(read_rows(path, LabelRequest))
    if not rows:
        raise UsageError(f"{path}: holds no request; {_REMEDY}, with a larger budget")
    for row in rows:
        if not ID.fullmatch(row.request_id):
            raise UsageError(f"{path}: request_id {row.request_id!r} is not a UUID; {_REMEDY}")
        for name in (row.crop, row.proposal):
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise UsageError(f"{path}: {name!r} lies outside the folder; {_REMEDY}")
        if not 16 <= row.size <= 4096:
            raise UsageError(f"{path}: a crop of {row.size} pixels; it must be 16 to 4096; {_REMEDY}")
    by_id = {row.request_id: row for row in rows}
    if len(by_id) < len(rows):
        raise UsageError(f"{path}: {len(rows) - len(by_id)} requests have the id of another; {_REMEDY}")
    return Requests(folder, rows, by_id)
