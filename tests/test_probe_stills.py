import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipelines.clips import clip_path, versions
from pipelines.lease import claim
from pipelines.probing import ProbeBuilder, Probed, key_of, plan_group
from pipelines.stamps import LocalStamps
from schemas.clip import Clip
from schemas.files import read_rows
from schemas.params import RunParams
from tests.pictures import encoded, numbered, png, turned, write_pictures
from tests.videos import numbered_frames, write_video
from transforms.errors import ClipError
from transforms.indexing.media_info import MediaInfo
from transforms.indexing.probe import probe, watch
from transforms.indexing.probe_stills import pictures_digest

FRAMES = [numbered(number) for number in range(3)]
NAMES = ["1.png", "2.png", "10.png"]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def fails(path, reason, said=""):
    with pytest.raises(ClipError) as caught:
        probe(path)
    assert caught.value.reason == reason
    assert caught.value.detail.startswith(f"{path}: {said}")
    return True


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.jpeg", "p.bmp", "p.webp"])
def test_a_still(tmp_path, name):
    format = {"jpg": "JPEG"}.get(name[2:], name[2:].upper())
    data = encoded(FRAMES[0], format, **({"exif": turned(8)} if format != "BMP" else {}))
    (tmp_path / name).write_bytes(data)
    size = (40, 30) if format == "BMP" else (30, 40)
    assert probe(tmp_path / name) == MediaInfo(1, *size, 0, 0.0, len(data), sha256(data))


def test_a_folder(tmp_path):
    folder = write_pictures(tmp_path / "v1.2", FRAMES, NAMES)
    (folder / "Thumbs.db").write_bytes(b"x")
    data = [encoded(frame) for frame in FRAMES]
    expected = pictures_digest((name, sha256(content)) for name, content in zip(NAMES, data, strict=True))
    *waiting, info = watch(folder)
    assert info == MediaInfo(3, 40, 30, 0, 0.0, sum(map(len, data)), expected)
    assert waiting == [None] * 3


def test_a_folders_digest_is_of_names_and_contents_and_nothing_else(tmp_path):
    def digest_of(name, frames, names):
        return probe(write_pictures(tmp_path / name, frames, names)).sha256

    first = digest_of("a", FRAMES, NAMES)
    assert digest_of("b", FRAMES[::-1], NAMES[::-1]) == first
    assert digest_of("c", FRAMES, ["1.png", "2.png", "3.png"]) != first
    assert digest_of("d", FRAMES[::-1], NAMES) != first
    assert digest_of("e", FRAMES[:2], NAMES) != first


def test_broken_stills(tmp_path):
    noise = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    # Whole at both ends: what is between is looked at too.
    hole = noise[:3000] + bytes(3000) + noise[6000:]
    for content, reason in (
        (b"", "empty_file"),
        (b"<html>403</html>", "not_image"),
        (noise[:-30], "decode_error"),
        (hole, "decode_error"),
        (png(20_000, 20_000), "too_large"),
    ):
        (tmp_path / "p.png").write_bytes(content)
        assert fails(tmp_path / "p.png", reason)
    assert fails(tmp_path / "none.png", "missing")
    (tmp_path / "v.png").write_bytes(write_video(tmp_path / "v.mp4", numbered_frames(2)).read_bytes())
    assert fails(tmp_path / "v.png", "not_image")


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        (b"", "empty_file", "no bytes"),
        (b"<html>403</html>", "not_image", "begins with"),
        (encoded(FRAMES[1])[:-40], "decode_error", "cut off"),
        (encoded(FRAMES[1], "JPEG")[:-20], "decode_error", "cut off"),
        (encoded(FRAMES[1], "BMP")[:-20], "decode_error", "cut off"),
        (encoded(numbered(1, 30, 40)), "decode_error", "30x40, the first picture of its folder 40x30"),
        (png(12_000, 10_000), "too_large", "12000x10000"),
    ],
)
def test_one_broken_picture_breaks_its_folder_and_is_named(tmp_path, content, reason, said):
    folder = write_pictures(tmp_path / "f", FRAMES, NAMES)
    (folder / "2.png").write_bytes(content)
    assert fails(folder, reason, f"2.png: {said}")


def test_what_is_no_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    assert fails(tmp_path / "empty", "no_frames")
    assert fails(tmp_path / "none", "missing")


def test_a_folder_in_an_archive_is_not_probed_by_itself(tmp_path):
    (tmp_path / "1.tar").touch()
    with pytest.raises(ValueError, match=r"1\.tar/real/1"):
        probe(tmp_path / "1.tar/real/1")


