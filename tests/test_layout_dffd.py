import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clip import SPLITS
from schemas.params import DatasetParams
from transforms.indexing.declare import declare
from transforms.indexing.layout import DatasetError, Listing, load_layout
from transforms.leaks import leaks

LAYOUT = load_layout("dffd")


def look(files, texts=None, **params):
    texts = texts or {}

    def read_text(path):
        if path not in texts:
            raise FileNotFoundError(path)
        return texts[path]

    listing = Listing("ROOT", sorted({*files, *texts}), read_text)
    return declare(LAYOUT, "dffd", listing, DatasetParams("dffd", "ROOT", **params))


def by_path(declared):
    return {clip.clip: clip for clip in declared.clips}


def reasons(declared):
    return {outcome.unit: (outcome.status, outcome.reason) for outcome in declared.outcomes}


def test_every_part_has_its_method_truth_and_identities():
    # Names as DFFD's archives have them.
    parts = {
        "ffhq/train/R_FFHQ_01256.png": ("real", "original", ("ffhq:01256",)),
        "celeba/train/000123.jpg": ("real", "original", ("celeba:000123",)),
        "youtube/train/000_0007.png": ("real", "original", ("youtube:000",)),
        "Deepfakes/train/000_003_0007.png": ("Deepfakes", "original", ("youtube:000", "youtube:003")),
        "FaceSwap/train/000_003_0007.png": ("FaceSwap", "original", ("youtube:000", "youtube:003")),
        "Face2Face/train/000_003_0007.png": ("Face2Face", "original", ("youtube:000", "youtube:003")),
        "DeepFaceLab/train/a.png": ("DeepFaceLab", "none", ()),
        "faceapp/train/F_FAP0_01256-3.png": ("FaceApp", "original", ("ffhq:01256",)),
        "faceapp/train/F_FAP1_01256-1.png": ("FaceApp", "original", ("ffhq:01256",)),
        "stargan/train/F_STGN_171-19.png": ("StarGAN", "none", ("stargan:171",)),
        "pggan_v1/train/F_PGN1_01943.png": ("PGGAN", "all_one", ()),
        "pggan_v2/train/F_PGN2_01443.png": ("PGGAN", "all_one", ()),
        "stylegan_celeba/train/F_SyCA_01941.png": ("StyleGAN", "all_one", ()),
        "stylegan_ffhq/train/F_SyFQ_01680.png": ("StyleGAN", "all_one", ()),
    }
    found = look(parts)
    assert {clip.clip: (clip.method, clip.truth, clip.identities) for clip in found.clips} == parts
    assert found.outcomes == ()
    assert all(clip.cropped and clip.compression == "raw" for clip in found.clips)
    assert all((clip.label == "real") == (clip.method == "real") for clip in found.clips)
    groups = {}
    for clip in found.clips:
        groups.setdefault(clip.group, []).append(clip.method)
    shared = sorted(methods for methods in groups.values() if len(methods) > 1)
    assert shared == [["real", "Deepfakes", "Face2Face", "FaceSwap"], ["real", "FaceApp", "FaceApp"]]
    references = {clip.clip for clip in found.clips if clip.reference}
    assert len(references) == len(groups)
    assert {path for path, (method, _, _) in parts.items() if method == "real"} < references


def test_folders_are_splits():
    folders = {"train": "train", "validation": "val", "test": "test", "val": "val"}
    found = look([f"pggan_v1/{folder}/F_PGN1_{n}.png" for n, folder in enumerate(folders)])
    assert [clip.split for clip in sorted(found.clips, key=lambda clip: clip.clip[-5])] == [*folders.values()]


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ("ffhq/train/R_FFHQ_00012.png", "faceapp/train/F_FAP1_00012-2.png"),
        ("ffhq/train/00000/00012.png", "faceapp/train/12_smile.jpg"),
        ("celeba/test/000123.jpg", "stargan/test/000123-Smiling.png"),
        ("celeba_2w/test/R_CELEBA_000123.png", "stargan/test/000123.png"),
        ("youtube/test/001_12.png", "Deepfakes/test/001_870_12.png"),
        ("youtube/test/001/0012.png", "FaceSwap/test/001_870/0012.png"),
        ("youtube/test/R_YT2_001_f0012.png", "Face2Face/test/F_F2F_001_870_frame12.png"),
        ("youtube/test/001-frame-12.png", "deepfakes/test/001_870-frame-12.png"),
    ],
)
def test_a_fake_finds_its_original_by_the_numbers_in_its_name(real, fake):
    clips = by_path(look([real, fake]))
    assert clips[fake].group == clips[real].group
    assert clips[fake].truth == "original"
    assert clips[real].reference
    assert {*clips[real].identities} <= {*clips[fake].identities}
    other = by_path(look([real.replace("12.", "13.").replace("123.", "124."), fake]))
    assert other[fake].truth == "none"


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        # StarGAN numbers its sources by itself.
        ("celeba/train/001715.jpg", "stargan/train/F_STGN_1715-19.png"),
        ("youtube/train/001_12.png", "Deepfakes/train/870_001_12.png"),
        ("youtube/train/001_12.png", "Deepfakes/train/001_870_13.png"),
        ("youtube/train/001_12.png", "Deepfakes/train/some-name.png"),
        ("youtube/train/0001.png", "Deepfakes/train/0001.png"),
        ("ffhq/train/R_FFHQ_00012.png", "stylegan_ffhq/train/F_SyFQ_00012.png"),
        ("celeba/train/000012.png", "faceapp/train/F_FAP0_00012-1.png"),
        ("ffhq/train/R_FFHQ_00012.png", "DeepFaceLab/train/00012.png"),
    ],
)
def test_a_fake_finds_no_other_original(real, fake):
    clips = by_path(look([real, fake]))
    assert clips[fake].group != clips[real].group
    assert clips[fake].truth in ("none", "all_one")
    assert clips[real].truth == "original"


