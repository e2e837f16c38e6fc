import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.listings import by_path, check_laws, look, reasons
from transforms.indexing.layout import DatasetError
from transforms.leaks import leaks

LIST = "List_of_testing_videos.txt"


def real(name, folder="Celeb-real"):
    return f"{folder}/{name}.mp4"


def youtube(name, folder="YouTube-real"):
    return f"{folder}/{name}.mp4"


def fake(name, folder="Celeb-synthesis"):
    return f"{folder}/{name}.mp4"


TREE = [
    *(real(name) for name in ("id0_0000", "id0_0001", "id1_0000")),
    *(youtube(name) for name in ("00000", "00001")),
    *(fake(name) for name in ("id0_id1_0000", "id0_id1_0001", "id1_id0_0000")),
]
TESTED = "1 Celeb-real/id0_0000.mp4\n1 YouTube-real/00001.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"


def celebdf(files=TREE, text=TESTED, **params):
    return look("celebdf", files, {} if text is None else {LIST: text}, **params)


def in_test(found):
    return {clip.clip for clip in found.clips if clip.split == "test"}


def test_what_becomes_of_each_folder():
    found = celebdf()
    assert found.outcomes == found.notes == ()
    assert found.used == {LIST}
    clips = by_path(found)
    assert {*clips} == {*TREE}
    clip = clips[fake("id0_id1_0000")]
    assert (clip.label, clip.method, clip.compression, clip.truth) == ("fake", "Celeb-DF", "raw", "original")
    assert (clip.target, clip.source, clip.identities) == ("id0", "id1", ("celebdf:id0", "celebdf:id1"))
    original = clips[real("id0_0000")]
    assert (original.label, original.method, original.identities) == ("real", "real", ("celebdf:id0",))
    assert original.group == clip.group
    assert original.reference
    clip = clips[youtube("00000")]
    assert (clip.label, clip.target, clip.source) == ("real", "00000", "")
    assert clip.identities == ("celebdf-youtube:00000",)
    assert {clip.group for clip in found.clips if clip.clip == youtube("00000")} == {clip.group}


def test_the_first_line_of_the_list_is_a_video_and_one_is_real():
    assert in_test(celebdf()) == {real("id0_0000"), youtube("00001"), fake("id0_id1_0000")}
    assert {clip.split for clip in celebdf().clips} == {"train", "test"}
    assert in_test(celebdf(text="1 YouTube-real/00001.mp4")) == {youtube("00001")}


@pytest.mark.parametrize(
    "text",
    [
        TESTED.replace("\n", "\r\n"),
        "\ufeff" + TESTED,
        "\n \n" + TESTED.replace("\n", "\n\n") + "\n\n",
        TESTED.replace("YouTube-real", "Youtube-real"),
        TESTED.replace("Celeb-real/", "celeb-real/videos/"),
        TESTED.replace(" ", "\t ").rstrip(),
        TESTED + TESTED,
    ],
)
def test_lists_as_people_have_them(text):
    assert in_test(celebdf(text=text)) == in_test(celebdf())
    assert celebdf(text=text).outcomes == ()


def test_folders_as_people_have_them():
    files = [
        real("id0_0000", "Celeb-real/videos"),
        youtube("00001", "Youtube-real/videos"),
        fake("id0_id1_0000", "celeb-synthesis"),
    ]
    found = celebdf(files)
    assert found.outcomes == ()
    assert in_test(found) == {*files}
    assert {clip.group for clip in found.clips} == {"celebdf/id0_0000", "celebdf-youtube/00001"}
    twice = celebdf([*TREE, youtube("00001", "Youtube-real"), real("id1_0000", "Celeb-real/videos")])
    assert {*by_path(twice)} == {*TREE}
    assert reasons(twice) == {
        "Youtube-real/00001.mp4": ("failed", "key_collision"),
        "Celeb-real/videos/id1_0000.mp4": ("failed", "key_collision"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TESTED + "0 Celeb-real/id1_0000.mp4", r"line 4: '0 Celeb-real/id1_0000.mp4'.*holds real videos"),
        (
            TESTED.replace("0 Celeb-s", "1 Celeb-s"),
            r"line 3: '1 Celeb-synthesis/.*holds fakes, and 1 says real",
        ),
        (TESTED + "2 Celeb-real/id1_0000.mp4", r"line 4: '2 Celeb-real.*is not like '1 Celeb-real/id0"),
        ("label path\n" + TESTED, r"line 1: 'label path' is not like"),
        ("1 Celeb-fake/id1_0000.mp4", r"line 1: .*is not like"),
        ("1 ../Celeb-real/id1_0000.mp4", r"line 1: .*is not like"),
        ("1 Celeb-real/id1.mp4", r"line 1: .*is not like"),
        ("\n", "names no video"),
        (None, "not there; it comes with the dataset; or set split: hash"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "not UTF-8 at byte 0"),
        (PermissionError(13, "Permission denied"), "Permission denied; make it readable"),
    ],
)
def test_lists_that_cannot_be_right_name_the_line_and_the_remedy(text, said):
    with pytest.raises(DatasetError, match=f"^ROOT/{LIST}.*{said}") as error:
        celebdf(text=text)
    assert "; " in str(error.value)


