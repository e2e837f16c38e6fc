import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clip import SPLITS
from schemas.names import clip_stem
from schemas.params import DatasetParams
from transforms.indexing.declare import declare
from transforms.indexing.layout import DatasetError, Listing, load_layout
from transforms.leaks import leaks

FFPP = Path(__file__).parents[2] / "shared/data/ffpp"
LAYOUT = load_layout("faceforensics")
LISTS = {
    "train.json": [["000", "003"], ["010", "011"]],
    "val.json": [["004", "005"]],
    "test.json": [["001", "002"]],
    "conversion_dict.json": {f"{n:03}": f"video{n} 0" for n in range(12)} | {"010": "video4 1"},
}


def real(one, quality="c23", kind="youtube", suffix="mp4"):
    return f"original_sequences/{kind}/{quality}/videos/{one}.{suffix}"


def fake(pair, quality="c23", method="Deepfakes", suffix="mp4"):
    return f"manipulated_sequences/{method}/{quality}/videos/{pair}.{suffix}"


def look(files, lists=None, **params):
    lists = LISTS if lists is None else lists

    def read_text(path):
        if path not in lists:
            raise FileNotFoundError(path)
        return json.dumps(lists[path])

    listing = Listing("ROOT", sorted({*files, *lists}), read_text)
    return declare(LAYOUT, "ffpp", listing, DatasetParams("faceforensics", "ROOT", **params))


def by_path(declared):
    return {clip.clip: clip for clip in declared.clips}


def reasons(declared):
    return {outcome.unit: (outcome.status, outcome.reason) for outcome in declared.outcomes}


def test_a_group_is_a_real_clip_with_its_forgeries_at_every_compression():
    files = [real("000", quality) for quality in ("raw", "c23", "c40")]
    files += [
        fake("000_003", quality, method) for quality in ("raw", "c23") for method in ("Deepfakes", "FaceSwap")
    ]
    files += [real("003", "c40"), fake("003_000", "c40"), fake("000_003", "masks"), fake("003_000", "masks")]
    found = look(files)
    assert found.outcomes == ()
    clips = by_path(found)
    assert {clip.group for clip in found.clips} == {"youtube/000", "youtube/003"}
    assert [c.clip for c in found.clips if c.reference] == [real("000", "raw"), real("003", "c40")]
    clip = clips[fake("000_003", "raw")]
    assert (clip.label, clip.method, clip.compression, clip.split) == ("fake", "Deepfakes", "raw", "train")
    assert (clip.target, clip.source, clip.actor, clip.scene) == ("000", "003", "", "")
    assert clip.identities == ("youtube:000", "youtube:003", "origin:video0", "origin:video3")
    assert clip.official_mask == fake("000_003", "masks")
    assert clips[fake("000_003", "c23")].official_mask == fake("000_003", "masks")
    assert clips[fake("000_003", "c23", "FaceSwap")].official_mask == ""
    clip = clips[real("000")]
    assert (clip.label, clip.method, clip.target, clip.source) == ("real", "real", "000", "")
    assert clip.identities == ("youtube:000", "origin:video0")


def test_actors_and_scenes():
    scene = "walking_down_street_outside_angry"
    files = [
        real(f"01__{scene}", kind="actors"),
        fake(f"01_02__{scene}__YVGY8LOK", method="DeepFakeDetection"),
        fake(f"01_02__{scene}__YVGY8LOK", "masks", "DeepFakeDetection"),
    ]
    clips = by_path(look(files, lists={}))
    assert {clip.group for clip in clips.values()} == {f"actors/01__{scene}"}
    clip = clips[files[1]]
    assert (clip.target, clip.source, clip.actor, clip.scene) == ("01", "02", "01", scene)
    assert clip.identities == ("actor:01", "actor:02")
    assert (clip.split, clip.official_mask) == ("test", files[2])
    assert {c.split for c in look(files, lists={}, unlisted_split="train").clips} == {"train"}
    assert len({c.split for c in look(files, lists={}, split="hash").clips}) == 1
    left = look(files, lists={}, unlisted_split="")
    assert left.clips == ()
    assert reasons(left) == dict.fromkeys(files[:2], ("skipped", "not_in_split"))


