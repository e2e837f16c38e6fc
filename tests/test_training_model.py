"""LAE and its losses against what can be worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional

from schemas.errors import UsageError
from schemas.params_training import LossParams, TrainParams
from tests.training_data import TINY, make_batch
from training.fitting.loop import fit
from training.lae import losses
from training.lae.build import check_params, config_of, make_model
from training.lae.model import LAE, ModelConfig, high_pass, select, split

CONFIG = ModelConfig(64, 4, 8, True)
ONES = torch.ones(16, 16)
NONE = torch.tensor([], dtype=torch.int64)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LAE(CONFIG).train()


def activity_of(real_map, fake_map):
    """Of maps (B, g, g): each half of the latent is two channels whose mean is its map."""
    halves = [torch.stack([half * 0.5, half * 1.5], 1) for half in (real_map, fake_map)]
    return split(torch.cat(halves, 1))


def rows_of(batch):
    """The numbers of the labelled and of the real images."""
    return batch.labelled.nonzero().flatten(), (batch.fake < 0.5).nonzero().flatten()


def gradients(model, batch, prior, weights):
    model.zero_grad()
    activity, decoded = model(batch.image, batch.fake if weights.pixel else None)
    found = losses.measure(
        activity, decoded, batch.image, batch.fake, batch.mask, *rows_of(batch), weights, prior, None
    )
    found.total(weights).backward()
    return found, {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


def test_the_score_is_the_mean_of_the_map(model):
    activity, decoded = model(make_batch().image)
    assert decoded is None
    assert activity.latent.shape == (8, 8, 16, 16)
    assert activity.latent.min() >= 0
    torch.testing.assert_close(activity.fake, activity.fake_map.mean((1, 2)))
    torch.testing.assert_close(activity.real, activity.real_map.mean((1, 2)))
    torch.testing.assert_close(activity.score, activity.fake - activity.real)


def test_the_map_is_the_gradient_weighted_sum_of_the_channels(model):
    """What Grad-CAM and the paper's interpretation come to where every active unit has the same gradient."""
    activity, _ = model(make_batch().image)
    latent = activity.latent
    gradient = torch.autograd.grad(split(latent).fake.sum(), latent)[0]
    assert not gradient[:, :4].any()
    (share,) = gradient[:, 4:][latent[:, 4:] > 0].unique()
    torch.testing.assert_close(activity.fake_map, (share * 16 * 16 * latent[:, 4:]).sum(1))


def test_mean_activity_by_hand():
    latent = torch.zeros(1, 4, 2, 2)
    latent[0, 0, 0, 0] = 4.0  # real half: 4 of 8 cells' sum
    latent[0, 2:, 1, :] = 3.0  # fake half: four cells of 3
    activity = split(latent)
    assert activity.real.item() == 4 / 8
    assert activity.fake.item() == 12 / 8
    assert activity.real_map.tolist() == [[[2.0, 0.0], [0.0, 0.0]]]
    assert activity.fake_map.tolist() == [[[0.0, 0.0], [3.0, 3.0]]]
    # |1.5 - 1| + |0.5 - 0| for a fake, |1.5 - 0| + |0.5 - 1| for a real
    assert losses.latent_loss(activity, torch.tensor([1.0])).item() == 1.0
    assert losses.latent_loss(activity, torch.tensor([0.0])).item() == 2.0


