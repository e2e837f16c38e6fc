import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.data import astronaut

from transforms import masks

crops = arrays(np.uint8, (12, 12, 3))
flags = arrays(np.bool_, (9, 9))


@given(crops, crops)
@settings(max_examples=50, deadline=None)
def test_soft_and_dffd_are_symmetric(a, b):
    assert (masks.soft(a, b) == masks.soft(b, a)).all()
    assert (masks.dffd(a, b) == masks.dffd(b, a)).all()


@given(crops, crops, st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_dffd_shrinks_as_its_threshold_grows(a, b, s, t):
    low, high = sorted((s, t))
    assert not (masks.dffd(a, b, high) & ~masks.dffd(a, b, low)).any()


@given(crops)
@settings(max_examples=20, deadline=None)
def test_a_crop_does_not_differ_from_itself(a):
    assert not masks.soft(a, a).any()
    assert not masks.dffd(a, a).any()
    assert not masks.ssim(a, a).any()


@given(flags, flags)
@settings(max_examples=100, deadline=None)
def test_iou_is_symmetric_bounded_and_one_only_for_equal_masks(a, b):
    value = masks.iou(a, b)
    assert value == masks.iou(b, a)
    assert 0 <= value <= 1
    assert (value == 1) == bool((a == b).all())


def test_dffd_is_gray_difference_over_255_above_a_tenth():
    real = np.zeros((1, 3, 3), np.uint8)
    fake = np.array([[[25, 25, 25], [26, 26, 26], [60, 20, 0]]], np.uint8)
    assert masks.dffd(real, fake).tolist() == [[False, True, True]]
    assert masks.soft(real, fake).tolist() == [[25, 26, 30]]


def test_ssim_never_wraps():
    """Where structure is reversed SSIM is negative: that is as unlike as can be, not alike."""
    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (32, 1, 3))
    stripes = np.where(np.arange(32)[None, :, None] % 4 < 2, np.uint8(90), np.uint8(160))
    stripes = np.broadcast_to(stripes, (32, 32, 3)).copy()
    reversed_ = 250 - stripes
    assert (masks.ssim(stripes, reversed_)[6:-6, 6:-6] == 255).all()
    assert masks.ssim(ramp, ramp).max() == 0


def test_ssim_agrees_with_scikit_image():
    from skimage.metrics import structural_similarity

    real = cv2.resize(astronaut(), (128, 128), interpolation=cv2.INTER_AREA)
    fake = cv2.GaussianBlur(real, (0, 0), 1.5)
    gray = [(x @ np.array([0.299, 0.587, 0.114])) for x in (real, fake)]
    _, index = structural_similarity(
        *gray, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    expected = 255 * np.clip(1 - index, 0, 1)
    assert np.abs(masks.ssim(real, fake)[8:-8, 8:-8] - expected[8:-8, 8:-8]).max() <= 1


def test_hull_fills_a_concave_outline():
    outline = np.array([[10, 10], [50, 10], [30, 20], [50, 50], [10, 50]], np.float32)
    mask = masks.hull(outline, 64)
    assert mask[30, 45]
    assert mask[12, 30]
    assert not mask[5, 30]
    assert abs(mask.sum() - 41 * 41) < 10


def test_hull_may_leave_the_crop():
    assert masks.hull(np.array([[-50, -50], [200, -50], [200, 200], [-50, 200]], np.float32), 64).all()


@pytest.mark.parametrize("outline", [np.zeros((2, 2)), np.full((5, 2), np.nan), np.zeros((4, 3))])
def test_hull_refuses_what_is_no_outline(outline):
    with pytest.raises(ValueError, match="outline"):
        masks.hull(outline, 64)


def test_boundary_peaks_on_the_outline_and_vanishes_away_from_it():
    mask = np.zeros((64, 64), bool)
    mask[:, 32:] = True
    line = masks.boundary(mask)
    assert line[:, 31:33].min() > 200
    assert line[:, :24].max() == line[:, 40:].max() == 0
    assert not masks.boundary(masks.all_one(32)).any()
    assert not masks.boundary(masks.all_zero(32)).any()


def test_all_one_and_all_zero():
    assert masks.all_one(8).all()
    assert not masks.all_zero(8).any()


def test_official_cuts_in_the_middle_and_takes_colours():
    frame = np.array([[0, 127, 128, 255]], np.uint8)
    assert masks.official(frame).tolist() == [[False, False, True, True]]
    assert masks.official(np.stack([frame, frame * 0, frame * 0], -1)).tolist() == [
        [False, False, True, True]
    ]
    with pytest.raises(ValueError, match="mask of"):
        masks.official(frame.astype(np.float32))


@pytest.mark.parametrize("kind", [masks.soft, masks.dffd, masks.ssim])
def test_unequal_pairs_are_refused(kind):
    with pytest.raises(ValueError, match="crops of"):
        kind(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8))


def test_iou_refuses_unequal_shapes():
    with pytest.raises(ValueError, match="masks of"):
        masks.iou(np.zeros((2, 2), bool), np.zeros((3, 3), bool))
