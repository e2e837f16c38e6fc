"""Near-duplicates among aligned crops: what is kept of a crop, and when two of them are the same picture.

A copy that was compressed again, resized, cut or brightened is found; two people, or one person in two
unrelated videos, are not. docs/audit.md has the figures that the constants here come from.
"""

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.clip import compression_rank

# Crops that are looked at, of each track of a clip.
CROPS = 8
# Edge of the thumbnail that is kept.
EDGE = 32
# Two crops from this similarity on are one picture.
SIMILAR = 0.88

SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in (
            ("key", pa.string()),
            ("member", pa.string()),
            ("dataset", pa.string()),
            ("group", pa.string()),
            ("clip", pa.string()),
            ("split", pa.string()),
            ("hash", pa.binary(32)),
            ("thumb", pa.binary(EDGE * EDGE)),
        )
    ]
)

# Standard deviation of the Gaussian that is taken off a thumbnail: light, and what all faces share.
_SIGMA = 3.0
# Gray levels: a crop with less detail is like every other one.
_FLAT = 2.0
# Gray levels: standard deviation of what is hashed.
_SPREAD = 40.0
_ECC = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 1e-3)
_NAMES = ("key", "dataset", "group", "clip", "split", "method", "source", "compression", "track", "frame")
_IMAGES = ("jpg", "png")


class Looks:
    """Collects the looks of some samples of a shard while it is read.

    Of each track of a clip, up to `CROPS` samples spread evenly, and of a sequence its first crop; where a
    forgery, or a real clip, is there at several compressions, of the best one only.

    Args:
      rows: of the shard: a row a sample.
      unit: "frame" or "sequence".
    """

    def __init__(self, rows: pa.Table, unit: str):
        self._prefix = "" if unit == "frame" else "000."
        self._wanted = {row["key"]: row for row in _choose(rows.select(list(_NAMES)).to_pylist())}
        self._found: list[dict] = []

    def see(self, key: str, members: Mapping[str, bytes]) -> None:
        """Look at a sample, given its members by what follows the key's dot."""
        row = self._wanted.pop(key, None)
        member = next((name for name in (self._prefix + s for s in _IMAGES) if name in members), None)
        if row is None or member is None:
            return
        look = fingerprint(members[member])
        if look is not None:
            names = ("key", "dataset", "group", "clip", "split")
            self._found.append(
                {**{name: row[name] for name in names}, "member": member, "hash": look[0], "thumb": look[1]}
            )

    def table(self) -> pa.Table:
        """What was seen, with the columns of `SCHEMA`."""
        return pa.Table.from_pylist(self._found, schema=SCHEMA)


def _choose(rows: list[dict]) -> list[dict]:
    best: dict[tuple[str, ...], int] = {}
    for row in rows:
        kind = row["group"], row["method"], row["source"]
        rank = compression_rank(row["compression"])
        best[kind] = min(best.get(kind, rank), rank)
    tracks: dict[tuple[str, int], list[dict]] = {}
    for row in rows:
        if best[row["group"], row["method"], row["source"]] == compression_rank(row["compression"]):
            tracks.setdefault((row["clip"], row["track"]), []).append(row)
    chosen = []
    for members in tracks.values():
        members.sort(key=lambda row: row["frame"])
        places = np.linspace(0, len(members) - 1, min(CROPS, len(members))).round().astype(int)
        chosen += [members[place] for place in places]
    return chosen


def fingerprint(data: bytes) -> tuple[bytes, bytes] | None:
    """The hash and the thumbnail of an image file; None where there is no picture, or nothing in it.

    The hash is OpenCV's block mean hash, 256 bits, of the thumbnail's `detail`: aligned faces share the rest.
    The thumbnail is `EDGE` by `EDGE` luma.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        return None
    if image is None:
        return None
    thumb = np.asarray(cv2.resize(image, (EDGE, EDGE), interpolation=cv2.INTER_AREA), np.uint8)
    fine = detail(thumb[None])[0]
    if fine.std() < _FLAT:
        return None
    even = np.clip(128 + fine * (_SPREAD / fine.std()), 0, 255).astype(np.uint8)
    return cv2.img_hash.blockMeanHash(even).tobytes(), thumb.tobytes()


def detail(thumbs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Thumbnails without their coarse light and shade: (n, EDGE, EDGE) uint8 to float32 of mean 0."""
    fine = np.empty(thumbs.shape, np.float32)
    for place, thumb in enumerate(thumbs.astype(np.float32)):
        fine[place] = thumb - cv2.GaussianBlur(thumb, (0, 0), _SIGMA, borderType=cv2.BORDER_REFLECT)
    return fine - fine.mean((1, 2), keepdims=True)


def correlate(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Correlation of each pair of `detail`s as they lie: (n,)."""
    norms = np.linalg.norm(one, axis=(1, 2)) * np.linalg.norm(other, axis=(1, 2))
    return np.einsum("nij,nij->n", one, other) / np.maximum(norms, 1e-6)


def similarity(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Correlation of two `detail`s, (EDGE, EDGE), -1 to 1, where one is turned and shifted onto the other.

    A turn and a shift make up for a face that was found a little elsewhere; more freedom (a stretch) would
    fit one face onto another. Found by enhanced correlation (Evangelidis and Psarakis 2008).
    """
    plain = float(correlate(one[None], other[None])[0])
    try:
        start = np.eye(2, 3, dtype=np.float32)
        found, _ = cv2.findTransformECC(one, other, start, cv2.MOTION_EUCLIDEAN, _ECC, None, 1)
    except cv2.error:  # It does not converge.
        return plain
    return max(plain, float(found))
