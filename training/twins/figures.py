"""What a trained model of the experiment is judged by."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from training.evaluation.localisation import localise
from training.evaluation.predict import predict
from training.lae.model import LAE
from training.twins.memory import Images

_THRESHOLD = 0.5
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Judged:
    """The images that models are judged on.

    Attributes:
      clean: reals and fakes of all methods, without an artefact.
      marked: reals and seen fakes with it; None where there is none.
      seen: the method that was trained on.
      device: where to compute.
    """

    clean: Images
    marked: Images | None
    seen: str
    device: torch.device


def judge(panel: Judged, model: LAE) -> Iterator[tuple[str, str, float]]:
    """Figures of a model: identity ("" is everybody), name and value.

    auc_M, accuracy_M: of method M's fakes against reals, without an artefact; M is also "seen" and "unseen"
      (all other methods together). Accuracy is balanced, under the rule fake > real.
    false_alarms: share of reals without an artefact that are called fake; false_alarms_marked: of those with.
    auc_artefact: of reals with the artefact against reals without; 0.5 is a model that does not look at it,
      wherever its threshold is.
    accuracy_marked: balanced accuracy where fakes carry the artefact and reals do not, as in training.
    outside_M, iou_M: of the attention maps of fakes without an artefact (`training.evaluation.localisation`).
    """
    clean = predict(model, panel.clean.batches(), panel.device, maps=True)
    assert clean.maps is not None
    method, target = panel.clean.column("method"), panel.clean.column("target")
    real = method == "real"
    groups = {name: method == name for name in sorted(set(method[~real]))}
    groups |= {"seen": method == panel.seen, "unseen": ~real & (method != panel.seen)}
    mask = panel.clean.mask.numpy()
    mask = np.where(panel.clean.known.numpy()[:, None, None], mask, 0)
    places = localise(clean.maps, mask, clean.called_fake, _THRESHOLD)
    marked = None if panel.marked is None else predict(model, panel.marked.batches(), panel.device)
    for identity in ("", *sorted(set(target))):
        own = np.ones(len(target), bool) if not identity else target == identity
        for name, group in groups.items():
            yield identity, f"auc_{name}", _auc(clean.score[own & real], clean.score[own & group])
            yield identity, f"accuracy_{name}", _accuracy(clean.score[own & real], clean.score[own & group])
        for name in ("seen", "unseen"):
            for figure in ("outside", "iou"):
                yield identity, f"{figure}_{name}", _mean(places[figure][own & groups[name]])
        yield identity, "false_alarms", _mean(clean.called_fake[own & real])
        if marked is not None and panel.marked is not None:
            there = panel.marked.column("method")
            mine = np.ones(len(there), bool) if not identity else panel.marked.column("target") == identity
            yield identity, "false_alarms_marked", _mean(marked.called_fake[mine & (there == "real")])
            bearers, fakes = (
                marked.score[mine & (there == "real")],
                marked.score[mine & (there == panel.seen)],
            )
            yield identity, "auc_artefact", _auc(clean.score[own & real], bearers)
            yield identity, "accuracy_marked", _accuracy(clean.score[own & real], fakes)


def _mean(values: npt.NDArray) -> float:
    values = values[~np.isnan(values.astype(float))]
    return float(values.mean()) if len(values) else math.nan


def _auc(reals: npt.NDArray, fakes: npt.NDArray) -> float:
    if not len(reals) or not len(fakes):
        return math.nan
    return float(roc_auc_score(np.r_[np.zeros(len(reals)), np.ones(len(fakes))], np.r_[reals, fakes]))


def _accuracy(reals: npt.NDArray, fakes: npt.NDArray) -> float:
    if not len(reals) or not len(fakes):
        return math.nan
    return float(((reals <= 0).mean() + (fakes > 0).mean()) / 2)
