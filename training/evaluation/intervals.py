"""Confidence intervals: by resampling clips, or from runs that differ in their seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# Numbers of a part of the weights that is in memory at once.
_PART = 2_000_000


@dataclass(frozen=True)
class Bootstrap:
    """How often each image is in each resample: units are drawn with replacement, with all of their images.

    Attributes:
      counts: uint16 (B, U), how often each unit is in each resample.
      unit: int64 (N,), the unit of each image.
    """

    counts: NDArray[np.uint16]
    unit: NDArray[np.int64]

    def weights(self) -> Iterator[NDArray[np.float64]]:
        """Parts (b, N) of the resamples' weights, in order."""
        step = max(1, _PART // max(1, len(self.unit)))
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step][:, self.unit].astype(np.float64)

    def mean(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean of values (N,) in each resample, (B,); leaves nan out, and is nan where nothing is left."""
        there = ~np.isnan(values)
        filled = np.where(there, values, 0)
        with np.errstate(invalid="ignore"):
            return np.concatenate([(part @ filled) / (part @ there) for part in self.weights()])


def draw(
    units: NDArray, resamples: int, seed: int, strata: NDArray[np.integer] | NDArray[np.bool_] | None = None
) -> Bootstrap:
    """Draw resamples of units (Efron's bootstrap, of clusters).

    Images of one clip are alike, so that clips and not images are drawn. Within strata as many are drawn as
    there are: with the label as stratum, every resample has as many real and fake clips as the data.

    Args:
      units: (N,), names or numbers of each image's unit.
      resamples: B.
      seed: of the draw; the same for the same units and seed.
      strata: (N,), whole numbers; a unit is of its first image's stratum. None: one for all.
    """
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    stratum = np.zeros(len(first), int) if strata is None else np.asarray(strata)[first].astype(int)
    generator = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(first)), np.uint16)
    for number in np.unique(stratum):
        mine = np.flatnonzero(stratum == number)
        counts[:, mine] = generator.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), resamples)
    return Bootstrap(counts, unit.reshape(-1))


def percentiles(values: NDArray[np.floating], confidence: float) -> tuple[float, float]:
    """The percentile interval of resampled figures; those that are nan are left out.

    Args:
      values: (B,).
      confidence: 0 to 1.

    Returns:
      Its ends; nan where no resample has the figure.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Seeds:
    """A figure over runs that differ in their seed only.

    Attributes:
      runs: that have the figure.
      mean: of them; nan for none.
      deviation: standard deviation (of a sample, n - 1); nan for fewer than two.
      low, high: Student's t interval of the mean; nan for fewer than two.
    """

    runs: int
    mean: float
    deviation: float
    low: float
    high: float


def over_seeds(values: Sequence[float], confidence: float) -> Seeds:
    """Mean and spread of one figure over runs, and the t interval of its mean (normal seeds assumed)."""
    known = np.array([value for value in values if not np.isnan(value)])
    if not len(known):
        return Seeds(0, np.nan, np.nan, np.nan, np.nan)
    mean = float(known.mean())
    if len(known) < 2:
        return Seeds(1, mean, np.nan, np.nan, np.nan)
    deviation = float(known.std(ddof=1))
    reach = float(stats.t.ppf((1 + confidence) / 2, len(known) - 1)) * deviation / len(known) ** 0.5
    return Seeds(len(known), mean, deviation, mean - reach, mean + reach)
