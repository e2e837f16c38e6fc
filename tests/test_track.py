"""Tracking real videos with the real detector."""

import json
import shutil

import numpy as np
import pytest

import schemas
from schemas.files import read_metadata, read_rows
from tests.videos import write_video
from tests.work import Work, digests
from transforms.video import Video

REAL = "original_sequences/youtube/raw/videos"
FAKE = "manipulated_sequences/Deepfakes/raw/videos"


def frames(path) -> list[np.ndarray]:
    video = Video(path)
    return [video[index] for index in range(len(video))]


def tree(root, real, fake=None):
    """One pair of clips in FaceForensics++'s layout."""
    for number in ("000", "001"):
        write_video(root / REAL / f"{number}.mp4", real, crf=0)
    if fake is not None:
        write_video(root / FAKE / "000_001.mp4", fake, crf=0)
    for split, pairs in (("train", [["000", "001"]]), ("val", []), ("test", [])):
        (root / f"{split}.json").write_text(json.dumps(pairs))
    return root


def track(tmp_path, corpus, **sections):
    work = Work(tmp_path / "work", corpus, **sections)
    work.set(datasets={"demo": {"layout": "faceforensics", "root": str(corpus)}})
    assert work.index() == work.track() == 0
    path = work.tracks / "groups/youtube/000.parquet"
    return work, read_rows(path, schemas.TrackFrame), read_metadata(path)


@pytest.fixture(scope="module")
def clips(demo_corpus):
    """A real clip, its fake, and another person's clip."""
    fake = sorted((demo_corpus / FAKE).glob("000_*.mp4"))[0]
    other = sorted((demo_corpus / REAL).glob("00[12].mp4"))[0]
    found = [frames(path) for path in (demo_corpus / REAL / "000.mp4", fake, other)]
    count = min(map(len, found))
    return [clip[:count] for clip in found]


def test_landmarks_stay_on_the_face_and_rows_are_every_frame(built, demo_corpus):
    for path in sorted((built.tracks / "groups/youtube").glob("*.parquet")):
        rows = read_rows(path, schemas.TrackFrame)
        video = Video(demo_corpus / read_metadata(path)["clip"])
        assert [row.frame for row in rows] == list(range(len(video)))
        for row in rows:
            x0, y0, x1, y1 = row.box
            points = np.array(row.landmarks).reshape(5, 2)
            assert (points > (x0, y0)).all()
            assert (points < (x1, y1)).all()
            assert points[0, 0] < points[2, 0] < points[1, 0]


def test_of_several_faces_the_forged_one_is_taken(clips, tmp_path):
    real, fake, other = clips
    # The forged person is the smaller one, and stands on the right.
    small = [np.ascontiguousarray(frame[::2, ::2]) for frame in real]
    forged = [np.ascontiguousarray(frame[::2, ::2]) for frame in fake]
    pad = ((0, small[0].shape[0]), (0, 0), (0, 0))
    beside = [np.hstack([o, np.pad(s, pad)]) for o, s in zip(other, small, strict=True)]
    swapped = [np.hstack([o, np.pad(s, pad)]) for o, s in zip(other, forged, strict=True)]
    corpus = tree(tmp_path / "corpus", beside, swapped)
    edge = other[0].shape[1]
    _, rows, _ = track(tmp_path, corpus)
    assert {row.track for row in rows} == {0}
    assert all(row.box[0] > edge for row in rows)
    _, rows, _ = track(tmp_path / "both", corpus, track={"max_faces": 2})
    assert {row.track for row in rows} == {0, 1}
    assert all((row.box[0] > edge) == (row.track == 0) for row in rows)


