import dataclasses

import cv2
import numpy as np
import pytest

from schemas.errors import UsageError
from schemas.files import write_rows
from schemas.label import Label
from tests.shards_factory import Corpus, edit_tar, make_shards
from tests.test_training_loader import AUGMENTED, PLAIN, rows_of, same
from training.data import EvaluationBatches, TrainingLoader
from training.fitting.run_folder import gather_labels
from training.loading.labels import read_labels
from training.loading.pool import read_pool

PARAMS = dataclasses.replace(PLAIN, labelled=2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("labels") / "shards", Corpus(groups=8))


@pytest.fixture(scope="module")
def pool(shards):
    return read_pool([shards])


def fakes(pool, count):
    return np.flatnonzero(pool.column("label") == "fake")[:: len(pool) // (2 * count)][:count].tolist()


def draw(seed, size=64):
    mask = np.zeros((size, size), np.uint8)
    mask[seed % 20 : seed % 20 + 9, 5 : 20 + seed % 30] = 255
    return mask


def make_labels(folder, pool, rows, mask_of=draw, **changes):
    """A folder of labels; gives it, and each row's mask."""
    (folder / "masks").mkdir(parents=True)
    labels, masks = [], {}
    for row in rows:
        masks[row] = mask_of(row)
        (folder / f"masks/{row}.png").write_bytes(cv2.imencode(".png", masks[row])[1].tobytes())
        label = Label(
            request_id=f"r{row}",
            round=1,
            key=pool.column("key")[row],
            crop_sha256=pool.column("crop_sha256")[row],
            dataset="demo",
            clip=pool.column("clip")[row],
            source="human",
            state="labelled",
            verdict="forged",
            mask=f"masks/{row}.png",
            area=0.1,
            annotations=1,
            annotators=("one",),
            agreement=None,
            reason="",
            detail="",
        )
        labels.append(dataclasses.replace(label, **changes))
    write_rows(folder / "labels.parquet", Label, labels)
    return folder, masks


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2])
def test_labelled_fakes_fill_their_share_of_every_batch_in_turn(pool, tmp_path, workers, world):
    rows = fakes(pool, 5)
    folder, masks = make_labels(tmp_path / "labels", pool, rows)
    labels = read_labels([folder], pool)
    assert len(labels) == 5
    params = dataclasses.replace(PARAMS, workers=workers)
    loaders = [TrainingLoader(pool, params, labels, rank, world) for rank in range(world)]
    batches = [batch for loader in loaders for batch in loader.epoch(0)]
    assert loaders[0].steps == TrainingLoader(pool, params, world=world).steps == len(batches) // world
    for batch in batches:
        assert batch.labelled.tolist() == [False] * 6 + [True] * 2
        assert batch.fake.tolist() == [0] * 4 + [1] * 4
        assert not set(batch.rows[:6].tolist()) & set(rows)
        for row, mask in zip(batch.rows[6:].tolist(), batch.mask[6:].numpy(), strict=True):
            assert np.array_equal(mask, masks[row])
        assert batch.known[6:].all()
    times = np.bincount(rows_of(batches), minlength=len(pool))
    assert max(times[rows]) - min(times[rows]) <= 1
    plan = loaders[0].plan(0)
    assert plan.repeats == np.maximum(times - 1, 0).sum()
    assert plan.drops == (times == 0).sum()
    assert plan.kinds["labelled"][:2] == (5, 2 * len(batches))


def test_twins_with_and_without_labels_share_their_reals(pool, tmp_path):
    folder, _ = make_labels(tmp_path / "labels", pool, fakes(pool, 5))
    params = dataclasses.replace(AUGMENTED, shuffle=2000, labelled=2)
    with_labels = TrainingLoader(pool, params, read_labels([folder], pool)).epoch(0)
    for one, other in zip(with_labels, TrainingLoader(pool, params).epoch(0), strict=True):
        assert one.rows[:4].tolist() == other.rows[:4].tolist()
        assert (one.image[:4] == other.image[:4]).all()


def test_an_epoch_with_labels_resumes(pool, tmp_path):
    folder, _ = make_labels(tmp_path / "labels", pool, fakes(pool, 5))
    loader = TrainingLoader(pool, dataclasses.replace(AUGMENTED, labelled=2), read_labels([folder], pool))
    whole = list(loader.epoch(3))
    assert all(map(same, whole[4:], loader.epoch(3, 4)))


