import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.params import DatasetParams
from tests.listings import by_path, check_laws, reasons
from transforms.indexing.declare import declare
from transforms.indexing.layout import DatasetError, Listing, load_layout
from transforms.leaks import leaks

LAYOUT = load_layout("wilddeepfake")
TOP = "deepfake_in_the_wild/"
PLACES = ["real_train", "fake_train", "real_test", "fake_test"]


def look(sequences, others=(), archives=(), **params):
    """What is declared of folders in archives, of other files, and of archives with nothing in them."""
    inside = {path[: path.index(".tar") + len(".tar.gz")] for path in sequences}
    archived = dict.fromkeys(sequences, 3)
    listing = Listing("ROOT", sorted({*inside, *others, *archives}), str, archived=archived)
    return declare(
        load_layout("wilddeepfake"), "wild", listing, DatasetParams("wilddeepfake", "ROOT", **params)
    )


def path(place, number, sequence, top=TOP, inner=None):
    inner = f"{number}/{place[:4]}" if inner is None else inner
    return f"{top}{place}/{number}.tar.gz/{inner}/{sequence}"


def test_a_sequence_is_a_clip_of_its_own():
    real, fake = path("real_train", 1, 7), path("fake_test", 12, 131)
    found = look([real, fake])
    assert found.outcomes == ()
    clips = by_path(found)
    clip = clips[fake]
    assert (clip.label, clip.method, clip.split, clip.truth) == ("fake", "WildDeepfake", "test", "none")
    assert (clip.group, clip.compression, clip.target) == ("fake_test/12/131", "raw", "12")
    assert clip.identities == ("wilddeepfake:fake_test/12",)
    clip = clips[real]
    assert (clip.label, clip.method, clip.split, clip.group) == ("real", "real", "train", "real_train/1/7")
    assert all(clip.cropped and clip.reference and not clip.official_mask for clip in found.clips)


@pytest.mark.parametrize("top", ["", TOP])
@pytest.mark.parametrize("space", ["_", " "])
def test_labels_are_those_of_the_split_folder_wherever_the_root_is(top, space):
    places = [f"{label}{space}{split}" for label in ("real", "fake") for split in ("train", "test")]
    found = look([path(place, 3, 1, top) for place in places])
    assert {(clip.label, clip.split) for clip in found.clips} == {
        (label, split) for label in ("real", "fake") for split in ("train", "test")
    }
    assert all(clip.clip.removeprefix(TOP).startswith(clip.label) for clip in found.clips)
    assert {clip.identities[0] for clip in found.clips} == {
        f"wilddeepfake:{label}_{split}/3" for label in ("real", "fake") for split in ("train", "test")
    }


def test_labels_that_disagree_are_said():
    wrong = path("real_train", 1, 7, inner="1/fake")
    found = look([wrong, path("real_train", 1, 8)])
    assert reasons(found) == {wrong: ("failed", "not_in_layout")}
    assert "its archive is real, its folder in there fake" in found.outcomes[0].detail


def test_sequences_are_numbered_anew_in_each_archive():
    found = look([path("real_train", number, 7) for number in (1, 2)] + [path("real_test", 1, 7)])
    assert len({clip.group for clip in found.clips}) == 3
    twice = [path("fake_train", 1, 7), path("fake train", 1, 7), path("fake_train", 1, 7, inner="2/fake")]
    found = look(twice)
    assert len(found.clips) == 1
    assert [*reasons(found).values()] == [("failed", "key_collision")] * 2


def test_other_folders_files_and_archives():
    deep = path("real_train", 1, 7, inner="1/real/more")
    none = path("real_train", 1, 7, inner="1/masks")
    others = [
        "README.md",
        f"{TOP}notes.txt",
        "backup.tar.gz",
        f"{TOP}real_train/1/real/7/0.png",
        "real_val/1.tar.gz",
    ]
    found = look([path("real_train", 1, 7), deep, none], others, [f"{TOP}fake_test/2.tar.gz"])
    assert [clip.clip for clip in found.clips] == [path("real_train", 1, 7)]
    places = {deep, none, *others[:3], f"{TOP}real_train/1", "real_val"}
    assert reasons(found) == dict.fromkeys(places, ("skipped", "not_in_layout"))
    # What is in an archive elsewhere goes with it.
    assert look([path("real_train", 1, 7), "backup.tar.gz/real_train/1/real/7"]).clips == found.clips


def test_an_archive_may_be_plain_and_have_no_folder_of_its_number():
    archived = {"fake_test/a.b.tar/fake/1": 9, "real_train/5.tgz/5/real/2": 9}
    listing = Listing("ROOT", ["fake_test/a.b.tar", "real_train/5.tgz"], str, archived=archived)
    found = declare(LAYOUT, "wild", listing, DatasetParams("wilddeepfake", "ROOT"))
    assert {clip.group for clip in found.clips} == {"fake_test/a.b/1", "real_train/5/2"}


def test_a_wrong_root_and_wrong_parameters():
    with pytest.raises(DatasetError, match=r"ROOT: no WildDeepfake here.*real,fake.*found videos"):
        look([], ["videos/1.mp4"])
    with pytest.raises(DatasetError, match="try ROOT/data"):
        look([], ["data/deepfake_in_the_wild/real_train/1.tar.gz"])
    with pytest.raises(DatasetError, match="methods: Nope not in ROOT, which has WildDeepfake"):
        look([path("real_train", 1, 7)], methods=("Nope",))


SEQUENCES = st.tuples(st.sampled_from(PLACES), st.integers(0, 20), st.integers(0, 3))


@given(st.sets(SEQUENCES, min_size=1), st.sampled_from(["official", "repaired", "hash"]))
def test_laws(sequences, split):
    paths = [path(*one) for one in sequences]
    found = look(paths, split=split)
    check_laws(found, paths, split)
    assert {clip.clip for clip in found.clips} == {*paths}
    assert leaks(found.clips) == []
    if split != "hash":
        assert all(clip.split in clip.clip.split("/")[1] for clip in found.clips)
