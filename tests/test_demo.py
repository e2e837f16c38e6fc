import json
from pathlib import Path

import numpy as np
import pytest

from pipelines import demo
from pipelines.demo import main, make_demo
from pipelines.demo_clips import METHODS
from pipelines.demo_plan import DemoParams, splits
from tests.conftest import TINY
from transforms.faces import FaceFinder
from transforms.mesh import five_points
from transforms.synthesis.motion import HEIGHT, WIDTH, film
from transforms.synthesis.people import make_person
from transforms.video import Video

IDS = [f"{i:03d}" for i in range(6)]
PAIRS = [("000", "003"), ("001", "004"), ("002", "005")]
BOTH = [*PAIRS, *((b, a) for a, b in PAIRS)]
DFD = ("01_02__meeting_serious__K2KPPSF5", "02_01__meeting_serious__LQV6N2LJ")
LENGTHS = dict(zip(IDS, (12, 10, 11, 9, 8, 12), strict=True))
RATES = dict(zip(IDS, (25, 30, 24, 30, 24, 25), strict=True))
SMALL = ["--identities", "2", "--frames", "3", "--methods", "Deepfakes", "--compressions", "raw", "c40"]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(method):
    return DFD if method == "DeepFakeDetection" else [f"{a}_{b}" for a, b in BOTH]


def test_the_layout_is_that_of_faceforensics(demo_corpus):
    expected = {"train.json", "val.json", "test.json", "conversion_dict.json", "demo.json"}
    for compression in ("raw", "c23", "c40"):
        expected |= {f"original_sequences/youtube/{compression}/videos/{name}.mp4" for name in IDS}
        expected |= {
            f"original_sequences/actors/{compression}/videos/0{k}__meeting_serious.mp4" for k in (1, 2)
        }
        for method in METHODS:
            folder = f"manipulated_sequences/{method}/{compression}/videos"
            expected |= {f"{folder}/{name}.mp4" for name in names(method)}
    for method in METHODS:
        expected |= {f"alpha/{method}/{name}.npz" for name in names(method)}
        if method != "FaceShifter":
            expected |= {f"manipulated_sequences/{method}/masks/videos/{name}.mp4" for name in names(method)}
    found = {str(path.relative_to(demo_corpus)) for path in demo_corpus.rglob("*") if path.is_file()}
    assert found == expected


def test_lists_have_the_datasets_form(demo_corpus):
    lists = {
        split: json.loads((demo_corpus / f"{split}.json").read_text()) for split in ("train", "val", "test")
    }
    assert lists == {"train": [["000", "003"]], "val": [["001", "004"]], "test": [["002", "005"]]}
    videos = json.loads((demo_corpus / "conversion_dict.json").read_text())
    assert sorted(videos) == IDS
    assert len(set(videos.values())) == len(IDS)
    for value in videos.values():
        youtube, clip = value.split(" ")
        assert len(youtube) == 11
        assert clip.isdigit()


@pytest.mark.parametrize(
    ("identities", "sizes"), [(2, [1, 0, 0]), (4, [1, 0, 1]), (8, [2, 1, 1]), (24, [6, 3, 3])]
)
def test_splits_share_the_pairs(identities, sizes):
    lists = splits(DemoParams(identities, 4, (), (), 0))
    assert [len(pairs) for pairs in lists.values()] == sizes
    ids = [name for pairs in lists.values() for pair in pairs for name in pair]
    assert len(ids) == len(set(ids)) == identities


@pytest.mark.parametrize("compression", ["raw", "c40"])
def test_lengths_and_rates_follow_the_methods(demo_corpus, compression):
    for name in IDS:
        video = Video(demo_corpus / f"original_sequences/youtube/{compression}/videos/{name}.mp4")
        assert (len(video), video.fps) == (LENGTHS[name], RATES[name])
    for method in set(METHODS) - {"DeepFakeDetection"}:
        for target, source in BOTH:
            folder = demo_corpus / "manipulated_sequences" / method
            video = Video(folder / compression / "videos" / f"{target}_{source}.mp4")
            shorter = min(LENGTHS[target], LENGTHS[source])
            length = LENGTHS[target] if method in ("Deepfakes", "FaceShifter") else shorter
            assert (len(video), video.fps) == (length, RATES[source])
            assert video[0].shape == (HEIGHT, WIDTH, 3)
            alpha = np.load(demo_corpus / "alpha" / method / f"{target}_{source}.npz")["alpha"]
            assert alpha.shape == (length, HEIGHT, WIDTH)
            if method != "FaceShifter":
                assert len(Video(folder / "masks" / "videos" / f"{target}_{source}.mp4")) == length


@pytest.mark.parametrize("method", METHODS)
def test_alpha_is_what_differs_in_raw_clips(demo_corpus, method):
    for name in names(method)[:2]:
        target = f"actors/raw/videos/{name[:2]}{name[5:-10]}" if method == "DeepFakeDetection" else None
        target = target or f"youtube/raw/videos/{name[:3]}"
        real = Video(demo_corpus / "original_sequences" / f"{target}.mp4")
        fake = Video(demo_corpus / "manipulated_sequences" / method / "raw" / "videos" / f"{name}.mp4")
        alpha = np.load(demo_corpus / "alpha" / method / f"{name}.npz")["alpha"]
        for i in range(0, len(fake), 4):
            difference = np.abs(fake[i].astype(int) - real[i]).max(-1)
            assert (difference[alpha[i] == 0] > 1).mean() < 0.005
            assert (difference[alpha[i] > 25] > 1).mean() > 0.75
            assert difference[alpha[i] > 25].mean() > 4


