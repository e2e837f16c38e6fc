import tarfile

import numpy as np
import pytest
import skimage.data

from pipelines.isolation import Isolated
from schemas.params import CropParams, TrackParams
from tests.pictures import encoded, numbered, turned, write_pictures
from tests.videos import numbered_frames, write_video
from transforms.crops import FrameReads, fill_crops
from transforms.errors import ClipError
from transforms.forged import forged_energy
from transforms.media import media_kind, open_clip, split_archive
from transforms.observe import ClipShape, observe
from transforms.stills import check_picture, read_picture
from transforms.tracking import link, track_frames


def frames(path):
    clip = open_clip(path)
    return [clip[index] for index in range(len(clip))]


def is_missing(path):
    with pytest.raises(ClipError) as caught:
        frames(path)
    return caught.value.reason == "missing" and caught.value.detail.startswith(f"{path}: ")


def test_a_video_is_as_it_was(tmp_path):
    for name in ("v.mp4", "v.MOV"):
        clip = open_clip(write_video(tmp_path / name, numbered_frames(5), fps=25))
        assert (len(clip), clip.fps, clip[4].shape) == (5, 25, (120, 160, 3))
    assert is_missing(tmp_path / "none.mp4")


def test_a_still_is_one_frame(tmp_path):
    (tmp_path / "p.JPG").write_bytes(encoded(numbered(1), "JPEG", exif=turned(6)))
    clip = open_clip(tmp_path / "p.JPG")
    assert (len(clip), clip.fps, clip[0].shape) == (1, 0, (40, 30, 3))
    for index in (1, -1):
        with pytest.raises(ClipError, match=f"frame {index} of 1"):
            clip[index]
    assert is_missing(tmp_path / "none.png")


def test_a_folder_is_its_pictures_in_order_whatever_their_numbers(tmp_path):
    numbers = [3, 9, 10, 11, 100]
    names = [f"frame{number}.png" for number in numbers]
    folder = write_pictures(tmp_path / "v1.2", [numbered(number) for number in range(5)], names)
    (folder / "list.txt").write_text("frame0.png")
    clip = open_clip(folder)
    assert (len(clip), clip.fps) == (5, 0)
    for index in (4, 0, 3, 1, 2):
        assert (clip[index] == numbered(index)).all()
    with pytest.raises(ClipError, match="frame 5 of 5"):
        clip[5]


def test_a_folder_in_an_archive_is_as_one_on_disk(tmp_path):
    folder = write_pictures(
        tmp_path / "real/7", [numbered(n) for n in (0, 1, 2)], ["2.png", "10.png", "9.png"]
    )
    archive = tmp_path / "12.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "real", "12/real")
    clip, plain = open_clip(archive / "12/real/7"), open_clip(folder)
    assert (len(clip), clip.fps) == (3, 0)
    for index in range(3):
        assert (clip[index] == plain[index]).all()
    with pytest.raises(ClipError):
        open_clip(archive / "12/real/8")
    with pytest.raises(ClipError, match="missing"):
        open_clip(tmp_path / "13.tar.gz/13/real/7")


def test_what_a_path_names(tmp_path):
    (tmp_path / "a.tar/b.tgz").mkdir(parents=True)
    (tmp_path / "a.tar/c.tar").touch()
    (tmp_path / "v.webm").touch()
    for name, kind in {
        "x.mp4": "video",
        "v.webm": "video",
        "x.webp": "still",
        "x": "folder",
        "a.tar": "folder",
        "a.tar/b.tgz/1": "folder",
        "a.tar/x.png": "still",
        "a.tar/c.tar/1/x.png": "archived",
        "a.tar/c.tar": "archived",
        "none.tar.gz/1": "archived",
    }.items():
        assert media_kind(tmp_path / name) == kind, name
    assert split_archive(tmp_path / "a.tar/c.tar/1/2") == (tmp_path / "a.tar/c.tar", "1/2")
    assert split_archive(tmp_path / "a.tar/1") is None


