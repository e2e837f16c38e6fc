"""What counts as one picture, and the search that finds it across the split."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.lookalike_search import Crops, find_candidates, find_pairs
from transforms.lookalikes import CROPS, EDGE, SIMILAR, Looks, detail, fingerprint, similarity

STILLS = Path(__file__).parents[2] / "shared/data/stills"
needs_stills = pytest.mark.skipif(not STILLS.is_dir(), reason=f"real faces are not in {STILLS}")


def jpg(image: np.ndarray, quality: int = 95) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def moved(image: np.ndarray, turn: float, zoom: float, shift: tuple[float, float]) -> np.ndarray:
    edge = len(image)
    matrix = cv2.getRotationMatrix2D((edge / 2, edge / 2), turn, zoom)
    matrix[:, 2] += shift
    return cv2.warpAffine(image, matrix, (edge, edge), borderMode=cv2.BORDER_REPLICATE)


COPIES = {
    "as it is": lambda image: jpg(image),
    "png": lambda image: cv2.imencode(".png", image)[1].tobytes(),
    "compressed": lambda image: jpg(image, 20),
    "half size": lambda image: jpg(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 60),
    "another size": lambda image: jpg(cv2.resize(image, (299, 299)), 80),
    "brighter": lambda image: jpg(np.clip(image * 0.8 + 30, 0, 255).astype(np.uint8), 80),
    "cut": lambda image: jpg(moved(image, 0, 1, (5, -4)), 80),
    "aligned elsewhere": lambda image: jpg(moved(image, 1, 1.02, (4, -3)), 80),
}


def search(*sides: list[bytes], groups: list[int] | None = None) -> set[tuple[int, int]]:
    """Positions of the pairs that are found among image files; each is its own group where none are given."""
    looks = [look for side in sides for data in side if (look := fingerprint(data))]
    assert len(looks) == sum(map(len, sides))
    hashes, thumbs = (
        np.frombuffer(b"".join(look[place] for look in looks), np.uint8).reshape(len(looks), -1)
        for place in (0, 1)
    )
    splits = np.repeat(np.arange(len(sides)), [len(side) for side in sides])
    named = np.arange(len(looks)) if groups is None else np.array(groups)
    return {(pair.one, pair.other) for pair in find_pairs(Crops(hashes, thumbs, splits, named))}


def portraits() -> list[np.ndarray]:
    """Real faces, small ones of many people: (256, 256) uint8 each."""
    faces = skimage.data.lfw_subset()[:100]
    return [
        cv2.resize((face * 255).astype(np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC) for face in faces
    ]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_found_and_nobody_else(copy):
    faces = portraits()[:40]
    pairs = search([jpg(face) for face in faces], [COPIES[copy](face) for face in faces])
    assert len(pairs) >= (36 if copy in ("cut", "aligned elsewhere") else 40)
    assert pairs <= {(n, n + 40) for n in range(40)}


def test_of_a_hundred_people_no_two_are_called_one():
    faces = [jpg(face) for face in portraits()]
    assert search(faces, faces) == {(n, n + 100) for n in range(100)}


@needs_stills
def test_real_faces_and_their_copies():
    paths = sorted(STILLS.glob("*.jpg"))
    faces = [cv2.resize(cv2.imread(str(path)), (256, 256), interpolation=cv2.INTER_AREA) for path in paths]
    count = len(faces)
    for change in COPIES.values():
        assert search([jpg(face) for face in faces], [change(face) for face in faces]) == {
            (n, n + count) for n in range(count)
        }


def test_same_split_and_flat_pictures_are_not_compared():
    face = portraits()[0]
    assert search([jpg(face), jpg(face)], []) == set()
    assert search([jpg(face)], [], [jpg(face)]) == {(0, 1)}
    assert search([jpg(face)], [jpg(face)], [jpg(face)]) == {(0, 1), (0, 2), (1, 2)}
    black = np.zeros((64, 64), np.uint8)
    slope = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    assert [fingerprint(jpg(picture)) for picture in (black, slope)] == [None, None]
    assert [fingerprint(data) for data in (b"", b"no picture", jpg(face)[:100])] == [None] * 3


def test_similarity_is_of_pictures_and_has_bounds():
    rng = np.random.default_rng(0)
    thumbs = rng.integers(0, 256, (6, EDGE, EDGE)).astype(np.uint8)
    fine = detail(thumbs)
    for one in fine:
        assert similarity(one, one) == pytest.approx(1, abs=1e-3)
        assert similarity(one, -one) < SIMILAR
    values = [similarity(fine[a], fine[b]) for a in range(6) for b in range(a)]
    assert max(values) < 0.5
    assert np.isfinite(similarity(fine[0], np.zeros_like(fine[0])))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=30), st.randoms(use_true_random=False)
)
def test_equal_hashes_of_two_splits_always_meet(rows, random):
    words = [random.randbytes(32) for _ in range(6)]
    hashes = np.frombuffer(b"".join(words[word] for word, _ in rows), np.uint8).reshape(-1, 32)
    splits = np.array([split for _, split in rows], np.int64)
    thumbs = np.zeros((len(rows), EDGE * EDGE), np.uint8)
    one, other = find_candidates(Crops(hashes, thumbs, splits, splits))
    found = set(zip(one.tolist(), other.tolist(), strict=True))
    wanted = {
        (a, b)
        for a, (word, split) in enumerate(rows)
        for b, (second, side) in enumerate(rows)
        if word == second and split < side
    }
    assert wanted <= found
    assert all(splits[a] < splits[b] for a, b in found)
    bits = np.unpackbits(hashes, axis=1)
    assert all((bits[a] != bits[b]).sum() <= 52 for a, b in found)


def test_a_crowd_of_one_picture_is_searched_in_bounds():
    count = 3000
    hashes = np.zeros((2 * count, 32), np.uint8)
    splits = np.repeat([0, 2], count)
    one, other = find_candidates(Crops(hashes, np.zeros((2 * count, 1), np.uint8), splits, splits))
    assert set(one.tolist()) == set(range(count))
    assert len(one) <= 256 * count
    assert other.min() >= count


def rows_of(unit: str, clips: dict[str, tuple[str, str]], frames: int) -> pa.Table:
    """Rows of one group: clips by name with their method and compression."""
    return pa.Table.from_pylist(
        [
            {
                "key": f"{clip}/{frame}",
                "dataset": "d",
                "group": "g",
                "clip": clip,
                "split": "train",
                "method": method,
                "source": "",
                "compression": compression,
                "track": 0,
                "frame": frame if unit == "frame" else [frame, frame + 1],
            }
            for frame in range(frames)
            for clip, (method, compression) in clips.items()
        ]
    )


@pytest.mark.parametrize(("unit", "member"), [("frame", "jpg"), ("frame", "png"), ("sequence", "000.jpg")])
def test_some_crops_of_the_best_compression_are_looked_at(unit, member):
    clips = {"r23": ("real", "c23"), "r40": ("real", "c40"), "f40": ("Deepfakes", "c40")}
    rows = rows_of(unit, clips, 40)
    looks = Looks(rows, unit)
    face = jpg(portraits()[0])
    for key in rows["key"].to_pylist():
        looks.see(key, {member: face, "json": b"{}", "mask.png": b""})
        looks.see(key, {member: face})
    seen = looks.table().to_pylist()
    assert {row["member"] for row in seen} == {member}
    frames = {clip: [int(row["key"].split("/")[1]) for row in seen if row["clip"] == clip] for clip in clips}
    assert frames["r40"] == []
    for clip in ("r23", "f40"):
        assert len(frames[clip]) == CROPS
        assert (frames[clip][0], frames[clip][-1]) == (0, 39)
        assert set(np.diff(frames[clip])) == {5, 6}


def test_members_that_show_nothing_leave_no_look():
    rows = rows_of("frame", {"a": ("real", "raw")}, 3)
    looks = Looks(rows, "frame")
    for key, members in zip(rows["key"].to_pylist(), ({"jpg": b"x"}, {}, {"json": b"{}"}), strict=True):
        looks.see(key, members)
    looks.see("unknown", {"jpg": jpg(portraits()[0])})
    assert looks.table().num_rows == 0
