from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.label import Label
from training.asking.selection import (
    Asked,
    Budget,
    Evidence,
    asked_before,
    choose,
    draw_lots,
    face_region,
    find_candidates,
    measure,
    outside_share,
    rank_by_concept,
    separations,
)

FACE = np.array([[22, 23], [42, 23], [32, 36], [24, 44], [40, 44]], float)


def table(rows):
    names = ("key", "dataset", "clip", "label", "split")
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})


def row(number, clip, label="fake", split="train", dataset="a"):
    return {"key": f"k{number:04d}", "dataset": dataset, "clip": clip, "label": label, "split": split}


ROWS = st.lists(
    st.builds(
        lambda clip, label, split, dataset: {
            "clip": f"c{clip}",
            "label": label,
            "split": split,
            "dataset": dataset,
        },
        st.integers(0, 8),
        st.sampled_from(["fake", "fake", "real"]),
        st.sampled_from(["train", "train", "val", "test"]),
        st.sampled_from(["a", "b"]),
    ),
    max_size=80,
).map(lambda rows: [{"key": f"k{number:03d}", **row} for number, row in enumerate(rows)])


def label(key, clip="c", request="", state="labelled", dataset="a"):
    return Label(
        request_id=request or f"r-{key}",
        round=1,
        key=key,
        crop_sha256="0" * 64,
        dataset=dataset,
        clip=clip,
        source="human",
        state=state,
        verdict="forged",
        mask="",
        area=0.1,
        annotations=1,
        annotators=("x",),
        agreement=None,
        reason="",
        detail="",
    )


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    share=st.floats(0, 1),
    per_clip=st.integers(1, 3),
    wishes=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    scores=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=80, max_size=80),
    seed=st.integers(0, 100),
)
def test_no_number_of_rounds_breaks_the_budget(rows, share, per_clip, wishes, scores, seed):
    pool, asked, every = table(rows), Asked(), []
    score = np.array(scores[: len(rows)])
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    for wish in wishes:
        budget = Budget(len(rows), share, len(every))
        count = min(wish, budget.left)
        chosen = choose(pool, score, asked, count, per_clip)
        other = choose(pool.take(shuffled), score[shuffled], asked, count, per_clip)
        assert [rows[i]["key"] for i in chosen] == [rows[shuffled[i]]["key"] for i in other]
        assert list(score[chosen]) == sorted(score[chosen], reverse=True)
        every += [rows[i] for i in chosen]
        asked = asked_before(label(r["key"], r["clip"], dataset=r["dataset"]) for r in every)
    assert len(every) <= share * len(rows) + 1e-9
    assert len({r["key"] for r in every}) == len(every)
    assert all(r["label"] == "fake" and r["split"] == "train" for r in every)
    assert max(Counter((r["dataset"], r["clip"]) for r in every).values(), default=0) <= per_clip


def test_as_many_are_chosen_as_the_cap_allows():
    pool = table([row(i, f"c{i // 4}") for i in range(12)])
    score = np.arange(12.0)
    assert choose(pool, score, Asked(), 100, 2).tolist() == [11, 10, 7, 6, 3, 2]
    assert choose(pool, score, Asked(), 2, 2).tolist() == [11, 10]
    assert choose(pool, score, Asked(clips={("a", "c2"): 2}), 2, 2).tolist() == [7, 6]
    assert choose(pool, score, Asked(clips={("b", "c2"): 2}), 2, 2).tolist() == [11, 10]


def test_equal_scores_go_by_key():
    pool = table([row(i, f"c{i}") for i in (3, 1, 2)])
    assert choose(pool, np.ones(3), Asked(), 3, 1).tolist() == [1, 2, 0]


def test_what_was_asked_is_not_asked_again_in_any_state():
    labels = [label("k0000", state="waiting"), label("k0001", state="skipped"), label("k0002")]
    pool = table([row(i, f"c{i}") for i in range(5)])
    assert find_candidates(pool, asked_before(labels), 1).tolist() == [3, 4]


def test_one_request_in_two_label_folders_counts_once():
    asked = asked_before([label("k1", "c", "r1"), label("k1", "c", "r1"), label("k2", "c", "r2")])
    assert asked.clips == {("a", "c"): 2}


@pytest.mark.parametrize(
    ("images", "share", "spent", "left"),
    [
        (14_400, 0.03, 0, 432),
        (100, 0.03, 0, 3),
        (100, 0.29, 0, 29),  # 0.29 * 100 is 28.999… in binary
        (99, 0.03, 0, 2),
        (33, 0.03, 0, 0),
        (100, 0.03, 2, 1),
        (100, 0.03, 7, 0),
    ],
)
def test_the_budget_is_a_share_of_all_images(images, share, spent, left):
    assert Budget(images, share, spent).left == left