def test_both_orders_of_a_pair_and_both_ids_are_in_its_split():
    files = [real(one) for one in ("001", "002", "006")]
    files += [fake("001_002"), fake("002_001"), fake("001_000"), fake("006_007")]
    found = look(files)
    assert {clip.clip: clip.split for clip in found.clips} == dict.fromkeys(
        [real("001"), real("002"), fake("001_002"), fake("002_001")], "test"
    )
    assert reasons(found) == dict.fromkeys(
        [real("006"), fake("001_000"), fake("006_007")], ("skipped", "not_in_split")
    )


def test_the_repaired_split_moves_what_shares_a_video():
    files = [real(one) for one in ("000", "004", "005", "010", "011")] + [fake("010_011"), fake("011_010")]
    assert [leak.identity for leak in leaks(look(files).clips)] == ["origin:video4"]
    repaired = look(files, split="repaired")
    assert leaks(repaired.clips) == []
    sides = {clip.clip: clip.split for clip in repaired.clips}
    assert (
        sides[fake("010_011")] == sides[fake("011_010")] == sides[real("011")] == sides[real("004")] == "val"
    )
    assert sides[real("000")] == "train"
    assert repaired.notes == ("repaired: 010, 011 go from train to val, because of YouTube video video4",)


@pytest.mark.parametrize("split", ["official", "repaired"])
def test_without_lists_the_remedy_is_named(split):
    with pytest.raises(DatasetError, match=r"train\.json.*github\.com/ondyari.*split: hash"):
        look([real("000")], lists={"conversion_dict.json": {"000": "x 0"}}, split=split)


def test_without_the_conversion_table():
    lists = {name: value for name, value in LISTS.items() if name != "conversion_dict.json"}
    found = look([real("000")], lists)
    assert found.clips[0].identities == ("youtube:000",)
    assert "conversion_dict.json" in found.notes[0]
    with pytest.raises(DatasetError, match=r"ROOT: no conversion_dict\.json.*split: hash"):
        look([real("000")], lists, split="repaired")


def test_the_hash_split_needs_no_lists_and_keeps_groups_and_videos_together():
    files = [real(f"{n:03}") for n in range(12)] + [fake(f"{n:03}_{n + 1:03}") for n in range(0, 12, 2)]
    found = look(files, {"splits/conversion_dict.json": LISTS["conversion_dict.json"]}, split="hash")
    assert len(found.clips) == len(files)
    assert leaks(found.clips) == []
    assert len(look(files, {}, split="hash").clips) == len(files)


def test_c0_is_raw_and_raw_comes_first():
    found = look([real("000", "c0"), fake("000_003", "c0")])
    assert {clip.compression for clip in found.clips} == {"raw"}
    both = look([real("000", "c0"), real("000", "raw"), real("003", "c0")])
    assert [clip.clip for clip in both.clips] == [real("000", "raw"), real("003", "c0")]
    assert reasons(both) == {real("000", "c0"): ("skipped", "not_in_layout")}
    assert {
        clip.compression for clip in look([real("000", "c0"), real("000", "c40")], compressions=("c0",)).clips
    } == {"raw"}


def test_a_fake_without_its_original_says_where_it_was_looked_for():
    found = look([real("000"), fake("000_003"), fake("003_000")])
    assert reasons(found) == {fake("003_000"): ("failed", "no_original")}
    assert "original_sequences/youtube/<raw|c23|c40>/videos/003.mp4" in found.outcomes[0].detail
    found = look([real("000", "c23"), fake("000_003", "c40")], compressions=("c40",))
    assert "original_sequences/youtube/<c40>/videos/000.mp4" in found.outcomes[0].detail