def test_broken_pictures_of_a_folder_are_named_when_they_are_asked_for(tmp_path):
    folder = write_pictures(tmp_path / "f", [numbered(number) for number in range(4)])
    (folder / "1.png").write_bytes(encoded(numbered(1))[:-40])
    (folder / "2.png").write_bytes(encoded(numbered(2, 44, 30)))
    (folder / "4.png").symlink_to("gone")
    clip = open_clip(folder)
    assert len(clip) == 5
    for index, reason, said in (
        (1, "decode_error", "1.png: cut off"),
        (2, "decode_error", "2.png: 44x30, the first picture of its folder 40x30"),
        (4, "missing", "4.png: no such file"),
    ):
        with pytest.raises(ClipError) as caught:
            clip[index]
        assert caught.value.reason == reason
        assert caught.value.detail.startswith(f"{folder}: {said}")
    assert (clip[3] == numbered(3)).all()
    fresh = open_clip(folder)
    with pytest.raises(ClipError, match="the first picture of its folder"):
        fresh[2]
    assert is_missing(tmp_path / "none")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A face as a still, and in a folder of frames where it moves and is away in one."""
    root = tmp_path_factory.mktemp("faces")
    picture = skimage.data.astronaut()
    (root / "still.png").write_bytes(encoded(picture))
    frames = [np.roll(picture, (0, 3 * number), (0, 1)) for number in range(4)]
    frames[2] = np.full_like(picture, 90)
    write_pictures(root / "frames", frames, [f"{5 * number}.png" for number in range(4)])
    write_pictures(root / "fake", [255 - frame for frame in frames])
    return root


@pytest.fixture(scope="module")
def child():
    isolated = Isolated(timeout=120, memory=4096)
    yield isolated
    isolated.close()


def rows_of(child, path, every):
    shape, *seen = child.iterate(observe, str(path), every, 0.5, 32)
    params = TrackParams(every=every)
    return (
        shape,
        seen,
        [
            row
            for number, raw in enumerate(link(seen, params.max_gap))
            for row in track_frames("clip", number, raw, shape, params, CropParams())
        ],
    )


def test_a_face_in_a_still_is_tracked(clips, child):
    shape, seen, rows = rows_of(child, clips / "still.png", 2)
    assert shape == ClipShape(1, 512, 512, 0)
    assert [observation.frame for observation in seen] == [0]
    (row,) = [row for row in rows if row.track == 0]
    assert row.detected
    assert row.frame == 0
    assert np.isfinite([*row.landmarks, *row.crop_to_frame]).all()
    x0, y0, x1, y1 = row.box
    assert 150 < x0 < x1 < 300
    assert 50 < y0 < y1 < 250


def test_every_picture_of_a_folder_is_looked_at_and_nothing_is_smoothed(clips, child):
    shape, seen, rows = rows_of(child, clips / "frames", 3)
    assert shape == ClipShape(4, 512, 512, 0)
    assert [observation.frame for observation in seen] == [0, 1, 2, 3]
    assert [len(observation.faces) for observation in seen] == [1, 1, 0, 1]
    assert seen[2].cut
    still = rows_of(child, clips / "still.png", 1)[2][0]
    assert np.array(rows[0].landmarks) == pytest.approx(np.array(still.landmarks), abs=0.01)
    found = {row.frame for row in rows if row.detected}
    assert found == {0, 1, 3}


def test_crops_are_of_what_a_picture_shows(clips, child, tmp_path):
    matrix = np.array([[1.0, 0, 200], [0, 1.0, 60]])
    for name, count in (("still.png", 1), ("frames", 4)):
        reads = [FrameReads(frame, (frame,), matrix[None]) for frame in range(5)]
        with (tmp_path / name).open("w+b") as file:
            filled = list(
                child.iterate(fill_crops, str(clips / name), reads, 64, (512, 512), into=file.fileno())
            )
            assert [slot for slots in filled for slot in slots] == list(range(count))
            crops = np.frombuffer(file.read(), np.uint8).reshape(count, 64, 64, 3)
        shown = open_clip(clips / name)
        for frame in range(count):
            assert (crops[frame] == shown[frame][60:124, 200:264]).all()
    with pytest.raises(ClipError, match="512x512 pixels, not 512x500"):
        list(child.iterate(fill_crops, str(clips / "still.png"), reads, 64, (512, 500), into=0))


def test_the_forged_face_is_found_in_folders(clips):
    boxes = np.array([[[0, 0, 100, 100.0], [np.nan] * 4]] * 4)
    energy = np.array(list(forged_energy(clips / "frames", clips / "fake", [0, 1, 2, 3], boxes)))
    real, fake = (open_clip(clips / name)[2][:100, :100].astype(int) for name in ("frames", "fake"))
    assert energy[2, 0] == pytest.approx(np.abs(real - fake).mean())
    assert np.isnan(energy[:, 1]).all()


def test_headers_and_pictures_agree_on_disk(clips):
    path = clips / "still.png"
    with path.open("rb") as file:
        assert check_picture(file, "still") == read_picture(path, "still").shape[1::-1]