def test_couples_with_labels(pool, tmp_path):
    rows = fakes(pool, 4)
    folder, _ = make_labels(tmp_path / "labels", pool, rows)
    loader = TrainingLoader(pool, PARAMS, read_labels([folder], pool), pairs=True)
    frames = pool.table.select(["group", "frame", "compression"]).to_pylist()
    for batch in loader.epoch(0):
        assert batch.labelled.tolist() == [False] * 6 + [True] * 2
        assert set(batch.rows[6:].tolist()) <= set(rows)
        for real, fake in zip(batch.rows[:4].tolist(), batch.rows[4:].tolist(), strict=True):
            assert frames[real] == frames[fake]


def test_many_labels_take_their_share(pool, tmp_path):
    every = np.flatnonzero(pool.column("label") == "fake")
    folder, _ = make_labels(tmp_path / "most", pool, every[5:].tolist())
    batch = next(iter(TrainingLoader(pool, PARAMS, read_labels([folder], pool)).epoch(0)))
    assert batch.labelled.sum() == 3
    folder, _ = make_labels(tmp_path / "all", pool, every.tolist())
    for pairs in (False, True):
        loader = TrainingLoader(pool, PARAMS, read_labels([folder], pool), pairs=pairs)
        batches = list(loader.epoch(0))
        assert len(batches) == loader.steps
        assert all(batch.labelled.tolist() == [False] * 4 + [True] * 4 for batch in batches)


@pytest.mark.parametrize("changes", [{"state": "disputed", "mask": ""}, {"verdict": "authentic"}])
def test_a_label_that_is_taken_back_later_does_not_train(pool, tmp_path, changes):
    rows = fakes(pool, 4)
    before, _ = make_labels(tmp_path / "before", pool, rows)
    after, _ = make_labels(tmp_path / "after", pool, rows[:1], **changes)
    labels = read_labels([before, after], pool)
    assert set(labels.rows(pool)) == set(rows[1:])
    assert labels.replaced == 1
    assert "1 masks gave way to later answers" in labels.describe()


def test_an_answer_that_is_taken_back_leaves_that_of_another_request(pool, tmp_path):
    row = fakes(pool, 4)[:1]
    one, _ = make_labels(tmp_path / "one", pool, row, request_id="z", round=1)
    two, _ = make_labels(tmp_path / "two", pool, row, request_id="a", round=2, source="oracle")
    back, _ = make_labels(tmp_path / "back", pool, row, request_id="z", round=1, state="disputed", mask="")
    labels = read_labels([two, one, back], pool)
    assert labels.rows(pool)[row[0]].parent == two / "masks"
    assert labels.sources == ("oracle",)


def test_the_order_of_folders_decides_within_a_request_alone(pool, tmp_path):
    row = fakes(pool, 4)[:1]
    late, _ = make_labels(tmp_path / "late", pool, row, request_id="a", round=2)
    early, _ = make_labels(tmp_path / "early", pool, row, lambda _: draw(3), request_id="z", round=1)
    for folders in ([early, late], [late, early]):
        labels = read_labels(folders, pool)
        assert labels.rows(pool)[row[0]].parent == late / "masks"
        assert (labels.replaced, labels.sources) == (1, ("human",))
    assert gather_labels([early, late]).digest == gather_labels([late, early]).digest