def test_ranking_finds_the_planted_channel():
    rng = np.random.default_rng(0)
    fake = np.arange(200) % 2 == 1
    channels = rng.normal(1, 0.2, (200, 16))
    planted = fake & (np.arange(200) % 4 == 1)
    channels[planted, 11] += 3
    channels[:, 5] += np.where(fake, 0.1, 0)
    assert np.abs(separations(channels, fake)).argmax() == 11
    score = rank_by_concept(channels, fake)
    assert set(np.argsort(-score)[: planted.sum()]) == set(np.flatnonzero(planted))


def test_ranking_goes_towards_the_fakes_where_a_channel_is_quiet_on_them():
    rng = np.random.default_rng(1)
    fake = np.arange(100) < 50
    channels = rng.normal(2, 0.1, (100, 4))
    channels[fake, 2] -= np.linspace(0.5, 1.5, 50)
    assert separations(channels, fake)[2] < 0
    assert np.argsort(-rank_by_concept(channels, fake))[:5].max() < 50
    assert rank_by_concept(channels, fake)[45:50].mean() > rank_by_concept(channels, fake)[:5].mean()


def test_separation_is_the_difference_over_the_pooled_deviation():
    channels = np.array([[0.0, 7], [2, 7], [5, 7], [7, 7]])
    fake = np.array([False, False, True, True])
    assert separations(channels, fake).tolist() == [5.0, 0.0]
    assert rank_by_concept(channels, fake).tolist() == [-1.0, 1.0, 4.0, 6.0]


def test_several_channels_are_averaged():
    rng = np.random.default_rng(2)
    fake = np.arange(60) % 2 == 0
    channels = rng.normal(0, 1, (60, 3))
    channels[fake] += [4, 2, 0]
    one, two = (rank_by_concept(channels[:, [i]], fake) for i in (0, 1))
    assert np.allclose(rank_by_concept(channels, fake, top=2), (one + two) / 2)


def evidence(**values):
    blank = {
        "rows": np.arange(4),
        "real": np.zeros(4),
        "fake": np.zeros(4),
        "channels": np.zeros((4, 2)),
        "outside": np.zeros(4),
    }
    return Evidence(**(blank | values))


def test_uncertain_images_come_first():
    found = evidence(real=np.array([0.0, 0.5, 1.0, 0.2]), fake=np.array([1.0, 0.6, 0.1, 0.2]))
    score = measure("uncertainty", found, np.ones(4, bool), list("abcd"), 0)
    assert np.argsort(-score).tolist() == [3, 1, 2, 0]


def test_attention_outside_the_face_comes_first():
    maps = np.zeros((4, 16, 16))
    maps[0, 8, 8] = 5  # on the nose
    maps[1, 0, 0] = 0.1  # in a corner, however weak
    maps[2, 8, 8] = maps[2, 15, 15] = 1
    landmarks, sizes = np.repeat(FACE[None], 4, 0), np.full(4, 64)
    outside = outside_share(maps, landmarks, sizes)
    assert outside.tolist() == [0.0, 1.0, 0.5, 0.0]
    score = measure("mislocalisation", evidence(outside=outside), np.ones(4, bool), list("abcd"), 0)
    assert np.argsort(-score)[:2].tolist() == [1, 2]


def test_the_face_moves_scales_and_turns_with_its_landmarks():
    big = face_region(FACE[None], np.array([64]), 64)[0]
    assert 0.2 < big.mean() < 0.6
    assert big[30, 32] == 1
    assert big[0].max() == 0
    moved = face_region(FACE[None] + np.array([5, 0]), np.array([64]), 64)[0]
    assert np.array_equal(moved[:, 5:], big[:, :-5])
    double = face_region(2 * FACE[None] + 0.5, np.array([128]), 64)[0]
    assert np.abs(double - big).max() < 0.3
    turned = face_region(FACE[None, :, ::-1], np.array([64]), 64)[0]
    assert np.abs(turned - big.T).mean() < 0.01


def test_lots_depend_on_seed_and_key_alone():
    keys = [f"k{i}" for i in range(200)]
    lots = draw_lots(keys, 3)
    assert np.array_equal(draw_lots(keys[::-1], 3)[::-1], lots)
    assert not np.array_equal(draw_lots(keys, 4), lots)
    assert lots.min() >= 0
    assert lots.max() < 1
    assert abs(lots.mean() - 0.5) < 0.1
    assert len(set(lots)) == 200
    assert np.array_equal(measure("random", evidence(), np.ones(200, bool), keys, 3), lots)
