"""What a person may set of training, label requests, labels and evaluation."""

from typing import Literal, get_args

from schemas.experiment import Arm, Artefact, Variant
from schemas.record import record
from schemas.request import Strategy


@record
class StageParams:
    """One stage of training.

    Attributes:
      epochs: passes over the more frequent class; the other is repeated.
      lr: Adam's learning rate.
      drop: factor on it in the last part of the stage.
      last: share of the stage's steps that are the last part, 0 to 1.
    """

    epochs: int
    lr: float = 0.005
    drop: float = 1.0
    last: float = 0.0


@record
class LossParams:
    """Weights of LAE's losses; 0 leaves one out.

    Attributes:
      latent: activity of the half that the label names, against that of the other.
      pixel: mean squared error of the reconstruction.
      perceptual: mean squared error of its VGG-16 features.
      perceptual_weights: file of VGG-16 weights (torchvision's); "" is none.
      attention: the fake half's attention map against the mask, on annotated fakes (stage 2).
      attention_form: "mse" (squared error of the map over its maximum: the paper's, as far as
        that is known) or "bce" (cross-entropy of 1 - exp(-map)).
      outside: the real half's activity outside faces, on reals (stage 2); 0 is the paper's form.
    """

    latent: float = 1.0
    pixel: float = 0.1
    perceptual: float = 0.0
    perceptual_weights: str = ""
    attention: float = 1.0
    attention_form: Literal["mse", "bce"] = "bce"
    outside: float = 2.0


@record
class TrainParams:
    """Training of LAE.

    Attributes:
      size: edge of the input in pixels, 64 to 256; crops are scaled to it.
      width: channels of the first layer; the others grow with it.
      latent: channels of the latent; half of them for real, half for fake.
      residual: take a fixed high-pass residual of the image as the encoder's input.
      batch: images a step and device; half of them real.
      labelled: of those, images with masks (stage 2).
      accumulate: batches whose gradients are added up before a step.
      precision: "fp32", "bf16" or "fp16" (with gradient scaling).
      workers: loading processes a device.
      shuffle: encoded samples that wait in each worker's shuffle buffer.
      crop: share of the edge that a random crop leaves out, at most.
      flip: share of images that are mirrored.
      pairs: each fake of a batch goes with the real of the same frame.
      weight_decay: Adam's.
      keep: the epoch that is kept: "best" (by `best_by`) or "last".
      best_by: figure on the validation split: "accuracy" (balanced) or "auc".
      seed: of weights, order and augmentation.
      stage1, stage2: without and with masks.
      loss: weights.
    """

    size: int = 64
    width: int = 16
    latent: int = 64
    residual: bool = True
    batch: int = 32
    labelled: int = 8
    accumulate: int = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    workers: int = 2
    shuffle: int = 2000
    crop: float = 0.11
    flip: float = 0.5
    pairs: bool = False
    weight_decay: float = 0.0
    keep: Literal["best", "last"] = "best"
    best_by: Literal["accuracy", "auc"] = "auc"
    seed: int = 0
    stage1: StageParams = StageParams(epochs=6)
    stage2: StageParams = StageParams(epochs=12, drop=0.2, last=0.3)
    loss: LossParams = LossParams()


@record
class RequestParams:
    """Which crops people are asked about.

    Attributes:
      strategy: see `training.asking.selection`.
      budget: most requests over all rounds, as a share of the training images.
      per_clip: most frames of a clip.
      seed: of what is drawn by lot.
    """

    strategy: Strategy = "ranking"
    budget: float = 0.03
    per_clip: int = 2
    seed: int = 0


@record
class LabelParams:
    """How answers become labels.

    Attributes:
      agreement: intersection over union from which two masks agree, 0 to 1.
      outside: most of a mask's area that may lie outside the face, 0 to 1.
    """

    agreement: float = 0.6
    outside: float = 0.5


@record
class EvaluateParams:
    """Evaluation.

    Attributes:
      resamples: of the bootstrap over clips.
      confidence: of the intervals, 0 to 1.
      threshold: of the attention map over its maximum, for intersection over union and IINC.
      gallery: pictures in each gallery.
      seed: of the bootstrap.
    """

    resamples: int = 1000
    confidence: float = 0.95
    threshold: float = 0.5
    gallery: int = 24
    seed: int = 0


@record
class ExperimentParams:
    """The experiment with twins (`training.experiment`); other parameters of training are those of `train`.

    Crops are read with a margin of `train.crop` and cut at random; judged are their middles.

    Attributes:
      seeds: of weights, order, augmentation and lots.
      steps1, steps2: of the stages.
      compression: of the images; "" takes all.
      seen: method that is trained on, but in the setting where each is in turn.
      artefacts: planted shortcuts.
      arms: which fakes have masks, and which losses use them.
      budgets: requests as shares of the training images; the last is the one of all other comparisons.
      variants: of training without a shortcut.
      resamples: of the bootstrap over seeds and identities.
      workers: models that are trained at once on a CPU; 0 is one a core.
    """

    seeds: int = 5
    steps1: int = 150
    steps2: int = 300
    compression: str = "c23"
    seen: str = "Deepfakes"
    artefacts: tuple[Artefact, ...] = get_args(Artefact)
    arms: tuple[Arm, ...] = get_args(Arm)
    budgets: tuple[float, ...] = (0.005, 0.01, 0.02, 0.03)
    variants: tuple[Variant, ...] = get_args(Variant)
    resamples: int = 2000
    workers: int = 0