@pytest.mark.parametrize("method", [method for method, how in METHODS.items() if how.mask])
def test_official_masks_cover_the_change(demo_corpus, method):
    name = names(method)[0]
    alpha = np.load(demo_corpus / "alpha" / method / f"{name}.npz")["alpha"]
    masks = Video(demo_corpus / "manipulated_sequences" / method / "masks" / "videos" / f"{name}.mp4")
    for i in (0, len(masks) - 1):
        mask, truth = masks[i].mean(-1) > 127, alpha[i] > 25
        assert mask[truth].mean() > 0.93
        ratio = mask.sum() / truth.sum()
        low, high = {
            "Deepfakes": (1.5, 3.5),
            "NeuralTextures": (3, 20),
            "DeepFakeDetection": (0.97, 1.03),
        }.get(method, (1, 1.8))
        assert low < ratio < high


@pytest.mark.parametrize("compression", ["raw", "c40"])
def test_the_face_is_found_in_reals_and_fakes(demo_corpus, compression):
    finder = FaceFinder()
    videos = sorted(demo_corpus.glob(f"*_sequences/*/{compression}/videos/*.mp4"))
    assert len(videos) == 8 + 5 * 6 + 2
    for path in videos:
        video = Video(path)
        for i in (0, len(video) - 1):
            faces, _ = finder.find(video[i])
            assert len(faces) == 1
            assert 100 < np.ptp(faces[0].points[:, 0]) < 160


def test_points_are_known_without_detection(people):
    finder = FaceFinder()
    for person in people:
        for seconds in (0.0, 0.7, 1.9):
            frame, points = film(person, seconds)
            (found, *_), _ = finder.find(frame)
            assert np.linalg.norm(found.points - points, axis=1).mean() < 0.03 * np.ptp(points[:, 0])


def test_clips_move_and_are_the_same_again(people):
    first, points = film(people[0], 0.0)
    again, _ = film(people[0], 0.0)
    later, moved = film(people[0], 1.0)
    assert np.array_equal(first, again)
    assert np.abs(moved - points).mean() > 3
    next_points = film(people[0], 0.04)[1]
    assert 0 < np.abs(next_points - points).mean() < 3
    assert not np.array_equal(first, later)


def test_people_differ_in_shape_and_color(portrait):
    backdrop = np.full((40, 60, 3), 128, np.uint8)
    crowd = [make_person(portrait, backdrop, index) for index in range(8)]
    shapes, colors = [], []
    for person in crowd:
        five = five_points(person.points)
        unit = np.linalg.norm(five[1] - five[0])
        shapes.append((person.points - five[2]) / unit)
        x, y = person.points[[10, 50, 280, 17]].round().astype(int).T
        colors.append(person.image[y, x].astype(float))
    for i in range(8):
        for j in range(i):
            assert np.linalg.norm(shapes[i] - shapes[j], axis=1).mean() > 0.03
            assert np.abs(colors[i] - colors[j]).max() > 8


def test_the_same_bytes_whatever_the_processes_and_the_memory(tmp_path, monkeypatch):
    params = DemoParams(2, 4, ("Deepfakes", "NeuralTextures", "DeepFakeDetection"), ("raw", "c23"), 3)
    assert make_demo(tmp_path / "a", params, 2)
    # Uninitialised memory differs between runs by chance; here, always.
    monkeypatch.setenv("MALLOC_PERTURB_", "77")
    assert make_demo(tmp_path / "b", params, 1)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_it_is_made_once_and_again_when_parameters_change(tmp_path, capsys):
    out = tmp_path / "deep" / "demo"
    assert main(["--out", str(out), *SMALL, "--jobs", "1"]) == 0
    assert "made" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert main(["--out", str(out), *SMALL, "--jobs", "2"]) == 0
    assert "already there" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert main(["--out", str(out), *SMALL, "--seed", "1", "--jobs", "1"]) == 0
    assert json.loads((out / "demo.json").read_text())["parameters"]["seed"] == 1
    assert {path.name for path in out.rglob("*.mp4")} == {"000.mp4", "001.mp4", "000_001.mp4", "001_000.mp4"}
    assert [path.name for path in out.parent.iterdir()] == ["demo"]


@pytest.mark.parametrize("content", ["precious.txt", "demo.json", None])
def test_what_it_did_not_make_is_never_touched(tmp_path, capsys, content):
    out = tmp_path / "out"
    if content:
        out.mkdir()
        (out / content).write_text('{"made_by": "someone else"}')
    else:
        out.write_text("a file")
    assert main(["--out", str(out), *SMALL]) == 2
    assert str(out) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out.read_text() if content is None else tree(out)) == (
        "a file" if content is None else {content: b'{"made_by": "someone else"}'}
    )


def test_half_a_corpus_is_never_left(tmp_path, monkeypatch):
    def fail(folder, *_):
        (folder / "train.json").write_text("[]")
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_write", fail)
    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "out", TINY, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags", [["--identities", "3"], ["--identities", "0"], ["--frames", "1"], ["--jobs", "0"]]
)
def test_values_that_make_no_sense_are_refused(tmp_path, capsys, flags):
    assert main(["--out", str(tmp_path / "out"), *flags]) == 2
    assert flags[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_unknown_methods_are_refused(tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path / "out"), "--methods", "DeepFakes"])
    assert stop.value.code == 2
