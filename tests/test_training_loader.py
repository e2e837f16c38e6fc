import collections
import contextlib
import dataclasses
import functools
import http.server
import itertools
import multiprocessing
import os
import signal
import threading

import cv2
import numpy as np
import pytest
import torch

from schemas.errors import StoppedError, UsageError
from schemas.params_training import TrainParams
from tests.shards_factory import Corpus, edit_parquet, make_shards, read_tar
from training.data import Batch, EvaluationBatches, TrainingLoader
from training.loading.pool import read_pool

PLAIN = TrainParams(size=64, batch=8, workers=0, shuffle=20, crop=0.0, flip=0.0)
AUGMENTED = dataclasses.replace(PLAIN, crop=0.2, flip=0.5, size=32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("loader") / "shards", Corpus(groups=8))


@pytest.fixture(scope="module")
def pool(shards):
    return read_pool([shards])


def same(one: Batch, other: Batch) -> bool:
    return all(
        torch.equal(getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(Batch)
    )


def rows_of(batches):
    return np.concatenate([batch.rows.numpy() for batch in batches] or [np.empty(0, int)])


@functools.cache
def members(shard):
    return dict(read_tar(shard))


def decoded(pool, row):
    """Image (RGB) and mask, by hand."""
    files, key = members(pool.column("shard")[row]), pool.column("key")[row]
    image = cv2.imdecode(np.frombuffer(files[f"{key}.jpg"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    mask = files.get(f"{key}.mask.png")
    return image, None if mask is None else cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_an_evaluation_shows_every_key_once(pool, world, workers):
    parts = [EvaluationBatches(pool, 64, 7, workers, rank, world) for rank in range(world)]
    found = [list(part) for part in parts]
    keys = pool.column("key")[rows_of(itertools.chain(*found))]
    assert collections.Counter(keys) == collections.Counter(pool.column("key"))
    assert [len(part) for part in parts] == [len(batches) for batches in found]
    assert all(len(batch) <= 7 for batches in found for batch in batches)


def test_more_consumers_than_samples(pool):
    few = pool.take([0, 40])
    found = [rows_of(EvaluationBatches(few, 64, 7, 2, rank, 2)) for rank in range(2)]
    assert sorted(np.concatenate(found)) == [0, 1]


def test_an_evaluation_shows_what_the_shards_hold(pool):
    kinds = pool.column("mask_kind")
    for batch in EvaluationBatches(pool, 64, 16, 0):
        assert batch.image.dtype == batch.mask.dtype == torch.uint8
        assert batch.fake.dtype == torch.float32
        assert not batch.labelled.any()
        for place, row in enumerate(batch.rows.tolist()):
            image, mask = decoded(pool, row)
            assert np.array_equal(batch.image[place].permute(1, 2, 0).numpy(), image)
            expected = np.zeros((64, 64)) if mask is None else mask
            assert np.array_equal(batch.mask[place].numpy(), expected)
            assert batch.known[place] == (kinds[row] != "unknown")
            assert batch.fake[place] == (pool.column("label")[row] == "fake")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 3])
def test_an_epoch_is_balanced_and_what_its_plan_says(pool, world, workers):
    params = dataclasses.replace(PLAIN, workers=workers)
    loaders = [TrainingLoader(pool, params, rank=rank, world=world) for rank in range(world)]
    found = [list(loader.epoch(1)) for loader in loaders]
    assert {len(batches) for batches in found} == {loaders[0].steps}
    for batch in itertools.chain(*found):
        assert batch.fake.tolist() == [0] * 4 + [1] * 4
        assert batch.fake.tolist() == (pool.column("label")[batch.rows.numpy()] == "fake").tolist()
    times = np.bincount(rows_of(itertools.chain(*found)), minlength=len(pool))
    plan = loaders[0].plan(1)
    assert plan == loaders[-1].plan(1)
    assert plan.repeats == np.maximum(times - 1, 0).sum() > 0
    assert plan.drops == (times == 0).sum()
    fakes = int((pool.column("label") == "fake").sum())
    assert plan.steps == -(-fakes // (4 * world))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_epoch_gives_the_batches_that_would_have_come(pool, workers):
    params = dataclasses.replace(AUGMENTED, workers=workers)
    whole = list(TrainingLoader(pool, params).epoch(2))
    again = TrainingLoader(pool, params)
    for start in (0, 1, 4, len(whole) - 1, len(whole)):
        rest = list(again.epoch(2, start))
        assert len(rest) == len(whole) - start
        assert all(map(same, whole[start:], rest))


def test_what_decides_the_batches(pool):
    def first(seed=0, epoch=0, rank=0, world=1):
        loader = TrainingLoader(pool, dataclasses.replace(AUGMENTED, seed=seed), rank=rank, world=world)
        return next(iter(loader.epoch(epoch)))

    state = torch.random.get_rng_state()
    assert same(first(), first())
    assert torch.equal(torch.random.get_rng_state(), state)
    for other in (first(seed=1), first(epoch=1), first(rank=0, world=2), first(rank=1, world=2)):
        assert not same(first(), other)


def test_every_worker_takes_part_in_turn(pool):
    params = dataclasses.replace(PLAIN, workers=2)
    batches = list(TrainingLoader(pool, params).epoch(0))
    even, odd = (set(rows_of(batches[start::2])) for start in (0, 1))
    assert not even & odd


def test_couples_belong_together_and_are_seen_alike(pool):
    loader = TrainingLoader(pool, AUGMENTED, pairs=True)
    table = pool.table.select(["group", "track", "frame", "compression"]).to_pylist()
    batches = list(loader.epoch(0))
    assert len(batches) == loader.steps
    for batch in batches:
        reals, fakes = batch.rows[:4].tolist(), batch.rows[4:].tolist()
        assert batch.fake.tolist() == [0] * 4 + [1] * 4
        assert [table[row] for row in reals] == [table[row] for row in fakes]
        for real, fake, mask in zip(batch.image[:4], batch.image[4:], batch.mask[4:], strict=True):
            if mask.any():
                outside = mask == 0
                apart = (real.int() - fake.int()).abs().float().mean(0)[outside].mean()
                mirrored = (real.int() - fake.flip(2).int()).abs().float().mean(0)[outside].mean()
                assert apart < mirrored
    shown = np.bincount(np.concatenate([batch.rows[4:].numpy() for batch in batches]), minlength=len(pool))
    plan = loader.plan(0)
    assert plan.repeats == np.maximum(shown - 1, 0).sum()
    assert plan.drops == (shown[pool.column("label") == "fake"] == 0).sum()


def test_fakes_without_their_real_are_dropped_and_counted(shards):
    pool = read_pool([shards], "not (label == 'real' and frame == 10)")
    alone = int(((pool.column("label") == "fake") & (pool.column("frame") == 10)).sum())
    loader = TrainingLoader(pool, PLAIN, pairs=True)
    assert alone > 0
    assert loader.plan(0).drops == alone
    assert not (pool.column("frame")[rows_of(loader.epoch(0))] == 10).any()
    with pytest.raises(UsageError, match="no fake with its real"):
        TrainingLoader(read_pool([shards], "(label == 'real') == (frame == 10)"), PLAIN, pairs=True)


def test_a_block_with_two_reals_makes_one_couple_of_each_fake(tmp_path):
    folder = make_shards(tmp_path / "twice", Corpus(groups=4, frames=1, failed=0))

    def edit(rows):
        return [row | ({"label": "real"} if row["method"] == "NeuralTextures" else {}) for row in rows]

    edit_parquet(folder / "index.parquet", edit)
    pool = read_pool([folder])
    plan = TrainingLoader(pool, PLAIN, pairs=True).plan(0)
    assert plan.kinds["couple"][0] == (pool.column("method") == "Deepfakes").sum()


@pytest.mark.parametrize(("where", "missing"), [("label == 'fake'", "real"), ("method == 'real'", "fake")])
def test_a_class_that_is_missing_is_said(shards, where, missing):
    with pytest.raises(UsageError, match=f"no {missing} sample among .*{where[:8]}.*widen the filter"):
        TrainingLoader(read_pool([shards], where), PLAIN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 7}, "train.batch: 7"),
        ({"batch": 0}, "train.batch: 0"),
        ({"crop": 1.0}, "train.crop 1.0"),
        ({"flip": 1.5}, "train.flip 1.5"),
        ({"shuffle": 0}, "train.shuffle 0"),
        ({"workers": -1}, "train.workers -1"),
    ],
)
def test_parameters_that_do_not_fit_are_said(pool, change, message):
    with pytest.raises(UsageError, match=message):
        TrainingLoader(pool, dataclasses.replace(PLAIN, **change))