def test_what_does_not_join_is_counted(shards, pool, tmp_path):
    rows = fakes(pool, 12)
    first, _ = make_labels(tmp_path / "first", pool, rows[:4])
    stale, _ = make_labels(tmp_path / "stale", pool, rows[4:6], crop_sha256="0" * 64)
    gone, _ = make_labels(tmp_path / "gone", pool, rows[6:7], key="demo/gone/00/000000")
    again, masks = make_labels(tmp_path / "again", pool, rows[3:4], lambda row: draw(row + 7))
    equal, _ = make_labels(tmp_path / "equal", pool, rows[:1])
    real, _ = make_labels(
        tmp_path / "real", pool, np.flatnonzero(pool.column("label") == "real")[:1].tolist()
    )
    waits, _ = make_labels(tmp_path / "waits", pool, rows[7:9], state="waiting", mask="")
    no, _ = make_labels(tmp_path / "no", pool, rows[9:10], verdict="authentic", mask="")
    labels = read_labels([first, stale, gone, again, equal, real, waits, no], pool)
    assert (len(labels), labels.other_digest, labels.absent, labels.replaced) == (4, 2, 2, 1)
    assert set(labels.rows(pool)) == set(rows[:4])
    assert labels.rows(pool)[rows[3]].parent == again / "masks"
    assert "2 labels of crops that have changed" in labels.describe()
    loader = TrainingLoader(pool, PARAMS, labels)
    for batch in loader.epoch(0):
        for row, mask in zip(batch.rows[6:].tolist(), batch.mask[6:].numpy(), strict=True):
            if row == rows[3]:
                assert np.array_equal(mask, masks[row])
    few = read_pool([shards], "compression == 'c40'")
    assert len(labels.rows(few)) == sum("c40" in pool.column("key")[row] for row in rows[:4])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_sha256": "0" * 64}, r"none of 2 labels fits .*2 are of other crop_sha256.*request again"),
        ({"key": "demo/gone/00/000000"}, "none of .* of samples that are no fakes of split 'train'"),
        ({"state": "waiting"}, r"no label is 'labelled' and 'forged' \(2 waiting\); wait for answers"),
        ({"verdict": "authentic"}, r"no label is 'labelled' and 'forged' \(2 authentic\)"),
        ({"mask": "masks/none.png"}, "the mask of demo/.*'masks/none.png', is not a file"),
        ({"mask": "../labels/../../outside.png"}, "is not a file in that folder"),
        ({"mask": ""}, "the mask of demo/.*, '', is not a file"),
    ],
)
def test_labels_that_cannot_be_used_are_said(pool, tmp_path, changes, message):
    (tmp_path / "outside.png").write_bytes(b"")
    folder, _ = make_labels(tmp_path / "labels", pool, fakes(pool, 2), **changes)
    with pytest.raises(UsageError, match=message):
        read_labels([folder], pool)


def test_masks_that_cannot_be_used_are_said(pool, tmp_path):
    rows = fakes(pool, 2)
    folder, _ = make_labels(tmp_path / "small", pool, rows, lambda row: draw(row, 32))
    with pytest.raises(UsageError, match=r"masks/\d+.png: 32x32 px, the crop demo/.* has 64x64"):
        read_labels([folder], pool)
    folder, _ = make_labels(tmp_path / "cut", pool, rows)
    (folder / f"masks/{rows[0]}.png").write_bytes(b"\x89PNG")
    with pytest.raises(UsageError, match=rf"masks/{rows[0]}.png: the mask .4 bytes. cannot be decoded"):
        read_labels([folder], pool)
    with pytest.raises(UsageError, match=r"nowhere/labels.parquet: no such file"):
        read_labels([tmp_path / "nowhere"], pool)


def test_the_number_of_labelled_images_must_fit(pool, tmp_path):
    labels = read_labels([make_labels(tmp_path / "labels", pool, fakes(pool, 2))[0]], pool)
    for wrong in (0, 5):
        with pytest.raises(UsageError, match=f"train.labelled: {wrong}; .*1 to 4"):
            TrainingLoader(pool, dataclasses.replace(PARAMS, labelled=wrong), labels)


def test_a_labelled_crop_that_changed_in_its_shard(tmp_path):
    shards = make_shards(tmp_path / "shards", Corpus(groups=8, frames=1))
    pool = read_pool([shards])
    rows = fakes(pool, 3)
    labels = read_labels([make_labels(tmp_path / "labels", pool, rows)[0]], pool)
    changed = pool.column("key")[rows[0]] + ".jpg"
    other = cv2.imencode(".jpg", draw(3))[1].tobytes()
    tar = pool.column("shard")[rows[0]].removeprefix(f"{shards}/")
    edit_tar(shards, tar, lambda found: [(name, other if name == changed else data) for name, data in found])
    pool = read_pool([shards])
    with pytest.raises(UsageError, match=rf"{tar}: {changed[:-4]}: is not the image of index.parquet"):
        TrainingLoader(pool, PARAMS, labels)
    loader = TrainingLoader(pool, PARAMS, labels, skip_broken=True)
    assert sum(loader.skipped.values()) == 1
    shown = {row for batch in loader.epoch(0) for row in batch.rows[batch.labelled].tolist()}
    assert shown == set(rows[1:])
    assert len(rows_of(EvaluationBatches(pool, 64, 8, 0))) == len(pool)
