import io
import itertools
import re
import textwrap
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pipelines.index
from schemas import Clip, Outcome
from schemas.clip import SPLITS
from schemas.files import read_rows
from schemas.params import DatasetParams
from tests.videos import numbered_frames, write_video
from transforms.indexing.declare import declare
from transforms.indexing.layout import DatasetError, Listing, load_layout
from transforms.leaks import leaks

LAYOUT = load_layout("folder")
DOCS = Path(__file__).parents[1] / "docs/datasets.md"


def look(files, manifest=None, name="manifest.csv", **params):
    """What is declared of files and a manifest: its text, its bytes, or the columns of a Parquet file."""
    if isinstance(manifest, dict):
        name, buffer = "manifest.parquet", io.BytesIO()
        pq.write_table(pa.table(manifest), buffer)
        manifest = buffer.getvalue()
    data = {} if manifest is None else {name: manifest.encode() if isinstance(manifest, str) else manifest}

    def read_bytes(path):
        if path not in data:
            raise FileNotFoundError(path)
        return data[path]

    listing = Listing(
        "ROOT", sorted({*files, *data}), lambda path: read_bytes(path).decode("utf-8-sig"), read_bytes
    )
    return declare(LAYOUT, "mine", listing, DatasetParams("folder", "ROOT", **params))


def by_path(declared):
    return {clip.clip: clip for clip in declared.clips}


def reasons(declared):
    return {outcome.unit: (outcome.status, outcome.reason) for outcome in declared.outcomes}


def test_videos_pictures_and_folders_of_frames():
    files = [
        "real/a.mp4",
        "real/b.PNG",
        *(f"real/c/{n:03}.jpg" for n in range(3)),
        *(f"real/people/d/{n}.png" for n in range(3)),
        "real/people/e.mov",
        "fake/x.mp4",
        "fake/swap/a.avi",
        "fake/swap/b.jpg",
        *(f"fake/swap/c/{n}.png" for n in range(2)),
        *(f"fake/swap/people/d/{n}.png" for n in range(2)),
        "fake/gan/f.png",
    ]
    found = look(files)
    assert {clip.clip: (clip.label, clip.method, clip.truth) for clip in found.clips} == {
        "real/a.mp4": ("real", "real", "original"),
        "real/b.PNG": ("real", "real", "original"),
        "real/c": ("real", "real", "original"),
        "real/people/d": ("real", "real", "original"),
        "real/people/e.mov": ("real", "real", "original"),
        "fake/x.mp4": ("fake", "unknown", "none"),
        "fake/swap/a.avi": ("fake", "swap", "original"),
        "fake/swap/b.jpg": ("fake", "swap", "original"),
        "fake/swap/c": ("fake", "swap", "original"),
        "fake/swap/people/d": ("fake", "swap", "original"),
        "fake/gan/f.png": ("fake", "gan", "none"),
    }
    assert found.outcomes == ()
    clips = by_path(found)
    for name in ("a", "b", "c", "people/d"):
        real, fake = (
            next(c for c in clips if c.startswith(f"{top}/{name}")) for top in ("real", "fake/swap")
        )
        assert clips[real].group == clips[fake].group == f"real/{name}"
        assert clips[real].reference
        assert clips[real].identities == clips[fake].identities
    assert len({clip.group for clip in found.clips}) == 7
    assert not any(clip.cropped for clip in found.clips)


def test_a_fake_was_made_from_the_real_clip_of_its_name_only():
    apart = [
        ("real/a.mp4", "fake/swap/a_1.mp4"),
        ("real/a.mp4", "fake/swap/b/a.mp4"),
        ("real/a.mp4", "fake/swap/a.png"),
        ("real/a.png", "fake/swap/a.mp4"),
        ("real/a/1.png", "fake/swap/a.png"),
        ("train/real/a.mp4", "test/fake/swap/a.mp4"),
    ]
    for real, fake in apart:
        found = look([real, fake])
        clips = by_path(found)
        assert clips[fake].truth == "none", fake
        assert len({clip.group for clip in found.clips}) == 2, fake
        assert leaks(found.clips) == []
        assert any("name fake/<method>/a like real/a" in note for note in found.notes)