def test_what_the_list_names_and_is_not_there_is_missing():
    found = celebdf([path for path in TREE if path != youtube("00001")], TESTED + "1 YouTube-real/00000.mp4")
    assert reasons(found) == {youtube("00001"): ("failed", "missing")}
    assert LIST in found.outcomes[0].detail
    # A folder with less than half of what is listed was not wanted as a whole.
    found = celebdf([real("id0_0000"), fake("id0_id1_0000")])
    assert found.outcomes == ()
    assert found.notes == (f"0 of the 1 videos that {LIST} (YouTube-real) names are here",)


def test_a_fake_on_another_side_than_its_original_is_alone_or_moves_with_its_group():
    text = "1 Celeb-real/id1_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"
    listed = {real("id1_0000"), fake("id0_id1_0000")}
    found = celebdf(text=text)
    assert in_test(found) == listed  # no more, and no less
    clips = by_path(found)
    for name in ("id0_id1_0000", "id1_id0_0000"):
        assert clips[fake(name)].truth == "none"
        assert clips[fake(name)].reference
    assert clips[fake("id0_id1_0001")].truth == "original"
    (note,) = found.notes
    assert "another split than their originals: 2" in note
    assert "datasets.celebdf.split: repaired" in note
    repaired = celebdf(text=text, split="repaired")
    assert in_test(repaired) == {*listed, real("id0_0000"), fake("id1_id0_0000")}
    assert {clip.truth for clip in repaired.clips} == {"original"}
    assert repaired.notes == ("repaired: clips that go from train to test with their groups: 2",)


def test_a_fake_without_its_original_has_no_truth():
    found = celebdf([path for path in TREE if path != real("id0_0001")])
    clip = by_path(found)[fake("id0_id1_0001")]
    assert (clip.truth, clip.reference, clip.split) == ("none", True, "train")
    assert found.outcomes == ()
    assert "fakes without their originals: 1, such as Celeb-synthesis/id0_id1_0001.mp4" in found.notes[0]


def test_the_official_split_shares_celebrities_and_the_hash_split_does_not():
    assert {leak.identity for leak in leaks(celebdf().clips)} == {"celebdf:id0", "celebdf:id1"}
    hashed = celebdf(text=None, split="hash")
    assert leaks(hashed.clips) == []
    # Swaps connect the celebrities.
    assert len({clip.split for clip in hashed.clips if clip.clip.startswith("Celeb")}) == 1


def test_files_that_are_no_clips():
    files = [
        real("id0_0000_1"),
        real("id0_id1_0000"),
        fake("id0_0000"),
        youtube("id0_0000"),
        youtube("\u0660\u0660"),
        "Celeb-real/frames/id0_0000.mp4",
        *(f"Celeb-real/frames/id0_0000/{n}.png" for n in range(9)),
        "x.mp4",
        "README.md",
    ]
    found = celebdf([*TREE, *files])
    assert {*by_path(found)} == {*TREE}
    units = [*files[:6], "Celeb-real/frames", "x.mp4", "README.md"]
    assert reasons(found) == dict.fromkeys(units, ("skipped", "not_in_layout"))


def test_wrong_roots_and_filters():
    with pytest.raises(DatasetError, match=r"ROOT: no Celeb-DF here.*try ROOT/Celeb-DF-v2"):
        celebdf([f"Celeb-DF-v2/{path}" for path in TREE], text=None)
    with pytest.raises(DatasetError, match=r"datasets\.celebdf\.methods: FaceSwap not in ROOT"):
        celebdf(methods=("FaceSwap",))
    with pytest.raises(DatasetError, match=r"datasets\.celebdf\.compressions: c40 not in ROOT"):
        celebdf(compressions=("c40",))


ids = st.integers(0, 3).map(lambda n: f"id{n}")
numbers = st.integers(0, 2).map(lambda n: f"{n:04}")
videos = st.one_of(
    st.builds("Celeb-real/{}_{}.mp4".format, ids, numbers),
    st.builds("Celeb-synthesis/{}_{}_{}.mp4".format, ids, ids, numbers),
    st.builds("{}/{}.mp4".format, st.sampled_from(["YouTube-real", "Youtube-real/videos"]), numbers),
)


@given(
    st.lists(videos, unique=True, min_size=1),
    st.lists(videos, unique=True, min_size=1),
    st.lists(st.sampled_from(["a.png", "Celeb-real/a.mp4", "x/y/z.avi", "x/y/z.txt"]), unique=True),
    st.sampled_from(["official", "repaired", "hash"]),
)
def test_laws(files, listed, others, split):
    text = "\n".join(f"{int('synthesis' not in path)} {path}" for path in listed)
    found = celebdf([*files, *others], text, split=split)
    check_laws(found, [*files, *others, LIST], split)
    if split == "official":
        names = {path.replace("/videos", "").lower() for path in listed}
        for clip in found.clips:
            assert (clip.split == "test") == (clip.clip.replace("/videos", "").lower() in names)
