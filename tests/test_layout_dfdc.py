import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clip import SPLITS
from tests.listings import by_path, check_laws, look, reasons
from transforms.indexing.layout import DatasetError


def entry(original=None):
    return (
        {"label": "FAKE", "split": "train", "original": original}
        if original
        else {"label": "REAL", "split": "train"}
    )


PART = {"y.mp4": entry(), "a.mp4": entry("y.mp4"), "b.mp4": entry("y.mp4")}


def tree(parts):
    """Files and texts of folders of videos with what their metadata.json says."""
    files = [f"{folder}{name}" for folder, said in parts.items() for name in said]
    return files, {f"{folder}metadata.json": json.dumps(said) for folder, said in parts.items()}


def dfdc(parts, more=(), texts=None, without=(), **params):
    files, tables = tree(parts)
    return look("dfdc", {*files, *more} - {*without}, {**tables, **(texts or {})}, **params)


def renamed(prefix, said=PART):
    return {
        prefix + name: {**one, **({"original": prefix + one["original"]} if "original" in one else {})}
        for name, one in said.items()
    }


def test_fakes_go_with_their_original():
    found = dfdc({"dfdc_train_part_0/": PART})
    assert found.outcomes == found.notes == ()
    assert found.used == {"dfdc_train_part_0/metadata.json"}
    clips = by_path(found)
    assert {clip.group for clip in found.clips} == {"dfdc/y"}
    clip = clips["dfdc_train_part_0/a.mp4"]
    assert (clip.label, clip.method, clip.compression, clip.truth) == ("fake", "DFDC", "raw", "original")
    assert (clip.target, clip.source, clip.identities) == ("y", "", ("dfdc:y",))
    clip = clips["dfdc_train_part_0/y.mp4"]
    assert (clip.label, clip.method, clip.reference, clip.identities) == ("real", "real", True, ("dfdc:y",))


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("dfdc_train_part_0/", "train"),
        ("dfdc_train_part_34/", "train"),
        ("dfdc_train_part_35/", "val"),
        ("dfdc_train_part_39/", "val"),
        ("dfdc_train_part_40/", "test"),
        ("train/dfdc_train_part_49/", "test"),
        ("dfdc_train_part_08/", "train"),
        ("dfdc_train_part_00/dfdc_train_part_0/", "train"),
        ("dfdc_train_part_36/dfdc_train_part_36/", "val"),
        ("validation/", "val"),
        ("test/", "test"),
    ],
)
def test_parts_are_splits(folder, split):
    found = dfdc({folder: PART})
    assert {clip.split for clip in found.clips} == {split}
    assert len(found.clips) == 3


@pytest.mark.parametrize("folder", ["", "train_sample_videos/"])
def test_a_sample_without_a_number_is_split_by_its_originals(folder):
    parts = {folder: {name: one for n in range(40) for name, one in renamed(f"{n}").items()}}
    found = dfdc(parts)
    assert {clip.split for clip in found.clips} == {*SPLITS}
    assert found.outcomes == ()
    assert found.notes == (
        f"tables whose path names no part, such as {folder}metadata.json: 1; splits of their clips are by "
        "hash of the originals",
    )
    hashed = by_path(dfdc(parts, split="hash"))
    assert {clip.clip: clip.split for clip in found.clips} == {
        path: clip.split for path, clip in hashed.items()
    }


def test_a_fake_whose_original_is_not_there_has_no_truth():
    said = {"a.mp4": entry("gone.mp4"), "b.mp4": entry("gone.mp4"), "c.mp4": entry("y.mp4"), "y.mp4": entry()}
    found = dfdc({"train_sample_videos/": said})
    assert found.outcomes == ()
    assert "fakes without their originals: 2, such as train_sample_videos/a.mp4" in found.notes[1]
    clips = by_path(found)
    alone = [clips[f"train_sample_videos/{name}.mp4"] for name in "ab"]
    assert [(clip.truth, clip.reference) for clip in alone] == [("none", True)] * 2
    assert len({clip.group for clip in found.clips}) == 3
    assert {clip.identities for clip in alone} == {("dfdc:gone",)}
    assert len({clip.split for clip in alone}) == 1
    assert clips["train_sample_videos/c.mp4"].truth == "original"
    unknown = dfdc({"": {"a.mp4": {"label": "FAKE", "original": None}, "b.mp4": {"label": "FAKE"}}})
    assert {(clip.truth, clip.identities) for clip in unknown.clips} == {
        ("none", ("dfdc:a",)),
        ("none", ("dfdc:b",)),
    }


