"""A work of many small shards, for tests that count or interrupt what is written."""

import json
import os
from pathlib import Path

from filelock import FileLock

from tests.work import PARAMS, Work

# Pairs of ids by split; every id is a source group.
PAIRS = {"train": range(6), "val": range(6, 8), "test": range(8, 9)}
REALS, FAKES = "original_sequences/youtube/c40/videos", "manipulated_sequences/Deepfakes/c40/videos"
SECTIONS: dict[str, dict] = {"shard": {"groups": 1}, "frames": {"count": 1}}


def add_clips(corpus: Path, demo: Path, pair: int, sides: int = 2) -> None:
    """Copy a pair of the demo corpus under ids of its own; one side of it is one group."""
    names = [f"{2 * pair:03d}", f"{2 * pair + 1:03d}"]
    models = [f"{pair % 3:03d}", f"{pair % 3 + 3:03d}"]
    for side in range(sides):
        real, fake = f"{models[side]}.mp4", f"{models[side]}_{models[1 - side]}.mp4"
        for folder, name, model in (
            (REALS, f"{names[side]}.mp4", real),
            (FAKES, f"{names[side]}_{names[1 - side]}.mp4", fake),
        ):
            (corpus / folder).mkdir(parents=True, exist_ok=True)
            os.link(demo / folder / model, corpus / folder / name)


def write_lists(corpus: Path, pairs) -> None:
    for split, numbers in pairs.items():
        lists = [[f"{2 * n:03d}", f"{2 * n + 1:03d}"] for n in numbers]
        path = corpus / f"{split}.json"
        path.unlink(missing_ok=True)  # A copy of a corpus is made of links.
        path.write_text(json.dumps(lists))


def use(work: Work, corpus: Path) -> None:
    """Index all that a corpus has."""
    whole: dict = {"root": str(corpus), "methods": [], "compressions": []}
    work.set(datasets={"demo": {**PARAMS["datasets"]["demo"], **whole}})


def make_many(demo: Path) -> Work:
    """Eighteen groups in eighteen shards, made once for all of xdist's workers; not to be written to."""
    root = demo.parent / "many"
    with FileLock(root.with_suffix(".lock")):
        done = (root / "done").exists()
        work = Work(root / "work", None if done else root / "corpus", **SECTIONS)
        if not done:
            use(work, root / "corpus")
            for pair in (pair for pairs in PAIRS.values() for pair in pairs):
                add_clips(root / "corpus", demo, pair)
            write_lists(root / "corpus", PAIRS)
            assert work.index() == work.track() == work.shard() == 0
            (root / "done").touch()
    return work
