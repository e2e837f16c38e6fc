"""Work folders for tests of bad input, and what the docs say of it."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from pipelines.demo import read_portrait
from pipelines.demo_clips import make_clips, start_worker
from pipelines.demo_plan import plan
from schemas import Outcome
from schemas.files import read_rows
from tests.bad_corpus import ALIKE, CASES, GOOD, PAIR, ROLES, TARGETS, Group, fake, mask, mate, real
from tests.work import Work
from transforms.video import Video

DOCS = Path(__file__).parents[1] / "docs/bad-input.md"
SECTIONS: dict[str, dict] = {
    "frames": {"count": 4},
    "crop": {"size": 128},
    "shard": {"groups": 1},
    "audit": {"max_leaks": -1},  # Its groups are copies of two.
}


def good_work(factory: pytest.TempPathFactory) -> Work:
    """Good groups with index, tracks and shards, made once for all of xdist's workers; read only."""
    root = factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "bad_input"
    with FileLock(root.with_suffix(".lock")):
        work = open_work(root / "work", root / "good")
        if not (root / "done").exists():
            _make_good(root / "good")
            assert work.index() == work.track() == work.shard() == 0
            (root / "done").touch()
    return work


def open_work(root: Path, corpus: Path, **sections: dict) -> Work:
    """A work folder for a corpus of this kind."""
    work = Work(root, corpus, **{**SECTIONS, **sections})
    work.set(datasets={"demo": {"layout": "faceforensics", "root": str(corpus)}})
    return work


def _make_good(root: Path) -> None:
    start_worker(read_portrait())
    for job in plan(PAIR, root):
        make_clips(job)
    shutil.rmtree(root / "alpha")
    for target in GOOD[2:]:
        _copy_group(root, root, target)
    pairs = [[target, "001"] for target in (GOOD[0], *GOOD[2:], *TARGETS.values())]
    for split in ("train", "val", "test"):
        (root / f"{split}.json").write_text(json.dumps(pairs if split == "train" else []))
    table = {one: f"video-{one} 0" for pair in pairs for one in pair}
    (root / "conversion_dict.json").write_text(json.dumps(table))


def _copy_group(good: Path, root: Path, target: str) -> None:
    for path in ROLES.values():
        shutil.copyfile(good / path("000"), root / path(target))


def make_bad(good: Path, root: Path) -> None:
    """The good groups, two whose names look alike, and one for each case."""
    shutil.copytree(good, root)
    (root / "original_sequences/actors/raw/videos").mkdir(parents=True)
    for name in ALIKE:
        shutil.copyfile(good / real("000"), root / f"original_sequences/actors/raw/videos/{name}.mp4")
    clips = {
        "real": real("000"),
        "fake": fake("000"),
        "mate": mate("000"),
        "mask": mask("000"),
        "other": real("001"),
    }
    videos = {role: Video(good / path) for role, path in clips.items()}
    frames = {role: [video[index] for index in range(len(video))] for role, video in videos.items()}
    for case in CASES:
        target = TARGETS[case.__name__]
        _copy_group(good, root, target)
        case(Group(root, target, frames))


def outcomes(work: Work) -> dict[tuple[str, str], Outcome]:
    """Every outcome of the stages that were run, by stage and unit."""
    paths = [
        work.root / "clips.outcomes.parquet",
        work.tracks / "outcomes.parquet",
        work.shards / "outcomes.parquet",
    ]
    rows = [row for path in paths if path.exists() for row in read_rows(path, Outcome)]
    return {(row.stage, row.unit): row for row in rows}


def documented() -> dict[str, tuple[str, str]]:
    """Where the docs say that each kind of bad input is noticed, and what becomes of it."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|", DOCS.read_text(), re.MULTILINE)
    return {tried: (where, outcome) for tried, where, outcome in rows}
