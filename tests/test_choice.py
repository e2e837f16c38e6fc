import itertools

from hypothesis import given
from hypothesis import strategies as st

from schemas.params import FramesParams
from transforms.choice import choose_frames, choose_windows

frames = st.sets(st.integers(0, 400), max_size=200).map(sorted)
policies = st.sampled_from(["even", "stride", "first"])


@given(frames, policies, st.integers(0, 40), st.integers(1, 30))
def test_frames_are_known_distinct_and_few_enough(known, policy, count, stride):
    chosen = [
        frame for (frame,) in choose_frames(known, FramesParams(policy=policy, count=count, stride=stride))
    ]
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(known)
    assert count == 0 or len(chosen) <= count


@given(frames, policies, st.integers(0, 10), st.integers(1, 30), st.integers(1, 12))
def test_windows_are_consecutive_known_frames(known, policy, count, stride, length):
    windows = choose_windows(known, FramesParams(policy=policy, count=count, stride=stride, length=length))
    for window in windows:
        assert len(window) == length
        assert list(window) == list(range(window[0], window[0] + length))
        assert set(window) <= set(known)
    starts = [window[0] for window in windows]
    assert starts == sorted(set(starts))
    if policy != "stride":
        assert all(b - a >= length for a, b in itertools.pairwise(starts))
    assert count == 0 or len(windows) <= count


def test_even_takes_both_ends():
    chosen = choose_frames(list(range(300)), FramesParams(policy="even", count=32))
    assert len(chosen) == 32
    assert chosen[0] == (0,)
    assert chosen[-1] == (299,)


def test_first_and_stride():
    assert choose_frames(range(5, 50), FramesParams(policy="first", count=3)) == [(5,), (6,), (7,)]
    assert choose_frames(range(5, 50), FramesParams(policy="stride", count=3, stride=10)) == [
        (5,),
        (15,),
        (25,),
    ]


def test_nothing_comes_of_nothing():
    assert choose_frames([], FramesParams()) == []
    assert choose_windows([], FramesParams()) == []
