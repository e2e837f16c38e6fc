import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.params import CropParams
from transforms.alignment import apply, crop_to_frame, invert, template_points
from transforms.crops import warp

turns = st.tuples(
    st.floats(0.2, 5), st.floats(-3, 3), st.floats(-200, 800), st.floats(-200, 800), st.integers(32, 512)
)


@given(turns)
def test_landmarks_of_a_moved_template_give_that_motion(turn):
    scale, angle, x, y, size = turn
    crop = CropParams(size=size)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, x], [s, c, y]])
    landmarks = apply(matrix, template_points(crop))
    assert np.allclose(crop_to_frame(landmarks[None], crop)[0], matrix, atol=1e-6)


@given(turns)
def test_inverse(turn):
    scale, angle, x, y, _ = turn
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, x], [s, c, y]])
    points = np.array([[0.0, 0], [10, 3], [255, 128]])
    assert np.allclose(apply(invert(matrix), apply(matrix, points)), points, atol=1e-6)


def test_an_upright_crop_is_not_turned():
    crop = CropParams(rotate=False)
    tilt = np.array([[0.9, -0.4, 50], [0.4, 0.9, 20]])
    matrix = crop_to_frame(apply(tilt, template_points(crop))[None], crop)[0]
    assert matrix[0, 1] == matrix[1, 0] == 0
    assert matrix[0, 0] > 0


def test_template_lies_in_the_crop_at_its_scale():
    points = template_points(CropParams(size=256, scale=1.3))
    eyes = points[1, 0] - points[0, 0]
    assert np.isclose(eyes, 0.4 * 256 / 1.3)
    assert np.isclose(points[2, 0], 127.5)


def gradient(size: int) -> np.ndarray:
    """A picture whose red is x and whose green is y, in steps of half a pixel's worth."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    return np.stack([x, y, np.zeros_like(x)], 2).astype(np.uint8)


def test_identity_warp_changes_nothing():
    picture = gradient(128)
    assert (warp(picture, np.eye(2, 3), 128) == picture).all()


def test_pixel_centres_are_at_whole_numbers_also_when_reduced():
    picture = gradient(240)
    for scale in (1.0, 1.7, 2.0, 3.0, 3.6):
        matrix = np.array([[scale, 0, 10.0], [0, scale, 20.0]])
        crop = warp(picture, matrix, 60)
        x, y = np.meshgrid(np.arange(60), np.arange(60))
        assert np.abs(crop[..., 0].astype(float) - (scale * x + 10)).max() <= 1, scale
        assert np.abs(crop[..., 1].astype(float) - (scale * y + 20)).max() <= 1, scale


def test_beyond_the_frame_is_black():
    crop = warp(np.full((50, 50, 3), 200, np.uint8), np.array([[1.0, 0, -40], [0, 1, -40]]), 64)
    assert (crop[:30, :30] == 0).all()
    assert (crop[45:60, 45:60] == 200).all()
    far = np.array([[4.0, 0, 4000], [0, 4, 4000]])
    assert not warp(np.full((50, 50, 3), 200, np.uint8), far, 64).any()