def test_without_a_forgery_the_larger_face_is_taken(clips, tmp_path):
    real, _, other = clips
    pad = ((0, real[0].shape[0] // 2), (0, 0), (0, 0))
    beside = [np.hstack([o, np.pad(r[::2, ::2], pad)]) for o, r in zip(other, real, strict=True)]
    _, rows, _ = track(tmp_path, tree(tmp_path / "corpus", beside))
    assert all(row.box[2] < other[0].shape[1] for row in rows)


def test_a_cut_is_recorded_and_a_lost_face_leaves_a_gap(clips, tmp_path):
    real, _, _ = clips
    bright = [np.full_like(frame, 255) for frame in real]
    corpus = tree(tmp_path / "corpus", real[:8] + bright[:4])
    _, rows, metadata = track(tmp_path, corpus, track={"every": 1})
    assert metadata["events"] == "00:8:cut"
    assert [row.frame for row in rows] == list(range(8))
    x0, y0, x1, y1 = np.array(rows[4].box).astype(int)
    covered = real[4].copy()
    covered[max(0, y0 - 20) : y1 + 20, x0 - 20 : x1 + 20] = covered[y1 + 20, x0]
    corpus = tree(tmp_path / "corpus2", [*real[:4], *([covered] * 4), *real[4:8]])
    _, rows, metadata = track(tmp_path / "lost", corpus, track={"every": 1, "max_gap": 2})
    assert metadata["events"] == "00:4:lost"
    assert [row.frame for row in rows] == [0, 1, 2, 3, 8, 9, 10, 11]


def test_faces_of_a_lossless_clip_are_looked_for_in_its_c23_version(clips, tmp_path):
    real, _, other = clips
    corpus = tree(tmp_path / "corpus", real)
    quicker = corpus / REAL.replace("raw", "c23") / "000.mp4"
    write_video(quicker, other, crf=23)  # Another face tells which version was looked at.
    _, rows, metadata = track(tmp_path, corpus)
    _, rows_of_other, _ = track(tmp_path / "other", tree(tmp_path / "corpus of other", other))
    assert metadata["clip"] == f"{REAL}/000.mp4"
    assert {row.clip for row in rows} == {f"{REAL}/000.mp4"}
    apart = np.array([row.landmarks for row in rows]) - [row.landmarks for row in rows_of_other]
    assert np.sqrt((apart**2).mean()) < 1.5
    write_video(quicker, other[:-1], crf=23)  # One that lacks a frame is no version of it.
    _, rows, _ = track(tmp_path / "shorter", corpus)
    _, rows_of_real, _ = track(tmp_path / "real", tree(tmp_path / "corpus of real", real))
    assert rows == rows_of_real


def test_where_the_c23_version_shows_no_face_the_lossless_one_is_looked_at(clips, tmp_path):
    real, _, _ = clips
    corpus = tree(tmp_path / "corpus", real)
    quicker = corpus / REAL.replace("raw", "c23") / "000.mp4"
    write_video(quicker, [np.zeros_like(frame) for frame in real], crf=23)
    _, rows, metadata = track(tmp_path, corpus)
    _, rows_of_real, _ = track(tmp_path / "real", tree(tmp_path / "corpus of real", real))
    assert rows == rows_of_real
    assert metadata["events"] == f"passed over {REAL.replace('raw', 'c23')}/000.mp4 (no_face)"


def test_a_c23_version_that_is_gone_is_waited_for(clips, tmp_path):
    """A group that went on without it would keep other geometry when it is back."""
    real, _, _ = clips
    corpus = tree(tmp_path / "corpus", real)
    quicker = corpus / REAL.replace("raw", "c23") / "000.mp4"
    write_video(quicker, real, crf=23)
    work, _, _ = track(tmp_path, corpus)
    before = digests(work.tracks, "groups/**/*.parquet")
    shutil.rmtree(work.tracks)
    quicker.rename(tmp_path / "away.mp4")
    assert work.track() == 3
    found = {o.unit: o.reason for o in read_rows(work.tracks / "outcomes.parquet", schemas.Outcome)}
    assert found == {"youtube/000": "missing", "youtube/001": ""}
    (tmp_path / "away.mp4").rename(quicker)
    assert work.track("--retry-failed", "--dry-run") == 0
    assert work.track("--retry-failed") == 0
    assert digests(work.tracks, "groups/**/*.parquet") == before


def test_small_faces_are_refused_by_name(clips, tmp_path):
    real, _, _ = clips
    work = Work(tmp_path / "work", tree(tmp_path / "corpus", real), track={"min_face": 400})
    work.set(datasets={"demo": {"layout": "faceforensics", "root": str(tmp_path / "corpus")}})
    assert work.index() == work.track() == 0
    found = read_rows(work.tracks / "outcomes.parquet", schemas.Outcome)
    assert {outcome.reason for outcome in found} == {"face_too_small"}
    assert all("track.min_face" in outcome.detail for outcome in found)


def test_a_short_fake_has_fewer_samples_and_says_so(clips, tmp_path):
    real, fake, _ = clips
    corpus = tree(tmp_path / "corpus", real, fake[:7])
    work, _, _ = track(tmp_path, corpus, frames={"count": 0})
    assert work.shard() == 0
    found = {o.unit: o for o in read_rows(work.shards / "outcomes.parquet", schemas.Outcome)}
    assert found[f"{REAL}/000.mp4"].made == len(real)
    assert found[f"{FAKE}/000_001.mp4"].made == 7
    assert f"7 of {len(real)} samples" in found[f"{FAKE}/000_001.mp4"].detail


def test_a_null_pair_is_unknown_and_flags_nothing(clips, tmp_path):
    """A real clip against its own re-encoding, as if it were a fake."""
    real, _, _ = clips
    corpus = tree(tmp_path / "corpus", real)
    write_video(corpus / FAKE.replace("raw", "c23") / "000_001.mp4", real, crf=24)
    write_video(corpus / REAL.replace("raw", "c23") / "000.mp4", real, crf=23)
    work, _, _ = track(tmp_path, corpus, frames={"count": 0})
    assert work.shard() == 0
    import pyarrow.parquet as pq

    rows = [row for row in pq.read_table(work.shards / "index.parquet").to_pylist() if row["label"] == "fake"]
    assert rows
    assert {row["mask_kind"] for row in rows} == {"unknown"}
    assert {row["mask_from"] for row in rows} == {"c23"}
