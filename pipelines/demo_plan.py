"""Which clips the demo corpus has."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipelines.demo_clips import Clip, Fake, Job

_DFD, _SCENE = "DeepFakeDetection", "meeting_serious"


@dataclass(frozen=True)
class DemoParams:
    """What decides every byte of the corpus.

    Attributes:
      identities: how many people, without DeepFakeDetection's two actors.
      frames: length of the longest clips.
      methods: keys of `METHODS`.
      compressions: keys of `CRF`.
      seed: of looks and motion.
    """

    identities: int
    frames: int
    methods: tuple[str, ...]
    compressions: tuple[str, ...]
    seed: int


def plan(params: DemoParams, folder: Path) -> list[Job]:
    """The real clips, each with its forgeries."""
    clips = _youtube(params)
    methods = [method for method in params.methods if method != _DFD]
    made = []
    for pair in _pairs(params):
        for a, b in (pair, pair[::-1]):
            made.append((clips[a], tuple(Fake(method, f"{a}_{b}", clips[b]) for method in methods)))
    if _DFD in params.methods:
        actors = _actors(params)
        for target, source in (actors, actors[::-1]):
            made.append((target, (Fake(_DFD, _dfd_name(target.name[:2], source.name[:2]), source),)))
    return [Job(folder, target, fakes, params.compressions, params.seed) for target, fakes in made]


def _actors(params: DemoParams) -> list[Clip]:
    return [
        Clip("actors", f"0{k + 1}__{_SCENE}", params.identities + k, max(2, params.frames - k), 24)
        for k in range(2)
    ]


def _dfd_name(target: str, source: str) -> str:
    name = f"{target}_{source}__{_SCENE}"
    return f"{name}__{base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:8]}"


def _youtube(params: DemoParams) -> dict[str, Clip]:
    """Real clips by id. The two of a pair differ in rate, and most clips in length, as in the dataset."""
    half, clips = params.identities // 2, {}
    for i in range(params.identities):
        fps = (25, 30, 24)[(i % half + i // half) % 3]
        length = max(2, params.frames - (0, 2, 1, 3, 4)[i % 5])
        clips[f"{i:03d}"] = Clip("youtube", f"{i:03d}", i, length, fps)
    return clips


def _pairs(params: DemoParams) -> list[tuple[str, str]]:
    half = params.identities // 2
    return [(f"{i:03d}", f"{i + half:03d}") for i in range(half)]


def splits(params: DemoParams) -> dict[str, list[tuple[str, str]]]:
    """Pairs of ids by split: about a quarter each in val and test; train comes first where there are few."""
    pairs = _pairs(params)
    held = max(1, len(pairs) // 4)
    test = held if len(pairs) > 1 else 0
    val = held if len(pairs) > 2 else 0
    train = len(pairs) - val - test
    return {"train": pairs[:train], "val": pairs[train : train + val], "test": pairs[train + val :]}


def youtube_videos(params: DemoParams) -> dict[str, str]:
    """The made-up YouTube video and clip number of every id, as in the dataset's conversion_dict.json."""
    return {
        name: base64.urlsafe_b64encode(hashlib.sha256(f"demo {name}".encode()).digest()).decode()[:11] + " 0"
        for name in _youtube(params)
    }
