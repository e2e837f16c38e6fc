from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import Batch
from training.evaluation.intervals import draw, over_seeds, percentiles
from training.evaluation.metrics import BINS, FIGURES, calibrate, detect, detect_resampled
from training.evaluation.predict import predict
from training.lae.model import LAE, ModelConfig


def arrays(fake, score):
    return np.array(fake, bool), np.array(score, np.float32)


def test_figures_of_a_case_that_can_be_counted():
    """Pairs of a fake and a real: 3 of 4 in order. Above 0: one of two fakes, none of the reals."""
    found = detect(*arrays([1, 1, 0, 0], [0.9, -0.3, -0.2, -0.8]))
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == 0.75
    assert found["auc"] == 0.75
    assert found["ap"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["eer"] == 0.5


def test_equal_error_rate_is_interpolated():
    """The curve goes (0, 0), (0, 2/3), (1/2, 2/3), ...: it meets alarms = misses at alarms of 1/3."""
    found = detect(*arrays([1, 1, 0, 1, 0], [5, 4, 3, 2, 1]))
    assert found["eer"] == pytest.approx(1 / 3)


def test_equal_error_rate_of_ties_is_half_way():
    """One threshold has all of them: the line from (0, 0) to (1, 1)."""
    assert detect(*arrays([1, 0, 1, 0], [1, 1, 1, 1]))["eer"] == 0.5


@pytest.mark.parametrize(("sign", "auc", "eer", "accuracy"), [(1, 1, 0, 1), (-1, 0, 1, 0)])
def test_perfect_and_perfectly_wrong(sign, auc, eer, accuracy):
    found = detect(*arrays([1, 1, 0, 0, 0], [sign * v for v in (2, 1, -1, -2, -3)]))
    assert (found["auc"], found["eer"], found["accuracy"]) == (auc, eer, accuracy)


def test_a_score_of_zero_is_called_real():
    assert detect(*arrays([1, 0], [0, 0]))["balanced_accuracy"] == 0.5
    assert detect(*arrays([0], [0]))["accuracy"] == 1


def test_balanced_accuracy_does_not_depend_on_the_mixture():
    found = detect(*arrays([1] * 9 + [0], [1] * 10))
    assert found["accuracy"] == 0.9
    assert found["balanced_accuracy"] == 0.5


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_accuracy_only(label):
    found = detect(*arrays([label, label], [1, -1]))
    assert found["accuracy"] == 0.5
    assert all(np.isnan(found[name]) for name in FIGURES if name != "accuracy")


def test_nothing_has_no_figures():
    assert all(np.isnan(value) for value in detect(*arrays([], [])).values())


cases = st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=25)


@settings(max_examples=100, deadline=None)
@given(cases)
def test_a_weight_is_that_many_copies(rows):
    """The fast figures of resamples are scikit-learn's of the images written out, ties and all."""
    fake, score = arrays([row[0] for row in rows], [row[1] for row in rows])
    times = np.array([row[2] for row in rows])
    if not times.any():
        times[0] = 1
    weights = np.stack([times, np.ones(len(rows))]).astype(float)
    found = detect_resampled(fake, score, [weights[:1], weights[1:]])
    for number, counts in enumerate((times, np.ones(len(rows), int))):
        copies = np.repeat(np.arange(len(rows)), counts)
        expected = detect(fake[copies], score[copies])
        for name in FIGURES:
            assert found[name][number] == pytest.approx(expected[name], abs=1e-12, nan_ok=True), name


@settings(max_examples=100, deadline=None)
@given(cases)
def test_figures_are_shares(rows):
    fake, score = arrays([row[0] for row in rows], [row[1] for row in rows])
    for value in detect(fake, score).values():
        assert np.isnan(value) or 0 <= value <= 1