def test_files_that_are_no_clips():
    files = [
        real("000"),
        real("notes", suffix="txt"),
        real("0000"),
        real("000_003"),
        fake("000"),
        fake("000_003_x"),
        fake("\u0660\u0660\u0660_\u0660\u0660\u0663"),
        fake("000_003", method="MyMethod"),
        fake("000_003", "c10"),
        real("000", "masks"),
        fake("001_002", "masks"),
        "manipulated_sequences/Deepfakes/videos/000_003.mp4",
        "downloaded_videos/a.mp4",
        "original_sequences/youtube/c23/videos/000.mp4/000.mp4",
        *(f"original_sequences/youtube/c23/images/000/{n:04}.png" for n in range(1000)),
        "manipulated_sequences/Deepfakes/models/000_003/encoder.h5",
        "README.txt",
    ]
    found = look(files)
    assert [clip.clip for clip in found.clips] == [real("000")]
    places = set(files[1:14]) | {
        "original_sequences/youtube/c23/images",
        "manipulated_sequences/Deepfakes/models",
        "README.txt",
    }
    assert reasons(found) == dict.fromkeys(places, ("skipped", "not_in_layout"))
    (images,) = (o for o in found.outcomes if o.unit == "original_sequences/youtube/c23/images")
    assert "1000 files" in images.detail


def test_keys_that_collide():
    files = [real("000", suffix=suffix) for suffix in ("avi", "mp4", "MP4", "mov")]
    found = look(
        [
            *files,
            real("003", suffix="MKV"),
            fake("000_003"),
            *(fake("000_003", "masks", suffix=s) for s in ("avi", "mp4")),
        ]
    )
    assert {clip.clip for clip in found.clips} == {
        real("000", suffix="MP4"),
        real("003", suffix="MKV"),
        fake("000_003"),
    }
    assert len({clip_stem(clip.clip) for clip in found.clips}) == 3
    taken = by_path(found)
    assert taken[real("000", suffix="MP4")].reference
    assert taken[fake("000_003")].official_mask == fake("000_003", "masks")
    losers = [path for path in files if path not in taken] + [fake("000_003", "masks", suffix="avi")]
    assert reasons(found) == dict.fromkeys(losers, ("failed", "key_collision"))


def test_names_that_are_not_utf8():
    bad = b"original_sequences/youtube/c23/videos/\xff00.mp4".decode("utf-8", "surrogateescape")
    folder = [
        b"b\xe9t\xe9/%d.png".replace(b"%d", b"%d" % n).decode("utf-8", "surrogateescape") for n in range(9)
    ]
    found = look([real("000"), bad, *folder])
    assert len(found.clips) == 1
    assert reasons(found) == {
        "original_sequences/youtube/c23/videos/\\xff00.mp4": ("failed", "bad_name"),
        "b\\xe9t\\xe9": ("failed", "bad_name"),
    }


def test_missing_is_said_where_a_clip_is_expected_and_only_there():
    whole = [real(one, quality) for one in ("000", "003", "010", "011") for quality in ("c23", "c40")]
    assert look(whole).outcomes == ()
    found = look([path for path in whole if path != real("003", "c40")])
    assert reasons(found) == {real("003", "c40"): ("failed", "missing")}
    assert "c23 has it" in found.outcomes[0].detail
    # One clip of four is a part that somebody chose; a whole compression that is not there is no gap.
    found = look([path for path in whole if "c23" in path or path == real("000", "c40")])
    assert found.outcomes == ()
    assert found.notes == ("original_sequences/youtube/c40 holds 1 of the 4 clips of its siblings",)
    assert look([*whole, fake("000_003")]).outcomes == ()


def test_filters():
    actors = real("01__meeting_serious", kind="actors")
    files = [real("000"), real("000", "c40"), fake("000_003"), fake("000_003", "c40", "FaceSwap"), actors]
    files.append(fake("01_02__meeting_serious__AAAA1111", method="DeepFakeDetection"))
    assert {clip.clip for clip in look(files).clips} == {*files}
    found = look(files, methods=("FaceSwap",))
    assert {clip.clip for clip in found.clips} == {real("000"), real("000", "c40"), files[3]}
    assert found.outcomes == ()
    assert found.notes == ("3 videos are left out by datasets.ffpp.methods and .compressions",)
    assert {clip.clip for clip in look(files, methods=("DeepFakeDetection",)).clips} == {*files[4:]}
    assert {clip.clip for clip in look(files, compressions=("c40",)).clips} == {real("000", "c40"), files[3]}
    with pytest.raises(
        DatasetError, match="FaceShifter, Nope not in ROOT, which has DeepFakeDetection, Deepfakes, FaceSwap"
    ):
        look(files, methods=("Nope", "FaceShifter", "FaceSwap"))
    with pytest.raises(DatasetError, match="compressions: c99, raw not in ROOT, which has c23, c40"):
        look(files, compressions=("raw", "c99"))