def test_an_original_in_another_split_is_none_and_is_said():
    files = [
        "ffhq/train/R_FFHQ_00001.png",
        "faceapp/validation/F_FAP0_00001-1.png",
        "faceapp/test/F_FAP0_00001-2.png",
        "faceapp/train/F_FAP0_00001-3.png",
        "faceapp/train/F_FAP0_00002-3.png",
    ]
    found = look(files)
    clips = by_path(found)
    assert [clips[path].truth for path in files] == ["original", "none", "none", "original", "none"]
    assert len({clips[path].group for path in files}) == 4
    assert any(re.search("without their originals: 1, such as.*00002-3", note) for note in found.notes)
    assert any(re.search("in another split than their originals: 2", note) for note in found.notes)
    # And the audit names the person who is on more than one side.
    assert [leak.identity for leak in leaks(found.clips)] == ["ffhq:00001"]
    repaired = look(files, split="repaired")
    assert leaks(repaired.clips) == []
    assert [by_path(repaired)[path].split for path in files] == ["test"] * 4 + ["train"]
    assert [by_path(repaired)[path].truth for path in files] == ["original"] * 4 + ["none"]
    assert "from train to test" in " ".join(repaired.notes)


def test_the_hash_split_keeps_people_together():
    files = [f"ffhq/train/R_FFHQ_{n:05}.png" for n in range(30)]
    files += [f"faceapp/test/F_FAP0_{n:05}-{k}.png" for n in range(30) for k in range(2)]
    files += [f"stargan/{side}/F_STGN_{n}-{n}.png" for n in range(20) for side in ("train", "test")]
    files += [f"pggan_v1/train/F_PGN1_{n:05}.png" for n in range(60)]
    files += [f"youtube/train/{n:03}_1.png" for n in range(9)]
    files += [f"Deepfakes/test/{n:03}_{n + 1:03}_1.png" for n in range(8)]
    found = look(files, split="hash")
    assert len(found.clips) == len(files)
    assert leaks(found.clips) == []
    assert {clip.split for clip in found.clips if clip.method == "PGGAN"} == {*SPLITS}
    assert {clip.truth for clip in found.clips if clip.method in ("FaceApp", "Deepfakes")} == {"original"}


def test_masks_go_with_their_fakes():
    files = [
        "ffhq/train/R_FFHQ_00001.png",
        "ffhq/train_mask/R_FFHQ_00001.png",
        "faceapp/train/F_FAP0_00001-1.jpg",
        "faceapp/train_mask/F_FAP0_00001-1.png",
        "faceapp/test_mask/F_FAP0_00001-1.png",
        "faceapp/test/F_FAP0_00009-1.png",
    ]
    found = look(files)
    clips = by_path(found)
    assert clips[files[2]].official_mask == files[3]
    assert clips[files[0]].official_mask == clips[files[5]].official_mask == ""
    assert len(clips) == 3
    assert reasons(found) == dict.fromkeys([files[1], files[4]], ("skipped", "not_in_layout"))


