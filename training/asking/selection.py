"""Which fakes to ask people about: scores of the strategies, the budget, the cap on a clip's frames."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.label import Label
from schemas.request import Strategy

Floats = npt.NDArray[np.floating]
Rows = npt.NDArray[np.int64]
Clip = tuple[str, str]

# Half axes of the face's ellipse, along and across it, in units of its reach: 97% and more of the demo's
# difference masks lie inside.
_ALONG, _ACROSS = 1.3, 1.15
_FINE = 4
_FLAT = 1e-6


@dataclass(frozen=True)
class Evidence:
    """What a run's model says of N images.

    Attributes:
      rows: int64 (N,), rows of the pool's table, ascending.
      real, fake: float (N,), a_T and a_F.
      channels: float (N, latent), the mean of each channel of the latent; real channels first.
      outside: float (N,), see `outside_share`.
    """

    rows: Rows
    real: Floats
    fake: Floats
    channels: Floats
    outside: Floats


@dataclass(frozen=True)
class Asked:
    """What was asked in earlier rounds, whatever became of it: sample keys, and requests of each clip."""

    keys: frozenset[str] = frozenset()
    clips: Mapping[Clip, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """Requests over all rounds.

    Attributes:
      images: training images, real and fake.
      share: of them that may be asked about, 0 to 1.
      spent: requests of earlier rounds.
    """

    images: int
    share: float
    spent: int

    @property
    def allowed(self) -> int:
        """Requests over all rounds: floor(share * images), in decimals as the share is written."""
        return int(Decimal(str(self.share)) * self.images)

    @property
    def left(self) -> int:
        """Requests that may still be made."""
        return max(0, self.allowed - self.spent)


def asked_before(labels: Iterable[Label]) -> Asked:
    """What a run's labels say was asked; a request counts in every state."""
    once = {label.request_id: label for label in labels}.values()
    clips = Counter((label.dataset, label.clip) for label in once)
    return Asked(frozenset(label.key for label in once), clips)


def find_candidates(table: pa.Table, asked: Asked, per_clip: int) -> Rows:
    """Rows that may be asked about: fakes of the training split, not asked before, of clips with room left.

    Args:
      table: columns key, dataset, clip, label and split of `schemas.sample.Sample`.
      asked: in earlier rounds.
      per_clip: most requests of a clip over all rounds.

    Returns:
      Rows, ascending.
    """
    fakes = pc.and_(pc.equal(table["label"], "fake"), pc.equal(table["split"], "train"))
    rows = np.flatnonzero(fakes.to_numpy())
    part = table.take(pa.array(rows))
    keys, clips = part["key"].to_pylist(), _clips(part)
    free = [
        key not in asked.keys and asked.clips.get(clip, 0) < per_clip
        for key, clip in zip(keys, clips, strict=True)
    ]
    return rows[np.array(free, bool)]


def choose(table: pa.Table, score: Floats, asked: Asked, count: int, per_clip: int) -> Rows:
    """The candidates with the highest scores, a few of a clip; of equal scores, the lower key goes first.

    Methods, compressions and identities are not spread by force. The choice depends on scores and keys, not
    on the order of the rows.

    Args:
      table: as for `find_candidates`, N rows with distinct keys.
      score: float (N,); higher goes first.
      asked: in earlier rounds.
      count: most rows to choose.
      per_clip: most requests of a clip (dataset, clip) over all rounds.

    Returns:
      Rows, the first choice first; fewer than `count` where candidates run out.
    """
    rows = find_candidates(table, asked, per_clip)
    part = table.take(pa.array(rows))
    keys, clips = part["key"].to_pylist(), _clips(part)
    used, chosen = Counter(asked.clips), list[int]()
    values = score[rows].tolist()
    for place in sorted(range(len(rows)), key=lambda place: (-values[place], keys[place])):
        if len(chosen) == count:
            break
        if used[clips[place]] < per_clip:
            used[clips[place]] += 1
            chosen.append(rows[place])
    return np.array(chosen, np.int64)


def measure(
    strategy: Strategy, evidence: Evidence, fake: npt.NDArray[np.bool_], keys: Sequence[str], seed: int
) -> Floats:
    """A strategy's score of N training images: (N,), higher is asked first.

    `ranking`: `rank_by_concept`. `uncertainty`: -|a_F - a_T|, at most 0. `mislocalisation`: the share of the
    attention outside the face (`outside_share`), 0 to 1. `random`: `draw_lots`, the control.

    Args:
      strategy: which one.
      evidence: of the images.
      fake: (N,), True for fakes.
      keys: of the samples.
      seed: of the lots.
    """
    match strategy:
        case "ranking":
            return rank_by_concept(evidence.channels, fake)
        case "uncertainty":
            return -np.abs(evidence.fake - evidence.real)
        case "mislocalisation":
            return evidence.outside
        case "random":
            return draw_lots(keys, seed)


