"""The training loop on batches in memory: what it keeps, where it stops, how it goes on."""

import dataclasses

import pytest
import torch
from torch import nn

from schemas.errors import StoppedError, UsageError
from schemas.params_training import LossParams, StageParams
from tests.training_data import TINY, Memory, make_batch
from training.devices import Process, choose, open_process
from training.fitting import checkpoint
from training.fitting.loop import Trainer, fit
from training.lae.build import check_params, make_model
from training.lae.losses import measure
from training.lae.model import LAE

PRIOR = torch.ones(16, 16)
PRIOR[:, :4] = 0
REALS, FAKES = torch.arange(8).split(4)  # of make_batch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def changed(**changes):
    return dataclasses.replace(TINY, **changes)


def weights_of(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    one = fit(make_model(TINY), Memory(), TINY, 1)
    again = fit(make_model(TINY), Memory(), TINY, 1)
    assert_same(weights_of(one.model), weights_of(again.model))
    assert one.history == again.history
    other = changed(seed=1)
    assert not torch.equal(
        one.model.encoder[0][0].weight, fit(make_model(other), Memory(), other, 1).model.encoder[0][0].weight
    )


@pytest.mark.parametrize(
    ("stage", "params"),
    [
        (1, TINY),
        (1, changed(accumulate=2, loss=LossParams(pixel=0.1))),
        (2, changed(stage2=StageParams(epochs=3, drop=0.2, last=0.5), weight_decay=0.01)),
    ],
)
def test_a_run_that_goes_on_from_any_step_ends_as_one_that_never_stopped(stage, params):
    figures = iter([0.7, 0.6, 0.5])

    def trainer(batches):
        prior = PRIOR if stage == 2 else None
        return Trainer(
            make_model(params), batches, params, stage, prior, validate=lambda _: {"auc": next(figures)}
        )

    whole, states = trainer(Memory(steps=5)), []
    done = whole.run(lambda: states.append((whole.epoch, checkpoint.to_bytes(whole.capture()))))
    assert {epoch for epoch, _ in states} == set(range(len(done.history)))
    for number, (epoch, state) in list(enumerate(states))[::3]:
        figures = iter([0.7, 0.6, 0.5][epoch:])
        batches = Memory(steps=5)
        other = trainer(batches)
        stopped = checkpoint.from_bytes(state)
        other.restore(stopped)
        assert (other.step, batches.asked) == (number + 1 + epoch, [])
        again = other.run()
        assert batches.asked[0] == (epoch, stopped["batch"])
        assert_same(weights_of(done.model), weights_of(again.model))
        assert (again.history, again.best) == (done.history, 1)


def test_gradients_of_two_batches_are_those_of_one_twice_as_large():
    class Frozen(LAE):
        """Batch normalisation with running figures: otherwise batches of another size are another model."""

        def train(self, mode=True):
            super().train(mode)
            for layer in self.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
            return self

    class Halves:
        def __init__(self, parts):
            self.parts, self.steps = parts, len(parts)

        def epoch(self, number, start=0):
            whole = make_batch()
            for part in self.parts:
                yield dataclasses.replace(
                    whole, **{f.name: getattr(whole, f.name)[part] for f in dataclasses.fields(whole)}
                )

    params = changed(stage2=StageParams(epochs=2, lr=0.005), loss=LossParams())
    found = []
    for parts, accumulate in (([range(8)], 1), ([[0, 1, 4, 5], [2, 3, 6, 7]], 2)):
        model = Frozen(make_model(params).config)
        model.load_state_dict(make_model(params).state_dict())
        trainer = Trainer(model, Halves(parts), dataclasses.replace(params, accumulate=accumulate), 2, PRIOR)
        done = trainer.run()
        assert [epoch.step for epoch in done.history] == [1, 2]
        found.append((done.history[0].losses, trainer.capture()["optimizer"]["state"]))
    (losses, moments), (parted_losses, parted_moments) = found
    assert losses == pytest.approx(parted_losses, rel=1e-5)
    assert moments.keys() == parted_moments.keys()
    for number, moment in moments.items():  # Adam's: of gradients, where its steps forget their scale
        parted = parted_moments[number]["exp_avg"]
        assert torch.linalg.norm(moment["exp_avg"] - parted) <= 1e-3 * torch.linalg.norm(parted)


def test_an_epochs_last_batches_make_a_step_of_their_own():
    done = fit(make_model(TINY), Memory(steps=5), changed(accumulate=2), 1)
    assert [epoch.step for epoch in done.history] == [3, 6]


def test_the_learning_rate_drops_in_the_last_part():
    params = changed(stage2=StageParams(epochs=10, lr=0.01, drop=0.1, last=0.3))
    done = fit(make_model(params), Memory(steps=1), params, 2, prior=PRIOR)
    assert [epoch.lr for epoch in done.history] == [0.01] * 7 + [pytest.approx(0.001)] * 3
    done = fit(make_model(params), Memory(steps=1), params, 1)
    assert [epoch.lr for epoch in done.history] == [0.005] * 2


def test_history_holds_the_mean_of_each_loss_that_applied():
    model = make_model(TINY)
    batch = make_batch(seed=0)
    activity, _ = make_model(TINY).train()(batch.image)
    first = measure(activity, None, batch.image, batch.fake, batch.mask, FAKES, REALS, TINY.loss, PRIOR, None)
    done = fit(model, Memory(steps=1), changed(stage2=StageParams(epochs=1)), 2, prior=PRIOR)
    wanted = {name: getattr(first, name).item() for name in ("latent", "attention", "outside")}
    wanted["total"] = wanted["latent"] + wanted["attention"] + 2 * wanted["outside"]
    assert done.history[0].losses == pytest.approx(wanted, rel=1e-4)
    done = fit(make_model(TINY), Memory(steps=1), TINY, 1)
    assert done.history[0].losses.keys() == {"total", "latent"}


def test_batches_without_masks_train_as_if_attention_had_no_weight():
    params = changed(stage2=StageParams(epochs=1))
    done = fit(make_model(params), Memory(labelled=False), params, 2, prior=PRIOR)
    assert done.history[0].losses.keys() == {"total", "latent", "outside"}
    off = dataclasses.replace(params, loss=dataclasses.replace(params.loss, attention=0.0))
    assert_same(weights_of(done.model), weights_of(fit(make_model(off), Memory(), off, 2, prior=PRIOR).model))


def test_without_a_prior_masks_make_no_difference():
    """A mask-free twin of stage 2."""
    twins = [fit(make_model(TINY), Memory(labelled=labelled), TINY, 2) for labelled in (True, False)]
    assert_same(*(weights_of(twin.model) for twin in twins))
    masked = fit(make_model(TINY), Memory(), TINY, 2, prior=PRIOR)
    assert not torch.equal(masked.model.encoder[0][0].weight, twins[0].model.encoder[0][0].weight)


def test_nothing_is_decoded_without_a_loss_on_it():
    done = fit(make_model(TINY), Memory(steps=2), TINY, 1)
    before = make_model(TINY).decoder.state_dict()
    assert_same(dict(before), weights_of(done.model.decoder))
    done = fit(done.model, Memory(steps=2), changed(loss=LossParams(pixel=0.1)), 1)
    assert not torch.equal(before["0.0.weight"], done.model.decoder[0][0].weight)


@pytest.mark.parametrize(
    ("keep", "by", "wanted"), [("best", "auc", 3), ("best", "accuracy", 2), ("last", "auc", 4)]
)
def test_the_weights_that_are_kept(keep, by, wanted):
    auc, accuracy, seen = iter([0.5, 0.9, 0.9, 0.1]), iter([0.5, 0.8, 0.7, 0.6]), []

    def validate(model):
        seen.append(weights_of(model))
        return {"auc": next(auc), "balanced_accuracy": next(accuracy)}

    params = changed(keep=keep, best_by=by, stage1=StageParams(epochs=4))
    done = fit(make_model(params), Memory(steps=2), params, 1, validate=validate)
    assert done.best == wanted
    assert_same(weights_of(done.model), seen[wanted - 1])
    assert [epoch.figures["auc"] for epoch in done.history] == [0.5, 0.9, 0.9, 0.1]


@pytest.mark.parametrize("validate", [None, lambda model: {}])
def test_without_validation_the_last_epoch_is_kept(validate):
    done = fit(make_model(TINY), Memory(steps=2), TINY, 1, validate=validate)
    assert done.best == 2


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved():
    params = changed(stage1=StageParams(epochs=3, lr=1e30))
    steps = []
    trainer = Trainer(make_model(params), Memory(), params, 1)
    with pytest.raises(
        StoppedError, match=r"the loss is (nan|inf) at batch 2 of epoch 1 \(step 2\); lower train\.stage1\.lr"
    ):
        trainer.run(lambda: steps.append(trainer.step))
    assert steps == [1]


def test_bf16_trains_nearly_as_fp32():
    params = changed(loss=LossParams(pixel=0.1))
    full = fit(make_model(params), Memory(), params, 1)
    half = fit(make_model(params), Memory(), dataclasses.replace(params, precision="bf16"), 1)
    assert next(half.model.parameters()).dtype == torch.float32
    assert half.history[-1].losses["latent"] == pytest.approx(full.history[-1].losses["latent"], abs=0.1)
    assert not torch.equal(half.model.encoder[0][0].weight, full.model.encoder[0][0].weight)


def test_fp16_is_refused_on_the_cpu():
    with pytest.raises(UsageError, match=r"train\.precision: fp16 needs a GPU; set it to bf16 or fp32"):
        fit(make_model(TINY), Memory(), changed(precision="fp16"), 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accumulate": 0}, "train.accumulate: 0; it must be at least 1"),
        ({"stage1": StageParams(epochs=0)}, "train.stage1.epochs: 0; it must be at least 1"),
        ({"stage2": StageParams(epochs=1, lr=0.0)}, r"train.stage2.lr: 0.0; it must be above 0"),
        ({"stage2": StageParams(epochs=1, lr=float("nan"))}, "train.stage2.lr: nan"),
        ({"stage2": StageParams(epochs=1, last=1.5)}, "train.stage2.last: 1.5; it must be from 0 to 1"),
        ({"weight_decay": -1.0}, "train.weight_decay: -1.0"),
        ({"loss": LossParams(attention=-1.0)}, "train.loss.attention: -1.0; it must be at least 0"),
        (
            {"loss": LossParams(perceptual=1.0)},
            "train.loss.perceptual is 1.0, but train.loss.perceptual_weights names no file; give",
        ),
        ({"loss": LossParams(latent=0.0, pixel=0.0)}, "train.loss.latent: 0.0; it must be above 0 where"),
    ],
)
def test_parameters_that_no_training_can_have(changes, said):
    with pytest.raises(UsageError, match=said):
        check_params(changed(**changes))


def test_devices(monkeypatch):
    assert choose("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:0"):
        with pytest.raises(UsageError, match=f"--device {name}: PyTorch finds no CUDA device here; give"):
            choose(name)
    for name in ("mps", "tpu", "auto:0", "cuda:x", "cuda:-1", ""):
        with pytest.raises(
            UsageError, match=f"--device {name}: not a device; give auto, cpu, cuda or cuda:N"
        ):
            choose(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [choose("auto"), choose("cuda", 1), choose("cuda:1")] == [
        torch.device("cuda", number) for number in (0, 1, 1)
    ]
    with pytest.raises(UsageError, match=r"--device cuda:2: GPU 2 is asked for, and this machine has 2"):
        choose("cuda:2")
    used = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    with open_process("cuda:1") as alone:
        assert used == [alone.device] == [torch.device("cuda", 1)]
    with open_process("cpu") as alone:
        assert alone == Process(torch.device("cpu"), 0, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"torchrun started 2 processes.*give cuda"), open_process("cuda:1"):
        pass
