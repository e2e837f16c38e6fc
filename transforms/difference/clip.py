"""The forged region of a clip under codec noise, and of each of its frames."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from transforms.difference.box import fill_box
from transforms.difference.contour import PolarGrid
from transforms.difference.edge import move, outward
from transforms.difference.noise import WORK, BoolMap, FloatMap, fill
from transforms.difference.region import Likelihood, far_prior, smooth_region

Points = npt.NDArray[np.float32]

MARGIN = 1.15
"""Scale of the face's hull beyond which a crop counts as outside."""
_SEEDS = (("oval", 0.6), ("oval", 0.9), ("lips", 1.3), ("lips", 2.0))
_ROUNDS = 4
_LEAST_SHARE = 0.005
_HALF = WORK // 2
_CLIP_TV, _CLIP_STEPS = 6.0, 60
_FRAME_TV, _FRAME_STEPS = 2.5, 25
_FRAME_FAR = 0.5
_STAR_WEIGHT = 0.4
_RIM, _GROW = 9, 15
_CERTAIN = 2.0
_BIAS, _BIAS_SLOPE = 1.4, 0.7
_SHARPEST, _SOFTEST = 0.7, 1.5


class ClipRegion:
    """Where a clip is forged.

    From seeds on the face and the mouth, star-shaped contours grow on the clip's mean excess; the one that
    explains most is kept. Then, without that constraint, the region of the clip; and from likelihoods learnt
    in it, for each frame, a contour and a free region, which replaces the contour where they differ by more
    than a rim. The contour is biased outwards: a blend fades below the noise before it ends.

    Attributes:
      known: whether the clip reaches the gate.
      snr: mean excess inside the best contour less that outside, nepers; 0 where there is none.
    """

    def __init__(
        self,
        excess: Sequence[FloatMap],
        ovals: Sequence[Points],
        lips: Sequence[Points],
        sigma: float,
        gate: float,
        box: BoolMap | None,
    ) -> None:
        """Fit.

        Args:
          excess: of the clip's chosen frames, (WORK, WORK) float32 each.
          ovals: their outlines of the face, (n, 2) each.
          lips: their outlines of the lips.
          sigma: smoothing of the energy, pixels.
          gate: least snr; below it only `snr` is known.
          box: (WORK, WORK) bool, the blended box if there is one; it is the clip's region then.
        """
        softness = (sigma - _SHARPEST) / (_SOFTEST - _SHARPEST)
        self._star_weight = np.float32(_STAR_WEIGHT * min(1, 3 * softness))
        self._bias = np.float32(_BIAS - _BIAS_SLOPE * softness)
        self._mean = cv2.GaussianBlur(np.mean(excess, axis=0), (0, 0), 0.75 * sigma)
        oval, mouth = np.mean(ovals, axis=0), np.mean(lips, axis=0)
        prior = far_prior(~fill(oval, MARGIN))
        star = self._best_star(oval, mouth, prior)
        self._box = box
        self._outward = 0.0
        self.known = star is not None and self.snr >= gate
        if star is None or not self.known:
            return
        self._grid = PolarGrid(star)
        region = self._any_topology(star, prior) if box is None else box
        self._mixed = np.float32(np.clip(1.5 - 0.5 * contrast(self._mean, region), 0.5 * softness, 1))
        self._clip_evidence = self._evidence(region)
        whole = np.stack(excess)
        self._likelihood = Likelihood(whole, np.broadcast_to(region, whole.shape))
        regions = [self.segment(one, outline) for one, outline in zip(excess, ovals, strict=True)]
        self._likelihood = Likelihood(whole, np.stack(regions))

    def _evidence(self, region: BoolMap) -> FloatMap:
        """Log-likelihood ratio on the clip's mean, learnt from a region of it."""
        return Likelihood(self._mean, region)(self._mean)

    def _best_star(self, oval: Points, mouth: Points, prior: FloatMap) -> BoolMap | None:
        self.snr = 0.0
        best, star = 0.0, None
        for shape, scale in _SEEDS:
            region = fill(oval if shape == "oval" else mouth, scale)
            for _ in range(_ROUNDS):
                if not region.any() or region.all():
                    break
                fresh = PolarGrid(region).contour(self._evidence(region) + prior)
                if (fresh == region).all():
                    break
                region = fresh
            share, snr = float(region.mean()), contrast(self._mean, region)
            value = share * (1 - share) * snr * abs(snr)
            if value > best and share >= _LEAST_SHARE:
                best, star, self.snr = value, region, snr
        return star

    def _any_topology(self, star: BoolMap, prior: FloatMap) -> BoolMap:
        """The clip's region without the constraint that it be one star."""
        mean, far, region = _halve(self._mean), _halve(prior), _halve(star.astype(np.float32)) > 0.5
        for _ in range(2):
            evidence = Likelihood(mean, region)(mean) + far
            fresh = smooth_region(evidence, region.astype(np.float32), _CLIP_TV, _CLIP_STEPS)
            if not fresh.any():
                break
            region = fresh
        return _double(region)

    def fit_edge(
        self,
        excess: Sequence[FloatMap],
        lumas: list[tuple[FloatMap, FloatMap]],
        ovals: Sequence[Points],
    ) -> None:
        """Learn how far beyond or within the outlines that `segment` finds the blend begins.

        Args:
          excess: of some frames, (WORK, WORK) float32 each.
          lumas: of the same frames, (WORK, WORK) float32 luma of real and fake each.
          ovals: their outlines of the face, (n, 2) each.
        """
        regions = [self.segment(one, outline) for one, outline in zip(excess, ovals, strict=True)]
        self._outward = outward(lumas, list(excess), regions)

    def segment(self, excess: FloatMap, oval: Points) -> BoolMap:
        """The region of one frame.

        Args:
          excess: (WORK, WORK) float32 of this frame.
          oval: (n, 2), its outline of the face.

        Returns:
          (WORK, WORK) bool.
        """
        prior = far_prior(~fill(oval, MARGIN))
        evidence = (1 - self._mixed) * self._likelihood(excess) + self._mixed * self._clip_evidence
        star = self._grid.contour(evidence + prior + self._bias)
        soft = _halve(star.astype(np.float32))
        free = _halve(evidence + _FRAME_FAR * prior) + self._star_weight * (2 * soft - 1)
        region = _double(smooth_region(free, soft, _FRAME_TV, _FRAME_STEPS))
        differ = (star ^ region).astype(np.uint8)
        large = cv2.morphologyEx(differ, cv2.MORPH_OPEN, _disc(_RIM))
        region = np.where(cv2.dilate(large, _disc(_GROW)) & differ, region, star) if large.any() else star
        if self._box is not None:
            return fill_box(self._box, region, oval)
        return move(region, self._outward) if self._outward else region

    def score(self, excess: FloatMap, region: BoolMap) -> float:
        """Trust in a frame's region, 0 to 1: how certain the pixels within 4 px of its outline are."""
        mask = region.astype(np.uint8)
        rim = cv2.dilate(mask, _disc(_RIM)) != cv2.erode(mask, _disc(_RIM))
        if not rim.any():
            return 0.0
        evidence = cv2.GaussianBlur(self._likelihood(excess), (0, 0), _CERTAIN)
        return float(np.abs(np.tanh(evidence[rim] / 2)).mean())


def contrast(excess: FloatMap, region: BoolMap) -> float:
    """Mean excess inside a region minus that outside; 0 without an inside or an outside."""
    if not region.any() or region.all():
        return 0.0
    return float(excess[region].mean() - excess[~region].mean())


def _disc(size: int) -> npt.NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _halve(values: FloatMap) -> FloatMap:
    return cv2.resize(values, (_HALF, _HALF), interpolation=cv2.INTER_AREA)


def _double(region: BoolMap) -> BoolMap:
    return cv2.resize(region.astype(np.float32), (WORK, WORK), interpolation=cv2.INTER_LINEAR) > 0.5
