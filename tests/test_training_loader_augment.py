import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.loading.augment import WHOLE, View, decode, draw_views, put_image, put_mask

VIEWS = st.builds(
    View,
    side=st.floats(0.5, 1),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    mirrored=st.booleans(),
)


def blob(height, width, seed):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


@settings(max_examples=100, deadline=None)
@given(VIEWS, st.integers(16, 80), st.integers(16, 80), st.integers(16, 96), st.integers(0, 9))
def test_the_mask_moves_with_the_image(view, height, width, size, seed):
    mask = blob(height, width, seed)
    image, moved = np.empty((size, size, 3), np.uint8), np.empty((size, size), np.uint8)
    put_image(cv2.merge([mask] * 3), view, image)
    put_mask(mask, view, moved)
    assert np.abs(image.astype(int) - moved[..., None]).max() <= 1


def put(picture, view, size):
    out = np.zeros((size, size), np.uint8)
    put_mask(picture, view, out)
    return out


def test_views_show_what_they_say():
    picture = blob(60, 60, 0)
    assert np.array_equal(put(picture, WHOLE, 60), picture)
    assert np.array_equal(put(picture, View(mirrored=True), 60), picture[:, ::-1])
    assert np.array_equal(put(picture, View(0.5, 1.0, 0.0), 30), picture[:30, 30:])
    assert np.array_equal(put(picture, View(0.5, 0.0, 1.0, True), 30), picture[30:, :30][:, ::-1])


def test_shrinking_takes_means():
    stripes = np.tile(np.array([0, 200], np.uint8), (32, 16))
    assert np.array_equal(put(stripes, WHOLE, 16), np.full((16, 16), 100))


def test_channels_become_rgb():
    image, out = np.zeros((8, 8, 3), np.uint8), np.empty((8, 8, 3), np.uint8)
    image[..., 0] = 10  # OpenCV's blue
    put_image(image, WHOLE, out)
    assert out[0, 0].tolist() == [0, 0, 10]


def test_views_leave_out_as_much_as_asked_and_mirror_as_often():
    views = draw_views(4000, 0.2, 0.3, np.random.default_rng(0))
    sides = np.array([view.side for view in views])
    assert 0.8 <= sides.min() < 0.81
    assert 0.99 < sides.max() <= 1
    assert np.mean([view.mirrored for view in views]) == pytest.approx(0.3, abs=0.03)
    assert set(draw_views(50, 0.0, 0.0, np.random.default_rng(0))) <= {
        View(1.0, view.x, view.y) for view in draw_views(50, 0.0, 0.0, np.random.default_rng(0))
    }


def png(picture):
    return cv2.imencode(".png", picture)[1].tobytes()


def test_decoding_names_what_is_wrong():
    picture = np.zeros((8, 8), np.uint8)
    image, mask = decode((png(picture), png(picture)))
    assert image.shape == (8, 8, 3)
    assert mask.shape == (8, 8)
    assert decode((png(picture), None))[1] is None
    with pytest.raises(ValueError, match="the mask is 9x8 px, the image 8x8"):
        decode((png(picture), png(np.zeros((8, 9), np.uint8))))
    for data in (b"", b"GIF89a", png(picture)[:30]):
        with pytest.raises(ValueError, match=r"the image .* cannot be decoded"):
            decode((data, None))