def test_folders_may_be_splits():
    files = [
        f"{split}/{kind}"
        for split in ("train", "validation", "test")
        for kind in ("real/a.mp4", "fake/m/a.mp4")
    ]
    found = look(files)
    assert {clip.clip: clip.split for clip in found.clips} == dict(
        zip(files, [one for one in ("train", "val", "test") for _ in "rf"], strict=True)
    )
    assert {clip.truth for clip in found.clips} == {"original"}
    assert found.notes == ()
    with pytest.raises(DatasetError, match=r"ROOT: train/real/a\.mp4 is in a split, and real/b\.mp4 in none"):
        look(["train/real/a.mp4", "real/b.mp4"])


def test_without_splits_they_are_drawn_by_hash_and_that_is_said():
    files = [f"real/{n}.mp4" for n in range(60)] + [f"fake/m/{n}.mp4" for n in range(60)]
    found = look(files)
    assert "by hash" in found.notes[0]
    assert {clip.split for clip in found.clips} == {*SPLITS}
    assert leaks(found.clips) == []
    assert look(files, split="hash").clips == found.clips
    assert len(look(files, split="hash").notes) == 0


def test_files_that_are_no_clips():
    files = [
        "real/a.mp4",
        "real/notes.txt",
        "real/c/0.png",
        "real/c/Thumbs.db",
        "real/d.mp4/0.png",
        "other/a.mp4",
        "other/1.png",
        "other/2.png",
        "real.zip",
    ]
    found = look(files)
    assert {*by_path(found)} == {"real/a.mp4", "real/c"}
    places = [files[1], files[3], "real/d.mp4", "other/a.mp4", "other", "real.zip"]
    assert reasons(found) == dict.fromkeys(places, ("skipped", "not_in_layout"))
    assert "(2 files)" in next(o.detail for o in found.outcomes if o.unit == "other")


def test_a_root_with_nothing_says_what_is_looked_for():
    with pytest.raises(DatasetError, match=r"clips are in real/ and fake/<method>/, or in manifest\.csv or"):
        look(["a/b.mp4"])
    with pytest.raises(DatasetError, match="try ROOT/mine"):
        look(["mine/real/a.mp4"])


def test_methods_and_compressions():
    files = ["real/a.mp4", "fake/m/a.mp4", "fake/n/a.mp4"]
    found = look(files, methods=("m",))
    assert {*by_path(found)} == {*files[:2]}
    assert found.notes[0] == "clips that datasets.mine.methods and .compressions leave out: 1"
    with pytest.raises(DatasetError, match=r"datasets\.mine\.methods: o not in ROOT, which has m, n"):
        look(files, methods=("o",))
    rows = "clip,label,compression,group\na.mp4,real,raw,g\nb.mp4,real,c40,g\n"
    found = look(["a.mp4", "b.mp4"], rows, compressions=("c40",))
    assert {*by_path(found)} == {"b.mp4"}


MANIFEST = """clip,label,method,source,split
videos/a.mp4,real,,,train
videos/b.mp4,real,,,test
videos/a_b.mp4,fake,FaceSwap,videos/a.mp4,train
videos/a_c.mp4,fake,Deepfakes,a,train
frames/b,fake,Deepfakes,b.mp4,test
stills/gan.png,fake,StyleGAN,,test
"""
FILES = [f"videos/{name}.mp4" for name in ("a", "b", "a_b", "a_c")]
FILES += ["frames/b/1.png", "frames/b/2.png", "stills/gan.png"]


def as_columns(text):
    header, *rows = (line.split(",") for line in text.splitlines())
    return {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}


@pytest.mark.parametrize(
    "manifest",
    [
        MANIFEST,
        "\ufeff" + MANIFEST.replace("\n", "\r\n"),
        MANIFEST.replace("videos/", "./videos//").replace("label,", "LABEL ,").replace("real", "Real"),
        MANIFEST.replace("frames/b,", '"frames/b/",') + "\n,,,,\n",
        as_columns(MANIFEST),
        as_columns(MANIFEST) | {"source": pa.array([None, None, *as_columns(MANIFEST)["source"][2:5], None])},
    ],
    ids=["csv", "bom and crlf", "spelling", "quotes and empty lines", "parquet", "parquet with nulls"],
)
def test_a_manifest_says_it_all(manifest):
    found = look(FILES, manifest)
    assert {
        clip.clip: (clip.label, clip.method, clip.split, clip.group, clip.truth) for clip in found.clips
    } == {
        "videos/a.mp4": ("real", "real", "train", "videos/a", "original"),
        "videos/b.mp4": ("real", "real", "test", "videos/b", "original"),
        "videos/a_b.mp4": ("fake", "FaceSwap", "train", "videos/a", "original"),
        "videos/a_c.mp4": ("fake", "Deepfakes", "train", "videos/a", "original"),
        "frames/b": ("fake", "Deepfakes", "test", "videos/b", "original"),
        "stills/gan.png": ("fake", "StyleGAN", "test", "stills/gan", "none"),
    }
    assert found.outcomes == ()
    assert by_path(found)["videos/a_b.mp4"].identities == ("mine:videos/a",)
    assert [note for note in found.notes if "without their originals" not in note] == []


