import io
import os
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import chunk, encoded, numbered, png, turned, write_pictures
from transforms.errors import ClipError
from transforms.stills import MOST_PIXELS, check_picture, natural_key, picture_names, read_picture

PICTURE = numbered(3)
FORMATS = {"PNG": {}, "JPEG": {"quality": 95}, "BMP": {}, "WEBP": {"lossless": True}}


def fails(source, reason, said=""):
    with pytest.raises(ClipError) as caught:
        read_picture(source, "the name")
    assert caught.value.reason == reason
    assert caught.value.detail.startswith("the name: ")
    assert said in caught.value.detail
    assert "\n" not in caught.value.detail
    return True


def checked(data):
    return check_picture(io.BytesIO(data), "the name")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_by_bytes_and_by_path(tmp_path, format):
    data = encoded(PICTURE, format, **FORMATS[format])
    # The content counts, and not the name.
    (tmp_path / "p.png").write_bytes(data)
    for source in (data, tmp_path / "p.png"):
        shown = read_picture(source, "the name")
        assert shown.dtype == np.uint8
        assert np.abs(shown.astype(int) - PICTURE).mean() < (3 if format == "JPEG" else 1e-9)
    assert checked(data) == (40, 30)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_opencv_does(tmp_path, format, orientation):
    data = encoded(PICTURE, format, exif=turned(orientation), **FORMATS[format])
    shown = read_picture(data, "the name")
    assert checked(data) == (shown.shape[1], shown.shape[0]) == ((30, 40) if orientation > 4 else (40, 30))
    # OpenCV turns JPEG; the others are lossless, and turned the same way.
    jpeg = encoded(PICTURE, "JPEG", exif=turned(orientation), **FORMATS["JPEG"])
    by_opencv = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(shown.astype(int) - by_opencv).mean() < 4


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0"])
def test_a_picture_with_damaged_exif_is_shown_as_it_is_stored(exif):
    data = encoded(PICTURE, "JPEG", exif=exif)
    assert read_picture(data, "the name").shape == (30, 40, 3)
    assert checked(data) == (40, 30)


def gray16(values):
    whole, data = cv2.imencode(".png", np.array(values, np.uint16))
    assert whole
    return data.tobytes()


def palette():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    return image


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(np.array([[7, 250]], np.uint8)), [[7] * 3, [250] * 3]),
        (encoded(np.array([[False, True]])), [[0] * 3, [255] * 3]),
        (gray16([[0x0180, 0xFFFF]]), [[1] * 3, [255] * 3]),
        (gray16([[[0x3000, 0x2000, 0x1080], [0, 0, 0xFFFF]]]), [[0x10, 0x20, 0x30], [255, 0, 0]]),
        (encoded(np.array([[[9, 8, 7, 0], [1, 2, 3, 128]]], np.uint8)), [[9, 8, 7], [1, 2, 3]]),
        (encoded(np.array([[[9, 0], [8, 255]]], np.uint8)), [[9] * 3, [8] * 3]),
        (encoded(palette()), [[10, 20, 30], [200, 100, 50]]),
        (encoded(palette(), transparency=bytes([0, 128])), [[10, 20, 30], [200, 100, 50]]),
        (encoded(np.array([[7, 250]], np.uint8), transparency=7), [[7] * 3, [250] * 3]),
    ],
    ids=["gray", "bits", "gray16", "rgb16", "rgba", "gray_alpha", "palette", "palette_alpha", "gray_key"],
)
def test_every_mode_becomes_rgb(data, expected):
    assert read_picture(data, "the name").tolist() == [expected]
    assert checked(data) == (2, 1)


def test_cmyk_and_animations():
    red = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(read_picture(red, "the name")[4, 4].astype(int) - (255, 0, 0)).max() < 5
    others = [Image.fromarray(numbered(number)) for number in (5, 9)]
    for format in ("PNG", "WEBP"):
        data = encoded(PICTURE, format, save_all=True, append_images=others, **FORMATS[format])
        assert (read_picture(data, "the name") == PICTURE).all()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_files_that_were_cut_off(format, share):
    data = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), format)
    cut = data[: int(share * len(data))]
    assert fails(cut, "decode_error", "cut off")
    with pytest.raises(ClipError, match="cut off"):
        checked(cut)


