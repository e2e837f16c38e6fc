"""Folders of pictures inside a tar archive: what is in each, and their pictures.

Archives are read from their begin to their end, and never unpacked. A member that is refused (`tar_stream`)
costs itself: frame numbers have gaps anyway. A picture that is none, or is of another size than the first,
costs its folder. An archive that is cut off, damaged, or a bomb costs all of it: its folders may be
interleaved, and nobody can tell which of them were whole.
"""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from schemas.outcome import Reason
from transforms.errors import ClipError
from transforms.indexing.layout import is_image
from transforms.indexing.media_info import MediaInfo
from transforms.indexing.probe_stills import pictures_digest
from transforms.media import other_size
from transforms.stills import check_picture, natural_key
from transforms.tar_stream import Member, read_members

MAX_FOLDER = 1 << 30
"""Encoded bytes of a folder's pictures, which are held in memory."""


@dataclass(frozen=True)
class Folder:
    """A folder with pictures right in it; its path in the archive is without "./"."""

    path: str
    info: MediaInfo


@dataclass(frozen=True)
class Problem:
    """What is not taken.

    Attributes:
      path: of a member or a folder in the archive, printable; "" for the archive itself.
      reason: "not_in_layout" for what is no picture; anything else is to be mended.
      detail: one line for a person.
    """

    path: str
    reason: Reason
    detail: str


@dataclass
class _Found:
    """A folder as it is being read."""

    digests: list[tuple[str, str]] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    total: int = 0
    problem: ClipError | None = None

    def add(self, name: str, data: bytes) -> None:
        try:
            self._add(name, data)
        except ClipError as error:
            self.problem = error

    def _add(self, name: str, data: bytes) -> None:
        if not data:
            raise ClipError("empty_file", f"{name}: no bytes; download the archive again")
        size = check_picture(io.BytesIO(data), name)
        if self.digests and size != self.size:
            raise other_size(name, size, self.size)
        self.size = size
        self.total = _grown(self.total, data)
        self.digests.append((name, hashlib.sha256(data).hexdigest()))

    def close(self, path: str) -> Folder | Problem:
        if self.problem:
            return Problem(path, self.problem.reason, self.problem.detail)
        whole = pictures_digest(self.digests)
        return Folder(path, MediaInfo(len(self.digests), *self.size, 0, 0.0, self.total, whole))


def scan(path: str | Path) -> Iterator[Folder | Problem | None]:
    """What is in an archive, and what of it is not taken; a None now and then.

    Takes one pass. Folders come at the end, sorted. Headers of pictures are read, as in a folder on disk.
    """
    found: dict[str, _Found] = {}
    others: dict[str, list[str]] = {}
    try:
        for member in read_members(path):
            if member is None:
                yield None
            elif not isinstance(member, Member):
                yield Problem(member.path, member.reason, member.detail)
            else:
                folder, _, name = member.path.rpartition("/")
                if not _is_picture(folder, name):
                    others.setdefault(folder, []).append(member.path)
                elif (into := found.setdefault(folder, _Found())).problem is None:
                    into.add(name, member.read())
    except ClipError as error:
        yield Problem("", error.reason, error.detail.removeprefix(f"{path}: "))
        for folder in sorted(found):
            why = (
                "its archive cannot be used, and nobody can tell whether this folder is whole; mend that one"
            )
            yield Problem(folder, error.reason, why)
        return
    for paths in others.values():
        said = "no picture in a folder" if len(paths) == 1 else f"and {len(paths) - 1} more here: no pictures"
        yield Problem(paths[0], "not_in_layout", said)
    if not found:
        yield Problem("", "no_frames", "no folder of pictures in it; download it again, or remove it")
    for folder in sorted(found):
        yield found[folder].close(folder)


def read_folder(archive: str | Path, folder: str) -> list[tuple[str, bytes]]:
    """Names and encoded bytes of the pictures right in a folder of an archive, in natural order.

    Reads the archive to its end, and holds one folder. What `scan` leaves out is left out; pictures are not
    looked into.

    Raises:
      ClipError: as `read_members`; "missing" if there is no such folder; "too_large" if it cannot be held.
    """
    pictures: dict[str, bytes] = {}
    size = 0
    for member in read_members(archive):
        if isinstance(member, Member):
            place, _, name = member.path.rpartition("/")
            if place == folder and _is_picture(place, name):
                pictures[name] = member.read()
                size = _grown(size, pictures[name])
    if not pictures:
        raise ClipError("missing", f"{archive}: no pictures in {folder} of it; put it back, or index again")
    return [(name, pictures[name]) for name in sorted(pictures, key=natural_key)]


def _is_picture(folder: str, name: str) -> bool:
    """Whether a member is one of a clip's pictures; hidden ones are what macOS leaves beside them."""
    return bool(folder) and is_image(name) and not name.startswith(".")


def _grown(size: int, data: bytes) -> int:
    size += len(data)
    if size > MAX_FOLDER:
        raise ClipError("too_large", f"its pictures are over {MAX_FOLDER} bytes together; divide it")
    return size
