"""Figures of an evaluation: of all images, and by method, seen or unseen, compression, dataset."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.clip import compression_rank
from schemas.params_training import EvaluateParams
from training.evaluation import localisation, metrics
from training.evaluation.intervals import Bootstrap, draw, percentiles

Kind = Literal["all", "seen", "unseen", "method", "compression", "dataset", "real"]
Level = Literal["frame", "clip", "mask"]

_CLIP = ["dataset", "clip", "track"]
# Fewer clips or groups of a class than this have no interval: resamples of so few hardly differ (ours).
LEAST = 5


@dataclass(frozen=True)
class Figure:
    """A figure with its interval; None where there is none, and then why.

    Attributes:
      value: the figure.
      low, high: percentile interval over clips.
      group_low, group_high: the same over source groups.
      reason: why the value or the interval over clips is None; "" where neither is.
      group_reason: why the interval over groups is None; "" where it is not.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    group_low: float | None = None
    group_high: float | None = None
    reason: str = ""
    group_reason: str = ""


@dataclass(frozen=True)
class Part:
    """Figures of a part of the images: some fakes, with all reals that go with them.

    Attributes:
      level: what is counted: "frame" and "clip" for detection, "mask" (frames with one) for localisation.
      kind: how the part is chosen.
      name: of the method, compression or dataset; the kind's for others.
      real, fake: images or clips of either label.
      clips: that they are of.
      unknown: fakes that were left out since their mask is unknown ("mask" only).
      blank: images with no attention anywhere ("mask" only).
      figures: by name.
    """

    level: Level
    kind: Kind
    name: str
    real: int
    fake: int
    clips: int
    unknown: int = 0
    blank: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)


def by_clip(frames: pd.DataFrame) -> pd.DataFrame:
    """A row a clip (dataset, clip, track): its score is the mean of its frames'."""
    same = ["key", "group", "method", "compression", "label", "split", "is_fake"]
    how = dict.fromkeys(same, "first") | dict.fromkeys(["real", "fake", "score"], "mean")
    return frames.groupby(_CLIP, sort=True).agg(how).reset_index()


def detection(
    frames: pd.DataFrame, seen: Collection[str], params: EvaluateParams, intervals: bool = True
) -> list[Part]:
    """How well fakes are told from reals, by frame and by clip.

    Clips are drawn for the intervals within their label; source groups (a real clip and its fakes, whatever
    the compression) all together, which is more honest: clips of one group are alike.

    Args:
      frames: as `training.evaluate` makes them.
      seen: methods that the run was trained on.
      params: of evaluation.
      intervals: find them; without, only the figures.
    """
    parts = []
    levels: list[tuple[Level, pd.DataFrame]] = [("frame", frames), ("clip", by_clip(frames))]
    for level, rows in levels:
        for kind, name, chosen in _choose(rows, seen):
            parts.append(_detect(level, kind, name, rows[chosen], params, intervals))
    return parts


def located(
    frames: pd.DataFrame, seen: Collection[str], params: EvaluateParams, intervals: bool = True
) -> list[Part]:
    """Whether attention lies on the forged region: of fakes with a known mask, and IINC of reals as well."""
    parts = []
    fakes = frames[frames.is_fake]
    for kind, name, chosen in _choose(fakes, seen):
        if kind in ("all", "seen", "unseen", "method"):
            parts.append(_locate(kind, name, fakes[chosen], params, intervals))
    reals = frames[~frames.is_fake]
    if len(reals):
        parts.append(_locate("real", "real", reals, params, intervals))
    return parts


def _choose(rows: pd.DataFrame, seen: Collection[str]) -> Iterator[tuple[Kind, str, NDArray[np.bool_]]]:
    """Kind, name and rows of every part. Methods are in order, the seen ones first."""
    real, method = ~rows.is_fake.to_numpy(), rows.method.to_numpy()
    yield "all", "all", np.ones(len(rows), bool)
    known = np.isin(method, sorted(seen))
    yield "seen", "seen", real | known
    yield "unseen", "unseen", real | ~known
    for name in sorted(set(method[~real]), key=lambda name: (name not in seen, name)):
        yield "method", name, real | (method == name)
    for name in sorted(set(rows.compression), key=lambda name: (compression_rank(name), name)):
        yield "compression", name, (rows.compression == name).to_numpy()
    for name in sorted(set(rows.dataset)):
        yield "dataset", name, (rows.dataset == name).to_numpy()


