import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from training.evaluation.localisation import FIGURES, enlarge, inverse_non_containment, localise


def square(size=8, low=2, high=6):
    mask = np.zeros((1, size, size), np.uint8)
    mask[:, low:high, low:high] = 255
    return mask


def figures(attention, mask, called_fake=True, threshold=0.5):
    found = localise(attention.astype(np.float16), mask, np.array([called_fake]), threshold)
    return {name: values[0] for name, values in found.items()}


def test_attention_that_is_the_region():
    found = figures(square() / 255 * 3, square())
    assert found == {
        "iou": 1,
        "pixel_auc": 1,
        "pointing": 1,
        "outside": 0,
        "iinc": 0,
        "area": 0.25,
        "blank": 0,
    }


def test_attention_everywhere_but_there():
    """Region a quarter, prediction the rest: U is everything, I nothing; IINC is 2 / (3 - 1)."""
    found = figures(1 - square() / 255, square())
    figure = {"iou": 0, "pixel_auc": 0, "pointing": 0, "outside": 1, "iinc": 1}
    assert found == figure | {"area": 0.25, "blank": 0}


def test_half_of_the_region():
    """Prediction is the left half of the region: IoU 1/2, and IINC (2 - 1 - 1/2) / (3 - 1/4)."""
    attention = square() / 255
    attention[:, :, 4:] = 0
    found = figures(attention, square())
    assert found["iou"] == 0.5
    assert found["outside"] == 0
    assert found["iinc"] == pytest.approx(0.5 / 2.75)
    assert found["pixel_auc"] == pytest.approx(0.5 + 0.5 * 0.5)


def test_the_same_attention_everywhere_has_no_clue():
    found = figures(np.full((1, 8, 8), 0.7), square())
    assert found["pixel_auc"] == 0.5
    assert found["outside"] == pytest.approx(1 - found["area"])
    assert found["iou"] == found["pointing"] == found["area"]
    assert found["blank"] == 0


def test_no_attention_at_all_is_attention_without_a_clue():
    """It is counted, not left out: a model whose attention died is no perfect one."""
    found = figures(np.zeros((1, 8, 8)), square(size=8, low=1, high=6))
    assert found["iou"] == 0
    assert found["pixel_auc"] == 0.5
    assert found["pointing"] == found["area"] == 25 / 64
    assert found["outside"] == 1 - 25 / 64
    assert found["blank"] == 1


def test_no_attention_at_all_in_the_iinc():
    found = figures(np.zeros((1, 8, 8)), square())
    assert found["iinc"] == pytest.approx(1 / (3 - 0.25))


@pytest.mark.parametrize("where", [slice(0, 16), slice(24, 40)])
def test_noise_points_at_a_region_as_often_as_it_is_large(where):
    """At the border as in the middle; the maximum of the enlarged map is at the border too often."""
    attention = np.random.default_rng(0).random((4000, 8, 8)).astype(np.float16)
    mask = np.zeros((4000, 64, 64), np.uint8)
    mask[:, where] = 255
    found = localise(attention, mask, np.ones(4000, bool), 0.5)
    assert found["pointing"].mean() == pytest.approx(found["area"].mean(), abs=0.03)


def test_pointing_looks_at_the_middle_of_the_highest_cell():
    attention, mask = np.zeros((1, 4, 4)), np.zeros((1, 16, 16), np.uint8)
    attention[0, 1, 2] = 1
    mask[0, 6, 10] = 255
    assert figures(attention, mask)["pointing"] == 1
    assert figures(attention.transpose(0, 2, 1), mask)["pointing"] == 0


def test_pointing_of_cells_that_are_equally_high_is_their_share():
    attention = np.zeros((1, 8, 8))
    attention[0, [0, 3, 4], [0, 3, 4]] = 2
    assert figures(attention, square())["pointing"] == pytest.approx(2 / 3)


def test_the_scale_of_attention_does_not_matter():
    attention = np.random.default_rng(0).random((1, 8, 8))
    one, other = figures(attention, square()), figures(attention * 64, square())
    assert one == pytest.approx(other, rel=1e-3)