def test_a_picture_with_something_after_its_end_is_whole():
    for format in ("PNG", "JPEG"):
        data = encoded(PICTURE, format) + b"more"
        assert read_picture(data, "the name").shape == (30, 40, 3)
        assert checked(data) == (40, 30)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"a text\n" * 100, "not_image"),
        (b"<!DOCTYPE html><html>403 Forbidden</html>", "not_image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "not_image"),
        (bytes(5000), "not_image"),
        (encoded(PICTURE, "GIF"), "not_image"),
        (encoded(PICTURE, "TIFF"), "not_image"),
        (encoded(PICTURE, "ICO"), "not_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_image"),
        (b"\x89PNG\r\n\x1a\n", "decode_error"),
        (b"\xff\xd8\xff\xe0", "decode_error"),
        (b"BM", "decode_error"),
        (png(4, 4), "decode_error"),
        (png(0, 4, chunk(b"IDAT", zlib.compress(b""))), "decode_error"),
    ],
)
def test_what_is_no_picture(data, reason):
    assert fails(data, reason)


def test_bombs_are_refused_before_they_are_decoded():
    for width, height in ((10_001, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)):
        # Were anything decoded, it would be cut off, or not fit into memory.
        data = png(width, height, chunk(b"IDAT", zlib.compress(b"\0")))
        assert fails(data, "too_large", "100 megapixels")
        with pytest.raises(ClipError, match="too_large"):
            checked(data)
    assert fails(png(10_000, MOST_PIXELS // 10_000, chunk(b"IDAT", zlib.compress(b"\0"))), "decode_error")
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80 << 20)))
    assert fails(png(4, 4, text, chunk(b"IDAT", zlib.compress(bytes(52)))), "decode_error", "too large")


@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_damage_is_an_error_or_a_picture(format, data):
    content = bytearray(encoded(numbered(3, 16, 12), format, exif=turned(6)))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        shown = read_picture(bytes(content), "the name")
    except ClipError as error:
        assert fails(bytes(content), error.reason)  # noqa: PT017 - nothing else may be raised
    else:
        assert shown.dtype == np.uint8
        assert checked(bytes(content)) == (shown.shape[1], shown.shape[0])


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "empty.png").touch()
    for name, reason in (
        ("none", "missing"),
        ("empty.png/none", "missing"),
        ("folder", "not_image"),
        ("pipe", "not_image"),
        ("loop", "unreadable"),
        ("empty", "empty_file"),
    ):
        assert fails(tmp_path / f"{name}.png", reason)


NAMES = st.text(st.sampled_from("0123a.-B½٣"), max_size=8)


@given(st.lists(NAMES, unique=True), st.randoms())
def test_natural_order_is_one_order_however_names_are_listed(names, random):
    ordered = sorted(names, key=natural_key)
    random.shuffle(names)
    assert sorted(names, key=natural_key) == ordered
    assert len({natural_key(name) for name in names}) == len(names)


@given(NAMES.filter(lambda text: not text[-1:].isdecimal()), st.integers(0, 10**30), st.integers(1, 10**30))
def test_natural_order_is_that_of_the_numbers(text, number, more):
    names = [f"{text}{number + more}.png", f"{text}{number:035d}.png"]
    assert sorted(names, key=natural_key) == names[::-1]


def test_natural_order_of_a_number_that_python_refuses():
    names = [f"{'9' * 5000}.png", f"1{'0' * 5000}.png", "7.png"]
    assert sorted(names, key=natural_key) == [names[2], names[0], names[1]]


def test_pictures_of_a_folder(tmp_path):
    folder = write_pictures(tmp_path / "f", [PICTURE] * 4, ["10.png", "9.png", "a 1.PNG", "100.webp"])
    for other in ("Thumbs.db", "._9.png", "list.txt", "11.gif"):
        (folder / other).write_bytes(b"x")
    (folder / "12.png").mkdir()
    (folder / "11.png").symlink_to("gone.png")
    assert picture_names(folder) == ["9.png", "10.png", "11.png", "100.webp", "a 1.PNG"]


def test_folders_without_pictures(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    write_pictures(tmp_path / "bad", [PICTURE], [os.fsdecode(b"\xff.png")])
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in (
        ("empty", "no_frames"),
        ("none", "missing"),
        ("file", "missing"),
        ("bad", "bad_name"),
        ("loop", "unreadable"),
    ):
        with pytest.raises(ClipError) as caught:
            picture_names(tmp_path / name)
        assert caught.value.reason == reason
        assert caught.value.detail.startswith(f"{tmp_path / name}: ")
        caught.value.detail.encode()