def test_a_group_of_pictures_with_masks_is_probed(tmp_path):
    root = tmp_path / "root"
    write_pictures(root / "real/v", FRAMES, NAMES)
    write_pictures(root / "mask/v", FRAMES, NAMES)
    write_pictures(root / "fake", FRAMES[:1], ["p.png"])
    write_pictures(root / "broken", FRAMES, NAMES)
    (root / "broken/10.png").write_bytes(b"text")
    clips, masks = ("real/v", "fake/p.png", "broken"), ("mask/v", "mask/none.png")
    unit, size = plan_group("d", LocalStamps(str(root)), "g", clips, masks)
    assert size == sum(path.stat().st_size for path in root.rglob("*.png"))
    builder = ProbeBuilder(str(root), tmp_path / "probes", RunParams())
    builder.setup()
    try:
        with claim(tmp_path / "probes") as lease:
            outcomes = {outcome.unit: outcome for outcome in builder.build(key_of("g"), [unit], lease)}
    finally:
        builder.teardown()
    assert {unit: (outcome.status, outcome.reason, outcome.made) for unit, outcome in outcomes.items()} == {
        "real/v": ("ok", "", 3),
        "fake/p.png": ("ok", "", 1),
        "broken": ("failed", "not_image", 0),
        "mask/none.png": ("failed", "missing", 0),
    }
    assert outcomes["broken"].detail.startswith("10.png: begins with")
    rows = read_rows(tmp_path / f"probes/{key_of('g')}.parquet", Probed)
    assert {row.path: row.frames for row in rows} == {"real/v": 3, "fake/p.png": 1, "mask/v": 3}


def test_a_group_is_probed_again_when_a_picture_of_a_folder_changes(tmp_path):
    folder = write_pictures(tmp_path / "v", FRAMES, NAMES)

    def planned():
        return plan_group("d", LocalStamps(str(tmp_path)), "g", ["v"], [])[0].digest

    first = planned()
    assert planned() == first
    (folder / "2.png").write_bytes(b"other")
    second = planned()
    shutil.rmtree(folder)
    assert len({first, second, planned()}) == 3


CLIP = Clip("d", "v1.2", "g", "real", "real", "raw", "train")


def test_a_clips_path_is_checked(tmp_path):
    folder = write_pictures(tmp_path / "v1.2", FRAMES, NAMES)
    (folder / "list.txt").touch()
    clip = replace(CLIP, bytes=probe(folder).bytes)
    assert clip_path(str(tmp_path), clip) == folder
    still = replace(CLIP, clip="v1.2/2.png", bytes=probe(folder / "2.png").bytes)
    assert clip_path(str(tmp_path), still) == folder / "2.png"
    for name, content in (("2.png", b"other"), ("2.png", encoded(FRAMES[1])), ("3.png", b"more")):
        (folder / name).write_bytes(content)
        if content == encoded(FRAMES[1]):
            assert clip_path(str(tmp_path), clip) == folder
        else:
            with pytest.raises(ClipError, match="changed_on_disk"):
                clip_path(str(tmp_path), clip)
    (folder / "2.png").unlink()
    (folder / "2.png").symlink_to("gone")
    shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    for name in ("copy", "copy/2.png", "none", "none.png"):
        with pytest.raises(ClipError, match="missing"):
            clip_path(str(tmp_path), replace(clip, clip=name))


def test_of_frames_in_an_archive_only_the_archive_is_checked(tmp_path):
    clip = replace(CLIP, clip="a/12.tar.gz/12/real/1", bytes=123)
    with pytest.raises(ClipError, match="missing"):
        clip_path(str(tmp_path), clip)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/12.tar.gz").touch()
    assert clip_path(str(tmp_path), clip) == tmp_path / clip.clip


def test_versions_of_a_clip_are_told_by_the_whole_name_of_a_folder():
    def named(path, compression):
        return replace(CLIP, clip=path, compression=compression)

    videos = named("raw/a.mp4", "raw"), named("c23/a.avi", "c23")
    folders = named("raw/v1.2", "raw"), named("c23/v1.2", "c23")
    other = named("c40/v1.3", "c40")
    stills = named("raw/a.b.png", "raw"), named("c23/a.b.jpg", "c23")
    found = versions([*videos, *folders, other, *stills])
    assert set(found.values()) == {videos, folders, (other,), stills}