def test_reals_have_iinc_only():
    """Called real, the prediction is empty as the region is: 0. Called fake: 1 / (3 - |P|)."""
    nothing, attention = np.zeros((1, 8, 8), np.uint8), square() / 255
    right, wrong = (figures(attention, nothing, called_fake) for called_fake in (False, True))
    assert right["iinc"] == 0
    assert wrong["iinc"] == pytest.approx(1 / (3 - 0.25))
    assert all(np.isnan(right[name]) for name in FIGURES if name != "iinc")


def test_a_fake_that_is_called_real_predicts_no_region():
    assert figures(square() / 255, square(), called_fake=False)["iinc"] == pytest.approx(1 / (3 - 0.25))


def test_a_region_that_is_everything_has_no_pixel_auc():
    found = figures(square() / 255, np.full((1, 8, 8), 255, np.uint8))
    assert np.isnan(found["pixel_auc"])
    assert found["pointing"] == 1
    assert found["outside"] == 0


def test_masks_are_forged_above_127():
    mask = np.array([[[127, 128], [0, 255]]], np.uint8)
    assert figures(np.ones((1, 2, 2)), mask)["area"] == 0.5


def test_maps_are_enlarged_to_the_masks():
    """A cell in the left upper quarter is brightest there, and fades to the other cells' middles."""
    attention = np.zeros((1, 2, 2))
    attention[0, 0, 0] = 2
    large = enlarge(attention, 8)
    assert large.shape == (1, 8, 8)
    assert large.max() == large[0, 0, 0] == 1
    assert large[0, -1, -1] == 0
    assert 0 < large[0, 0, 4] < 1
    quarter = np.zeros((1, 8, 8), np.uint8)
    quarter[:, :4, :4] = 255
    assert figures(attention, quarter)["pointing"] == 1


def test_images_do_not_touch_each_other():
    generator = np.random.default_rng(1)
    maps, masks = generator.random((5, 4, 4)), np.repeat(square(), 5, 0)
    masks[2] = 0
    called = np.array([True, False, True, True, False])
    every = localise(maps, masks, called, 0.5)
    for number in range(5):
        one = localise(
            maps[number : number + 1], masks[number : number + 1], called[number : number + 1], 0.5
        )
        for name, values in every.items():
            np.testing.assert_array_equal(values[number], one[name][0], err_msg=name)


def test_no_images():
    found = localise(np.zeros((0, 4, 4)), np.zeros((0, 8, 8), np.uint8), np.zeros(0, bool), 0.5)
    assert all(values.shape == (0,) for values in found.values())


maps = arrays(np.float16, (1, 4, 4), elements=st.floats(0, 1000, width=16))
masks = arrays(np.uint8, (1, 6, 6), elements=st.sampled_from([0, 255]))


@settings(max_examples=200, deadline=None)
@given(maps, masks, st.booleans(), st.floats(0, 0.99))
def test_figures_are_shares(attention, mask, called_fake, threshold):
    found = figures(attention, mask, called_fake, threshold)
    for name, value in found.items():
        assert np.isnan(value) or 0 <= value <= 1, name
    assert np.isnan(found["iou"]) == (not mask.any())


@settings(max_examples=100, deadline=None)
@given(maps, masks)
def test_pixel_auc_is_that_of_scikit_learn(attention, mask):
    region = mask.reshape(-1) > 127
    found = figures(attention, mask)["pixel_auc"]
    if region.all() or not region.any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(region, enlarge(attention, 6).reshape(-1)))


regions = arrays(np.bool_, (1, 12))


@settings(max_examples=200, deadline=None)
@given(regions, regions)
def test_iinc_is_symmetric_and_zero_for_equal_regions_only(one, other):
    value = inverse_non_containment(one, other)[0]
    assert value == pytest.approx(inverse_non_containment(other, one)[0])
    assert (value == pytest.approx(0)) == (one == other).all()
