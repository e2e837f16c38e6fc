"""What a change to the inputs costs, counted: files that are written again, by inode and time."""

import os
import shutil
from pathlib import Path

import pytest

import schemas
from schemas.files import read_rows
from tests.many import FAKES, PAIRS, REALS, add_clips, use, write_lists
from tests.work import Work, digests, stamps


class Change:
    """A copy of the work and its corpus, and what the stages write in it after a change."""

    def __init__(self, many: Work, folder: Path):
        self.corpus = shutil.copytree(many.root.parent / "corpus", folder / "corpus", copy_function=os.link)
        self.work = many.copy(folder / "work")
        use(self.work, self.corpus)

    def run(self) -> tuple[set[str], set[str], set[str]]:
        """Names of track files and shards that were there and were written again; and of new shards."""
        work = self.work
        tracks, shards = stamps(work.tracks / "groups"), tars(work)
        assert work.index() == work.track() == work.shard() == 0
        tracks_now, shards_now = stamps(work.tracks / "groups"), tars(work)
        return (
            {name for name in tracks if name in tracks_now and tracks_now[name] != tracks[name]},
            {name for name in shards if name in shards_now and shards_now[name] != shards[name]},
            shards_now.keys() - shards.keys(),
        )


def tars(work: Work) -> dict[str, tuple[int, int]]:
    return {name: stamp for name, stamp in stamps(work.shards).items() if name.endswith(".tar")}


def groups_of(work: Work) -> dict[str, set[str]]:
    """The groups of each shard that has any."""
    found: dict[str, set[str]] = {}
    for row in read_rows(work.shards / "plan.parquet", schemas.PlannedClip):
        found.setdefault(row.shard, set()).add(row.group)
    return found


@pytest.fixture
def change(many, tmp_path) -> Change:
    return Change(many, tmp_path)


def test_there_is_enough_to_count(many):
    assert len(tars(many)) == 18
    assert len(set.union(*groups_of(many).values())) == 18


def test_a_new_clip_rewrites_the_shard_of_its_group(many, change, demo_corpus):
    folder = "manipulated_sequences/FaceSwap/c40/videos"
    (change.corpus / folder).mkdir(parents=True)
    os.link(demo_corpus / folder / "000_003.mp4", change.corpus / folder / "000_001.mp4")
    tracks, shards, new = change.run()
    assert {name.split(".")[0] for name in tracks} <= {"youtube/000", "youtube=2F000"}
    (own,) = (name for name, groups in groups_of(many).items() if "youtube/000" in groups)
    assert (shards, new) == ({own}, set())

    (change.corpus / folder / "000_001.mp4").unlink()
    tracks, shards, new = change.run()
    assert (shards, new) == ({own}, set())
    assert digests(change.work.shards, "*/*") == digests(many.shards, "*/*")


def test_a_new_group_rewrites_few_shards_and_tracks_nothing_again(many, change, demo_corpus):
    add_clips(change.corpus, demo_corpus, 9, sides=1)
    write_lists(change.corpus, {**PAIRS, "train": [*PAIRS["train"], 9]})
    tracks, shards, new = change.run()
    assert tracks == set()
    assert len(shards) <= 2
    assert all(name.startswith("train/") for name in shards | new)
    assert len(new) == 1

    (change.corpus / REALS / "018.mp4").unlink()
    (change.corpus / FAKES / "018_019.mp4").unlink()
    write_lists(change.corpus, PAIRS)
    tracks, shards, new = change.run()
    assert (tracks, new) == (set(), set())
    assert len(shards) <= 2
    assert digests(change.work.shards, "*/*") == digests(many.shards, "*/*")


def test_a_pair_that_changes_sides_moves_alone(many, change):
    moved = {"youtube/004", "youtube/005"}
    write_lists(change.corpus, {**PAIRS, "train": [0, 1, 3, 4, 5], "val": [6, 7, 2]})
    tracks, shards, new = change.run()
    assert tracks == set(), "a split is not what a track depends on"
    before, after = groups_of(many), groups_of(change.work)
    assert all(name.startswith("val/") for name, groups in after.items() if groups & moved)
    assert shards == {
        name for name in tars(change.work) if name not in new and before.get(name) != after.get(name)
    }
    assert all(name.startswith(("train/", "val/")) for name in shards)
    for split in ("train", "val"):
        assert len([name for name in shards if name.startswith(split)]) <= 2 * len(moved)
    assert new == {"val/demo-val-000004.tar", "val/demo-val-000005.tar"}
