"""Fakes of another picture size, made and encoded for real, found where they lie on their originals."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut, coffee

from tests.videos import write_video
from transforms.alignment import apply, compose, invert, nearest_similarity, resizing, scale_of
from transforms.errors import ClipError
from transforms.frame_registration import FrameRegistration, register_clips

N, WIDTH, HEIGHT = 6, 480, 384
FACE = np.array([180.0, 40, 300, 190])
BOXES = np.tile(FACE, (N, 1, 1))
FACE_CORNERS = np.array([[180.0, 40], [300, 40], [300, 190], [180, 190]])


@cache
def film(picture=astronaut):
    """A picture in front of a camera, with a film's noise: (N, HEIGHT, WIDTH, 3)."""
    whole = cv2.resize(picture()[:400, :500], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).normal(0, 2, (N, HEIGHT, WIDTH, 3))
    return np.clip(whole + noise, 0, 255).astype(np.uint8)


def forged(frames):
    """The face upside down."""
    fake = frames.copy()
    fake[:, 40:190, 180:300] = fake[:, 40:190, 180:300][:, ::-1]
    return fake


def scaled(frames, width, height):
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in frames])


def found(tmp_path, fake, crf=23, real=None) -> FrameRegistration:
    """What is found of a fake's frames after encoding."""
    write_video(tmp_path / "real.mp4", film() if real is None else real, crf=23)
    write_video(tmp_path / "fake.mp4", fake, crf=crf)
    return next(register_clips(tmp_path / "real.mp4", tmp_path / "fake.mp4", range(N), BOXES))


def error(result: FrameRegistration, truth) -> float:
    """How far the face's corners are off, pixels of the real clip."""
    assert result.matrix is not None, result.reason
    off = apply(result.matrix, FACE_CORNERS) - apply(np.array(truth, float), FACE_CORNERS)
    return float(np.hypot(*off.T).max() / result.scale)


@pytest.mark.parametrize("size", [(240, 192), (320, 256), (600, 480), (960, 768)])
def test_a_resized_fake_is_found(tmp_path, size):
    result = found(tmp_path, scaled(forged(film()), *size))
    assert error(result, resizing((WIDTH, HEIGHT), size)) < 0.25
    assert result.scale == pytest.approx(size[0] / WIDTH, rel=2e-3)
    assert result.residual < 0.2


def test_a_quarter_of_the_size_at_strong_compression(tmp_path):
    size = WIDTH // 4, HEIGHT // 4
    result = found(tmp_path, scaled(forged(film()), *size), crf=32)
    assert error(result, resizing((WIDTH, HEIGHT), size)) < 1


def test_a_cropped_fake_is_found(tmp_path):
    result = found(tmp_path, forged(film())[:, 10:-14, 18:-30])
    assert error(result, [[1, 0, -18], [0, 1, -10]]) < 0.25


def test_a_fake_that_was_cropped_and_resized_is_found(tmp_path):
    cut = forged(film())[:, 10:-14, 20:-60]
    result = found(tmp_path, scaled(cut, 300, 270))
    truth = compose(resizing((400, 360), (300, 270)), np.array([[1.0, 0, -20], [0, 1, -10]]))
    assert error(result, truth) < 0.25


def test_a_fake_with_bars_at_its_sides_is_found(tmp_path):
    barred = np.pad(forged(film()), ((0, 0), (0, 0), (60, 60), (0, 0)))
    result = found(tmp_path, scaled(barred, 400, 256))
    truth = compose(resizing((WIDTH + 120, HEIGHT), (400, 256)), np.array([[1.0, 0, 60], [0, 1, 0]]))
    assert error(result, truth) < 0.25


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_fake_on_its_side_is_found(tmp_path, turns):
    result = found(
        tmp_path, scaled(np.rot90(forged(film()), turns, (1, 2)), *[(192, 240), (240, 192)][turns % 2 - 1])
    )
    assert result.matrix is not None
    assert result.turn % 360 == pytest.approx(-90 * turns % 360, abs=0.2)
    assert result.scale == pytest.approx(0.5, rel=5e-3)
    back = apply(invert(result.matrix), np.array([[0.0, 0]]))[0]
    corner = {1: (WIDTH, 0), 2: (WIDTH, HEIGHT), 3: (0, HEIGHT)}[turns]
    assert np.abs(back - corner).max() < 2


def test_a_mirrored_fake_is_refused(tmp_path):
    result = found(tmp_path, scaled(forged(film())[:, :, ::-1], 240, 192))
    assert result.matrix is None
    assert "correlation" in result.reason


def test_a_squeezed_fake_is_refused_and_called_so(tmp_path):
    result = found(tmp_path, scaled(forged(film()), 270, 384))
    assert result.matrix is None
    assert "1.78 times as much in one direction" in result.reason


def test_another_scene_is_refused(tmp_path):
    result = found(tmp_path, scaled(film(coffee), 240, 192))
    assert result.matrix is None
    assert result.reason


def test_pictures_without_texture_are_refused(tmp_path):
    flat = np.full((N, HEIGHT, WIDTH, 3), 128, np.uint8)
    result = found(tmp_path, scaled(flat, 240, 192), real=flat)
    assert result.matrix is None


def test_a_fake_that_shakes_is_refused(tmp_path):
    small = scaled(film(), 320, 256)
    shaken = np.stack([np.roll(frame, 6 * (-1) ** i, 1) for i, frame in enumerate(small)])
    result = found(tmp_path, shaken)
    assert result.matrix is None
    assert "shake" in result.reason or "correlation" in result.reason


def test_the_same_pair_gives_the_same_matrix(tmp_path):
    fake = scaled(forged(film())[:, 10:-14, 20:-60], 300, 270)
    first, second = (found(tmp_path, fake).matrix for _ in range(2))
    assert np.array_equal(first, second)


def test_frames_that_a_clip_lacks_are_left_out(tmp_path):
    write_video(tmp_path / "real.mp4", film())
    write_video(tmp_path / "fake.mp4", scaled(film()[:3], 240, 192))
    clips = tmp_path / "real.mp4", tmp_path / "fake.mp4"
    assert next(register_clips(*clips, range(N), BOXES)).matrix is not None
    with pytest.raises(ClipError, match="none of those"):
        next(register_clips(*clips, [4, 5], BOXES[:2]))


number = st.floats(-1, 1)
similarity = st.builds(
    lambda scale, turn, x, y: np.array(
        [
            [scale * np.cos(turn), -scale * np.sin(turn), 500 * x],
            [scale * np.sin(turn), scale * np.cos(turn), 500 * y],
        ]
    ),
    st.floats(0.1, 4),
    st.floats(-4, 4),
    number,
    number,
)


@given(similarity, similarity)
@settings(deadline=None)
def test_composed_matrices_map_points_there_and_back(first, second):
    both = compose(second, first)
    assert apply(both, FACE_CORNERS) == pytest.approx(apply(second, apply(first, FACE_CORNERS)), abs=1e-6)
    assert apply(compose(invert(both), both), FACE_CORNERS) == pytest.approx(FACE_CORNERS, abs=1e-6)
    assert scale_of(both) == pytest.approx(scale_of(first) * scale_of(second))


@given(similarity)
@settings(deadline=None)
def test_a_similarity_is_its_own_nearest(matrix):
    assert nearest_similarity(matrix, (WIDTH, HEIGHT)) == pytest.approx(matrix, abs=1e-9)
