"""What a clip holds: frames, size, rotation, rate and digest, from one read of its file.

Stills and folders of frames are read by `probe_stills`.

Frames of a video are packets of its stream: as many as `len(decord.VideoReader(path))` gives, also where a
file was cut off. Three kinds of files are refused although decord opens them: those that were cut off, at
whose last frames it fails; those with a frame that is not whole, such as one in a hole of zeros, where it
fails now at that frame and now at one before, since it decodes ahead in a thread; and those whose edit list
hides frames (made by cutting without encoding again), where it counts the hidden ones too, and gives another
frame for an index depending on which one was asked for before.
A Matroska file that was cut off does not show it, and passes with the frames that are left.
"""

import hashlib
import os
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

from transforms.errors import ClipError
from transforms.indexing.media_info import MediaInfo
from transforms.indexing.probe_stills import watch_folder, watch_still
from transforms.media import media_kind
from transforms.opening import open_media

# Containers of video and nothing else: a playlist or a script that is named .mp4 must not make libav open
# what it names.
_FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg"
_MAGIC = (b"RIFF", b"\x1aE\xdf\xa3")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_BLOCK = 1 << 20
# Packets, or blocks, between two signs of life.
_STEP = 1000


def probe(path: str | Path) -> MediaInfo:
    """What a clip holds. Decodes a video's first frame only.

    Raises:
      ClipError: "missing", "unreadable", "empty_file", "not_video", "no_frames" or "decode_error"; of
        pictures also "not_image", "too_large" or "bad_name".
      ValueError: of a folder in an archive: one read of an archive tells of all its folders, so that they are
        not probed one by one.
    """
    *_, info = watch(path)
    assert info is not None
    return info


def watch(path: str | Path) -> Iterator[MediaInfo | None]:
    """As `probe`, after a None now and then, so that a long file can be told from one that hangs."""
    kind = media_kind(path)
    if kind == "archived":
        raise ValueError(f"{path}: in an archive; what it holds is known from reading the archive")
    yield from {"video": _watch_video, "still": watch_still, "folder": watch_folder}[kind](path)


def _watch_video(path: str | Path) -> Iterator[MediaInfo | None]:
    with open_media(path, "video", buffering=0) as file:
        hashed = _HashedFile(file, str(path))
        with _open_container(hashed) as container:
            try:
                frames, width, height, rotation, fps = yield from _facts(container, str(path))
            except (av.FFmpegError, ValueError) as error:
                raise ClipError("decode_error", f"{path}: {_said(error)}; download it again") from None
        yield from hashed.finish()
    yield MediaInfo(frames, width, height, rotation, fps, hashed.bytes, hashed.sha256)


class _HashedFile:
    """A file for libav that digests what is read in order, and at the end what was not."""

    def __init__(self, file: BinaryIO, name: str):
        self._file, self.name = file, name
        self._hash = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int) -> bytes:
        start = self._file.tell()
        data = self._file.read(size)
        if start <= self.bytes < start + len(data):
            self._hash.update(memoryview(data)[self.bytes - start :])
            self.bytes = start + len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def finish(self) -> Iterator[None]:
        """Read what is left."""
        self.seek(self.bytes)
        blocks = 0
        while self.read(_BLOCK):
            blocks += 1
            if blocks % _STEP == 0:
                yield None


def _open_container(file: _HashedFile) -> Any:
    head = file.read(12)
    file.seek(0)
    try:
        return av.open(
            file,
            container_options={"format_whitelist": _FORMATS},
            metadata_errors="replace",
            buffer_size=_BLOCK,
        )
    except (av.FFmpegError, ValueError) as error:
        if head[:4] in _MAGIC or head[4:8] in _MP4_BOXES:
            detail = f"{file.name}: {_said(error)}: cut off, or damaged; download it again"
            raise ClipError("decode_error", detail) from None
        detail = f"{file.name}: begins with {head!r}, which is not a video; download it again"
        raise ClipError("not_video", detail) from None


def _facts(container: Any, path: str) -> Generator[None, None, tuple[int, int, int, int, float]]:
    """Frames, width, height, rotation and rate of the video stream that players choose."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & type(stream.disposition).attached_pic:
        there = ", ".join(other.type for other in container.streams if other is not stream) or "nothing"
        raise ClipError("not_video", f"{path}: no moving pictures in it, only {there}; download it again")
    if stream.codec_context is None:
        raise ClipError("decode_error", f"{path}: its codec is not known here; encode it as H.264")
    stream.codec_context.thread_count = 1
    prefix = _length_prefix(stream.codec_context)
    first, packets, frames, hidden = None, 0, 0, 0
    for packet in container.demux(stream):
        first = first or _decode(packet)
        if packet.dts is None and packet.pts is None and not packet.size:
            break  # What flushes the decoder.
        packets += 1
        frames += packet.size > 0
        hidden += packet.is_discard
        if packet.is_corrupt or (prefix and not _is_whole(memoryview(packet), prefix)):
            raise ClipError(
                "decode_error",
                f"{path}: cut off, or damaged, at frame {frames - 1} of {max(stream.frames, frames)}; "
                "download it again",
            )
        if packets % _STEP == 0:
            yield None
    if not frames:
        raise ClipError("no_frames", f"{path}: a video stream without frames; download it again")
    if "mov" in container.format.name and packets < stream.frames:
        detail = f"{path}: cut off: {packets} of {stream.frames} frames are there; download it again"
        raise ClipError("decode_error", detail)
    if hidden:
        raise ClipError(
            "decode_error",
            f"{path}: its edit list hides {hidden} of {frames} frames, so that frame numbers are not sure; "
            "encode it again (ffmpeg -i IN -qp 0 OUT)",
        )
    if first is None:
        raise ClipError("decode_error", f"{path}: none of {frames} frames can be decoded; download it again")
    rotation = round(first.rotation / 90) * 90 % 360
    width, height = (first.height, first.width) if rotation % 180 else (first.width, first.height)
    return frames, width, height, rotation, float(stream.average_rate or Fraction(0))


def _length_prefix(codec: Any) -> int:
    """Bytes of the length before each unit (NAL) of a packet; 0 where units are told apart in another way."""
    # ISO/IEC 14496-15: avcC and hvcC begin with a version, which is 1.
    place = {"h264": 4, "hevc": 21}.get(codec.name)
    header = codec.extradata or b""
    return (header[place] & 3) + 1 if place and len(header) > place and header[0] == 1 else 0


def _is_whole(packet: memoryview, prefix: int) -> bool:
    """Whether the lengths in a packet lead to its end, as libavcodec demands before it decodes anything."""
    place = 0
    while len(packet) - place >= 4:
        length = int.from_bytes(packet[place : place + prefix])
        place += prefix + length
        if not length or place > len(packet):
            return False
    return True


def _decode(packet: Any) -> Any:
    """The first frame that a packet gives; None where it gives none."""
    try:
        return next(iter(packet.decode()), None)
    except av.FFmpegError:
        return None


def _said(error: Exception) -> str:
    """An error's message without the path that libav puts into it."""
    return str(getattr(error, "strerror", None) or error)
