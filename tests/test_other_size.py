"""Fakes of another picture size than their original's, through track and shard."""

import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import coffee

from schemas.clip import Clip
from schemas.params import FramesParams
from schemas.track import TrackFrame
from tests.test_no_original import Shards, mask, record
from tests.videos import write_video
from transforms.clip_geometry import ClipGeometries, registered_rows
from transforms.crops import FrameReads, Shown, fill_crops
from transforms.errors import ClipError
from transforms.forged import forged_energy, stated_energy
from transforms.indexing.probe import probe
from transforms.masks import iou
from transforms.video import Video

REAL = "original_sequences/youtube/raw/videos/000.mp4"
FAKES = "manipulated_sequences/FaceSwap/raw/videos"


CLIP = Clip("d", "fake.mp4", "g", "fake", "Made", "c23", "train")


def read(path: Path) -> list[np.ndarray]:
    video = Video(path)
    return [np.array(video[index]) for index in range(len(video))]


def resized(frames, width, height):
    return [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]


def make(root: Path, demo: Path) -> list[Clip]:
    """A group of a real clip, its fake, and that fake as others may pass it on."""
    source = read(next((demo / FAKES).glob("000_*.mp4")))
    height, width = source[0].shape[:2]
    write_video(root / "real.mp4", read(demo / REAL)[: len(source)], crf=10)
    clips = {
        "whole": source,
        "half": resized(source, width // 2, height // 2),
        "larger": resized(source, width * 5 // 4, height * 5 // 4),
        "cropped": [frame[8:-16, 12:-20] for frame in source],
        "turned": [np.rot90(frame) for frame in resized(source, width * 3 // 4, height * 3 // 4)],
        "mirrored": [frame[:, ::-1] for frame in resized(source, width // 2, height // 2)],
        "scenery": resized([coffee()[:, :400]] * len(source), 200, 200),
    }
    for name, frames in clips.items():
        write_video(root / f"{name}.mp4", frames, crf=10)
    return [clip(root, "real", "real"), *(clip(root, name, "fake") for name in clips)]


def clip(root: Path, name: str, label) -> Clip:
    info = probe(root / f"{name}.mp4")
    made = Clip("d", f"{name}.mp4", "g", label, "real" if label == "real" else name, "c23", "train")
    return replace(
        made,
        reference=label == "real",
        frames=info.frames,
        width=info.width,
        height=info.height,
        bytes=info.bytes,
        sha256=info.sha256,
    )


@pytest.fixture(scope="module", params=["frame", "sequence"])
def shards(request, demo_corpus, tmp_path_factory) -> Shards:
    folder = tmp_path_factory.mktemp("other_size")
    clips = make(folder / "root", demo_corpus)
    frames = {"count": 4} if request.param == "frame" else {"count": 2, "length": 3}
    return Shards(folder, folder / "root", clips, frames=frames, shard={"groups": 1, "unit": request.param})


def masks_of(shards: Shards, name: str) -> list[np.ndarray]:
    return [
        mask(data)
        for members in shards.of(name)
        for member, data in sorted(members.items())
        if member.endswith("mask.png")
    ]


@pytest.mark.parametrize("name", ["half", "larger", "cropped", "turned"])
def test_masks_are_those_of_the_fake_of_its_originals_size(shards, name):
    outcome = shards.outcomes[f"{name}.mp4"]
    assert outcome.status == "ok"
    assert outcome.detail.startswith("registered: scale ")
    ours, whole = masks_of(shards, name), masks_of(shards, "whole")
    assert len(ours) == len(whole) > 0
    assert np.mean([iou(a > 0, b > 0) for a, b in zip(ours, whole, strict=True)]) > 0.85
    for members, beside in zip(shards.of(name), shards.of("whole"), strict=True):
        found, expected = record(members), record(beside)
        assert found["frame"] == expected["frame"]
        assert set(np.ravel(found["alignment"])) == {"registered"}
        assert np.array(found["landmarks"]) == pytest.approx(np.array(expected["landmarks"]), abs=1)


@pytest.mark.parametrize("name", ["half", "cropped"])
def test_crops_show_the_same_as_those_of_the_whole_fake(shards, name):
    for members, beside in zip(shards.of(name), shards.of("whole"), strict=True):
        for member in members:
            if member.endswith("jpg"):
                a, b = (
                    cv2.GaussianBlur(mask(found[member]), (0, 0), 3).astype(float)
                    for found in (members, beside)
                )
                inside = a.max(2) > 8
                assert np.abs(a - b)[inside].mean() < 4


def test_what_cannot_be_registered_keeps_its_crops_and_has_no_mask(shards):
    outcome = shards.outcomes["mirrored.mp4"]
    assert outcome.status == "ok"
    assert outcome.detail.startswith("not registrable (")
    assert outcome.detail.endswith("masks are unknown")
    for members in shards.of("mirrored"):
        assert not [member for member in members if member.endswith("mask.png")]
        found = record(members)
        assert set(np.ravel(found["mask_kind"])) == {"unknown"}
        assert set(np.ravel(found["alignment"])) == {"landmarks"}


def test_one_without_a_face_says_so(shards):
    outcome = shards.outcomes["scenery.mp4"]
    assert (outcome.status, outcome.reason) == ("skipped", "no_face")
    assert "not registrable" in outcome.detail


def row(frame: int) -> TrackFrame:
    """A face 40 px wide that moves to the right by 20 px a frame."""
    left, top = 40.0 + 20 * frame, 50.0
    outline = [(left, top), (left + 40, top + 50), (left, top + 50), (left + 40, top)] * 9
    return TrackFrame(
        clip="real.mp4",
        track=0,
        frame=frame,
        detected=True,
        box=(left, top, left + 40, top + 50),
        score=1.0,
        blur=1.0,
        landmarks=tuple(np.ravel(outline[:5])),
        oval=tuple(np.ravel(outline)),
        lips=tuple(np.ravel(outline[:20])),
        crop_to_frame=(1.0, 0.0, left - 12, 0.0, 1.0, top - 7),
    )


def test_faces_that_a_fakes_picture_leaves_out_are_not_read_from_it():
    rows = [row(frame) for frame in range(8)]
    real = replace(CLIP, clip="real.mp4", label="real", reference=True, width=400, height=200)
    fake = replace(CLIP, width=120, height=200)
    moved = registered_rows(rows, fake.clip, np.array([[1.0, 0, -30], [0, 1, 0]]))
    geometries = ClipGeometries([*rows, *moved], {}, real, FramesParams(count=8), "frame")
    assert [read.frame for read in geometries.of(real).reads(around=False)] == list(range(8))
    # The middle of the face lies at 60 + 20 i - 30 in a picture 120 px wide.
    assert [read.frame for read in geometries.of(fake).reads(around=False)] == [0, 1, 2, 3, 4]
    assert geometries.of(fake).hides == 3
    assert geometries.of(fake).windows == geometries.of(real).windows
    for place in range(8):
        own, reference = (geometries.of(clip).landmarks(place) for clip in (fake, real))
        assert own == pytest.approx(reference, abs=1e-2)


def filled(path: Path, expected: tuple[int, int], **options) -> np.ndarray:
    """The crop of the left half of a picture of the expected size, 64 px."""
    reads = [FrameReads(0, (0,), np.array([[[expected[1] / 64, 0, 0], [0, expected[1] / 64, 0]]]))]
    with tempfile.TemporaryFile() as file:
        assert list(fill_crops(file.fileno(), path, reads, 64, expected, **options)) == [(0,)]
        file.seek(0)
        return np.frombuffer(file.read(), np.uint8).reshape(64, 64, 3)


def test_a_mask_of_another_size_is_scaled_and_one_of_another_shape_is_not(tmp_path):
    stated = np.zeros((128, 256, 3), np.uint8)
    stated[32:96, 16:112] = 255
    write_video(tmp_path / "mask.mp4", [stated], crf=4)
    plain = filled(tmp_path / "mask.mp4", (256, 128))
    scaled = filled(tmp_path / "mask.mp4", (512, 256), resizable=True)
    assert iou(plain[..., 0] > 127, scaled[..., 0] > 127) > 0.95
    with pytest.raises(ClipError, match=r"other_size: .*256x128 pixels, not 512x256"):
        filled(tmp_path / "mask.mp4", (512, 256))
    with pytest.raises(ClipError, match="other_size"):
        filled(tmp_path / "mask.mp4", (512, 300), resizable=True)


def test_crops_of_what_another_clip_shows_end_where_it_does(tmp_path):
    write_video(tmp_path / "clip.mp4", [np.full((128, 256, 3), 200, np.uint8)], crf=4)
    half = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    crop = filled(tmp_path / "clip.mp4", (256, 128), shown=Shown(half, (32, 64)))
    assert crop[4:, 4:30].min() > 190
    assert crop[:, 34:].max() == 0


@pytest.mark.parametrize("factor", [0.5, 1, 1.5])
def test_the_forged_one_of_two_faces_is_told_in_a_fake_of_another_size(tmp_path, factor):
    real = np.random.default_rng(0).integers(60, 200, (24, 40, 3)).astype(np.uint8)
    real = cv2.resize(real, (320, 192), interpolation=cv2.INTER_CUBIC)
    fake, boxes = real.copy(), np.array([[[40.0, 40, 120, 140], [200, 40, 280, 140]]])
    fake[40:140, 200:280] = fake[40:140, 200:280][::-1]
    stated = np.zeros_like(real)
    stated[40:140, 200:280] = 255
    size = round(320 * factor), round(192 * factor)
    for name, picture in {"real": real, "fake": resized([fake], *size)[0], "mask": stated}.items():
        write_video(tmp_path / f"{name}.mp4", [picture], crf=10)
    clips = tmp_path / "real.mp4", tmp_path / "fake.mp4"
    ((untouched, forged),) = forged_energy(*clips, [0], boxes)
    assert forged > 3 * untouched
    ((untouched, forged),) = stated_energy(tmp_path / "mask.mp4", [0], boxes * factor, size[::-1])
    assert (untouched, forged) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.05))
    with pytest.raises(ClipError, match="other_size"):
        next(stated_energy(tmp_path / "mask.mp4", [0], boxes, (192, 300)))
