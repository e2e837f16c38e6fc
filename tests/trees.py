"""A small tree in the exact layout of each dataset, made from clips of the demo corpus."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from tests.tars import write
from tests.videos import write_video
from transforms.video import Video

PEOPLE = ("000", "001", "002", "003")


class Media:
    """Real clips of people of the demo corpus, and fakes of them.

    Args:
      corpus: its folder.
      root: of the tree to make.
    """

    def __init__(self, corpus: Path, root: Path):
        self._corpus, self._root = corpus, root

    def _source(self, person: str, fake: bool) -> Path:
        if not fake:
            return self._corpus / f"original_sequences/youtube/raw/videos/{person}.mp4"
        folder = self._corpus / "manipulated_sequences/Deepfakes/raw/videos"
        return next(iter(sorted(folder.glob(f"{person}_*.mp4"))))

    def frames(self, person: str, fake: bool = False) -> list[np.ndarray]:
        video = Video(self._source(person, fake))
        return [video[index] for index in range(6)]

    def video(self, path: str, person: str, fake: bool = False) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._source(person, fake), target)

    def mask(self, path: str, person: str) -> None:
        """The mask video of a fake."""
        name = self._source(person, fake=True).name
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._corpus / "manipulated_sequences/Deepfakes/masks/videos" / name, target)

    def half(self, path: str, person: str) -> None:
        """A fake at half its original's size, encoded again."""
        small = [
            cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            for frame in self.frames(person, fake=True)
        ]
        write_video(self._root / path, [one[: len(one) // 2 * 2] for one in small], crf=18)

    def portrait(self, path: str, person: str) -> None:
        """A fake whose sides were cut off, so that it stands upright."""
        frames = self.frames(person, fake=True)
        width = frames[0].shape[1]
        cut = slice(width // 4, width // 4 + width // 4 * 2)
        write_video(self._root / path, [frame[:, cut] for frame in frames])

    def still(self, path: str, person: str, fake: bool = False, edge: int = 299) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.png(person, 3, fake, edge))

    def png(self, person: str, frame: int, fake: bool = False, edge: int = 224) -> bytes:
        """The square middle of a frame."""
        picture = self.frames(person, fake)[frame]
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = cv2.resize(
            picture[top : top + side, left : left + side], (edge, edge), interpolation=cv2.INTER_AREA
        )
        return cv2.imencode(".png", cv2.cvtColor(square, cv2.COLOR_RGB2BGR))[1].tobytes()


def dffd(media: Media, root: Path) -> None:
    media.still("ffhq/train/R_FFHQ_00001.png", "000")
    media.still("faceapp/train/F_FAP0_00001-3.png", "000", fake=True)
    media.still("faceapp/train/F_FAP0_00002-1.png", "001", fake=True)
    mask = np.zeros((299, 299, 3), np.uint8)
    mask[100:200, 100:200] = 255
    (root / "faceapp/train_mask").mkdir()
    (root / "faceapp/train_mask/F_FAP0_00002-1.png").write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    media.still("pggan_v1/validation/F_PGN1_00001.png", "002")
    media.still("youtube/test/003_0007.png", "003")
    media.still("Deepfakes/test/003_000_0007.png", "003", fake=True)
    (root / "README.txt").write_text("DFFD")


def wilddeepfake(media: Media, root: Path) -> None:
    top = root / "deepfake_in_the_wild"
    for split, label, number, person in (
        ("real_train", "real", 1, "000"),
        ("fake_train", "fake", 1, "001"),
        ("fake_test", "fake", 7, "002"),
    ):
        pictures = [
            (f"./{number}/{label}/{folder}/{frame}.png", media.png(person, index, label == "fake"))
            for folder in ("3", "12")
            for index, frame in ((2, 110), (0, 9), (1, 41))
        ]
        hostile = [("../../escaped.png", b"x"), ("/tmp/absolute.png", b"x")] if split == "fake_test" else []
        write(top / split / f"{number}.tar.gz", [*hostile, *pictures])


def celebdf(media: Media, root: Path) -> None:
    media.video("Celeb-real/id0_0000.mp4", "000")
    media.video("Celeb-synthesis/id0_id1_0000.mp4", "000", fake=True)
    media.video("Celeb-real/id5_0003.mp4", "001")
    media.video("Celeb-synthesis/id5_id6_0003.mp4", "001", fake=True)
    media.video("Youtube-real/00000.mp4", "002")
    (root / "List_of_testing_videos.txt").write_text(
        "1 YouTube-real/00000.mp4\n1 Celeb-real/id5_0003.mp4\n0 Celeb-synthesis/id5_id6_0003.mp4\n"
    )


def dfdc(media: Media, root: Path) -> None:
    part = "dfdc_train_part_0"
    media.video(f"{part}/aaa.mp4", "000")
    media.half(f"{part}/bbb.mp4", "000")
    media.video(f"{part}/ccc.mp4", "000", fake=True)
    media.portrait(f"{part}/ddd.mp4", "001")
    table = {
        "aaa.mp4": {"label": "REAL", "split": "train"},
        "bbb.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
        "ccc.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
        "ddd.mp4": {"label": "FAKE", "split": "train", "original": "notthere.mp4"},
    }
    (root / part / "metadata.json").write_text(json.dumps(table))


def ffiw(media: Media, root: Path) -> None:
    for split, person in (("train", "000"), ("val", "001")):
        name = f"{split}_00000000"
        media.video(f"source/{split}/{name}.mp4", person)
        media.video(f"target/{split}/{name}.mp4", person, fake=True)
        media.mask(f"target_mask/{split}/{name}_mask.mp4", person)


def folder(media: Media, root: Path) -> None:
    media.video("real/anna.mp4", "000")
    media.video("fake/swap/anna.mp4", "000", fake=True)
    media.still("real/0001.png", "001")
    media.still("fake/edit/0001.png", "001", fake=True)
    for number in (2, 10):
        media.still(f"fake/unknown/ben/{number}.png", "002", fake=True)


TREES = {make.__name__: make for make in (dffd, wilddeepfake, celebdf, dfdc, ffiw, folder)}
# What each clip's samples must be: its label and the kind of its training mask.
KINDS = {
    "dffd": {
        "ffhq/train/R_FFHQ_00001.png": "all_zero",
        "faceapp/train/F_FAP0_00001-3.png": "difference",
        "faceapp/train/F_FAP0_00002-1.png": "unknown",
        "pggan_v1/validation/F_PGN1_00001.png": "all_one",
        "youtube/test/003_0007.png": "all_zero",
        "Deepfakes/test/003_000_0007.png": "difference",
    },
    "wilddeepfake": {
        f"deepfake_in_the_wild/{split}/{number}.tar.gz/{number}/{label}/{one}": kind
        for split, label, number, kind in (
            ("real_train", "real", 1, "all_zero"),
            ("fake_train", "fake", 1, "unknown"),
            ("fake_test", "fake", 7, "unknown"),
        )
        for one in ("3", "12")
    },
    "celebdf": {
        "Celeb-real/id0_0000.mp4": "all_zero",
        "Celeb-synthesis/id0_id1_0000.mp4": "difference",
        "Celeb-real/id5_0003.mp4": "all_zero",
        "Celeb-synthesis/id5_id6_0003.mp4": "difference",
        "Youtube-real/00000.mp4": "all_zero",
    },
    "dfdc": {
        "dfdc_train_part_0/aaa.mp4": "all_zero",
        "dfdc_train_part_0/bbb.mp4": "difference",
        "dfdc_train_part_0/ccc.mp4": "difference",
        "dfdc_train_part_0/ddd.mp4": "unknown",
    },
    "ffiw": {
        "source/train/train_00000000.mp4": "all_zero",
        "target/train/train_00000000.mp4": "difference",
        "source/val/val_00000000.mp4": "all_zero",
        "target/val/val_00000000.mp4": "difference",
    },
    "folder": {
        "real/anna.mp4": "all_zero",
        "fake/swap/anna.mp4": "difference",
        "real/0001.png": "all_zero",
        "fake/edit/0001.png": "difference",
        "fake/unknown/ben": "unknown",
    },
}


def make_tree(name: str, corpus: Path, root: Path) -> Path:
    """The tree of a dataset."""
    root.mkdir(parents=True)
    TREES[name](Media(corpus, root), root)
    return root
