"""The tar of a shard, and where its members lie in it."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from typing import BinaryIO

from schemas.sidecar import CommittedFile

_VERSION = "v1.2"


class HashingFile:
    """A binary file that hashes and counts what is written to it, in order."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._hash = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes) -> int:
        """Write, hash and count."""
        self._hash.update(data)
        self._bytes += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._bytes

    def describe(self, name: str) -> CommittedFile:
        """The sidecar's entry for what was written."""
        return CommittedFile(name, self._bytes, self._hash.hexdigest())


class _Header(tarfile.TarInfo):
    """Plain ustar where the name fits in it (up to 255 characters), which all readers know; else PAX.

    PAX spends a kilobyte on each name above 100, and DALI loses such members where it has no index.
    """

    def tobuf(
        self, format: int | None = tarfile.PAX_FORMAT, encoding: str | None = None, errors: str = "strict"
    ) -> bytes:
        try:
            return super().tobuf(tarfile.USTAR_FORMAT, encoding, errors)
        except ValueError:
            return super().tobuf(tarfile.PAX_FORMAT, encoding, errors)


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Add a member whose header holds nothing but its name and size: no clock, no user. Gives its offset."""
    header = _Header(name)
    header.size = len(data)
    header.mode = 0o644
    tar.addfile(header, io.BytesIO(data))
    return tar.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


class ShardTar:
    """Writes samples one after the other, and keeps where their members are.

    Without `close` the tar is truncated, and says so to every reader.

    Args:
      file: to write to.
    """

    def __init__(self, file: BinaryIO):
        self._file = HashingFile(file)
        # Not TarFile's `with`: it would close a truncated tar as if it were whole.
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115
        self._lines: list[str] = []

    def add(self, key: str, members: Iterable[tuple[str, bytes]]) -> None:
        """Add a sample.

        Args:
          key: has no dot.
          members: what follows the key's dot, and data.
        """
        line = []
        for extension, data in members:
            name = f"{key}.{extension}"
            line.append(f"{extension} {add_member(self._tar, name, data)} {len(data)} {name}")
        self._lines.append(" ".join(line))

    def close(self) -> None:
        """End the tar."""
        self._tar.close()

    def describe(self, name: str) -> CommittedFile:
        """The sidecar's entry of the tar."""
        return self._file.describe(name)

    def index(self) -> bytes:
        """What DALI's `wds2idx` makes of the tar: where each member of a sample lies."""
        return "".join(f"{line}\n" for line in (f"{_VERSION} {len(self._lines)}", *self._lines)).encode()