def test_calibration_of_a_case_that_can_be_counted():
    """All say 0.5, and half are fakes: no calibration error, and a Brier score of one quarter."""
    found = calibrate(*arrays([1, 0], [0, 0]))
    assert found is not None
    assert found.ece == pytest.approx(0)
    assert found.brier == pytest.approx(0.25)
    assert np.nonzero(found.share)[0].tolist() == [BINS // 2]


def test_calibration_error_is_the_gap_between_said_and_found():
    score = np.log(0.9 / 0.1)
    found = calibrate(*arrays([1, 1, 0, 0], [score, score, score, score]))
    assert found is not None
    assert found.ece == pytest.approx(0.4)
    assert found.brier == pytest.approx((0.1**2 + 0.9**2) / 2)


def test_calibration_does_not_depend_on_the_mixture():
    fake, score = arrays([1, 1, 0], [0.5, 2, -1])
    many = np.repeat(np.arange(3), [5, 5, 1])
    one, other = calibrate(fake, score), calibrate(fake[many], score[many])
    assert one is not None
    assert other is not None
    assert one.ece == pytest.approx(other.ece)
    assert one.brier == pytest.approx(other.brier)


def test_calibration_needs_both_classes():
    assert calibrate(*arrays([1, 1], [0, 1])) is None


def test_clips_are_drawn_whole_within_their_label():
    clip = np.repeat(np.arange(6), 4)
    label = clip >= 4
    bootstrap = draw(clip, 50, 0, label)
    weights = np.concatenate(list(bootstrap.weights()))
    assert weights.shape == (50, 24)
    by_clip = weights.reshape(50, 6, 4)
    assert (by_clip == by_clip[:, :, :1]).all()
    assert (by_clip[:, :4, 0].sum(1) == 4).all()
    assert (by_clip[:, 4:, 0].sum(1) == 2).all()
    assert len({tuple(row) for row in by_clip[:, :, 0]}) > 1


def test_a_draw_depends_on_its_seed_only():
    clip = np.array(["b", "a", "b", "c"])
    first, again, other = (draw(clip, 20, seed).counts for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_resampled_means_leave_unknown_values_out():
    bootstrap = draw(np.arange(3), 40, 0)
    values = np.array([1.0, 1.0, np.nan])
    means = bootstrap.mean(values)
    none = bootstrap.counts[:, :2].sum(1) == 0
    assert np.isnan(means[none]).all()
    assert (means[~none] == 1).all()


def test_intervals_of_frames_are_too_narrow():
    """Frames of a clip are alike: drawing them one by one would claim more than the clips can say."""
    generator = np.random.default_rng(0)
    values = np.repeat(generator.normal(size=20), 30)
    low, high = percentiles(draw(np.repeat(np.arange(20), 30), 500, 0).mean(values), 0.95)
    narrow = percentiles(draw(np.arange(600), 500, 0).mean(values), 0.95)
    assert low < values.mean() < high
    assert high - low > 3 * (narrow[1] - narrow[0])


def test_percentiles_leave_nan_out():
    assert percentiles(np.array([np.nan, 0, 1, 2, 3, 4]), 0.5) == (1, 3)
    assert np.isnan(percentiles(np.full(3, np.nan), 0.9)).all()


def test_interval_over_seeds():
    """Of 1, 2, 3: mean 2, deviation 1, and t(0.975, 2) = 4.3027 over the root of 3."""
    found = over_seeds([1, 2, 3, float("nan")], 0.95)
    assert (found.runs, found.mean, found.deviation) == (3, 2, 1)
    assert found.high - 2 == pytest.approx(4.30265 / 3**0.5, rel=1e-5)
    assert 2 - found.low == pytest.approx(found.high - 2)


def test_one_seed_has_no_spread():
    found = over_seeds([0.5], 0.95)
    assert found.mean == 0.5
    assert np.isnan([found.deviation, found.low, found.high]).all()
    assert over_seeds([], 0.95).runs == 0


def model():
    torch.manual_seed(0)
    return LAE(ModelConfig(size=64, width=4, latent=8, residual=False))


def batch(rows):
    generator = torch.Generator().manual_seed(1)
    every = torch.randint(0, 256, (8, 3, 64, 64), generator=generator, dtype=torch.uint8)
    count, none = len(rows), torch.zeros(len(rows), dtype=torch.bool)
    mask = torch.zeros((count, 64, 64), dtype=torch.uint8)
    return Batch(torch.tensor(rows), every[rows], torch.zeros(count), mask, none, none)


def test_predictions_are_ordered_by_row_whatever_the_batches():
    lae = model()
    one = predict(lae, [batch([0, 1, 2, 3, 4])], "cpu", maps=True)
    parts = predict(lae, [batch([4, 1]), batch([3]), batch([0, 2])], "cpu", maps=True)
    assert one.rows.tolist() == parts.rows.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(one.fake, parts.fake, rtol=1e-5)
    assert one.maps is not None
    assert parts.maps is not None
    assert one.maps.shape == (5, 16, 16)
    np.testing.assert_allclose(one.maps, parts.maps, rtol=1e-2)


def test_the_score_is_the_mean_of_the_maps():
    found = predict(model(), [batch([0, 1])], "cpu", maps=True)
    assert found.maps is not None
    np.testing.assert_allclose(found.maps.astype(float).mean((1, 2)), found.fake, rtol=1e-3)
    assert (found.score == found.fake - found.real).all()
    assert (found.called_fake == (found.score > 0)).all()


@pytest.mark.parametrize("training", [True, False])
def test_predicting_leaves_the_model_as_it_was(training):
    lae = model().train(training)
    before = {name: value.clone() for name, value in lae.state_dict().items()}
    found = predict(lae, [batch([0, 1])], "cpu")
    assert lae.training is training
    assert found.maps is None
    assert all(torch.equal(value, before[name]) for name, value in lae.state_dict().items())


def test_predicting_is_in_full_precision():
    plain = predict(model(), [batch([0, 1])], "cpu")
    with torch.autocast("cpu", torch.bfloat16):
        cast = predict(model(), [batch([0, 1])], "cpu")
    assert (plain.fake == cast.fake).all()


@pytest.mark.parametrize("maps", [False, True])
def test_files_of_loading_processes_are_not_kept_open(maps):
    """A batch of a loading process is shared memory: each tensor of it is an open file while it is kept."""
    opened = []

    def batches():
        for number in range(12):
            one = batch([number % 8])
            for tensor in (one.rows, one.image, one.mask):
                tensor.share_memory_()
            yield one
            del one, tensor
            opened.append(len(list(Path("/proc/self/fd").iterdir())))

    found = predict(model(), batches(), "cpu", maps)
    assert len(found.rows) == len(opened) == 12
    assert max(opened[1:]) <= opened[1]


def test_nothing_to_predict():
    found = predict(model(), [], "cpu", maps=True)
    assert len(found.rows) == len(found.score) == 0
