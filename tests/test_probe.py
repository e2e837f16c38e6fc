import hashlib
import os
import subprocess
from pathlib import Path

import av
import decord
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.videos import numbered_frames, rotate, write_video
from transforms.errors import ClipError
from transforms.indexing.probe import _HashedFile, probe, watch

COUNT = 30


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("probe") / "plain.mp4", numbered_frames(COUNT), fps=25)


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=60)


def fails(path, reason, said=""):
    with pytest.raises(ClipError) as caught:
        probe(path)
    assert caught.value.reason == reason
    assert caught.value.detail.startswith(f"{path}: ")
    assert said in caught.value.detail
    return True


@pytest.mark.parametrize(
    "arguments",
    [
        ("v.mp4", "-c", "copy"),
        ("v.mp4", "-c", "copy", "-movflags", "+faststart"),
        ("v.mp4", "-c", "copy", "-movflags", "frag_keyframe+empty_moov"),
        ("v.mov", "-c", "copy"),
        ("v.mkv", "-c", "copy"),
        ("v.avi", "-c:v", "mpeg4", "-bf", "2"),
        ("v.avi", "-c:v", "mjpeg"),
        ("skips.avi", "-vf", "select=not(mod(n\\,3))", "-fps_mode", "vfr", "-c:v", "mpeg4"),
        ("vfr.mp4", "-vf", "select=not(mod(n\\,3))", "-fps_mode", "vfr", "-c:v", "libx264", "-bf", "3"),
        ("lossless.mp4", "-c:v", "libx264", "-qp", "0"),
        ("one.mp4", "-frames:v", "1", "-c:v", "libx264"),
        ("sound.mp4", "-f", "lavfi", "-i", "sine=duration=1", "-c:v", "copy", "-c:a", "aac"),
    ],
    ids=lambda arguments: " ".join(arguments[:4]),
)
def test_whole_files_are_as_decord_has_them(plain, tmp_path, arguments):
    path = tmp_path / arguments[0]
    ffmpeg("-i", plain, *arguments[1:], path)
    info, reader = probe(path), decord.VideoReader(str(path))
    assert info.frames == len(reader) > 0
    assert (info.height, info.width) == reader[0].shape[:2]
    assert info.fps == pytest.approx(reader.get_avg_fps())
    assert info.bytes == path.stat().st_size
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.rotation == 0


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_size_and_rotation_are_those_of_the_display(plain, tmp_path, degrees):
    info = probe(rotate(plain, tmp_path / "r.mp4", degrees))
    assert info.rotation == degrees
    assert (info.width, info.height) == ((160, 120) if degrees == 180 else (120, 160))
    shown = decord.VideoReader(str(tmp_path / "r.mp4"))[0].asnumpy()
    upright = decord.VideoReader(str(plain))[0].asnumpy()
    assert np.abs(np.rot90(upright, degrees // 90).astype(int) - shown).mean() < 2  # anticlockwise


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"a text\n" * 100, "not_video"),
        (b"<!DOCTYPE html><html>403 Forbidden</html>", "not_video"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "not_video"),
        (b"#EXTM3U\n#EXTINF:3,\nplain.mp4\n#EXT-X-ENDLIST\n", "not_video"),
        (b"ffconcat version 1.0\nfile plain.mp4\n", "not_video"),
        (bytes(5000), "not_video"),
        (np.random.default_rng(0).bytes(5000), "not_video"),
    ],
)
def test_what_is_no_video(tmp_path, content, reason):
    (tmp_path / "v.mp4").write_bytes(content)
    assert fails(tmp_path / "v.mp4", reason)


def test_pictures_and_sounds_are_no_videos(plain, tmp_path):
    ffmpeg("-i", plain, "-frames:v", "1", tmp_path / "p.png")
    assert fails((tmp_path / "p.png").rename(tmp_path / "p.mp4"), "not_video")
    sine = ("-f", "lavfi", "-i", "sine=duration=1")
    ffmpeg(*sine, "-c:a", "aac", tmp_path / "a.mp4")
    assert fails(tmp_path / "a.mp4", "not_video", "only audio")
    cover = ("-map", "0", "-map", "1", "-frames:v", "1", "-c:v", "png", "-disposition:v", "attached_pic")
    ffmpeg(*sine, "-i", plain, *cover, "-c:a", "aac", "-f", "ipod", tmp_path / "c.mp4")
    assert fails(tmp_path / "c.mp4", "not_video", "only audio")


