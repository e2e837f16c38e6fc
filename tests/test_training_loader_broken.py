import collections
import dataclasses
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas.errors import UsageError
from tests.shards_factory import Corpus, edit_tar, make_shards
from tests.test_training_loader import PLAIN, rows_of, same
from training.data import EvaluationBatches, TrainingLoader
from training.loading.pool import read_pool

TAR = "train/demo-train-000000.tar"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("broken") / "shards", Corpus(groups=8, unknown=0.0))


@pytest.fixture
def own(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "shards"))


def cut(folder):
    """Cut the tar in the middle of a member; gives how many of its samples cannot be read any more."""
    path = folder / TAR
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3 + 700])
    return 1


def remove(folder):
    (folder / TAR).unlink()


def garbage(folder):
    size = (folder / TAR).stat().st_size
    (folder / TAR).write_bytes(np.random.default_rng(0).bytes(size))


def spoil(folder, suffix, change, every=3):
    """Change members of one suffix; what stands beside the tar vouches for it."""

    def edit(members):
        number, found = 0, []
        for name, data in members:
            if name.endswith(suffix) and "c23" in name:
                number += 1
                data = change(data) if number % every == 1 else data
            if data is not None:
                found.append((name, data))
        return found

    edit_tar(folder, TAR, edit)


LOST = {
    "cut": (cut, "it is cut or changed"),
    "missing": (remove, "No such file"),
    "no image": (
        lambda folder: spoil(folder, ".jpg", lambda data: b"no jpeg"),
        r"the image \(7 bytes\) cannot",
    ),
    "empty image": (lambda folder: spoil(folder, ".jpg", lambda data: b""), r"the image \(0 bytes\) cannot"),
    "image is missing": (
        lambda folder: spoil(folder, ".jpg", lambda data: None),
        "fewer samples|has no image",
    ),
    "mask is missing": (
        lambda folder: spoil(folder, "NeuralTextures/c23/000_001/00/000000.mask.png", lambda data: None),
        "it has no mask, though the index says so",
    ),
    "no mask": (
        lambda folder: spoil(folder, "NeuralTextures/c23/000_001/00/000010.mask.png", lambda data: data[:40]),
        "the mask .* cannot be decoded",
    ),
    "no tar": (garbage, "cannot be read to its end"),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("case", LOST)
def test_what_is_broken_is_said_or_skipped_and_counted(own, case, workers):
    damage, message = LOST[case]
    damage(own)
    pool = read_pool([own])
    params = dataclasses.replace(PLAIN, workers=workers)
    with pytest.raises(UsageError, match=message) as raised:
        list(EvaluationBatches(pool, 64, 8, workers))
    assert TAR in str(raised.value)
    assert "--skip-broken" in str(raised.value)
    with pytest.raises(UsageError, match=message):
        list(TrainingLoader(pool, params).epoch(0))

    evaluation = EvaluationBatches(pool, 64, 8, workers, skip_broken=True)
    rows = rows_of(evaluation)
    shard = str(own / TAR)
    assert len(rows) == len(set(rows)) < len(pool)
    assert evaluation.skipped == {shard: len(pool) - len(rows)}
    assert set(pool.take(rows).column("shard")) | {shard} == set(pool.column("shard"))

    loader = TrainingLoader(pool, params, skip_broken=True)
    batches = list(loader.epoch(0))
    assert len(batches) == loader.steps
    assert {len(batch) for batch in batches} == {8}
    assert set(rows_of(batches)) <= set(rows)
    assert loader.skipped == evaluation.skipped
    assert all(map(same, batches[3:], loader.epoch(0, 3)))
    collections.deque(loader.epoch(1), maxlen=0)
    assert loader.skipped == evaluation.skipped


@pytest.mark.parametrize("pairs", [False, True])
def test_a_shard_that_is_cut_behind_a_url(own, pairs):
    path = own / "train/demo-train-000001.tar"
    with tarfile.open(path) as tar:  # in the middle of a mask
        at = [info.offset_data for info in tar if "NeuralTextures" in info.name and "mask.png" in info.name][
            2
        ]
    path.write_bytes(path.read_bytes()[: at + 20])
    pool = read_pool([f"pipe:cat {own}"])
    message = "demo-train-000001.tar: cannot be read to its end .*missing, such as demo/.*--skip-broken"
    with pytest.raises(UsageError, match=message):
        list(TrainingLoader(pool, PLAIN, pairs=pairs).epoch(0))
    loader = TrainingLoader(
        pool, dataclasses.replace(PLAIN, workers=2, shuffle=5), pairs=pairs, skip_broken=True
    )
    batches = list(loader.epoch(0))
    assert len(batches) == loader.steps
    assert loader.skipped[f"pipe:cat {path}"] > 10
    assert all(map(same, batches[5:], loader.epoch(0, 5)))
    if pairs:
        frames = pool.column("frame")
        for batch in batches:
            assert frames[batch.rows[:4].numpy()].tolist() == frames[batch.rows[4:].numpy()].tolist()


def test_a_url_that_fails_in_the_middle_of_an_epoch(own):
    pool = read_pool([f"file:{own}"])
    loader = TrainingLoader(pool, PLAIN)
    remove(own)
    with pytest.raises(UsageError, match=f"{TAR}: cannot be read to its end .No such file"):
        list(loader.epoch(0))


def test_all_of_a_class_lost(own):
    for tar in (own / "train").glob("*.tar"):
        edit_tar(
            own,
            f"train/{tar.name}",
            lambda members: [(name, b"" if "real" in name else data) for name, data in members],
        )
    loader = TrainingLoader(read_pool([own]), PLAIN, skip_broken=True)
    with pytest.raises(UsageError, match="no real sample can be read"):
        list(loader.epoch(0))


def test_shards_hold_more_than_is_chosen(own):
    """Samples that the filter left out, that the index does not name, and other members are no matter."""
    edit_tar(own, TAR, lambda members: [("demo/more.jpg", b"x"), *members, ("demo/other.mask.png", b"")])
    pool = read_pool([own], "compression == 'c40'")
    counted = collections.Counter(rows_of(EvaluationBatches(pool, 64, 8, 1)))
    assert counted == collections.Counter(range(len(pool)))


def test_the_split_of_the_index_counts(own):
    index = pq.read_table(own / "index.parquet").to_pandas()
    assert len(read_pool([own], split="test")) == (index.split == "test").sum()
