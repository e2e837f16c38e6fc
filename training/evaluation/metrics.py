"""How well fakes are told from reals, with what probability, for one data set or many resamples of it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    recall_score,
    roc_auc_score,
    roc_curve,
)

FIGURES = ("accuracy", "balanced_accuracy", "auc", "eer", "ap")
BINS = 15


def detect(fake: NDArray[np.bool_], score: NDArray[np.floating]) -> dict[str, float]:
    """Figures of a set of images, or of clips.

    accuracy: share that is called right where a score above 0 is called fake (the test rule fake > real).
    balanced_accuracy: mean of the shares of fakes and of reals that are called right.
    auc: area under the ROC curve, the chance that a fake scores above a real (ties count half).
    eer: where as many reals are called fake as fakes are missed, on the straight lines between the points
      of the ROC curve; what the recipe of brentq on 1 - x - interp(x) finds.
    ap: average precision of fakes, sum of (R_n - R_n-1) P_n (scikit-learn's, without interpolation). It
      depends on how many reals there are to a fake.

    Args:
      fake: bool (N,).
      score: (N,), higher is more fake.

    Returns:
      `FIGURES`, each 0 to 1; nan where one needs reals, or fakes, and there are none.
    """
    found = dict.fromkeys(FIGURES, np.nan)
    if not len(fake):
        return found
    found["accuracy"] = float(accuracy_score(fake, score > 0))
    if fake.all() or not fake.any():
        return found
    false_alarms, hits, _ = roc_curve(fake, score, drop_intermediate=False)
    return found | {
        "balanced_accuracy": float(recall_score(fake, score > 0, average="macro")),
        "auc": float(roc_auc_score(fake, score)),
        "eer": float(_crossing(false_alarms[None], hits[None])[0]),
        "ap": float(average_precision_score(fake, score)),
    }


def detect_resampled(
    fake: NDArray[np.bool_], score: NDArray[np.floating], weights: Iterable[NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """What `detect` says of resamples, all at once: the scores are sorted only once.

    Args:
      fake: bool (N,).
      score: (N,).
      weights: parts of the resamples, (b, N) each: how often each image is in it, 0 or more.

    Returns:
      `FIGURES`, float64 (B,); nan for resamples without reals or without fakes.
    """
    order = np.argsort(-score, kind="stable")
    fake, score = fake[order], score[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else np.zeros(0, int)
    right = (score > 0) == fake
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FIGURES}
    for part in weights:
        for name, values in _detect_part(fake, right, last, part[:, order]).items():
            parts[name].append(values)
    return {name: np.concatenate(values) if values else np.zeros(0) for name, values in parts.items()}


def _detect_part(
    fake: NDArray[np.bool_], right: NDArray[np.bool_], last: NDArray[np.intp], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    hit = np.cumsum(weights * fake, axis=1)[:, last]
    alarm = np.cumsum(weights * ~fake, axis=1)[:, last]
    fakes, reals = hit[:, -1:], alarm[:, -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(hit + alarm > 0, hit / (hit + alarm), 0)
        hits = np.pad(hit / fakes, ((0, 0), (1, 0)))
        alarms = np.pad(alarm / reals, ((0, 0), (1, 0)))
        steps = np.diff(hits, axis=1)
        found = {
            "accuracy": (weights @ right) / weights.sum(1),
            "balanced_accuracy": (
                (weights @ (right & fake)) / fakes[:, 0] + (weights @ (right & ~fake)) / reals[:, 0]
            )
            / 2,
            "auc": (np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1]) / 2).sum(1),
            "eer": _crossing(alarms, hits),
            "ap": (steps * precision).sum(1),
        }
    one_class = (fakes[:, 0] == 0) | (reals[:, 0] == 0)
    return {
        name: values if name == "accuracy" else np.where(one_class, np.nan, values)
        for name, values in found.items()
    }


def _crossing(alarms: NDArray[np.float64], hits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where ROC curves (B, K), from (0, 0) to (1, 1), meet the line of equal errors, by interpolation."""
    gap = (1 - hits) - alarms
    after = np.maximum(np.argmax(gap <= 0, axis=1), 1)
    row = np.arange(len(gap))
    before = after - 1
    part = gap[row, before] / (gap[row, before] - gap[row, after])
    return alarms[row, before] + part * (alarms[row, after] - alarms[row, before])


@dataclass(frozen=True)
class Calibration:
    """Whether probabilities can be taken at their word. Reals and fakes count alike, however many there are.

    Attributes:
      ece: expected calibration error, 0 (best) to 1.
      brier: mean squared error of the probability, 0 (best) to 1; 0.25 for always saying one half.
      edges: (BINS + 1,), of the bins of the probability of being fake.
      said: (BINS,), mean probability in each bin; nan where it is empty.
      found: (BINS,), share of fakes in each bin; nan where it is empty.
      share: (BINS,), share of the images in each bin.
    """

    ece: float
    brier: float
    edges: NDArray[np.float64]
    said: NDArray[np.float64]
    found: NDArray[np.float64]
    share: NDArray[np.float64]


def calibrate(fake: NDArray[np.bool_], score: NDArray[np.floating]) -> Calibration | None:
    """Reliability of the probability of being fake, softmax of (real, fake), that is sigmoid of the score.

    ECE: sum over bins of share x |mean probability - share of fakes|, over 15 bins of equal width (Guo et
    al., On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3; with two classes, the
    probability of fake stands for the confidence, as in torchmetrics' BinaryCalibrationError). The Brier
    score is scikit-learn's. In both, all reals together weigh as much as all fakes, as they do in training
    (ours): otherwise they would tell of the test set's mixture.

    Args:
      fake: bool (N,).
      score: (N,).

    Returns:
      None without reals, or without fakes.
    """
    if not fake.any() or fake.all():
        return None
    probability = expit(score.astype(np.float64))
    weight = np.where(fake, 0.5 / fake.sum(), 0.5 / (~fake).sum())
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.digitize(probability, edges[1:-1], right=True), 0, BINS - 1)

    def sums(values: NDArray) -> NDArray[np.float64]:
        return np.bincount(place, weight * values, BINS).astype(np.float64)

    share, said, found = sums(np.ones(len(fake))), sums(probability), sums(fake)
    return Calibration(
        ece=float(np.abs(said - found).sum()),
        brier=float(brier_score_loss(fake, probability, sample_weight=weight)),
        edges=edges,
        said=_over(said, share),
        found=_over(found, share),
        share=share,
    )


def _over(sums: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(sums, share, out=np.full(len(sums), np.nan), where=share > 0)