def test_an_original_that_is_called_fake_is_none():
    found = dfdc(
        {"dfdc_train_part_0/": {"a.mp4": entry("b.mp4"), "b.mp4": entry("c.mp4"), "d.mp4": entry("d.mp4")}}
    )
    assert {clip.truth for clip in found.clips} == {"none"}
    assert len({clip.group for clip in found.clips}) == 3


def test_an_original_in_another_part():
    parts = {"dfdc_train_part_0/": {"y.mp4": entry()}, "dfdc_train_part_1/": {"a.mp4": entry("y.mp4")}}
    found = dfdc(parts)
    assert {(clip.group, clip.truth) for clip in found.clips} == {("dfdc/y", "original")}
    parts["dfdc_train_part_40/"] = {"b.mp4": entry("y.mp4")}
    found = dfdc(parts)
    clip = by_path(found)["dfdc_train_part_40/b.mp4"]
    assert (clip.truth, clip.split, clip.identities) == ("none", "test", ("dfdc:y",))
    assert "another split than their originals: 1" in found.notes[0]
    repaired = dfdc(parts, split="repaired")
    assert {(clip.group, clip.truth, clip.split) for clip in repaired.clips} == {
        ("dfdc/y", "original", "test")
    }


def test_what_metadata_names_and_is_not_there_and_the_other_way_round():
    folder = "dfdc_train_part_3/"
    found = dfdc({folder: PART}, [f"{folder}z.mp4", f"{folder}z.txt"], without=[f"{folder}b.mp4"])
    assert reasons(found) == {
        f"{folder}b.mp4": ("failed", "missing"),
        f"{folder}z.mp4": ("skipped", "not_in_layout"),
        f"{folder}z.txt": ("skipped", "not_in_layout"),
    }
    assert "metadata.json" in found.outcomes[0].detail
    # Two videos with the table of a whole part are a sample that somebody took.
    said = {f"{n}.mp4": entry() for n in range(9)}
    found = dfdc({"": said}, without=[f"{n}.mp4" for n in range(2, 9)])
    assert len(found.clips) == 2
    assert found.outcomes == ()
    assert found.notes[0] == "2 of the 9 videos that metadata.json names are here"
    found = dfdc({folder: PART}, without=[f"{folder}y.mp4"])
    assert reasons(found) == {f"{folder}y.mp4": ("failed", "missing")}
    assert {clip.truth for clip in found.clips} == {"none"}


@pytest.mark.parametrize(
    "text",
    [
        "filename,label\nr.mp4,0\nf.mp4,1\n",
        "r.mp4,0\r\nf.mp4,1",
        "\ufefflabel, filename\n0, r.mp4\n\n1, f.mp4\n",
    ],
)
@pytest.mark.parametrize(
    ("folder", "beside"), [("", ""), ("", "test/"), ("", "videos/"), ("test/", ""), ("test/", "videos/")]
)
def test_the_test_set_has_a_table_of_its_own_and_one_is_fake(text, folder, beside):
    files = [f"{folder}{beside}{name}.mp4" for name in ("r", "f")]
    found = look("dfdc", files, {f"{folder}labels.csv": text})
    assert [
        (clip.clip, clip.label, clip.split) for clip in sorted(found.clips, key=lambda clip: clip.label)
    ] == [
        (files[1], "fake", "test"),
        (files[0], "real", "test"),
    ]
    assert by_path(found)[files[1]].truth == "none"
    assert found.outcomes == ()
    assert found.used == {f"{folder}labels.csv"}


def test_the_whole_release():
    parts = {f"train/dfdc_train_part_{n}/": renamed(f"p{n}") for n in range(50)}
    texts = {
        "validation/labels.csv": "filename,label\nv.mp4,1\n",
        "test/labels.csv": "filename,label\nt.mp4,0\n",
    }
    found = dfdc(parts, ["validation/v.mp4", "test/t.mp4", "test/metadata.json"], texts)
    assert reasons(found) == {"test/metadata.json": ("skipped", "not_in_layout")}
    sides = {clip.group: clip.split for clip in found.clips}
    assert [[*sides.values()].count(split) for split in SPLITS] == [35, 6, 11]


def test_one_name_is_one_video():
    parts = {"dfdc_train_part_0/": PART, "train_sample_videos/": {"a.mp4": entry("y.mp4"), "y.mp4": entry()}}
    found = dfdc(parts)
    assert {*by_path(found)} == {f"dfdc_train_part_0/{name}" for name in PART}
    collided = ["train_sample_videos/a.mp4", "train_sample_videos/y.mp4"]
    assert reasons(found) == dict.fromkeys(collided, ("failed", "key_collision"))