def test_the_authors_own_layout():
    files = [
        "train/Real/R_FFHQ_00001.png",
        "train/Fake/F_FAP0_00001-1.png",
        "train/Mask/F_FAP0_00001-1.png",
        "eval/Fake/F_PGN2_00001.png",
        "eval/Mask/F_PGN2_00001.png",
        "test/Fake/F_SyFQ_00002.png",
        "test/Fake/F_STGN_2-3.png",
        "test/Fake/whatever.png",
        "test/Real/whatever.png",
    ]
    found = look(files)
    clips = by_path(found)
    assert found.outcomes == ()
    assert {path: (c.method, c.truth, c.split, c.official_mask) for path, c in clips.items()} == {
        files[0]: ("real", "original", "train", ""),
        files[1]: ("FaceApp", "original", "train", files[2]),
        files[3]: ("PGGAN", "all_one", "val", files[4]),
        files[5]: ("StyleGAN", "all_one", "test", ""),
        files[6]: ("StarGAN", "none", "test", ""),
        files[7]: ("unknown", "none", "test", ""),
        files[8]: ("real", "original", "test", ""),
    }
    assert clips[files[0]].group == clips[files[1]].group


LISTED = [
    "ffhq/train/R_FFHQ_00001.png",
    "ffhq/train/R_FFHQ_00002.png",
    "pggan_v1/validation/F_PGN1_00001.png",
    "pggan_v1/test/F_PGN1_00002.png",
]


@pytest.mark.parametrize("place", ["scripts/data_lists/", "data_lists/", "scripts/", "_lists/", ""])
def test_lists_decide_the_split_and_what_differs_is_said(place):
    found = look(
        LISTED,
        {
            f"{place}train_real.txt": "R_FFHQ_00001.png\n\n",
            f"{place}test_real.txt": "./data/ffhq/train/R_FFHQ_00002.png\r\n",
            f"{place}validation_fake.txt": "F_PGN1_00001.png\nF_PGN1_00077.png\nF_PGN1_00088.png",
        },
    )
    assert [by_path(found)[path].split for path in LISTED] == ["train", "test", "val", "test"]
    assert found.outcomes == ()
    assert found.notes == (
        "pictures whose list and folder are of different splits, and the list counts: 1, such as "
        + LISTED[1],
        "pictures on no list, which are in their folder's split: 1, such as " + LISTED[3],
        "of the 5 names on the lists, those that are not here: 2, such as F_PGN1_00077.png",
    )
    assert found.used == {f"{place}{name}.txt" for name in ("train_real", "test_real", "validation_fake")}


def test_lists_that_agree_say_nothing_and_other_labels_are_said():
    names = [path.rpartition("/")[2] for path in LISTED]
    lists = {
        "train_real.txt": "\n".join(names[:2]),
        "validation_fake.txt": names[2],
        "test_fake.txt": names[3],
    }
    assert look(LISTED, lists).notes == ()
    del lists["test_fake.txt"]
    found = look(LISTED, {**lists, "test_real.txt": names[3]})
    assert found.notes == (
        "pictures whose list and folder are of different labels, and the folder counts: 1, such as "
        + LISTED[3],
    )
    assert by_path(found)[LISTED[3]].label == "fake"


def test_lists_that_cannot_be_used():
    with pytest.raises(
        DatasetError, match=r"ROOT/train_fake\.txt: line 2: F_1\.png is among test's real ones too; mend it"
    ):
        look(LISTED, {"test_real.txt": "F_1.png", "train_fake.txt": "x.png\nF_1.png"})
    bad = b"\xff\xfe"

    class Broken(dict):
        def __getitem__(self, path):
            return bad.decode()

    with pytest.raises(DatasetError, match=r"ROOT/train_real\.txt: not UTF-8 at byte 0; mend it"):
        look(LISTED, Broken({"train_real.txt": ""}))
    # Of lists in two places the first counts, and the others are said to be left.
    both = look(LISTED, {"data_lists/test_real.txt": "R_FFHQ_00001.png", "test_real.txt": "R_FFHQ_00002.png"})
    assert [clip.split for clip in both.clips if clip.label == "real"] == ["test", "train"]
    assert reasons(both) == {"test_real.txt": ("skipped", "not_in_layout")}


def test_files_that_are_no_pictures_of_it():
    files = [
        "ffhq/train/R_FFHQ_00001.png",
        "ffhq/train/notes.txt",
        "ffhq/train.zip",
        "ffhq/other/R_FFHQ_00001.png",
        "scripts/align_faces/align_faces.m",
        "bounding_boxes/a.txt",
        "bounding_boxes/b.txt",
        "celeba/train/clip.mp4",
        "README.md",
    ]
    found = look(files)
    assert [clip.clip for clip in found.clips] == files[:1]
    places = [*files[1:3], "ffhq/other", "scripts/align_faces", "bounding_boxes", *files[7:]]
    assert reasons(found) == dict.fromkeys(places, ("skipped", "not_in_layout"))


