import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.listings import by_path, check_laws, look, reasons
from transforms.indexing.layout import DatasetError

TREE = [
    f"{kind}/{split}/{split}_0000000{n}{'_mask' * (kind == 'target_mask')}.mp4"
    for kind in ("source", "target", "target_mask")
    for split in ("train", "val")
    for n in range(2)
]


def ffiw(files=TREE, **params):
    return look("ffiw", files, {}, **params)


def test_what_becomes_of_each_folder():
    found = ffiw()
    assert found.outcomes == found.notes == ()
    clips = by_path(found)
    assert {*clips} == {path for path in TREE if not path.startswith("target_mask")}
    clip = clips["target/val/val_00000001.mp4"]
    assert (clip.label, clip.method, clip.compression, clip.truth) == ("fake", "FFIW", "raw", "original")
    assert (clip.split, clip.official_mask) == ("val", "target_mask/val/val_00000001_mask.mp4")
    original = clips["source/val/val_00000001.mp4"]
    assert (original.label, original.method, original.official_mask) == ("real", "real", "")
    assert original.group == clip.group
    assert original.identities == clip.identities == ("ffiw:val/val_00000001",)
    assert {clip.split for clip in found.clips if "/train/" in clip.clip} == {"train"}


def test_masks_may_have_the_name_of_the_fake_and_tools_put_videos_between():
    files = [f"{kind}/test/videos/7.mp4" for kind in ("source", "target", "target_mask")]
    clips = by_path(ffiw(files))
    assert {*clips} == {*files[:2]}
    assert (clips[files[1]].split, clips[files[1]].official_mask) == ("test", files[2])
    both = ffiw([*files, "target_mask/test/7_mask.mp4"])
    assert reasons(both) == {files[2]: ("failed", "key_collision")}
    assert by_path(both)[files[1]].official_mask == "target_mask/test/7_mask.mp4"
    # A fake of which the name ends so keeps its own mask.
    named = ["target/val/a_mask.mp4", "target/val/a.mp4", "target_mask/val/a_mask.mp4"]
    clips = by_path(ffiw(named))
    assert clips[named[0]].official_mask == named[2]
    assert clips[named[1]].official_mask == ""


def test_parts_that_are_not_there():
    found = ffiw([path for path in TREE if path != "source/val/val_00000001.mp4"])
    clip = by_path(found)["target/val/val_00000001.mp4"]
    assert (clip.truth, clip.reference) == ("none", True)
    assert clip.official_mask == "target_mask/val/val_00000001_mask.mp4"
    assert "without their originals: 1, such as target/val/val_00000001.mp4" in found.notes[0]
    found = ffiw([path for path in TREE if path != "target/val/val_00000001.mp4"])
    assert reasons(found) == {"target_mask/val/val_00000001_mask.mp4": ("skipped", "not_in_layout")}
    found = ffiw([path for path in TREE if not path.startswith("target_mask/train")])
    assert found.notes == ("fakes without their mask videos: 2, such as target/train/train_00000000.mp4",)
    assert found.outcomes == ()


def test_one_name_in_two_splits_is_two_videos():
    found = ffiw([f"{kind}/{split}/0.mp4" for kind in ("source", "target") for split in ("train", "val")])
    assert len({clip.group for clip in found.clips}) == len({clip.identities for clip in found.clips}) == 2


def test_files_that_are_no_clips():
    files = [
        "source/0.mp4",
        "source/train/a/0.mp4",
        "target/validation/0.mp4",
        *(f"target_mask/val/0/{n}.png" for n in range(5)),
        "README.txt",
    ]
    found = ffiw([*TREE, *files])
    units = [*files[:3], "target_mask/val/0", "README.txt"]
    assert reasons(found) == dict.fromkeys(units, ("skipped", "not_in_layout"))


def test_wrong_roots_and_filters():
    with pytest.raises(DatasetError, match=r"ROOT: no FFIW-10K here.*try ROOT/FFIW10K-v1-release"):
        ffiw([f"FFIW10K-v1-release/{path}" for path in TREE])
    with pytest.raises(DatasetError, match="found target_mask; set the root"):
        ffiw(["target_mask/train/0_mask.mp4"])
    with pytest.raises(DatasetError, match=r"datasets\.ffiw\.methods: FaceSwap not in ROOT, which has FFIW"):
        ffiw(methods=("FaceSwap",))
    with pytest.raises(DatasetError, match=r"datasets\.ffiw\.compressions: c40 not in ROOT"):
        ffiw(compressions=("c40",))


paths = st.builds(
    "{}/{}/{}{}.{}".format,
    st.sampled_from(["source", "target", "target_mask", "other"]),
    st.sampled_from(["train", "val", "test", "val/videos", "x"]),
    st.integers(0, 3),
    st.sampled_from(["", "_mask"]),
    st.sampled_from(["mp4", "avi", "png"]),
)


@given(st.lists(paths, unique=True, max_size=30), st.sampled_from(["official", "repaired", "hash"]))
def test_laws(files, split):
    files = [*files, "source/train/9.mp4"]
    found = ffiw(files, split=split)
    check_laws(found, files, split)
    for clip in found.clips:
        if split != "hash":
            assert clip.clip.split("/")[1] == clip.split