def text_of(**changes):
    return json.dumps({**PART, **{f"{name}.mp4": value for name, value in changes.items()}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"y.mp4":', r"not JSON at line 1"),
        ("[]", "holds a list, not an object"),
        ("{}", "holds an object, not an object with videos"),
        (text_of(a="FAKE"), r"'a\.mp4' is \"FAKE\", without REAL or FAKE"),
        (text_of(a={"label": "fake"}), r"'a\.mp4' is .*without REAL or FAKE"),
        (text_of(a={"label": ["FAKE"]}), r"'a\.mp4' is .*without REAL or FAKE"),
        (text_of(a={"label": 1}), r"'a\.mp4' is .*without REAL or FAKE"),
        (text_of(a=entry("../y.mp4")), r"'a\.mp4': \"\.\./y\.mp4\" is not the name of a video"),
        (text_of(a=entry("/etc/y.mp4")), r"'a\.mp4': .* is not the name of a video"),
        (text_of(a=entry("..\\y.mp4")), r"'a\.mp4': .* is not the name of a video"),
        (text_of(a=entry("..")), r"'a\.mp4': \"\.\.\" is not the name of a video"),
        (text_of(a=entry(["y.mp4"])), r"'a\.mp4': .* is not the name of a video"),
        (json.dumps({"../y.mp4": entry()}), r"'\.\./y\.mp4': .* is not the name of a video"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "not UTF-8 at byte 0"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
    ],
)
def test_metadata_that_cannot_be_right_names_the_entry_and_the_remedy(text, said):
    with pytest.raises(DatasetError, match=f"^ROOT/dfdc_train_part_0/metadata.json: {said}.*; "):
        dfdc({}, [f"dfdc_train_part_0/{name}" for name in PART], {"dfdc_train_part_0/metadata.json": text})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("filename,label\nr.mp4,2\n", r"'r\.mp4' is .*without REAL or FAKE"),
        ("filename,label\nr.mp4\n", r"'r\.mp4' is .*without REAL or FAKE"),
        ("filename\nr.mp4\n", r"'r\.mp4' is .*without REAL or FAKE"),
        ("filename,label\n../r.mp4,1\n", r"'\.\./r\.mp4': .* is not the name of a video"),
        ("filename,label\n", "holds an object, not an object with videos"),
        ("r.mp4,0\n" + "x" * 200_000, "not CSV"),
    ],
)
def test_labels_that_cannot_be_right(text, said):
    with pytest.raises(DatasetError, match=f"^ROOT/labels.csv: {said}.*; "):
        look("dfdc", ["r.mp4"], {"labels.csv": text})


def test_files_that_are_no_clips():
    more = [
        "test_videos/q.mp4",
        "sample_submission.csv",
        *(f"dfdc_train_part_0/frames/a/{n}.png" for n in range(9)),
        "elsewhere/metadata.json",
    ]
    found = dfdc({"dfdc_train_part_0/": PART}, more)
    units = ["test_videos/q.mp4", "sample_submission.csv", "dfdc_train_part_0/frames", "elsewhere"]
    assert reasons(found) == dict.fromkeys(units, ("skipped", "not_in_layout"))


def test_wrong_roots_and_filters():
    with pytest.raises(DatasetError, match=r"ROOT: no DFDC here.*metadata\.json.*labels\.csv.*found a\.mp4"):
        dfdc({}, ["a.mp4"])
    with pytest.raises(DatasetError, match=r"datasets\.dfdc\.methods: FaceSwap not in ROOT, which has DFDC"):
        dfdc({"": PART}, methods=("FaceSwap",))
    with pytest.raises(DatasetError, match=r"datasets\.dfdc\.compressions: c40 not in ROOT"):
        dfdc({"": PART}, compressions=("c40",))


names = st.integers(0, 6).map(lambda n: f"{n}.mp4")
folders = st.sampled_from(
    ["", "dfdc_train_part_0/", "dfdc_train_part_36/", "dfdc_train_part_41/dfdc_train_part_41/"]
)
said = st.dictionaries(names, st.one_of(st.just(entry()), st.builds(entry, names)), min_size=1)


@given(
    st.dictionaries(folders, said, min_size=1),
    st.lists(st.builds("{}{}".format, folders, names), unique=True),
    st.lists(st.sampled_from(["a.png", "x/y/z.avi", "x/y/z.txt", "dfdc_train_part_0/q.mp4"]), unique=True),
    st.sampled_from(["official", "repaired", "hash"]),
)
def test_laws(parts, without, others, split):
    files, tables = tree(parts)
    kept = [path for path in files if path not in without]
    for folder in parts:  # a folder without a video is no part
        kept.append(f"{folder}kept.mp4")
    found = dfdc(parts, [*kept, *others], without=without, split=split)
    check_laws(found, [*kept, *others, *tables], split)
    for clip in found.clips:
        if split == "official" and "part_36" in clip.clip:
            assert clip.split == "val"