def test_columns_that_may_be_there():
    rows = (
        "clip,label,source,compression,identity,mask,group,truth,cropped,colour\n"
        "a.mp4,real,,raw,anna,,g,,yes,red\n"
        "a40.mp4,real,,c40,anna,,g,,yes,red\n"
        "f.mp4,fake,,c40,anna; youtube:007 ;anna,masks/f.mp4,g,,1,red\n"
        "s.png,fake,a.mp4,,,masks/s,,all_one,no,red\n"
    )
    files = ["a.mp4", "a40.mp4", "f.mp4", "s.png", "masks/f.mp4", "masks/s/1.png"]
    found = look(files, rows)
    clips = by_path(found)
    assert found.outcomes == ()
    assert [clips[path].group for path in files[:4]] == ["g", "g", "g", "s"]
    assert [clips[path].compression for path in files[:4]] == ["raw", "c40", "c40", "raw"]
    assert [clips[path].cropped for path in files[:4]] == [True, True, True, False]
    assert [clips[path].official_mask for path in files[:4]] == ["", "", "masks/f.mp4", "masks/s"]
    assert [clips[path].truth for path in files[:4]] == ["original", "original", "original", "all_one"]
    assert clips["f.mp4"].identities == ("mine:anna", "youtube:007")
    assert clips["a.mp4"].reference
    assert "columns of manifest.csv that mean nothing here: colour (known: clip, label, " in found.notes[0]


def test_a_manifest_without_splits_keeps_people_together():
    rows = ["clip,label,source,identity"]
    rows += [f"r{n}.mp4,real,,p{n // 3}" for n in range(60)]
    rows += [f"f{n}.mp4,fake,r{n},p{n // 3};p{(n + 30) % 60 // 3}" for n in range(60)]
    files = [row.split(",")[0] for row in rows[1:]]
    found = look(files, "\n".join(rows))
    assert len(found.clips) == 120
    assert leaks(found.clips) == []
    assert "by hash" in found.notes[0]
    assert {clip.truth for clip in found.clips} == {"original"}
    assert len({clip.split for clip in found.clips}) > 1


def test_what_is_not_there_is_missing():
    rows = (
        "clip,label,source,mask\na.mp4,real,,\nb.mp4,real,,\nc.mp4,fake,a,masks/c.mp4\nd.mp4,fake,b,\n"
        "e.txt,fake,,\nf,fake,zebra,\nempty,fake,,"
    )
    found = look(["a.mp4", "c.mp4", "d.mp4", "e.txt", "f/1.png", "empty/x.txt"], rows)
    assert reasons(found) == {
        "b.mp4": ("failed", "missing"),
        "masks/c.mp4": ("failed", "missing"),
        "e.txt": ("failed", "not_video"),
        "empty": ("failed", "missing"),
    }
    clips = by_path(found)
    assert (clips["c.mp4"].truth, clips["c.mp4"].official_mask) == ("original", "")
    assert (clips["d.mp4"].truth, clips["f"].truth) == ("none", "none")
    assert "sources that are no clip of manifest.csv: 1, such as zebra (line 7)" in found.notes
    with pytest.raises(DatasetError, match=r"manifest\.csv: none of its 7 clips can be used, such as a\.mp4"):
        look([], rows)


def test_other_files_are_said_to_be_left():
    rows = "clip,label\nvideos/a.mp4,real\nframes/b,fake\n"
    files = [
        "videos/a.mp4",
        "videos/z.mp4",
        "videos/notes.txt",
        "frames/b/1.png",
        "frames/b/x.txt",
        "raw/1.png",
    ]
    found = look([*files, "raw/2.png"], rows)
    places = ["videos/z.mp4", "videos/notes.txt", "frames/b/x.txt", "raw"]
    assert reasons(found) == dict.fromkeys(places, ("skipped", "not_in_layout"))
    assert all("not in manifest.csv" in outcome.detail for outcome in found.outcomes)