def test_files_that_were_cut_off(plain, tmp_path):
    ffmpeg("-i", plain, "-c", "copy", "-movflags", "+faststart", tmp_path / "fast.mp4")
    ffmpeg("-i", plain, "-c:v", "mpeg4", tmp_path / "v.avi")
    for source, share, said in (
        (plain, 0.5, "cut off"),
        (tmp_path / "fast.mp4", 0.6, "cut off"),
        (tmp_path / "fast.mp4", 0.99, "cut off"),
        (tmp_path / "v.avi", 0.5, "cut off"),
    ):
        content = source.read_bytes()
        cut = tmp_path / f"cut{source.suffix}"
        cut.write_bytes(content[: int(share * len(content))])
        assert fails(cut, "decode_error", said)


def test_frames_hidden_by_an_edit_list(plain, tmp_path):
    ffmpeg("-ss", "0.5", "-i", plain, "-c", "copy", tmp_path / "v.mp4")
    assert fails(tmp_path / "v.mp4", "decode_error", "edit list")


def test_a_stream_without_frames(tmp_path):
    with av.open(str(tmp_path / "v.mp4"), "w", options={"movflags": "empty_moov+frag_keyframe"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 64
        container.start_encoding()
    assert fails(tmp_path / "v.mp4", "no_frames")


def zero(path, share):
    """Zeros in place of the last part of what is coded."""
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    start += int((1 - share) * (len(content) - start))
    content[start:] = bytes(len(content) - start)
    path.write_bytes(content)


def test_frames_that_cannot_be_decoded(plain, tmp_path):
    path = tmp_path / "v.mp4"
    ffmpeg("-i", plain, "-c:v", "mpeg4", "-movflags", "+faststart", path)
    zero(path, 1)
    assert fails(path, "decode_error", f"none of {COUNT} frames")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_hole_of_zeros(plain, tmp_path, codec):
    path = tmp_path / "v.mp4"
    ffmpeg(
        "-i",
        plain,
        "-c:v",
        codec,
        "-bf",
        "2",
        "-x265-params",
        "log-level=none",
        "-movflags",
        "+faststart",
        path,
    )
    assert probe(path).frames == COUNT
    zero(path, 0.1)
    assert fails(path, "decode_error", f"of {COUNT}; download it again")
    zero(path, 1)
    assert fails(path, "decode_error", f"at frame 0 of {COUNT}")


def test_what_is_no_file(tmp_path):
    assert fails(tmp_path / "none.mp4", "missing")
    (tmp_path / "folder.mp4").mkdir()
    assert fails(tmp_path / "folder.mp4", "not_video")
    os.mkfifo(tmp_path / "fifo.mp4")
    assert fails(tmp_path / "fifo.mp4", "not_video")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "v.mp4").symlink_to("v.mp4")
    assert fails(tmp_path / "v.mp4", "unreadable", "symbolic links")


def test_names_and_tags_that_are_not_utf8(plain, tmp_path):
    path = Path(os.fsdecode(bytes(tmp_path / "v") + b"\xff.mp4"))
    with av.open(str(plain)) as reader, av.open(str(tmp_path / "t.mp4"), "w") as writer:
        writer.metadata["title"] = "TITLE"
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    path.write_bytes((tmp_path / "t.mp4").read_bytes().replace(b"TITLE", b"T\xff\xfeLE"))
    assert probe(path).frames == COUNT


def test_a_long_file_gives_signs_of_life(tmp_path):
    black = [np.zeros((16, 16, 3), np.uint8)] * 2500
    *waiting, info = watch(write_video(tmp_path / "v.mp4", black, options={"preset": "ultrafast"}))
    assert waiting == [None, None]
    assert info is not None
    assert info.frames == 2500


@given(st.binary(max_size=200), st.lists(st.tuples(st.integers(0, 220), st.integers(0, 90)), max_size=12))
def test_the_digest_is_of_the_whole_file_in_whatever_order_it_is_read(content, reads):
    import io

    file = _HashedFile(io.BytesIO(content), "name")
    for position, size in reads:
        file.seek(position)
        assert file.read(size) == content[position : position + size]
    assert list(file.finish()) == []
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert file.bytes == len(content)
