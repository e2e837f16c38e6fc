"""The members of a tar archive as a stream, within limits; hostile ones are refused.

`tarfile` alone is not enough here: it takes a damaged or missing header for the end of an archive, does not
compare a gzip stream with its checksum, and reads what a header claims of other headers into memory.
"""

import contextlib
import gzip
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from schemas.outcome import Reason
from transforms.errors import ClipError
from transforms.indexing.declare import printable
from transforms.opening import open_media

MAX_MEMBER = 64 << 20
"""Bytes of a member; a larger one is refused."""
MAX_MEMBERS = 200_000
MAX_NAME = 1024
"""Bytes of a member's path."""
MAX_HEADERS = 128 << 10
"""Bytes of all headers of a member."""
MAX_INFLATED = 64 << 30
"""Bytes that a gzip file may inflate to."""
MAX_RATIO = 100
"""A gzip file is a bomb where it inflates to so many times its own size (pictures hardly compress)..."""
ANY_INFLATED = 256 << 20
"""...and to more bytes than these."""

_GZIP = b"\x1f\x8b"
_BLOCK = 64 << 10
# Bytes between two signs of life.
_STEP = 64 << 20
# Letters of a refused name that are shown.
_SHOWN = 200
_LEFT_OUT = "it is left out; look at where this archive is from"


@dataclass(frozen=True)
class Member:
    """A regular file in an archive.

    Attributes:
      path: in the archive, without "./".
      read: gives its bytes, until the next member is asked for; raises as `read_members` does.
    """

    path: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Refused:
    """A member that is left out.

    Attributes:
      path: in the archive; printable.
      reason: "unsafe_member", "bad_name" or "too_large".
      detail: one line for a person.
    """

    path: str
    reason: Reason
    detail: str


def read_members(path: str | Path) -> Iterator[Member | Refused | None]:
    """The files of an archive in its order, without its folders, and what is refused; a None now and then.

    It may be compressed with gzip or not, whatever its suffix says.

    Raises:
      ClipError: of the archive as a whole: "missing", "unreadable", "empty_file", "decode_error" (no archive,
        cut off, or damaged) or "too_large".
    """
    with open_media(path, "image") as file:
        source = _Source(file, str(path))
        with source.mapped_errors(), contextlib.suppress(_End):
            # The stub wants more of a file than a stream needs.
            stream: Any = source
            with tarfile.open(
                fileobj=stream,
                mode="r|",
                bufsize=_BLOCK,
                tarinfo=_Header,
                encoding="utf-8",
                errors="surrogateescape",
            ) as archive:
                yield from _walk(archive, source)


def _walk(archive: tarfile.TarFile, source: "_Source") -> Iterator[Member | Refused | None]:
    seen: set[str] = set()
    alive = 0
    while header := _next(archive, source):
        refused = _refuse(header, seen)
        if refused:
            yield refused
            for _ in _blocks(archive, header):
                yield None
        elif not header.isdir():
            yield Member(_normal(header.name), lambda: _read(archive, header, source))
        if source.position - alive >= _STEP:
            alive = source.position
            yield None
    rest: Any = archive.fileobj
    source.allow(1 << 62)
    while data := rest.read(1 << 20):
        if any(data):
            raise ValueError("there is more after its end")
        yield None


def _next(archive: tarfile.TarFile, source: "_Source") -> tarfile.TarInfo | None:
    """The next header; None at the end marker."""
    source.allow(archive.offset)
    try:
        header = archive.next()
    except _End:
        return None
    if header is None:
        raise ValueError("a header that leads nowhere")
    archive.members = []  # type: ignore[attr-defined] # tarfile keeps all of them
    source.members += 1
    if source.members > MAX_MEMBERS:
        raise ClipError("too_large", f"{source.name}: more than {MAX_MEMBERS} members; divide it")
    return header


def _read(archive: tarfile.TarFile, header: tarfile.TarInfo, source: "_Source") -> bytes:
    with source.mapped_errors():
        return b"".join(_blocks(archive, header))


def _blocks(archive: tarfile.TarFile, header: tarfile.TarInfo) -> Iterator[bytes]:
    """A member's bytes; none of what only claims to have some."""
    plain = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
    reader = archive.extractfile(header) if plain and not header.issparse() else None
    if reader:
        yield from iter(lambda: reader.read(1 << 20), b"")


