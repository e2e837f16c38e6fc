"""The folder of a round's requests: crops, proposals, contact sheet, `requests.parquet`."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from schemas import files
from schemas.errors import UsageError
from schemas.request import LabelRequest

Image = npt.NDArray[np.uint8]

TABLE, SHEET, CROPS, PROPOSALS = "requests.parquet", "requests.png", "crops", "proposals"
SHOWN = 24
_COLUMNS, _TILE, _CAPTION, _GAP = 6, 176, 16, 4
_CYAN = (255, 229, 0)  # no skin has it
_LEVEL = 128


def crop_path(request_id: str) -> str:
    """Where a request's crop lies in its folder."""
    return f"{CROPS}/{request_id}.png"


def proposal_path(request_id: str) -> str:
    """Where a request's proposal lies in its folder."""
    return f"{PROPOSALS}/{request_id}.png"


def propose(found: npt.NDArray[np.floating], size: int) -> Image:
    """An attention map over its maximum, scaled to a crop: uint8 (size, size), zeros for a blank map.

    Args:
      found: float (g, g), at least 0.
      size: edge of the crop in pixels.
    """
    found = found.astype(np.float32)
    highest = float(found.max())
    share = found / highest if highest > 0 else found
    scaled = cv2.resize(share, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.rint(255 * scaled).astype(np.uint8)


def write_requests(
    out: Path,
    requests: Sequence[LabelRequest],
    crops: Iterable[tuple[str, bytes]],
    maps: npt.NDArray[np.floating],
    metadata: Mapping[str, str],
) -> int:
    """Write a round's requests; the table last, then what it does not name of earlier ones is removed.

    The same requests give the same bytes.

    Args:
      out: the folder, held by the caller.
      requests: at least one, by rank.
      crops: sample key and encoded image of each request, in any order; may hold others as well.
      maps: float (N, g, g), attention map of each request.
      metadata: of the table.

    Returns:
      Earlier requests that were removed.

    Raises:
      UsageError: if a crop is missing, is not the one that the index describes, or is no picture.
    """
    places = {request.key: place for place, request in enumerate(requests)}
    tiles: dict[int, Image] = {}
    for key, data in crops:
        place = places.pop(key, None)
        if place is None:
            continue
        request = requests[place]
        crop = _decode(request, data)
        proposal = propose(maps[place], request.size)
        _write_png(out / request.crop, crop)
        _write_png(out / request.proposal, proposal)
        if place < SHOWN:
            tiles[place] = _tile(request, crop, proposal)
    if places:
        raise UsageError(
            f"{len(places)} chosen crops are not in their shards, such as {min(places)}; "
            "run the audit stage on the shards"
        )
    _write_png(out / SHEET, _sheet([tiles[place] for place in sorted(tiles)]))
    files.write_rows(out / TABLE, LabelRequest, requests, dict(metadata))
    named = {out / path for request in requests for path in (request.crop, request.proposal)}
    unnamed = {path for folder in (CROPS, PROPOSALS) for path in (out / folder).glob("*.png")} - named
    unnamed = {path for path in unnamed if _is_id(path.stem)}
    for path in unnamed:
        path.unlink()
    return len({path.stem for path in unnamed})


def _decode(request: LabelRequest, data: bytes) -> Image:
    found = hashlib.sha256(data).hexdigest()
    if found != request.crop_sha256:
        raise UsageError(
            f"{request.key}: its crop's SHA-256 is {found[:12]}…, but index.parquet says "
            f"{request.crop_sha256[:12]}…; the shards are not those of the index: build or copy them again"
        )
    crop = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if crop is None or crop.shape != (request.size, request.size, 3):
        raise UsageError(
            f"{request.key}: its crop is not a picture of {request.size} x {request.size} pixels; "
            "run the audit stage on the shards"
        )
    return crop


def _tile(request: LabelRequest, crop: Image, proposal: Image) -> Image:
    """A crop with the outline of its proposal, and a caption."""
    scaled = cv2.resize(crop, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
    region = cv2.resize(proposal, (_TILE, _TILE), interpolation=cv2.INTER_LINEAR) >= _LEVEL
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(scaled, outlines, -1, _CYAN, 1)
    tile = cv2.copyMakeBorder(scaled, 0, _CAPTION, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    text = f"{request.rank} {request.method} {request.compression}"
    place = (2, _TILE + _CAPTION - 5)
    cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


def _sheet(tiles: Sequence[Image]) -> Image:
    height, width = tiles[0].shape[0] + _GAP, tiles[0].shape[1] + _GAP
    columns = min(_COLUMNS, len(tiles))
    sheet = np.full((-(-len(tiles) // columns) * height + _GAP, columns * width + _GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = _GAP + number // columns * height, _GAP + number % columns * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def _write_png(path: Path, picture: Image) -> None:
    with files.atomic_write(path) as file:
        file.write(cv2.imencode(".png", picture)[1].tobytes())


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