def separations(channels: Floats, fake: npt.NDArray[np.bool_]) -> Floats:
    """How far each channel tells fakes from reals: d' = (mean of fakes - mean of reals) / pooled deviation.

    The paper ranks channels by how well they separate the classes, as recalled; its statistic is not known,
    and d' is ours.

    Args:
      channels: float (N, C), mean activities.
      fake: (N,), True for fakes; both classes must be there.

    Returns:
      Float (C,), signed; 0 for a channel that never changes.
    """
    difference, deviation, _ = _compare(channels, fake)
    return difference / deviation


def rank_by_concept(channels: Floats, fake: npt.NDArray[np.bool_], top: int = 1) -> Floats:
    """Channel-concept ranking: how strongly an image shows what the most separating channels look for.

    A channel that separates the training classes too well may have learnt an artefact of the data set; the
    images that excite it most are the ones to ask about. Two steps of the paper as recalled ("channel concept
    ranking", "active candidate selection"); statistic and scale are ours.

    Args:
      channels: float (N, C), mean activities.
      fake: (N,), True for fakes; both classes must be there.
      top: channels to use, those with the largest |d'|.

    Returns:
      Float (N,): activity in pooled deviations beyond the mean of the reals, towards the fakes' mean; the
      mean over the channels used.
    """
    difference, deviation, centre = _compare(channels, fake)
    used = np.argsort(-np.abs(difference / deviation), kind="stable")[:top]
    beyond = (channels[:, used].astype(np.float64) - centre[used]) / deviation[used]
    return (np.sign(difference[used]) * beyond).mean(1)


def draw_lots(keys: Sequence[str], seed: int) -> Floats:
    """A number from 0 to 1 for each key, drawn by a hash of seed and key: no order of rows matters."""
    digests = (hashlib.sha256(f"{seed}|{key}".encode()).digest() for key in keys)
    return np.array([int.from_bytes(digest[:8]) / 2**64 for digest in digests])


def outside_share(maps: Floats, landmarks: Floats, sizes: Floats) -> Floats:
    """The share of an attention map outside the face: attention that cannot be on a forged face. Ours.

    The paper names no such strategy; of the proxies that need no mask, this one says where the attention is
    wrong and not only that it is spread, as its entropy would.

    Args:
      maps: float (B, g, g), at least 0.
      landmarks: float (B, 5, 2), crop pixels.
      sizes: (B,), edge of each crop in pixels.

    Returns:
      Float (B,), 0 to 1; 0 for a map without any attention, which is nowhere.
    """
    maps = maps.astype(np.float64)
    inside = (maps * face_region(landmarks, sizes, maps.shape[-1])).sum((1, 2))
    total = maps.sum((1, 2))
    return np.where(total > 0, 1 - inside / np.where(total > 0, total, 1), 0.0).clip(0, 1)


def face_region(landmarks: Floats, sizes: Floats, grid: int) -> Floats:
    """Where the face is: an ellipse around eyes and mouth that reaches from forehead to chin. Ours.

    It is centred between eyes and mouth and upright along the line through them. Its reach is the longer of
    the distances between the eyes and from eyes to mouth, so that a turned head keeps its face.

    Args:
      landmarks: float (B, 5, 2), crop pixels: eyes, nose, mouth corners.
      sizes: (B,), edge of each crop in pixels.
      grid: g, cells along an edge of the crop.

    Returns:
      Float (B, g, g), the share of each cell that lies inside.
    """
    places = np.asarray(sizes)[:, None] * (np.arange(grid * _FINE) + 0.5) / (grid * _FINE) - 0.5
    eyes, mouth = landmarks[:, :2].mean(1), landmarks[:, 3:].mean(1)
    up = eyes - mouth
    tall = np.linalg.norm(up, axis=1)
    reach = np.maximum(np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=1), tall)[:, None, None]
    x, y = (up / np.maximum(tall, _FLAT)[:, None]).T[:, :, None, None]
    centre = (eyes + mouth) / 2
    right = places[:, None, :] - centre[:, 0, None, None]
    down = places[:, :, None] - centre[:, 1, None, None]
    along, across = right * x + down * y, right * y - down * x
    reach = np.maximum(reach, _FLAT)
    inside = (along / (_ALONG * reach)) ** 2 + (across / (_ACROSS * reach)) ** 2 <= 1
    return inside.reshape(len(inside), grid, _FINE, grid, _FINE).mean((2, 4))


def _compare(channels: Floats, fake: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Difference of the classes' means, pooled deviation (above 0), and the mean of reals; (C,) each."""
    fakes, reals = channels[fake], channels[~fake]
    centre = reals.mean(0, dtype=np.float64)
    pooled = np.sqrt((fakes.var(0, dtype=np.float64) + reals.var(0, dtype=np.float64)) / 2)
    return fakes.mean(0, dtype=np.float64) - centre, np.maximum(pooled, _FLAT), centre


def _clips(table: pa.Table) -> list[Clip]:
    return list(zip(table["dataset"].to_pylist(), table["clip"].to_pylist(), strict=True))