def _detect(
    level: Level, kind: Kind, name: str, rows: pd.DataFrame, params: EvaluateParams, intervals: bool
) -> Part:
    fake, score = rows.is_fake.to_numpy(), rows.score.to_numpy()
    part = Part(level, kind, name, int((~fake).sum()), int(fake.sum()), _count(rows))
    if not fake.any():
        return _nothing(part, metrics.FIGURES, "no fakes")
    values = metrics.detect(fake, score)
    reason = "no reals" if fake.all() else ""

    def resample(bootstrap: Bootstrap) -> dict[str, NDArray[np.float64]]:
        return metrics.detect_resampled(fake, score, bootstrap.weights())

    return _with_figures(part, values, rows, resample if intervals else None, reason, params)


def _locate(kind: Kind, name: str, rows: pd.DataFrame, params: EvaluateParams, intervals: bool) -> Part:
    known = rows[rows.known]
    fake = int(known.is_fake.sum())
    real, unknown, blank = len(known) - fake, len(rows) - len(known), int((known.blank > 0).sum())
    part = Part("mask", kind, name, real, fake, _count(known), unknown, blank)
    names = ("iinc",) if kind == "real" else (*localisation.FIGURES, "area")
    if not len(known):
        return _nothing(part, names, "no known masks" if len(rows) else "no fakes")
    columns = {name: known[name].to_numpy() for name in names}
    values = {name: float(np.nanmean(v)) if (~np.isnan(v)).any() else np.nan for name, v in columns.items()}

    def resample(bootstrap: Bootstrap) -> dict[str, NDArray[np.float64]]:
        return {name: bootstrap.mean(column) for name, column in columns.items()}

    return _with_figures(
        part, values, known, resample if intervals else None, "not defined on these masks", params
    )


def _count(rows: pd.DataFrame) -> int:
    return len(rows.drop_duplicates(_CLIP))


def _nothing(part: Part, names: Collection[str], reason: str) -> Part:
    figures = {name: Figure(None, reason=reason, group_reason=reason) for name in names}
    return replace(part, figures=figures)


def _with_figures(
    part: Part,
    values: dict[str, float],
    rows: pd.DataFrame,
    resample: Callable[[Bootstrap], dict[str, NDArray[np.float64]]] | None,
    reason: str,
    params: EvaluateParams,
) -> Part:
    """The part with figures: those that are nan become None, for a reason."""
    clips, groups = _Intervals(), _Intervals()
    if resample is not None:
        label = rows.is_fake.to_numpy()
        clip, group = _names(rows, _CLIP), _names(rows, ["dataset", "group"])
        clips, groups = (
            _too_few(units, label, called) for units, called in ((clip, "clips"), (group, "groups"))
        )
        if not clips.reason:
            clips = _ends(resample(draw(clip, params.resamples, params.seed, label)), params)
        if not groups.reason:
            groups = _ends(resample(draw(group, params.resamples, params.seed)), params)
    figures = {}
    for name, value in values.items():
        if np.isnan(value):
            figures[name] = Figure(None, reason=reason, group_reason=reason)
        else:
            (low, high, few), (group_low, group_high, group_few) = clips.of(name), groups.of(name)
            figures[name] = Figure(value, low, high, group_low, group_high, few, group_few)
    return replace(part, figures=figures)


@dataclass(frozen=True)
class _Intervals:
    """Ends by figure; or why there are none, "" where they are not asked for."""

    ends: dict[str, tuple[float, float]] = field(default_factory=dict)
    reason: str = ""

    def of(self, name: str) -> tuple[float | None, float | None, str]:
        """Ends of a figure, or why it has none."""
        return (*self.ends[name], "") if name in self.ends else (None, None, self.reason)


def _too_few(units: NDArray[np.int64], label: NDArray[np.bool_], called: str) -> _Intervals:
    """Why units cannot be drawn: those of the class that has fewest are too few."""
    least = min(len(np.unique(units[label == one])) for one in np.unique(label))
    if least >= LEAST:
        return _Intervals()
    return _Intervals(reason=f"{least} {called if least > 1 else called[:-1]}: too few for an interval")


def _names(rows: pd.DataFrame, columns: list[str]) -> NDArray[np.int64]:
    """Number of each row's combination of values."""
    return np.asarray(rows.groupby(columns, sort=True).ngroup(), np.int64)


def _ends(resampled: dict[str, NDArray[np.float64]], params: EvaluateParams) -> _Intervals:
    ends = {name: percentiles(values, params.confidence) for name, values in resampled.items()}
    known = {name: (low, high) for name, (low, high) in ends.items() if not np.isnan(low)}
    return _Intervals(known, "no resample has this figure")
