"""Tar archives as WildDeepfake has them, and as nobody should."""

import gzip
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

MIB = 1 << 20
Entry = tarfile.TarInfo | tuple[str, bytes]


def png(number: int, width: int = 24, height: int = 16) -> bytes:
    """A picture of noise, another one for each number."""
    noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def sequence(folder: str, frames: Iterable[int]) -> list[Entry]:
    """Pictures of a folder by frame number, in the order given."""
    return [(f"{folder}/{frame}.png", png(frame)) for frame in frames]


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields) -> tarfile.TarInfo:
    """A header alone."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def packed(entries: Iterable[Entry], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive of files and headers."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, errors="surrogateescape") as tar:
        for one in entries:
            if isinstance(one, tarfile.TarInfo):
                tar.addfile(one)
            else:
                name, data = one
                tar.addfile(entry(name, size=len(data)), io.BytesIO(data))
    return file.getvalue()


def opened(entries: Iterable[Entry]) -> bytes:
    """A tar archive without its end marker, to which more can be added."""
    content = packed(entries)
    return content[: -(-len(content.rstrip(b"\0")) // 512) * 512]


def write(path: Path, entries: Iterable[Entry], form: int = tarfile.GNU_FORMAT) -> Path:
    """A tar.gz archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(packed(entries, form), mtime=0))
    return path


def zeros(mebibytes: int) -> bytes:
    """Many zeros as gzip, made in no time."""
    return gzip.compress(bytes(MIB), mtime=0) * mebibytes


def head(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header as gzip; what it promises is yet to come."""
    return gzip.compress(entry(name, kind, size=size).tobuf(tarfile.GNU_FORMAT), mtime=0)