def test_classes_in_folders_of_their_own(tmp_path, shards):
    other = make_shards(tmp_path / "other", Corpus(dataset="more", groups=8, frames=2))
    where = "(label == 'real') == (dataset == 'more')"
    pool = read_pool([shards, other], where)
    batches = list(TrainingLoader(pool, dataclasses.replace(PLAIN, shuffle=4)).epoch(0))
    rows = rows_of(batches)
    assert set(rows) == set(range(len(pool)))
    assert {same(*pair) for pair in zip(batches, TrainingLoader(pool, PLAIN).epoch(0), strict=True)} == {
        False
    }


def test_mixed_sizes_become_one(tmp_path, shards):
    large = make_shards(tmp_path / "large", Corpus(dataset="large", groups=4, frames=1, size=96))
    pool = read_pool([shards, large], split=None)
    for size in (48, 64, 96):
        batches = list(EvaluationBatches(pool, size, 64, 0))
        assert sum(len(batch) for batch in batches) == len(pool)
        assert {batch.image.shape[1:] for batch in batches} == {(3, size, size)}
        assert {batch.mask.shape[1:] for batch in batches} == {(size, size)}
    assert len(next(iter(TrainingLoader(pool, PLAIN).epoch(0)))) == 8


def test_masks_that_are_unknown_are_zero(tmp_path):
    folder = make_shards(tmp_path / "unknown", Corpus(groups=4, frames=1, unknown=1.0))
    for batch in TrainingLoader(read_pool([folder]), AUGMENTED).epoch(0):
        assert batch.known.tolist() == (batch.fake == 0).tolist()
        assert not batch.mask.any()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("scheme", ["file:", "pipe:cat ", "http"])
def test_an_epoch_from_behind_a_url(pool, shards, scheme):
    local = list(TrainingLoader(pool, AUGMENTED).epoch(0))
    with contextlib.ExitStack() as stack:
        prefix = stack.enter_context(served(shards)) if scheme == "http" else f"{scheme}{shards}"
        far = list(TrainingLoader(read_pool([prefix]), AUGMENTED).epoch(0))
    assert len(far) == len(local)
    assert all(map(same, far, local))


def test_a_killed_worker_stops_the_run_with_a_remedy(pool):
    batches = TrainingLoader(pool, dataclasses.replace(PLAIN, workers=1)).epoch(0)
    next(batches)
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(StoppedError, match=r"a loading process ended suddenly.*train.shuffle"):
        collections.deque(batches, maxlen=0)


def test_a_batch_moves_to_a_device(pool):
    batch = next(iter(EvaluationBatches(pool, 64, 4, 0)))
    assert same(batch.to("cpu"), batch)
    assert batch.to("meta").image.device.type == "meta"
