import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import pipelines.index
import pipelines.probing
from pipelines.clips import read_index
from pipelines.index import main
from schemas import Clip, Outcome
from schemas.errors import UsageError
from schemas.files import read_metadata, read_rows
from tests import dying_probe
from tests.videos import numbered_frames, write_video

YOUTUBE, FAKES = "original_sequences/youtube", "manipulated_sequences"
ONE = ["--direct_num_workers=1"]


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Three small videos, of 10, 11 and 12 frames."""
    folder = tmp_path_factory.mktemp("videos")
    return [write_video(folder / f"{n}.mp4", numbered_frames(n, 64, 48)) for n in (10, 11, 12)]


@pytest.fixture
def tree(tmp_path, videos):
    """Two pairs with two methods at two compressions: 4 groups, 24 clips."""
    return make_tree(tmp_path / "tree", videos)


def make_tree(root, videos):
    for number, (one, other) in enumerate((("000", "003"), ("003", "000"), ("001", "002"), ("002", "001"))):
        for quality in ("c23", "c40"):
            copy(videos[number % 3], root / f"{YOUTUBE}/{quality}/videos/{one}.mp4")
            for method in ("Deepfakes", "FaceSwap"):
                copy(videos[number % 3], root / f"{FAKES}/{method}/{quality}/videos/{one}_{other}.mp4")
        copy(videos[0], root / f"{FAKES}/Deepfakes/masks/videos/{one}_{other}.mp4")
    for name, pairs in (("train", [["000", "003"]]), ("val", []), ("test", [["001", "002"]])):
        (root / f"{name}.json").write_text(json.dumps(pairs))
    (root / "conversion_dict.json").write_text(json.dumps({f"{n:03}": f"video{n} 0" for n in range(4)}))
    return root


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def index(root, out, *flags):
    return main(["--dataset", "faceforensics", "--root", str(root), "--out", str(out), *flags, *ONE])


def read(out):
    outcomes = read_rows(out.with_name(f"{out.stem}.outcomes.parquet"), Outcome)
    return read_rows(out, Clip), {outcome.unit: outcome for outcome in outcomes}


def bad(outcomes):
    return {unit: outcome.reason for unit, outcome in outcomes.items() if outcome.status != "ok"}


def test_clips_outcomes_and_metadata(tree, tmp_path, capsys):
    (tree / "README.txt").write_text("hello")
    out = tmp_path / "work/clips.parquet"
    assert index(tree, out) == 0
    clips, outcomes = read(out)
    assert len(clips) == 24
    assert bad(outcomes) == {"README.txt": "not_in_layout"}
    assert {clip.clip: clip.frames for clip in clips} == {
        unit: outcome.made for unit, outcome in outcomes.items() if outcome.status == "ok"
    }
    assert clips == sorted(clips, key=lambda clip: clip.group)
    found = read_index(out, None)
    assert list(found.groups) == ["youtube/000", "youtube/001", "youtube/002", "youtube/003"]
    for members in found.groups.values():
        assert [clip.reference for clip in members] == [True, *[False] * 5]
        assert (members[0].label, members[0].compression) == ("real", "c23")
    clip = next(clip for clip in clips if clip.official_mask)
    assert (clip.width, clip.height, clip.rotation, clip.fps) == (64, 48, 0, 25.0)
    assert clip.bytes == (tree / clip.clip).stat().st_size
    assert len(clip.sha256) == len(clip.official_mask_sha256) == 64
    metadata = read_metadata(out)
    assert metadata.pop("terms").endswith("http://kaldir.vc.in.tum.de/faceforensics_tos.pdf")
    assert metadata == {
        "dataset": "faceforensics",
        "layout": "faceforensics",
        "root": str(tree),
        "split": "official",
    }
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "clips.outcomes.parquet",
        "clips.parquet",
        "clips.parquet.status.json",
    ]
    said = capsys.readouterr().out.splitlines()
    assert f"{out}: 24 clips in 4 groups: 24 ok, 1 skipped, 0 failed" in said
    assert said[-1] == f"see {tmp_path}/work/clips.outcomes.parquet"


def test_the_same_tree_elsewhere_gives_the_same_bytes(videos, tmp_path, monkeypatch):
    made = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        make_tree(Path("tree"), videos)
        Path(f"tree/{YOUTUBE}/c23/videos/003.mp4").write_text("no video")
        Path("tree/link.mp4").symlink_to("/nowhere.mp4")
        index("tree", "clips.parquet")
        made.append([Path(f"clips.{kind}parquet").read_bytes() for kind in ("", "outcomes.")])
    assert made[0] == made[1]


def test_every_bad_file_is_an_outcome_and_the_rest_is_indexed(tree, videos, tmp_path, capsys):
    videos_at = {quality: tree / YOUTUBE / quality / "videos" for quality in ("c23", "c40")}
    deepfakes = tree / FAKES / "Deepfakes"
    (videos_at["c23"] / "000.mp4").write_bytes(b"")
    (videos_at["c23"] / "001.mp4").write_text("no video")
    (videos_at["c40"] / "001.mp4").write_bytes(videos[0].read_bytes()[:500])
    copy(videos[0], videos_at["c23"] / "002.avi")
    copy(videos[0], videos_at["c23"] / "999.mp4")
    copy(videos[0], Path(os.fsdecode(bytes(videos_at["c23"]) + b"/\xff.mp4")))
    os.mkfifo(videos_at["c40"] / "555.mp4")
    (videos_at["c40"] / "notes.txt").write_text("")
    (videos_at["c40"] / "666.mp4").symlink_to("nowhere.mp4")
    (videos_at["c40"] / "loop").symlink_to("..")
    (deepfakes / "c40/videos/003_000.mp4").unlink()
    (deepfakes / "c40/videos/000_003.mp4").unlink()
    (deepfakes / "c40/videos/000_003.mp4").symlink_to(videos[0])
    (deepfakes / "masks/videos/003_000.mp4").write_text("no mask")
    (tree / "elsewhere").symlink_to(tmp_path)
    out = tmp_path / "clips.parquet"
    assert index(tree, out) == 3
    clips, outcomes = read(out)
    deepfakes_at, faceswap_at = (f"{FAKES}/{method}" for method in ("Deepfakes", "FaceSwap"))
    lost = [
        f"{method}/{quality}/videos/001_002.mp4"
        for method in (deepfakes_at, faceswap_at)
        for quality in ("c23", "c40")
    ]
    assert bad(outcomes) == {
        f"{YOUTUBE}/c23/videos/000.mp4": "empty_file",
        f"{YOUTUBE}/c23/videos/001.mp4": "not_video",
        f"{YOUTUBE}/c40/videos/001.mp4": "decode_error",
        f"{YOUTUBE}/c23/videos/002.avi": "key_collision",
        f"{YOUTUBE}/c23/videos/999.mp4": "not_in_split",
        f"{YOUTUBE}/c23/videos/\\xff.mp4": "bad_name",
        f"{YOUTUBE}/c40/videos/555.mp4": "not_video",
        f"{YOUTUBE}/c40/videos/notes.txt": "not_in_layout",
        f"{YOUTUBE}/c40/videos/666.mp4": "missing",
        f"{YOUTUBE}/c40/videos/loop": "not_in_layout",
        f"{deepfakes_at}/masks/videos/003_000.mp4": "not_video",
        f"{deepfakes_at}/c40/videos/000_003.mp4": "outside_root",
        "elsewhere": "outside_root",
        **dict.fromkeys(lost, "no_original"),
    }
    assert {clip.clip for clip in clips} == {unit for unit, o in outcomes.items() if o.status == "ok"}
    by_path = {clip.clip: clip for clip in clips}
    # The next best real clip takes the place of a reference that cannot be used.
    assert by_path[f"{YOUTUBE}/c40/videos/000.mp4"].reference
    assert f"{YOUTUBE}/c23/videos/001.mp4 failed (not_video)" in outcomes[lost[0]].detail
    assert by_path[f"{deepfakes_at}/c23/videos/003_000.mp4"].official_mask == ""
    assert str(tree) not in " ".join(outcome.detail for outcome in outcomes.values())
    assert "more than run.max_failed_fraction" in capsys.readouterr().err


def test_retry_failed_reads_only_what_is_not_indexed_yet(tree, videos, tmp_path, monkeypatch):
    broken = [tree / f"{YOUTUBE}/c23/videos/000.mp4", tree / f"{FAKES}/Deepfakes/masks/videos/001_002.mp4"]
    for path in broken:
        path.write_text("broken")
    out, full = tmp_path / "clips.parquet", tmp_path / "full.parquet"
    assert index(tree, out) == 3
    assert len(read(out)[0]) == 23
    probed = spy(monkeypatch)
    for path in broken:
        copy(videos[2], path)
    assert index(tree, out, "--retry-failed") == 0
    assert sorted(probed) == sorted(str(path.relative_to(tree)) for path in broken)
    monkeypatch.undo()
    assert index(tree, full) == 0
    assert out.read_bytes() == full.read_bytes()
    assert read(out)[1] == read(full)[1]


def test_retry_failed_hashes_what_was_mended_at_the_same_size(tree, videos, tmp_path, monkeypatch):
    refused = tree / f"{FAKES}/Deepfakes/c23/videos/001_002.mp4"
    taken = tree / f"{FAKES}/Deepfakes/c40/videos/001_002.mp4"
    mask = tree / f"{FAKES}/Deepfakes/masks/videos/001_002.mp4"
    whole = {path: path.read_bytes() for path in (refused, taken, mask)}
    refused.write_bytes(bytes(len(whole[refused])))
    for path in (taken, mask):  # Damage that index does not see.
        path.write_bytes(whole[path].replace(b"Lavf", b"Damg"))
    out, full = tmp_path / "clips.parquet", tmp_path / "full.parquet"
    index(tree, out)
    assert bad(read(out)[1]) == {str(refused.relative_to(tree)): "not_video"}
    probed = spy(monkeypatch)
    for path, content in whole.items():
        path.write_bytes(content)
        os.utime(path, (0, 0))  # as a copy that keeps times
    assert index(tree, out, "--retry-failed") == 0
    assert sorted(probed) == sorted(str(path.relative_to(tree)) for path in whole)
    monkeypatch.undo()
    assert index(tree, full) == 0
    assert out.read_bytes() == full.read_bytes()


def spy(monkeypatch):
    """The paths that are handed to Beam from now on."""
    probed = []
    real = pipelines.index.run

    def run(work, *arguments):
        probed.extend(path for item in work for path in (*item.unit.clips, *item.unit.masks))
        return real(work, *arguments)

    monkeypatch.setattr(pipelines.index, "run", run)
    return probed


def test_an_interrupted_run_continues(tree, tmp_path, monkeypatch):
    out = tmp_path / "clips.parquet"

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipelines.index, "_assemble", interrupt)
        with pytest.raises(KeyboardInterrupt):
            index(tree, out)
    assert not out.exists()
    probes = tmp_path / "clips.parquet.probes"
    (lost, *kept) = sorted(probes.rglob("*.json"))
    assert len(kept) == 3
    lost.unlink()
    changed = tree / f"{YOUTUBE}/c40/videos/002.mp4"
    os.utime(changed, ns=(1, 1))
    with monkeypatch.context() as patch:
        probed = spy(patch)
        assert index(tree, out) == 0
    assert str(changed.relative_to(tree)) in probed
    assert len({path.split("/")[-1][:3] for path in probed}) in (1, 2)  # the lost group, and the changed one
    assert not probes.exists()
    assert len(read(out)[0]) == 24


def test_a_decoder_that_crashes_costs_one_clip(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines.probing, "watch", dying_probe.watch)
    assert index(tree, tmp_path / "clips.parquet") == 3
    clips, outcomes = read(tmp_path / "clips.parquet")
    assert bad(outcomes) == {
        f"{YOUTUBE}/c40/videos/001.mp4": "decode_crashed",
        f"{YOUTUBE}/c40/videos/002.mp4": "internal_error",
    }
    assert "a bug" in outcomes[f"{YOUTUBE}/c40/videos/002.mp4"].detail
    assert len(clips) == 22


def test_dry_run_says_what_would_be_done_and_writes_nothing(tree, tmp_path, capsys):
    table = {"000": "same 0", "001": "same 1"}
    (tree / "conversion_dict.json").write_text(json.dumps(table))
    assert index(tree, tmp_path / "work/clips.parquet", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "would index 24 clips in 4 groups" in said
    assert ["all", "12", "12", "12", "0", "12"] in [line.split() for line in said.splitlines()]
    assert "origin:same is in train and test" in said
    assert "set datasets.faceforensics.split to repaired" in said
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--dataset", "nope", "--root", "ROOT"], "layout 'nope'"),
        (["--dataset", "faceforensics"], "not in params.yaml"),
        (["--dataset", "faceforensics", "--root", "/no/where"], "/no/where: no such folder"),
        (["--dataset", "faceforensics", "--root", "ROOT/train.json"], "not a folder"),
        (["--dataset", "faceforensics", "--root", "ROOT/.."], "try .*/tree"),
        (["--dataset", "faceforensics", "--root", "ROOT/original_sequences"], "found youtube"),
        (["--dataset", "faceforensics", "--root", "ROOT", "--out", "ROOT"], "is a folder"),
        (["--dataset", "faceforensics", "--root", "ROOT", "--out", "ROOT/train.json/x"], "cannot be made"),
        (["--dataset", "faceforensics", "--root", "ROOT", "--retry-failed"], "no such file; run the stage"),
        (
            ["--dataset", "mine", "--params", "PARAMS"],
            "methods: Nope not in .*, which has Deepfakes, FaceSwap",
        ),
    ],
)
def test_what_cannot_be_done_is_said(tree, tmp_path, flags, said):
    (tmp_path / "p.yaml").write_text(
        f"datasets: {{mine: {{layout: faceforensics, root: {tree}, methods: [Nope]}}}}"
    )
    flags = [flag.replace("ROOT", str(tree)).replace("PARAMS", str(tmp_path / "p.yaml")) for flag in flags]
    with pytest.raises(UsageError, match=said):
        main(["--out", str(tmp_path / "clips.parquet"), *flags, *ONE])
    assert not list(tmp_path.glob("clips*"))


def test_broken_lists_are_said(tree, tmp_path):
    (tree / "val.json").write_text("[[")
    with pytest.raises(UsageError, match=r"tree/val\.json: not JSON at line 1.*split: hash"):
        index(tree, tmp_path / "clips.parquet")


def test_lists_may_be_links_and_links_inside_the_root_are_followed(tree, tmp_path):
    (tmp_path / "lists").mkdir()
    for path in tree.glob("*.json"):
        path.rename(tmp_path / "lists" / path.name)
    (tree / "splits").symlink_to(tmp_path / "lists")
    (tree / "store").mkdir()
    (tree / f"{YOUTUBE}/c40").rename(tree / "store/c40")
    (tree / f"{YOUTUBE}/c40").symlink_to("../../store/c40")
    assert index(tree, tmp_path / "clips.parquet") == 0
    clips, outcomes = read(tmp_path / "clips.parquet")
    assert len(clips) == 24
    assert set(bad(outcomes).values()) == {"not_in_layout"}
    assert len(bad(outcomes)) == 4  # the same files by their other path


def test_parameters_that_leave_nothing(tree, tmp_path):
    for path in [*(tree / FAKES).iterdir(), *tree.glob("*.json")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in ("train", "val", "test"):
        (tree / f"{name}.json").write_text("[]")
    with pytest.raises(UsageError, match=r"no clip is left of 8 files"):
        index(tree, tmp_path / "clips.parquet")
    assert pq.read_table(tmp_path / "clips.parquet").num_rows == 0


def test_the_demo_corpus(demo_corpus, tmp_path):
    out = tmp_path / "clips.parquet"
    assert index(demo_corpus, out) == 0
    clips, outcomes = read(out)
    assert set(bad(outcomes).values()) == {"not_in_layout"}
    assert {clip.method for clip in clips} >= {"real", "Deepfakes", "FaceShifter", "DeepFakeDetection"}
    masked = {clip.method for clip in clips if clip.official_mask}
    assert "Deepfakes" in masked
    assert not {"real", "FaceShifter"} & masked
