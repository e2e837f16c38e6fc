"""Whether the attention map lies on the forged region."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch.nn import functional

FIGURES = ("iou", "pixel_auc", "pointing", "outside", "iinc")


def enlarge(maps: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Attention maps at the input's resolution, bilinear, each over its maximum.

    Args:
      maps: (N, g, g), at least 0.
      size: S, edge of the input in pixels.

    Returns:
      Float32 (N, S, S), 0 to 1; a map without any activity stays 0.
    """
    tensor = torch.from_numpy(maps.astype(np.float32))[:, None]
    large = functional.interpolate(tensor, (size, size), mode="bilinear", align_corners=False)[:, 0].numpy()
    most = large.max((1, 2), keepdims=True) if len(large) else large
    return np.divide(large, most, out=np.zeros_like(large), where=most > 0)


def localise(
    maps: NDArray[np.floating],
    masks: NDArray[np.uint8],
    called_fake: NDArray[np.bool_],
    threshold: float,
) -> dict[str, NDArray[np.float64]]:
    """Figures of attention maps against forged regions, image by image.

    The map goes to the masks' resolution (bilinear, as the paper shows it, as far as that is recalled), and
    not the mask to the map's: small regions would vanish in its cells. It is divided by its maximum, since
    its scale is the score's and says nothing of place. The region is where the mask is above 127.

    iou: intersection over union of region and map above the threshold.
    pixel_auc: chance that a pixel of the region has more attention than one outside (ties count half).
    pointing: 1 if the centre of the map's highest cell is in the region (Zhang et al., Top-down Neural
      Attention by Excitation Backprop, arXiv 1608.00507; here without its tolerance). It is looked up in the
      map as it is: enlarging damps peaks inside, not those at the border. Of cells that are equally high,
      the share that are in the region; of a map that is the same everywhere, the area: what drawing one
      gives on average (ours). Attention without a clue has the area.
    outside: share of the map's sum that lies outside the region. Attention without a clue has 1 - area, and
      so has a map that is 0 everywhere (ours).
    iinc: inverse intersection non-containment, lower is better (Dang et al., DFFD, arXiv 1910.01717). The
      formula is recalled, not read:

          1 / (3 - |U|) x  0                            where region and prediction are both empty
                           1                            where one of them is
                           2 - |I| / |P| - |I| / |M|    otherwise

      with M the region, P the prediction, I their intersection, U their union, |.| the share of all pixels.
      P is the map above the threshold where the image is called fake, and empty where it is called real
      (ours: a map over its own maximum is never empty), so that this one is of reals as well.

    Args:
      maps: (N, g, g), at least 0.
      masks: uint8 (N, S, S), 0 to 255; zeros for reals.
      called_fake: bool (N,).
      threshold: of the map over its maximum, 0 to 1.

    Returns:
      `FIGURES`, "area" (share of the pixels in the region) and "blank" (1 if the map is 0 everywhere),
      float64 (N,). The figures but iinc are nan where the region is empty; pixel_auc also where it is
      everything.
    """
    pixels = masks.shape[-1] ** 2
    attention = enlarge(maps, masks.shape[-1]).reshape(len(maps), pixels)
    region = masks.reshape(len(masks), pixels) > 127
    high = attention > threshold
    empty = ~region.any(1)
    area, blank = region.mean(1), ~maps.any((1, 2))
    sums = attention.sum(1, dtype=np.float64)
    inside = (attention * region).sum(1, dtype=np.float64)
    found = {
        "iou": _ratio((high & region).sum(1), (high | region).sum(1)),
        "pixel_auc": _pixel_auc(attention, region),
        "pointing": _pointing(maps, masks > 127, area),
        "outside": np.where(blank, 1 - area, np.clip(1 - _ratio(inside, sums), 0, 1)),
    }
    found = {name: np.where(empty, np.nan, values) for name, values in found.items()}
    found["iinc"] = inverse_non_containment(high & called_fake[:, None], region)
    return found | {"area": area, "blank": blank.astype(np.float64)}


def inverse_non_containment(predicted: NDArray[np.bool_], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """IINC of predicted and true regions, bool (N, pixels) each; see `localise`. Float64 (N,), 0 to 1."""
    both = (predicted & region).mean(1)
    either = (predicted | region).mean(1)
    p, m = predicted.mean(1), region.mean(1)
    apart = 2 - np.nan_to_num(_ratio(both, p)) - np.nan_to_num(_ratio(both, m))
    case = np.where((p == 0) & (m == 0), 0, np.where((p == 0) | (m == 0), 1, apart))
    return case / (3 - either)


def _ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0, dtype=np.float64)


def _pointing(
    maps: NDArray[np.floating], regions: NDArray[np.bool_], area: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the highest cells of maps (N, g, g) whose centre's pixel is in regions (N, S, S)."""
    down, right = ((2 * np.arange(cells) + 1) * regions.shape[-1] // (2 * cells) for cells in maps.shape[1:])
    highest = maps == maps.max((1, 2), keepdims=True, initial=0)
    hits = (highest & regions[:, down[:, None], right]).sum((1, 2))
    return np.where(highest.all((1, 2)), area, _ratio(hits, highest.sum((1, 2))))


def _pixel_auc(attention: NDArray[np.float32], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """AUC of each image by the sum of its region's ranks (Mann and Whitney)."""
    ins = region.sum(1)
    outs = region.shape[1] - ins
    found = np.full(len(region), np.nan)
    some = np.flatnonzero((ins > 0) & (outs > 0))
    for number in some:
        ranks = rankdata(attention[number])[region[number]].sum()
        found[number] = (ranks - ins[number] * (ins[number] + 1) / 2) / (ins[number] * outs[number])
    return found
