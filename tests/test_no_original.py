"""Track and shard of clips that have no original: pictures, wholly synthetic ones, and face crops."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines import shard, track
from schemas import files
from schemas.clip import Clip
from schemas.outcome import Outcome
from tests.videos import write_video
from transforms.indexing.probe import probe
from transforms.video import Video

REAL = "original_sequences/youtube/raw/videos/000.mp4"


def put(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return path


def fake(root: Path, path: str, **values) -> Clip:
    info = probe(root / path)
    facts: dict = {"frames": info.frames, "width": info.width, "height": info.height, "bytes": info.bytes}
    clip = Clip("d", path, path, "fake", "Made", "raw", "train", truth="none", reference=True)
    return replace(clip, **facts, sha256=info.sha256, **values)


class Shards:
    """Tracks and shards of some clips, as a user makes them."""

    def __init__(self, folder: Path, root: Path, clips: list[Clip], **params):
        index = folder / "clips.parquet"
        files.write_rows(index, Clip, clips, {"root": str(root), "dataset": "d"})
        files.write_rows(folder / "clips.outcomes.parquet", Outcome, [])
        settings = folder / "params.yaml"
        settings.write_text(json.dumps({"datasets": {}, **params}))
        flags = ["--params", str(settings), "--direct_num_workers=1", "--clips", str(index)]
        self.codes = [
            track.main([*flags, "--out", str(folder / "tracks")]),
            shard.main([*flags, "--tracks", str(folder / "tracks"), "--out", str(folder / "shards")]),
        ]
        self.outcomes = {
            outcome.unit: outcome
            for name in ("tracks/outcomes.parquet", "shards/outcomes.parquet")
            for outcome in files.read_rows(folder / name, Outcome)
        }
        self.samples: dict[str, dict[str, bytes]] = {}
        for path in sorted((folder / "shards").rglob("*.tar")):
            with tarfile.open(path) as tar:
                for info in tar:
                    key, _, member = info.name.partition(".")
                    self.samples.setdefault(key, {})[member] = tar.extractfile(info).read()  # type: ignore[union-attr]

    def of(self, name: str) -> list[dict[str, bytes]]:
        found = [members for key, members in sorted(self.samples.items()) if f"/{name}/" in key]
        assert found, sorted(self.samples)
        return found


def record(members: dict[str, bytes]) -> dict:
    return json.loads(members["json"])


def mask(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope="module")
def frame(demo_corpus) -> np.ndarray:
    return np.array(Video(demo_corpus / REAL)[0])


@pytest.fixture(scope="module")
def made(frame, tmp_path_factory) -> Shards:
    """A still, a synthetic one, a crop without a face, a folder of crops, and a still with a mask."""
    folder = tmp_path_factory.mktemp("alone")
    root = folder / "root"
    height, width = frame.shape[:2]
    put(root / "still.png", frame)
    put(root / "synthetic.png", frame)
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    put(root / "noise.png", noise)
    middle = frame[:, (width - height) // 2 : (width + height) // 2]
    for number, picture in ((2, middle), (10, np.zeros_like(middle)), (9, middle)):
        put(root / f"sequence/{number}.png", picture)
    put(root / "stated.png", frame)
    region = np.zeros_like(frame)
    region[height // 4 : height // 2] = 255
    put(root / "region.png", region)
    clips = [
        fake(root, "still.png"),
        fake(root, "synthetic.png", truth="all_one"),
        fake(root, "noise.png", cropped=True),
        fake(root, "sequence", cropped=True),
        fake(root, "stated.png", official_mask="region.png", official_mask_sha256="0"),
    ]
    return Shards(folder, root, clips, mask={"kinds": ["difference", "official", "hull"]})


def test_nothing_is_lost(made):
    assert made.codes == [0, 0]
    assert {name: (o.status, o.made) for name, o in made.outcomes.items()} == {
        "still.png": ("ok", 1),
        "synthetic.png": ("ok", 1),
        "noise.png": ("ok", 1),
        "sequence": ("ok", 3),
        "stated.png": ("ok", 1),
    }


def test_a_fake_without_an_original_has_no_mask_and_says_so(made):
    (members,) = made.of("still")
    assert set(members) == {"jpg", "json", "mask.hull.png"}
    assert record(members)["mask_kind"] == "unknown"
    assert record(members)["mask_from"] is None
    assert record(members)["mask_quality"]["score"] == 0
    assert record(members)["alignment"] == "landmarks"


def test_a_synthetic_picture_is_forged_all_over(made):
    (members,) = made.of("synthetic")
    assert record(members)["mask_kind"] == "all_one"
    assert (record(members)["mask_quality"]["score"], record(members)["mask_quality"]["area"]) == (1, 1)
    assert (mask(members["mask.png"]) == 255).all()


def test_a_crop_without_a_face_is_taken_as_it_is(made):
    (members,) = made.of("noise")
    assert set(members) == {"jpg", "json"}, "nobody saw an outline, so there is no hull"
    assert record(members)["alignment"] == "picture"
    matrix = np.array(record(members)["crop_to_frame"])
    size = record(members)["size"]
    corners = matrix @ np.array([[-0.5, -0.5, 1], [size - 0.5, size - 0.5, 1]]).T
    # 120 x 90 px: the longer edge is the crop's, and the shorter one is in its middle.
    assert np.allclose(corners, [[-0.5, 119.5], [-15.5, 104.5]])
    assert made.outcomes["noise.png"].made == 1


def test_frames_stay_in_order_and_each_is_aligned_by_its_own_face(made):
    found = [record(members) for members in made.of("sequence")]
    assert [one["frame"] for one in found] == [0, 1, 2]
    assert [one["alignment"] for one in found] == ["landmarks", "landmarks", "picture"]
    first, again, black = (mask(members["jpg"]) for members in made.of("sequence"))
    assert (first == again).all()
    assert black.max() == 0


def test_the_datasets_own_mask_needs_no_original(made, frame):
    (members,) = made.of("stated")
    assert record(members)["mask_kind"] == "unknown", "mask.train is difference"
    stated = mask(members["mask.official.png"])
    assert set(np.unique(stated)) == {0, 255}
    matrix = np.array(record(members)["crop_to_frame"])
    rows = (matrix @ np.stack([np.full(256, 128), np.arange(256), np.ones(256)]))[1]
    height = frame.shape[0]
    inside = (rows > height / 4) & (rows < height / 2 - 1)
    assert inside.any()
    assert (stated[inside, 128] == 255).all()
    assert (stated[(rows < height / 4 - 2) & (rows > 1), 128] == 0).all()


def test_of_several_faces_the_masks_tell_which(demo_corpus, tmp_path):
    """Two faces, no original: the one in the dataset's mask is taken, though the other is larger."""
    left, right = (np.array(Video(demo_corpus / REAL)[number]) for number in (0, 5))
    small = cv2.resize(right, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    height, width = small.shape[0] // 2 * 2, small.shape[1] // 2 * 2
    canvas = np.full((left.shape[0], left.shape[1] + width, 3), 90, np.uint8)
    canvas[:, : left.shape[1]] = left
    canvas[:height, left.shape[1] :] = small[:height, :width]
    region = np.zeros_like(canvas)
    region[:height, left.shape[1] :] = 255
    write_video(tmp_path / "root/two.mp4", [canvas] * 3)
    write_video(tmp_path / "root/mask.mp4", [region] * 3)
    for mask_clip, side in (("", False), ("mask.mp4", True)):
        folder = tmp_path / f"work{side}"
        folder.mkdir()
        clip = fake(tmp_path / "root", "two.mp4", official_mask=mask_clip, official_mask_sha256="0")
        made = Shards(folder, tmp_path / "root", [clip])
        assert made.codes == [0, 0]
        x = [np.array(record(members)["crop_to_frame"])[0] @ [128, 128, 1] for members in made.of("two")]
        assert all((one > left.shape[1]) == side for one in x)