def test_methods_are_taken_with_all_reals():
    files = [*LISTED, "faceapp/train/F_FAP0_00001-1.png"]
    found = look(files, methods=("FaceApp",))
    assert {*by_path(found)} == {*files[:2], files[4]}
    assert found.notes == ("pictures that datasets.dffd.methods leaves out: 2",)
    with pytest.raises(
        DatasetError, match=r"datasets\.dffd\.methods: Nope not in ROOT, which has FaceApp, PG"
    ):
        look(files, methods=("Nope",))
    with pytest.raises(DatasetError, match=r"datasets\.dffd\.compressions: c23 not in ROOT, which has raw"):
        look(files, compressions=("c23",))


def test_a_wrong_root_says_what_was_looked_for():
    with pytest.raises(DatasetError, match=r"ROOT: no DFFD here: pictures are .*found nothing"):
        look([])
    with pytest.raises(DatasetError, match="try ROOT/data/DFFD"):
        look(["data/DFFD/pggan_v1/train/F_PGN1_00001.png"])


def test_two_pictures_of_one_name():
    files = ["ffhq/train/R_FFHQ_00001.png", "ffhq/train/R_FFHQ_00001.jpg", "ffhq/test/R_FFHQ_00001.png"]
    found = look([*files, "faceapp/train/F_FAP0_00001-1.png"])
    assert len(found.clips) == 3
    assert reasons(found) == {files[1]: ("failed", "key_collision")}
    assert [leak.identity for leak in leaks(found.clips)] == ["ffhq:00001"]


@st.composite
def trees(draw):
    """Parts of a tree, with lists that may say something else, and files that do not belong."""
    sides = st.sampled_from(["train", "validation", "test"])
    numbers = st.integers(0, 3)
    names = st.one_of(
        st.builds("ffhq/{}/R_FFHQ_0000{}.png".format, sides, numbers),
        st.builds("faceapp/{}/F_FAP0_0000{}-{}.png".format, sides, numbers, numbers),
        st.builds("faceapp/{}_mask/F_FAP0_0000{}-{}.png".format, sides, numbers, numbers),
        st.builds("youtube/{}/00{}_{}.png".format, sides, numbers, numbers),
        st.builds("Deepfakes/{}/00{}_00{}_{}.jpg".format, sides, numbers, numbers, numbers),
        st.builds("stargan/{}/F_STGN_{}-{}.png".format, sides, numbers, numbers),
        st.builds("pggan_v1/{}/F_PGN1_0000{}.png".format, sides, numbers),
        st.builds("{}/Fake/F_FAP1_0000{}-1.png".format, st.sampled_from(["train", "eval"]), numbers),
        st.sampled_from(["README", "ffhq/x.txt", "ffhq/train/a.mp4", "junk/a/b.png", "junk/c"]),
    )
    files = draw(st.lists(names, unique=True, min_size=1, max_size=25))
    pictures = sorted({path.rpartition("/")[2] for path in files if path.endswith(".png")})
    listed = draw(st.lists(st.sampled_from(pictures), unique=True)) if pictures else []
    texts = {}
    for name in listed:
        texts.setdefault(f"scripts/{draw(sides)}_{'real' if name[0] == 'R' else 'fake'}.txt", []).append(name)
    return files, {path: "\n".join(names) for path, names in texts.items()}


@given(trees(), st.sampled_from(["official", "repaired", "hash"]))
def test_laws(tree, split):
    files, texts = tree
    try:
        found = look(files, texts, split=split)
    except DatasetError as error:
        assert "no DFFD here" in str(error)  # noqa: PT017 - what else it may raise is the point
        return
    clips = [clip.clip for clip in found.clips]
    masks = [clip.official_mask for clip in found.clips if clip.official_mask]
    units = [outcome.unit for outcome in found.outcomes]
    for path in {*files, *texts}:
        places = ["/".join(parts) for parts in itertools.accumulate([p] for p in path.split("/"))]
        named = [clips.count(path), masks.count(path), path in found.used]
        named.append(sum(units.count(place) for place in places))
        assert sum(named) == 1, path
    groups = {}
    for clip in found.clips:
        groups.setdefault(clip.group, []).append(clip)
    for members in groups.values():
        assert len({clip.split for clip in members}) == 1
        assert len({*members[0].identities}.intersection(*(clip.identities for clip in members))) or (
            len(members) == 1
        )
        if any(clip.truth == "original" and clip.label == "fake" for clip in members):
            assert members[0].label == "real"
    if split == "hash":
        assert leaks(found.clips) == []