def test_an_original_in_another_split():
    rows = "clip,label,source,split\na.mp4,real,,test\nb.mp4,fake,a,train\n"
    found = look(["a.mp4", "b.mp4"], rows)
    assert by_path(found)["b.mp4"].truth == "none"
    assert any("in another split than their originals: 1" in note for note in found.notes)
    repaired = look(["a.mp4", "b.mp4"], rows, split="repaired")
    assert {clip.split for clip in repaired.clips} == {"test"}
    assert by_path(repaired)["b.mp4"].truth == "original"


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("", r"no column clip, label; it has none; name them in its first row, .*: clip,label,method,source"),
        ("clip;label\na;real\n", r"no column clip, label; it has clip;label; .*with commas between"),
        ("clip,lable\na.mp4,real\n", r"no column label; it has clip, lable"),
        ("clip,label\n", r"has no rows; write one for each clip"),
        ("clip,label\na.mp4,1\n", r"line 2: label '1' is not one of real, fake; what 0 and 1 mean differs"),
        ("clip,label\na.mp4,\n", r"line 2: label '' is not one of"),
        ("clip,label\n,real\n", r"line 2: clip is empty"),
        (
            "clip,label,split\na.mp4,real,dev\n",
            r"line 2: split 'dev' is not one of train, val, validation, te",
        ),
        ("clip,label,split\na.mp4,real,train\nb.mp4,real,\n", r"line 3: no split, and others have one"),
        (
            "clip,label,compression\na.mp4,real,c10\n",
            r"line 2: compression 'c10' is not one of raw, c23, c40",
        ),
        ("clip,label,truth\na.mp4,fake,none\n", r"line 2: truth 'none' is not one of original, all_one"),
        (
            "clip,label,cropped\na.mp4,fake,maybe\n",
            r"line 2: cropped 'maybe' is not one of no, false, 0, yes",
        ),
        ("clip,label,method\na.mp4,fake,Real\n", r"line 2: label fake, and method 'Real'"),
        ("clip,label\n/data/a.mp4,real\n", r"line 2: clip '/data/a\.mp4' is not below ROOT; write its path"),
        ("clip,label\nx/../../a.mp4,real\n", r"line 2: clip 'x/\.\./\.\./a\.mp4' is not below ROOT"),
        ("clip,label\nC:\\a.mp4,real\n", r"line 2: clip 'C:\\\\a\.mp4' is not below ROOT"),
        ("clip,label,mask\na.mp4,fake,../m.mp4\n", r"line 2: mask '\.\./m\.mp4' is not below ROOT"),
        ("clip,label\na.mp4,real\n\n./a.mp4,fake\n", r"line 4: a\.mp4 is in line 2 too; remove one of them"),
        (
            "clip,label\na,b.mp4,real\n",
            r"line 2: has 3 cells, and there are 2 columns; put cells with a comma",
        ),
        ("clip,label\na.mp4\n", r"line 2: has 1 cells, and there are 2 columns"),
        ('clip,label\n"a.mp4,real\n', r"line 2: not CSV \("),
        ("clip,label\na\0.mp4,real\n", r"line 2: not CSV \(|none of its 1 clips can be used"),
        (b"clip,label\n\xe9.mp4,real\n", r"not UTF-8 at byte 11; save it as UTF-8"),
        ("clip,label".encode("utf-16"), r"not UTF-8 at byte 0; save it as UTF-8"),
        (
            "clip,label,source\na.mp4,fake,b.mp4\nb.mp4,fake,\n",
            r"line 2: source b\.mp4 is a fake \(line 3\); name the real clip",
        ),
        (
            "clip,label,source\nx/b.mp4,real,\ny/b.mp4,real,\na.mp4,fake,b\n",
            r"line 4: source b may be x/b\.mp4 and y/b\.mp4; write its path",
        ),
        (
            "clip,label,split,group\na.mp4,real,train,g\nb.mp4,real,test,g\n",
            r"line 3: group g is in test, and in line 2 in train; give it one split",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used_names_the_row_and_the_remedy(manifest, said):
    with pytest.raises(DatasetError, match=r"ROOT/manifest\.csv: " + f"(?:{said})"):
        look(["a.mp4", "b.mp4", "x/b.mp4", "y/b.mp4"], manifest)


def test_parquet_that_cannot_be_used():
    with pytest.raises(DatasetError, match=r"ROOT/manifest\.parquet: not Parquet \(.*\); write it again"):
        look(["a.mp4"], b"PAR1 and more", "manifest.parquet")
    with pytest.raises(
        DatasetError, match=r"ROOT/manifest\.parquet: row 2: label '1' is not one of real, fake"
    ):
        look(["a.mp4", "b.mp4"], {"clip": ["a.mp4", "b.mp4"], "label": ["real", "1"]})
    with pytest.raises(DatasetError, match=r"row 1: label '0' is not one of"):
        look(["a.mp4"], {"clip": ["a.mp4"], "label": [0]})
    with pytest.raises(DatasetError, match=r"both manifest\.csv and manifest\.parquet are there"):
        look(["a.mp4", "manifest.csv"], {"clip": ["a.mp4"], "label": ["real"]})
    found = look(
        ["a.mp4"], {"clip": ["a.mp4"], "label": ["fake"], "identity": [["anna", "ben"]], "cropped": [True]}
    )
    assert found.clips[0].identities == ("mine:anna", "mine:ben")
    assert found.clips[0].cropped


def accounted(found, files):
    """Whether each file is one clip, one of its frames, a mask, read, or in one outcome."""
    clips = {clip.clip for clip in found.clips}
    masks = {clip.official_mask for clip in found.clips} - {""}
    units = [outcome.unit for outcome in found.outcomes if outcome.reason != "missing"]
    for path in files:
        places = ["/".join(parts) for parts in itertools.accumulate([part] for part in path.split("/"))]
        # A video has an outcome of its own, also where there is one of all other files beside it.
        by_outcome = units.count(path) or sum(units.count(place) for place in places)
        by_clip = any(place in clips | masks for place in places[-2:]) or path in found.used
        # A stray file in a folder of frames has an outcome of its own.
        if by_outcome > 1 or not (by_outcome or by_clip) or (path in clips and by_outcome):
            return False
    return True


NAMES = st.builds(
    "{}{}".format, st.sampled_from("abc"), st.sampled_from([".mp4", ".png", "/1.png", "/x/2.jpg"])
)


@given(
    st.lists(
        st.builds("{}{}".format, st.sampled_from(["real/", "fake/", "fake/m/", "fake/n/", "x/"]), NAMES),
        unique=True,
    ),
    st.booleans(),
    st.sampled_from(["official", "repaired", "hash"]),
)
def test_laws_of_folders(files, in_splits, split):
    files = [f"{SPLITS[n % 3]}/{path}" if in_splits else path for n, path in enumerate(files)]
    try:
        found = look(files, split=split)
    except DatasetError as error:
        assert not any("real/" in path or "fake/" in path for path in files), error  # noqa: PT017
        return
    assert accounted(found, files)
    check_groups(found.clips)


def check_groups(clips):
    groups = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    for members in groups.values():
        assert len({clip.split for clip in members}) == 1
        assert sum(clip.reference for clip in members) == 1
        if any(clip.truth == "original" for clip in members):
            assert members[0].label == "real"


@st.composite
def manifests(draw):
    names = [f"{one}{kind}" for one, kind in zip("abcdefghi", [".mp4", ".png", ""] * 3, strict=True)]
    clips = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    with_splits = draw(st.booleans())
    reals = [name for name in clips if draw(st.booleans())]
    rows = ["clip,label,source,split,identity,mask"]
    for name in clips:
        is_real = name in reals
        source = draw(st.sampled_from(["", "zzz", *reals])) if not is_real else ""
        side = draw(st.sampled_from(SPLITS)) if with_splits else ""
        person, mask = (
            draw(st.sampled_from(["", "p", "q", "p;q"])),
            draw(st.sampled_from(["", "masks/m.mp4"])),
        )
        rows.append(f"{name},{'real' if is_real else 'fake'},{source},{side},{person},{mask}")
    there = [name for name in names if draw(st.booleans())]
    files = [f"{name}/{n}.png" if "." not in name else name for name in there for n in range(2)]
    return sorted({*files, *draw(st.lists(st.sampled_from(["masks/m.mp4", "z/notes", "z.mp4"])))}), "\n".join(
        rows
    )


@given(manifests(), st.sampled_from(["official", "repaired", "hash"]))
def test_laws_of_manifests(tree, split):
    files, manifest = tree
    named = [row.split(",")[0] for row in manifest.splitlines()[1:]]
    there = [name for name in named if any(f"{path}/".startswith(f"{name}/") for path in files)]
    try:
        found = look(files, manifest, split=split)
    except DatasetError as error:
        assert not there, error  # noqa: PT017
        return
    assert accounted(found, [*files, "manifest.csv"])
    units = {outcome.unit for outcome in found.outcomes}
    assert {*named} <= {clip.clip for clip in found.clips} | units
    check_groups(found.clips)
    if split == "hash":
        assert leaks(found.clips) == []


def test_what_the_docs_say_works():
    text = DOCS.read_text("utf-8")
    rows = re.search(r"(?:    [^ ,]+,.*\n){4}", text)
    found = look(["videos/anna.mp4", "videos/anna_x.mp4", "frames/carl/1.png"], textwrap.dedent(rows[0]))
    assert [(clip.clip, clip.method, clip.split, clip.truth) for clip in found.clips] == [
        ("frames/carl", "Deepfakes", "test", "none"),
        ("videos/anna.mp4", "real", "train", "original"),
        ("videos/anna_x.mp4", "FaceSwap", "train", "original"),
    ]
    columns = re.findall(r"^\| `([a-z]+)` \|", text.split("| column |")[1].split("## ")[0], re.MULTILINE)
    everything = look(["a.mp4"], ",".join(columns) + "\na.mp4,real" + "," * (len(columns) - 2))
    assert not any("mean nothing" in note for note in everything.notes)
    module = types.ModuleType("mine")
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], module.__dict__)
    listing = Listing("ROOT", ["fake/m/001_002.mp4", "fake/m/009_002.mp4", "real/001.mp4"], str)
    found = declare(module, "mine", listing, DatasetParams("mine", "ROOT"))
    assert {clip.clip: (clip.group, clip.truth) for clip in found.clips} == {
        "real/001.mp4": ("mine/001", "original"),
        "fake/m/001_002.mp4": ("mine/001", "original"),
        "fake/m/009_002.mp4": ("fake/m/009_002", "none"),
    }