def _refuse(header: tarfile.TarInfo, seen: set[str]) -> Refused | None:
    """Why a member is left out; its name is added to those that were seen."""
    try:
        usable = len(header.name.encode()) <= MAX_NAME and header.name.isprintable()
    except UnicodeEncodeError:
        usable = False
    reason: Reason = "unsafe_member"
    if not usable:
        reason, why = "bad_name", f"its name is not UTF-8, cannot be printed, or is over {MAX_NAME} bytes"
    elif header.name.startswith("/"):
        why = "its path is absolute"
    elif ".." in header.name.split("/") or "\\" in header.name:
        why = "its path leads elsewhere"
    elif header.isdir():
        return None
    elif header.issym() or header.islnk():
        why = f"a link to {_shown(header.linkname)}"
    elif not header.isreg() or header.issparse():
        why = "not a plain file"
    elif header.size > MAX_MEMBER:
        reason, why = "too_large", f"{header.size} bytes, more than {MAX_MEMBER}"
    elif not (path := _normal(header.name)):
        why = "it has no name"
    elif path in seen:
        why = "another one of this name came before it"
    else:
        seen.add(path)
        return None
    return Refused(_shown(header.name), reason, f"{why}; {_LEFT_OUT}")


def _normal(path: str) -> str:
    """A path without "." and empty parts, which mean nothing."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _shown(name: str) -> str:
    """A name as it can be printed, and not too much of it."""
    letters = (
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in printable(name[:_SHOWN]).removeprefix("./")
    )
    return "".join(letters) + "..." * (len(name) > _SHOWN)


class _End(Exception):  # noqa: N818 - no error
    """The end marker of an archive was read."""


class _Header(tarfile.TarInfo):
    """A header that tells the end of an archive from damage."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """As that of tarfile, which says the same of any of these."""
        if len(buf) < tarfile.BLOCKSIZE:
            raise EOFError("no end marker")
        if not any(buf):
            raise _End
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise ValueError(str(error)) from None
        if header.size < 0:
            raise ValueError("a negative size")
        return header


class _Source:
    """What tarfile reads: a file, inflated where it is compressed, as far as limits allow.

    Attributes:
      name: of the file, in errors.
      position: bytes that were read.
      members: that were found.
    """

    def __init__(self, file: BinaryIO, name: str):
        self.name, self.position, self.members = name, 0, 0
        size = os.fstat(file.fileno()).st_size
        compressed = file.read(2) == _GZIP
        file.seek(0)
        self._file = gzip.GzipFile(fileobj=file, mode="rb") if compressed else file
        bound = min(MAX_INFLATED, max(ANY_INFLATED, MAX_RATIO * size))
        self._bound = bound if compressed else size
        self._head = b""
        self.allow(0)

    def allow(self, offset: int) -> None:
        """Let the headers of a member be read, which begin at an offset."""
        self._allowed = offset + MAX_HEADERS + 2 * _BLOCK

    def read(self, size: int) -> bytes:
        """Bytes; none at the end."""
        data = self._file.read(size)
        self._head = self._head or data[:8]
        self.position += len(data)
        if self.position > self._bound:
            said = f"it inflates to more than {self._bound} bytes, and is a bomb"
            raise ClipError("too_large", f"{self.name}: {said}; look at where it is from")
        if self.position > self._allowed:
            said = f"headers of a member are over {MAX_HEADERS} bytes"
            raise ClipError("too_large", f"{self.name}: {said}; look at where it is from")
        return data

    @contextlib.contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """Whatever tarfile and gzip run into is a ClipError."""
        try:
            yield
        except (ClipError, MemoryError, _End):
            raise
        except Exception as error:  # Readers of headers raise whatever their parsing runs into.
            if isinstance(error, OSError) and error.errno:
                raise ClipError("unreadable", f"{self.name}: {error.strerror}; make it readable") from None
            said = f"{str(error) or type(error).__name__}".splitlines()[0][:_SHOWN]
            if self.members or not self._head or isinstance(error, EOFError):
                what = f"cut off, or damaged, after {self.members} members ({said})"
            else:
                what = f"begins with {self._head!r}, which is no tar archive ({said})"
            raise ClipError("decode_error", f"{self.name}: {what}; download it again") from None