def test_a_wrong_root_says_what_was_looked_for_and_found():
    with pytest.raises(DatasetError, match=r"ROOT: no FaceForensics.*original_sequences.*found nothing"):
        look([], {})
    with pytest.raises(DatasetError, match=r"found a, b, c, d, e and 2 more; set the root"):
        look(list("abcdefg"), {})
    with pytest.raises(DatasetError, match=r"try ROOT/ffpp/v3"):
        look([f"ffpp/v3/{real('000')}"], {})
    with pytest.raises(DatasetError, match=r"layout 'nope': not one of .*faceforensics"):
        load_layout("nope")


@st.composite
def trees(draw):
    """Parts of a tree whose lists and videos are drawn, too."""
    sides = draw(st.lists(st.sampled_from(SPLITS), min_size=1, max_size=6))
    pairs = [(f"{2 * n:03}", f"{2 * n + 1:03}") for n in range(len(sides))]
    lists = {
        f"{split}.json": [list(p) for p, side in zip(pairs, sides, strict=True) if side == split]
        for split in SPLITS
    }
    ids = [one for pair in pairs for one in pair]
    lists["conversion_dict.json"] = {one: f"{draw(st.sampled_from('abcdef'))} 0" for one in ids}
    names = [*ids, *("_".join(pair) for pair in pairs), *("_".join(pair[::-1]) for pair in pairs)]
    files = [real(names[0])]
    for name in draw(st.lists(st.sampled_from(names), unique=True)):
        for quality in draw(st.sets(st.sampled_from(["raw", "c23", "c40"]))):
            files.append(fake(name, quality) if "_" in name else real(name, quality))
    return sorted({*files}), lists, dict(zip(pairs, sides, strict=True))


@given(trees(), st.sampled_from(["official", "repaired", "hash"]))
def test_laws(tree, split):
    files, lists, sides = tree
    found = look(files, lists, split=split)
    tried = {clip.clip for clip in found.clips} | {o.unit for o in found.outcomes if o.reason != "missing"}
    assert tried == {*files}
    if split != "official":
        assert leaks(found.clips) == []
    groups = {}
    for clip in found.clips:
        groups.setdefault(clip.group, []).append(clip)
    for members in groups.values():
        assert len({clip.split for clip in members}) == 1
        (reference,) = (clip for clip in members if clip.reference)
        assert reference.label == "real"
    if split == "official":
        official = {one: side for pair, side in sides.items() for one in pair}
        for clip in found.clips:
            assert clip.split == official[clip.target] == official.get(clip.source, clip.split)


@pytest.mark.skipif(not FFPP.is_dir(), reason=f"the official lists are not in {FFPP}")
def test_the_whole_dataset_by_its_official_lists():
    lists = {path.name: json.loads(path.read_text()) for path in FFPP.glob("*.json")}
    pairs = [pair for split in SPLITS for pair in lists[f"{split}.json"]]
    ids = [one for pair in pairs for one in pair]
    files = [real(one) for one in ids]
    files += [
        fake(f"{a}_{b}", method=method)
        for method in ("Face2Face", "FaceShifter")
        for p in pairs
        for a, b in (p, p[::-1])
    ]
    found = look(files, lists)
    assert Counter(clip.split for clip in found.clips) == {"train": 2160, "val": 420, "test": 420}
    assert len(leaks(found.clips)) == 7
    repaired = look(files, lists, split="repaired")
    assert leaks(repaired.clips) == []
    before, after = ({c.clip for c in one.clips if c.split == "test"} for one in (found, repaired))
    assert before < after