def index(root, out):
    flags = ["--dataset", "folder", "--root", str(root), "--out", str(out), "--direct_num_workers=1"]
    code = pipelines.index.main(flags)
    outcomes = read_rows(out.with_name(f"{out.stem}.outcomes.parquet"), Outcome)
    return code, {clip.clip: clip for clip in read_rows(out, Clip)}, {one.unit: one for one in outcomes}


def write_picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((48, 64, 3), value, np.uint8)).save(path)
    return path


def test_real_and_fake_folders_are_indexed(tmp_path, capsys):
    root = tmp_path / "mine"
    for name in ("real/a", "fake/swap/a", "fake/swap/other"):
        write_video(root / f"{name}.mp4", numbered_frames(5, 64, 48))
    for number in range(4):
        write_picture(root / f"real/frames/{number}.png", number)
    write_picture(root / "fake/gan/x.png")
    (root / "README.txt").write_text("mine")
    code, clips, outcomes = index(root, tmp_path / "clips.parquet")
    assert code == 0
    assert {path: clip.frames for path, clip in clips.items()} == {
        "real/a.mp4": 5,
        "fake/swap/a.mp4": 5,
        "fake/swap/other.mp4": 5,
        "real/frames": 4,
        "fake/gan/x.png": 1,
    }
    assert {(clip.width, clip.height) for clip in clips.values()} == {(64, 48)}
    assert clips["real/a.mp4"].group == clips["fake/swap/a.mp4"].group
    assert {unit for unit, outcome in outcomes.items() if outcome.status != "ok"} == {"README.txt"}
    said = capsys.readouterr().out
    assert "note: no split is given" in said
    assert "fakes without their originals: 2" in said


def test_a_manifest_is_indexed(tmp_path):
    root = tmp_path / "mine"
    for name in ("one", "two"):
        write_video(root / f"{name}.mp4", numbered_frames(5, 64, 48))
    write_video(root / "mask.mp4", numbered_frames(5, 64, 48))
    (root / "broken.mp4").write_bytes(b"no video")
    (root / "manifest.csv").write_text(
        "clip,label,method,source,split,mask\none.mp4,real,,,train,\ntwo.mp4,fake,Swap,one.mp4,train,mask.mp4\n"
        "broken.mp4,fake,Swap,one.mp4,train,\nabsent.mp4,fake,Swap,one.mp4,train,\n",
        "utf-8",
    )
    _, clips, outcomes = index(root, tmp_path / "clips.parquet")
    assert {path: (clip.method, clip.truth, clip.split) for path, clip in clips.items()} == {
        "one.mp4": ("real", "original", "train"),
        "two.mp4": ("Swap", "original", "train"),
    }
    assert clips["two.mp4"].official_mask_sha256
    assert {unit: outcome.reason for unit, outcome in outcomes.items()} == {
        "one.mp4": "",
        "two.mp4": "",
        "broken.mp4": "not_video",
        "absent.mp4": "missing",
    }
