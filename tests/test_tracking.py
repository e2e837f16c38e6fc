import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.params import CropParams, TrackParams
from transforms.faces import Face
from transforms.observe import ClipShape, Observation
from transforms.tracking import RawTrack, box_iou, link, segments, smooth, track_frames

UNIT = np.random.default_rng(0).uniform(0, 1, (468, 2)).astype(np.float32)


def face(x: float, y: float, edge: float = 100.0) -> Face:
    return Face(0.9, (UNIT * edge + (x, y)).astype(np.float32), 50.0)


def seen(frame, *faces, cut=False):
    return Observation(frame, faces, 0, cut)


@given(
    st.lists(st.integers(0, 200), min_size=3, max_size=40, unique=True).map(sorted),
    st.floats(-5, 5),
    st.floats(-100, 100),
    st.floats(0, 6),
)
def test_smoothing_does_not_lag_behind_constant_speed(times, speed, start, sigma):
    at = np.arange(times[0], times[-1] + 1)
    values = speed * np.array(times, float) + start
    result = smooth(np.array(times), values[:, None], at, sigma)[:, 0]
    assert np.allclose(result, speed * at + start, atol=1e-3)


def test_smoothing_removes_jitter_and_keeps_the_phase_of_a_nod():
    times = np.arange(200)
    truth = 5 * np.sin(times / 12)
    noisy = truth + np.random.default_rng(0).normal(0, 0.5, 200)
    result = smooth(times, noisy[:, None], times, 1.5)[:, 0]
    assert np.abs(result - truth).std() < 0.6 * np.abs(noisy - truth).std()
    shifts = range(-4, 5)
    errors = [np.abs(np.roll(result, shift) - truth)[10:-10].mean() for shift in shifts]
    assert list(shifts)[int(np.argmin(errors))] == 0


def test_segments_break_at_long_gaps():
    assert segments([0, 2, 4, 20, 22], 12) == [(0, 3), (3, 5)]
    assert segments([0, 13], 12) == [(0, 2)]
    assert segments([0, 14], 12) == [(0, 1), (1, 2)]


def test_two_faces_are_two_tracks_the_larger_first():
    tracks = link([seen(i, face(10 + i, 10), face(300, 50, 150)) for i in range(10)], 12)
    assert [len(track.frames) for track in tracks] == [10, 10]
    assert tracks[0].faces[0].box[0] > 200
    assert tracks[1].events == tracks[0].events == []


def test_a_cut_ends_tracks_and_is_recorded():
    frames = [seen(i, face(10, 10), cut=i == 5) for i in range(10)]
    tracks = link(frames, 12)
    assert sorted(track.frames[0] for track in tracks) == [0, 5]
    assert [track.events for track in tracks if track.frames[0] == 0] == [["5:cut"]]


def test_a_lost_face_is_recorded_and_not_interpolated_over():
    frames = [seen(i, *([face(10, 10)] if i < 10 or i >= 40 else [])) for i in range(50)]
    (track,) = link(frames, 12)
    assert track.events == ["10:lost"]
    rows = track_frames("a.mp4", 0, track, ClipShape(50, 640, 480, 25), TrackParams(every=1), CropParams())
    assert [row.frame for row in rows] == [*range(10), *range(40, 50)]


def test_short_gaps_are_filled_and_marked():
    frames = [seen(i, *([] if i in (4, 5) else [face(10 + 2 * i, 10)])) for i in range(10)]
    (track,) = link(frames, 12)
    rows = track_frames("a.mp4", 0, track, ClipShape(10, 640, 480, 25), TrackParams(every=1), CropParams())
    assert [row.frame for row in rows] == list(range(10))
    assert [row.frame for row in rows if not row.detected] == [4, 5]
    left = np.array([row.landmarks[0] for row in rows])
    assert np.allclose(np.diff(left), 2, atol=0.01)


def test_sparse_frames_are_not_smoothed_across_gaps():
    frames = [seen(i, face(10 + i, 10)) for i in range(0, 100, 25)]
    (track,) = link(frames, 12)
    rows = track_frames("a.mp4", 0, track, ClipShape(100, 640, 480, 25), TrackParams(every=25), CropParams())
    assert [row.frame for row in rows] == [0, 25, 50, 75]
    assert all(row.detected for row in rows)


def test_faces_that_meet_are_a_possible_switch():
    frames = [seen(i, face(10 + 12 * i, 10), face(250 - 12 * i, 10)) for i in range(20)]
    tracks = link(frames, 12)
    assert any("switch" in event for track in tracks for event in track.events)


@pytest.mark.parametrize(
    ("other", "expected"), [((0, 0, 10, 10), 1.0), ((20, 0, 30, 10), 0.0), ((5, 0, 15, 10), 1 / 3)]
)
def test_box_iou(other, expected):
    assert box_iou(np.array([0.0, 0, 10, 10]), np.array(other, float)) == pytest.approx(expected)


def test_raw_tracks_rank_by_area_and_time():
    small = RawTrack([0, 1, 2], [face(0, 0, 10)] * 3)
    large = RawTrack([0], [face(0, 0, 100)])
    assert large.size > small.size
