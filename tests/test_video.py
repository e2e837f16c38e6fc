import numpy as np
import pytest

from tests.videos import ffmpeg_frames, numbered_frames, rotate, write_video
from transforms.errors import ClipError
from transforms.video import Video

COUNT = 40

KINDS = {
    "plain": {},
    "b_frames": {"options": {"bf": "3", "b-adapt": "0", "g": "250"}},
    "short_gops": {"options": {"g": "7", "bf": "2"}},
    "variable_rate": {
        "options": {"bf": "0"},
        "times": [40 * i + 13 * (i % 3) + 200 * (i // 10) for i in range(COUNT)],
    },
}


def check_against_ffmpeg(path, width, height):
    shown = ffmpeg_frames(path, width, height)
    video = Video(path)
    assert len(video) == len(shown) == COUNT
    for index in range(COUNT):
        frame = video[index]
        assert frame.shape == (height, width, 3)
        # Colour conversion differs by rounding; a neighbouring frame differs by 255 in its bar.
        assert np.abs(frame.astype(int) - shown[index]).mean() < 1.5, index
        bar = frame.astype(int)[..., 2] - shown[index][..., 2]
        assert np.abs(bar).max() < 60, index


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_frames_are_those_that_ffmpeg_shows(tmp_path, kind):
    check_against_ffmpeg(write_video(tmp_path / "v.mp4", numbered_frames(COUNT), **KINDS[kind]), 160, 120)


def test_odd_sizes(tmp_path):
    path = write_video(tmp_path / "v.mp4", numbered_frames(COUNT, 161, 121), pix_fmt="yuv444p")
    check_against_ffmpeg(path, 161, 121)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_display_rotation_is_applied(tmp_path, degrees):
    plain = write_video(tmp_path / "v.mp4", numbered_frames(COUNT))
    turned = rotate(plain, tmp_path / "r.mp4", degrees)
    size = (160, 120) if degrees == 180 else (120, 160)
    check_against_ffmpeg(turned, *size)


def test_any_order_gives_the_same_frames(tmp_path):
    path = write_video(tmp_path / "v.mp4", numbered_frames(COUNT), options={"bf": "3", "g": "12"})
    video = Video(path)
    in_order = [video[index] for index in range(COUNT)]
    video = Video(path)
    for index in (39, 3, 17, 4, 0, 38):
        assert (video[index] == in_order[index]).all()
    video = Video(path)
    for index in (1, 5, 30):
        assert (video[index] == in_order[index]).all()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "empty_file"),
        ("text.mp4", b"this is a text file\n" * 100, "decode_error"),
        ("cut.mp4", None, "decode_error"),
    ],
)
def test_what_is_no_video_is_a_typed_error(tmp_path, name, content, reason):
    path = tmp_path / name
    if content is None:
        content = write_video(tmp_path / "whole.mp4", numbered_frames(COUNT)).read_bytes()[:2000]
    path.write_bytes(content)
    with pytest.raises(ClipError) as caught:
        Video(path)
    assert caught.value.reason == reason
    assert name in caught.value.detail


def test_missing_file_and_missing_frame(tmp_path):
    with pytest.raises(ClipError, match="missing"):
        Video(tmp_path / "none.mp4")
    video = Video(write_video(tmp_path / "v.mp4", numbered_frames(COUNT)))
    with pytest.raises(ClipError, match="frame 40 of 40"):
        video[40]