def test_the_half_that_the_label_does_not_name_is_zeroed_before_decoding(model):
    model.eval()
    latent = torch.rand(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    fake = torch.tensor([0.0, 1.0])
    chosen = select(latent, fake)
    assert torch.equal(chosen[0, :4], latent[0, :4])
    assert torch.equal(chosen[1, 4:], latent[1, 4:])
    assert not chosen[0, 4:].any()
    assert not chosen[1, :4].any()
    other = latent.clone()
    other[0, 4:] += 5
    other[1, :4] += 5
    with torch.no_grad():
        before, after = model.decoder(chosen), model.decoder(select(other, fake))
        assert torch.equal(before, after)
        other[0, :4] += 5
        assert not torch.allclose(before[0], model.decoder(select(other, fake))[0])


def test_decoding_has_the_images_shape_and_takes_the_labels_half(model):
    model.eval()
    batch = make_batch()
    with torch.no_grad():
        activity, decoded = model(batch.image, batch.fake)
        again = model.decoder(select(activity.latent, batch.fake))
    assert decoded.shape == batch.image.shape
    assert 0 <= decoded.min() <= decoded.max() <= 1
    torch.testing.assert_close(decoded, again)


def test_fakes_drive_the_second_half_up_and_reals_the_first():
    """The order of the halves: real first."""

    class Same:
        steps = 30

        def epoch(self, number, start=0):
            for _ in range(start, self.steps):
                yield make_batch()

    model = fit(make_model(TINY), Same(), TINY, 1).model
    batch = make_batch()
    with torch.no_grad():
        latent = model(batch.image)[0].latent
    real, fake = latent[:, :4].mean((1, 2, 3)), latent[:, 4:].mean((1, 2, 3))
    assert (fake[4:] > real[4:] + 0.5).all()
    assert (real[:4] > fake[:4] + 0.5).all()


def test_a_batch_without_masks_has_no_attention_gradient(model):
    batch = make_batch(labelled=False)
    on = LossParams(pixel=0.0, attention=7.0, outside=0.0)
    off = LossParams(pixel=0.0, attention=0.0, outside=0.0)
    found, with_attention = gradients(model, batch, ONES, on)
    assert found.attention is None
    _, without = gradients(model, batch, ONES, off)
    assert with_attention.keys() == without.keys()
    assert all(torch.equal(with_attention[name], without[name]) for name in without)
    _, labelled = gradients(model, make_batch(labelled=True), ONES, on)
    assert not all(torch.equal(labelled[name], without[name]) for name in without)


def test_the_attention_gradient_comes_from_annotated_images_alone(model):
    model.eval()  # batch normalisation would mix the images
    batch = make_batch()
    batch.labelled[:] = False
    batch.labelled[5] = True
    image = batch.image.float().div(255).requires_grad_()
    activity, _ = model(image)
    losses.attention_loss(activity, batch.mask, rows_of(batch)[0], "bce").backward()
    assert image.grad[5].any()
    assert not image.grad[[0, 1, 2, 3, 4, 6, 7]].any()


def test_stage_1_has_neither_attention_nor_outside(model):
    found, _ = gradients(model, make_batch(), None, LossParams(pixel=0.0))
    assert found.attention is None
    assert found.outside is None


def test_weights_of_zero_leave_losses_out_and_the_total_is_the_weighted_sum(model):
    batch = make_batch()
    weights = LossParams(latent=2.0, pixel=0.5, attention=3.0, outside=4.0)
    found, _ = gradients(model, batch, ONES, weights)
    parts = 2 * found.latent + 0.5 * found.pixel + 3 * found.attention + 4 * found.outside
    torch.testing.assert_close(found.total(weights), parts)
    found, grads = gradients(model, batch, ONES, LossParams(pixel=0.0, attention=0.0, outside=0.0))
    assert (found.pixel, found.perceptual, found.attention, found.outside) == (None, None, None, None)
    assert not any(name.startswith("decoder") for name in grads)


def test_masks_shrink_by_the_area_that_they_cover():
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[0, :2, :3] = 255  # 6 of the first cell's 16 pixels
    mask[0, 4:8, 4:8] = 255
    small = losses.shrink(mask, 16)
    assert small[0, 0, 0].item() == 6 / 16
    assert small[0, 1, 1].item() == 1
    assert small.sum().item() == 1 + 6 / 16


def test_attention_by_hand():
    found = torch.tensor([[[2.0, 1.0], [0.0, 0.0]]])
    activity = activity_of(torch.zeros_like(found), found)
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[0, :32, :32] = 255
    chosen = torch.tensor([0])
    mse = losses.attention_loss(activity, mask, chosen, "mse")
    assert mse.item() == pytest.approx(0.5**2 / 4, rel=1e-5)
    bce = losses.attention_loss(activity, mask, chosen, "bce")
    hit, miss, none = (1 - math.exp(-2)), (1 - math.exp(-1)), 1e-4
    wanted = -(math.log(hit) + math.log(1 - miss) + 2 * math.log(1 - none)) / 4
    assert bce.item() == pytest.approx(wanted, rel=1e-5)
    assert losses.attention_loss(activity, mask, NONE, "bce") is None


def test_a_map_of_nothing_but_zeros_has_a_finite_gradient():
    found = torch.zeros(1, 16, 16, requires_grad=True)
    for form in ("mse", "bce"):
        activity = activity_of(torch.zeros(1, 16, 16), found)
        mask = torch.full((1, 64, 64), 255, dtype=torch.uint8)
        loss = losses.attention_loss(activity, mask, torch.tensor([0]), form)
        (gradient,) = torch.autograd.grad(loss, found)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_the_face_prior_is_the_mean_and_its_mirror_above_a_tenth():
    masks = torch.zeros(10, 64, 64, dtype=torch.uint8)
    masks[:4, :4, :4] = 255  # 0.4 of the masks at the left corner: 0.2 with the mirror
    masks[0, 60:, :4] = 255  # 0.1 at the bottom: 0.05 with the mirror
    prior = losses.face_prior(masks, 16)
    wanted = torch.zeros(16, 16)
    wanted[0, 0] = wanted[0, 15] = 1
    assert torch.equal(prior, wanted)


def test_outside_by_hand():
    found = torch.tensor([[[3.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 9.0]]])
    prior = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    activity = activity_of(found, torch.ones_like(found))
    both = losses.outside_loss(activity, torch.tensor([0, 1]), prior)
    assert both.item() == pytest.approx((1 / 4 + 1) / 2, rel=1e-5)
    first = losses.outside_loss(activity, torch.tensor([0]), prior)
    assert first.item() == pytest.approx(1 / 4, rel=1e-5)
    assert losses.outside_loss(activity, NONE, prior) is None


def test_the_residual_of_a_flat_image_is_zero_and_of_a_dot_is_twelve_times_what_stands_out():
    assert high_pass(torch.full((1, 3, 8, 8), 0.3)).abs().max() < 1e-5
    dot = torch.zeros(1, 3, 8, 8)
    dot[..., 4, 4] = 0.9
    residual = high_pass(dot)
    assert residual[0, 0, 4, 4].item() == pytest.approx(12 * (0.9 - 0.1))
    assert residual[0, 0, 3, 4].item() == pytest.approx(12 * -0.1)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("image", ["bytes", "floats"])
def test_bytes_and_floats_are_the_same_image(residual, image):
    torch.manual_seed(0)
    model = LAE(ModelConfig(64, 4, 8, residual)).eval()
    batch = make_batch(count=2)
    with torch.no_grad():
        whole = model(batch.image)[0].fake
        torch.testing.assert_close(model(batch.image.float() / 255)[0].fake, whole)


@pytest.mark.parametrize(("size", "grid"), [(64, 16), (80, 20), (112, 28), (128, 16), (240, 30), (256, 16)])
def test_sizes_from_64_to_256(size, grid):
    model = LAE(ModelConfig(size, 2, 4, True)).eval()
    with torch.no_grad():
        activity, decoded = model(torch.zeros(1, 3, size, size), torch.ones(1))
    assert activity.fake_map.shape == (1, grid, grid)
    assert decoded.shape == (1, 3, size, size)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 48}, "train.size: 48; it must be a multiple of 16 from 64 to 256"),
        ({"size": 272}, "train.size: 272"),
        ({"size": 100}, "train.size: 100"),
        ({"width": 0}, "train.width: 0"),
        ({"latent": 7}, "train.latent: 7; it must be even"),
        ({"latent": 0}, "train.latent: 0"),
    ],
)
def test_models_that_cannot_be_built(change, said):
    values = {"size": 64, "width": 4, "latent": 8, "residual": True} | change
    with pytest.raises(ValueError, match=said):
        ModelConfig(**values)
    with pytest.raises(UsageError, match=said):
        check_params(TrainParams(**values))


