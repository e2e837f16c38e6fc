"""The difference mask: where a forgery differs from its real clip by more than the clip's own codec noise."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from transforms.difference.box import fill_box, find_box
from transforms.difference.clip import MARGIN, ClipRegion, Points, contrast
from transforms.difference.exact import (
    agreement,
    amplitude,
    changed_region,
    cut_back,
    fade,
    feather,
    rounding_limit,
)
from transforms.difference.noise import (
    WORK,
    BoolMap,
    FloatMap,
    NoiseCurve,
    clean_rim,
    codec_level,
    difference,
    energy,
    fill,
    offset,
    texture,
    undisturbed,
)
from transforms.difference.pairs import CropShapes, Image, Pairs

__all__ = ["CropShapes", "DifferenceModel", "DifferenceParams", "FrameMask"]

_NOISE_FRAMES = 12
_CLIP_FRAMES = 24
_EDGE_STEP = 4
_CLEAN_RIM = 0.68
_RIM = 16
_LEAST_RIM = 0.02
_BOX_SIGMA, _BOX_EXCESS = 2.0, 0.8
_STILL = 0.8
_LEAST_SHARE = 0.002
_CLEAR = 1.5
_NEIGHBOUR = float(np.exp(-2.0))


@dataclass(frozen=True)
class DifferenceParams:
    """What a person may set.

    Attributes:
      gate: least signal to noise (nepers) of a mask; below it the mask is unknown. 1 is an energy ratio of e.
    """

    gate: float = 1.0


@dataclass(frozen=True)
class FrameMask:
    """The mask of one crop.

    Attributes:
      mask: (S, S) bool; None where the difference cannot be told from codec noise (unknown, not "real").
      noise: mean |dY| of the outside pixels that the codec touched, 0 to 255; 0 without compression.
      snr: mean log energy inside the region over that outside, nepers; where the clip is below the gate the
        clip's best.
      score: 0 (unknown) to 1: how sure the outline is. Under a codec the certainty of the pixels within 4 px
        of it; without one 0.5 to 1, by how much of the mask changed.
    """

    mask: BoolMap | None
    noise: float
    snr: float
    score: float


class DifferenceModel:
    """Difference masks of one pair of clips, calibrated on the codec noise outside the face.

    Memory does not grow with the clip: statistics come from at most 24 evenly spread frames, and `frame`
    keeps three. `frame` is quickest in ascending order. No randomness.

    The rule: log energy of the smoothed difference, less the energy that codec noise has at this texture
    outside the face; then the region (a closed contour by dynamic programming; where it does not fit, a
    region of any topology by total variation) that best separates forged from real by likelihood ratios
    learnt from the clip itself, moved to where the blend begins. Without codec noise: what changed at all,
    moved to a tenth of opacity.

    Source: this project's own; `benchmarks/mask_truth.py` measures it.

    Attributes:
      lossless: True where the pair carries no codec noise.
      noise: as in `FrameMask`.
      snr: of the clip's region, nepers; what the gate tests.
    """

    def __init__(self, pairs: Pairs, params: DifferenceParams, *, dense: bool) -> None:
        self._pairs = pairs
        self._params = params
        self._dense = dense
        self._cache: OrderedDict[int, FloatMap] = OrderedDict()
        self.lossless = False
        self.noise = 0.0
        self.snr = 0.0

    @classmethod
    def fit(
        cls,
        real: Sequence[Image],
        fake: Sequence[Image],
        shapes: CropShapes,
        *,
        dense: bool,
        lossless: bool | None = None,
        params: DifferenceParams | None = None,
    ) -> "DifferenceModel":
        """Learn the clip's noise and region.

        Args:
          real: (S, S, 3) uint8 RGB crops. May read from disk.
          fake: the crops of the same frames of the forged clip, warped by the same matrices.
          shapes: outlines of the same frames.
          dense: consecutive entries are consecutive frames.
          lossless: whether the pair is known to be free of codec noise; None finds out from the pixels.
          params: what a person may set.

        Raises:
          ValueError: no frames, or pairs of unequal length or shape.
        """
        model = cls(Pairs(real, fake, shapes), params or DifferenceParams(), dense=dense)
        model._fit_noise(lossless)
        if not model.lossless:
            model._fit_region()
        return model

    def _fit_noise(self, lossless: bool | None) -> None:
        chosen = _spread(len(self._pairs), _NOISE_FRAMES)
        deltas, lumas, seen = [], [], []
        for i in chosen:
            real, fake = self._pairs.crops(i)
            delta, luma = difference(real, fake)
            deltas.append(delta)
            lumas.append(luma)
            seen.append((real | fake).any(2))
        outside = [~fill(self._pairs.oval(i), MARGIN) & free for i, free in zip(chosen, seen, strict=True)]
        first = offset(deltas, outside)
        outside = undisturbed([delta - first for delta in deltas], outside)
        self._offset = offset(deltas, outside)
        self.clean = clean_rim([delta - self._offset for delta in deltas], seen)
        self.lossless = self.clean > _CLEAN_RIM if lossless is None else lossless
        deltas = [delta - self._offset for delta in deltas]
        oval = np.mean([self._pairs.oval(i) for i in chosen], axis=0)
        if self.lossless:
            self._fit_exact(deltas, lumas, outside, oval)
        else:
            self._fit_curve(deltas, lumas, outside, oval)

    def _fit_exact(
        self, deltas: list[FloatMap], lumas: list[FloatMap], outside: list[BoolMap], oval: Points
    ) -> None:
        amplitudes = [amplitude(delta) for delta in deltas]
        still = cv2.GaussianBlur(np.mean(amplitudes, axis=0), (0, 0), 4.0) <= _STILL
        self._limit = rounding_limit(amplitudes, [free & still for free in outside])
        share = np.mean([a >= self._limit for a in amplitudes], axis=0, dtype=np.float32)
        self._box = find_box(2.5 * share - 1, share > 0.5, oval)
        regions = [changed_region(a, self._limit) for a in amplitudes]
        both = [(luma, luma + delta[..., 0]) for luma, delta in zip(lumas, deltas, strict=True)]
        self._feather = feather(both, regions)
        self._outward = fade(amplitudes, regions, self._limit)

    def _fit_curve(
        self, deltas: list[FloatMap], lumas: list[FloatMap], outside: list[BoolMap], oval: Points
    ) -> None:
        textures = [texture(luma) for luma in lumas]
        energies = self._energies(deltas, outside)
        rim = np.ones((WORK, WORK), bool)
        rim[_RIM:-_RIM, _RIM:-_RIM] = False
        at_rim = [free & rim for free in outside]
        curve = NoiseCurve.fit(energies, textures, at_rim if np.mean(at_rim) >= _LEAST_RIM else outside)
        mean = cv2.GaussianBlur(_mean_excess(curve, energies, textures), (0, 0), _BOX_SIGMA)
        self._box = find_box(mean, mean > _BOX_EXCESS, oval)
        if self._box is not None:
            outside = [free & ~self._box for free in outside]
            energies = self._energies(deltas, outside)
        curve = NoiseCurve.fit(energies, textures, outside)
        quiet = cv2.GaussianBlur(_mean_excess(curve, energies, textures), (0, 0), 4.0) <= 1
        self._curve = NoiseCurve.fit(energies, textures, [free & quiet for free in outside])

    def _energies(self, deltas: list[FloatMap], outside: list[BoolMap]) -> list[FloatMap]:
        self.noise = codec_level(deltas, outside)
        self.sigma = float(np.clip(0.5 * self.noise - 0.2, 0.7, 1.5))
        return [energy(delta, self.sigma) for delta in deltas]

    def _excess(self, i: int) -> FloatMap:
        if i not in self._cache:
            delta, luma = difference(*self._pairs.crops(i))
            raw = self._curve.excess(energy(delta - self._offset, self.sigma), texture(luma))
            self._cache[i] = cv2.GaussianBlur(raw, (0, 0), 0.75 * self.sigma)
            while len(self._cache) > 3:
                self._cache.popitem(last=False)
        return self._cache[i]

    def _blended(self, i: int) -> FloatMap:
        """Excess of a frame, with its neighbours in time at sigma half a frame."""
        near = [j for j in (i - 1, i, i + 1) if 0 <= j < len(self._pairs)] if self._dense else [i]
        if len(near) == 1:
            return self._excess(i)
        weights = [1.0 if j == i else _NEIGHBOUR for j in near]
        total = sum(w * self._excess(j) for w, j in zip(weights, near, strict=True))
        return np.asarray(total / np.float32(sum(weights)), np.float32)

    def _fit_region(self) -> None:
        chosen = _spread(len(self._pairs), _CLIP_FRAMES)
        excess = [self._blended(i) for i in chosen]
        ovals, lips = [self._pairs.oval(i) for i in chosen], [self._pairs.lips(i) for i in chosen]
        self._region = ClipRegion(excess, ovals, lips, self.sigma, self._params.gate, self._box)
        self.snr = self._region.snr
        if self._box is None and self._region.known:
            some = slice(None, None, _EDGE_STEP)
            both = [difference(*self._pairs.crops(i)) for i in chosen[some]]
            self._region.fit_edge(
                excess[some], [(luma, luma + delta[..., 0]) for delta, luma in both], ovals[some]
            )

    def frame(self, i: int) -> FrameMask:
        """The mask of entry `i`.

        Raises:
          IndexError: there is no such entry.
        """
        if not 0 <= i < len(self._pairs):
            raise IndexError(i)
        if self.lossless:
            return self._exact(i)
        if not self._region.known:
            return FrameMask(None, self.noise, self.snr, 0.0)
        excess = self._blended(i)
        region = self._region.segment(excess, self._pairs.oval(i))
        snr = contrast(excess, region)
        if snr < self._params.gate:
            return FrameMask(None, self.noise, snr, 0.0)
        return FrameMask(self._full(region), self.noise, snr, self._region.score(excess, region))

    def _exact(self, i: int) -> FrameMask:
        delta, _ = difference(*self._pairs.crops(i))
        delta -= self._offset
        size = amplitude(delta)
        changed = changed_region(size, self._limit)
        region = cut_back(changed, self._feather, self._outward)
        if self._box is not None:
            region = fill_box(self._box, changed, self._pairs.oval(i))
        if region.mean() < _LEAST_SHARE or size[region].mean() < _CLEAR * self._limit:
            return FrameMask(None, 0.0, 0.0, 0.0)
        snr = contrast(energy(delta, 0.7), region)
        if snr < self._params.gate:
            return FrameMask(None, 0.0, max(snr, 0.0), 0.0)
        return FrameMask(self._full(region), 0.0, snr, agreement(size >= self._limit, region))

    def _full(self, region: BoolMap) -> BoolMap:
        size = self._pairs.size
        if size == WORK:
            return region
        return cv2.resize(region.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR) > 0.5


def _mean_excess(curve: NoiseCurve, energies: list[FloatMap], textures: list[FloatMap]) -> FloatMap:
    return np.mean([curve.excess(e, t) for e, t in zip(energies, textures, strict=True)], axis=0)


def _spread(n: int, most: int) -> list[int]:
    """At most `most` of `n` indices, evenly spread, both ends included."""
    return sorted({int(i) for i in np.linspace(0, n - 1, min(n, most)).round()})
