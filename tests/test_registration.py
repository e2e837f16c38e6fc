"""Misregistration of known size, on a real picture through real H.264."""

from functools import cache
from io import BytesIO

import av
import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from transforms.difference.model import CropShapes
from transforms.registration import register

N, SIZE = 6, 256
MIDDLE = (SIZE - 1) / 2
SPOILT = np.index_exp[60:200, 70:186]


def shapes(n=N):
    angle = np.arange(36) * 2 * np.pi / 36
    oval = np.stack([128 + 62 * np.cos(angle), 130 + 82 * np.sin(angle)], 1).astype(np.float32)
    return CropShapes(np.tile(oval, (n, 1, 1)), np.tile(oval[:20], (n, 1, 1)))


@cache
def frames():
    """The astronaut and what is around her, with a film's noise; a margin of 32 px."""
    edge = SIZE + 64
    picture = cv2.resize(astronaut()[:400, 40:440], (edge, edge), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    noisy = picture + rng.normal(0, 1.5, (N, edge, edge, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def coded(clip, crf):
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = clip.shape[1], clip.shape[2], "yuv420p"
        for image in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@cache
def pair(crf, dx=0.0, dy=0.0, scale=1.0, forged=True):
    """Crops of a clip and of its forgery, which was moved before it was encoded."""
    middle = MIDDLE + 32
    matrix = np.array(
        [[scale, 0, middle * (1 - scale) + dx], [0, scale, middle * (1 - scale) + dy]], np.float64
    )
    fake = np.stack([cv2.warpAffine(f, matrix, f.shape[1::-1], flags=cv2.INTER_CUBIC) for f in frames()])
    if forged:
        inside = fake[:, 32:-32, 32:-32][(slice(None), *SPOILT)]
        inside[:] = cv2.flip(inside.reshape(N, -1, 3), 1).reshape(inside.shape)
    cut = np.index_exp[:, 32:-32, 32:-32]
    return coded(frames(), crf)[cut], coded(fake, crf)[cut]


@pytest.mark.parametrize("crf", [0, 23])
@pytest.mark.parametrize(("dx", "dy"), [(0.25, 0), (0, -1), (-1, 0.5), (3, 0)])
def test_a_shift_is_found_to_a_twentieth_of_a_pixel(crf, dx, dy):
    found = register(*pair(crf, dx, dy), shapes())
    assert found.dx == pytest.approx(dx, abs=0.05)
    assert found.dy == pytest.approx(dy, abs=0.05)
    assert found.residual == pytest.approx(np.hypot(dx, dy), abs=0.05)


@pytest.mark.parametrize("crf", [0, 23])
@pytest.mark.parametrize("scale", [0.99, 1.01])
def test_a_scale_of_one_percent_is_found(crf, scale):
    found = register(*pair(crf, scale=scale), shapes())
    assert found.scale == pytest.approx(scale, abs=0.05 / 128)
    assert abs(found.turn) < 0.05 / 128
    assert np.hypot(found.dx, found.dy) < 0.05


@pytest.mark.parametrize("crf", [0, 23, 40])
def test_a_registered_pair_has_no_residual(crf):
    assert register(*pair(crf), shapes()).residual < 0.05


@pytest.mark.parametrize("crf", [40])
def test_a_shift_under_strong_compression(crf):
    assert register(*pair(crf, 1.0), shapes()).residual == pytest.approx(1, abs=0.1)


def test_without_texture_nothing_is_known():
    flat = np.full((N, SIZE, SIZE, 3), 128, np.uint8)
    assert register(flat, flat, shapes()) is None


def test_black_padding_does_not_pin_a_shift():
    real, fake = (clip.copy() for clip in pair(0, 1.0))
    for clip in (real, fake):
        clip[:, :, :40] = clip[:, :30] = 0
    assert register(real, fake, shapes()).residual == pytest.approx(1, abs=0.05)


def test_bad_input_is_refused():
    real, fake = pair(0)
    with pytest.raises(ValueError, match="crops of"):
        register(real, fake[:, :128], shapes())
    with pytest.raises(ValueError, match="6 real, 5 fake"):
        register(real, fake[:5], shapes())


@pytest.mark.parametrize("size", [64, 128, 512])
def test_crops_of_any_size_are_told_from_another_scene(size):
    def sized(crops):
        how = cv2.INTER_AREA if size < SIZE else cv2.INTER_LINEAR
        return [cv2.resize(crop, (size, size), interpolation=how) for crop in crops]

    outlines = CropShapes(*(part * np.float32(size / SIZE) for part in (shapes().oval, shapes().lips)))
    real, fake = pair(23, 3, 0)
    found = register(sized(real), sized(fake), outlines)
    # A twentieth of a pixel of the crop, or a fifth of one of 256 where that is less to go by.
    assert found.dx == pytest.approx(3 * size / SIZE, abs=max(0.05, 0.2 * size / SIZE))
    assert found.residual == pytest.approx(3 * size / SIZE, abs=max(0.05, 0.2 * size / SIZE))
    other = [cv2.flip(crop, 0) for crop in fake]
    assert not np.isfinite(register(sized(real), sized(other), outlines).residual)