def test_initial_weights_come_from_the_seed_and_leave_the_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = make_model(TrainParams(seed=1)), make_model(TrainParams(seed=1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    different = make_model(TrainParams(seed=2))
    assert not torch.equal(next(one.parameters()), next(different.parameters()))
    assert config_of(TrainParams()) == one.config


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """The layers that are used, with random weights, under torchvision's names."""
    from torchvision.models import vgg16

    torch.manual_seed(0)
    with torch.device("meta"):
        layers = vgg16(weights=None).features[:16]  # to the end of the third block
    layers.to_empty(device="cpu")
    for layer in layers:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save({f"features.{name}": value for name, value in layers.state_dict().items()}, path)
    return path, layers


def test_the_perceptual_loss_is_the_distance_of_features(vgg):
    path, layers = vgg
    distance = losses.VggDistance(path)
    first, second = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert distance(first, first).item() == 0
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.no_grad():
        features = [layers((image - mean) / std) for image in (first, second)]
    assert features[0].shape == (2, 256, 16, 16)
    torch.testing.assert_close(distance(first, second), functional.mse_loss(*features))
    second.requires_grad_()
    distance(first, second).backward()
    assert second.grad.any()
    assert all(weight.grad is None for weight in distance.parameters())


def test_the_perceptual_loss_trains_the_decoder(vgg, model):
    batch = make_batch(count=2)
    weights = LossParams(pixel=0.0, perceptual=1.0)
    activity, decoded = model(batch.image, batch.fake)
    found = losses.measure(
        activity,
        decoded,
        batch.image,
        batch.fake,
        batch.mask,
        *rows_of(batch),
        weights,
        None,
        losses.VggDistance(vgg[0]),
    )
    assert found.pixel is None
    found.total(weights).backward()
    assert all(weight.grad is not None for weight in model.decoder.parameters())


def test_perceptual_weights_that_are_missing_or_something_else(vgg, tmp_path):
    with pytest.raises(UsageError, match=r"no\.pth: no such file; give torchvision's VGG-16 weights"):
        losses.VggDistance(tmp_path / "no.pth")
    garbage, cut, other = (tmp_path / name for name in ("garbage.pth", "cut.pth", "other.pth"))
    garbage.write_bytes(b"hello" * 100)
    cut.write_bytes(vgg[0].read_bytes()[:5000])
    torch.save({"features.0.weight": torch.zeros(1)}, other)
    for path in (garbage, cut, other):
        with pytest.raises(UsageError, match=rf"{path.name}: not VGG-16 weights of torchvision"):
            losses.VggDistance(path)
