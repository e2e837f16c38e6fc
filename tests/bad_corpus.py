"""Bad files of every kind, each beside good ones in a source group of its own."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np

from pipelines.demo_plan import DemoParams
from tests.videos import rotate, write_video

Frames = list[np.ndarray]

FRAMES = 6
PAIR = DemoParams(
    identities=2, frames=FRAMES, methods=("Deepfakes", "FaceShifter"), compressions=("raw",), seed=0
)
# The last two are copies of the first, under other names.
GOOD = ("000", "001", "002", "003")
# Encoded in another way, these two names would get one key.
ALIKE = ("01__a b", "01__a=20b")
FAST = {"preset": "ultrafast"}


def real(target: str, quality: str = "raw") -> str:
    """Path of a real clip, relative to the root."""
    return f"original_sequences/youtube/{quality}/videos/{target}.mp4"


def fake(target: str, method: str = "Deepfakes", quality: str = "raw") -> str:
    """Path of a forgery of a real clip."""
    return (
        f"manipulated_sequences/{method}/{quality}/videos/{target}_{'000' if target == '001' else '001'}.mp4"
    )


def mate(target: str) -> str:
    """Path of the good forgery beside a bad file."""
    return fake(target, "FaceShifter")


def mask(target: str) -> str:
    """Path of the official mask of `fake(target)`."""
    return fake(target, quality="masks")


ROLES: dict[str, Callable[[str], str]] = {"real": real, "fake": fake, "mate": mate, "mask": mask}


@dataclass
class Group:
    """The files of one source group, as a case may damage them; `frames` are what they showed."""

    root: Path
    target: str
    frames: dict[str, Frames]

    def path(self, role: str) -> Path:
        return self.root / ROLES[role](self.target)

    def write(self, path: Path, frames: Frames, **options) -> Path:
        """Encode without loss."""
        path.unlink(missing_ok=True)
        return write_video(
            path, frames, **{"crf": 0, **options, "options": FAST | options.get("options", {})}
        )

    def write_all(self, change: Callable[[Frames], Frames], **options) -> None:
        """Change every clip of the group alike, the mask too."""
        for role in ROLES:
            self.write(self.path(role), change(self.frames[role]), **options)

    def shrink(self, role: str) -> None:
        """Three quarters of the size, frame by frame."""
        self.write(self.path(role), [cv2.resize(f, None, fx=0.75, fy=0.75) for f in self.frames[role]])

    def cut_off(self, role: str) -> None:
        """Without the end of the file."""
        self.path(role).write_bytes(self.path(role).read_bytes()[:-2000])

    def zero(self, role: str) -> None:
        """Zeros in place of the second half of the coded frames."""
        content = bytearray(self.path(role).read_bytes())
        start, end = content.index(b"mdat"), content.index(b"moov") - 8
        content[(start + end) // 2 : end] = bytes(end - (start + end) // 2)
        self.path(role).write_bytes(content)


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=60)


def empty_file(group: Group) -> None:
    group.path("fake").write_bytes(b"")


def text(group: Group) -> None:
    group.path("fake").write_text("<!DOCTYPE html><html>403 Forbidden</html>\n" * 20)


def cut_off(group: Group) -> None:
    group.cut_off("fake")


def cut_off_mkv(group: Group) -> None:
    path = group.path("fake")
    ffmpeg("-i", path, "-c", "copy", path.with_suffix(".mkv"))
    path.unlink()
    content = path.with_suffix(".mkv").read_bytes()
    path.with_suffix(".mkv").write_bytes(content[: len(content) * 6 // 10])


def zero_frames(group: Group) -> None:
    options = {"movflags": "empty_moov+frag_keyframe"}
    with av.open(str(group.path("fake")), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 64
        container.start_encoding()


def audio_only(group: Group) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", group.path("fake"))


def one_frame_fake(group: Group) -> None:
    group.write(group.path("fake"), group.frames["fake"][:1])


def one_frame(group: Group) -> None:
    group.write_all(lambda frames: frames[:1])


def no_face(group: Group) -> None:
    group.write_all(lambda frames: [np.full_like(frame, 90) for frame in frames])


def two_faces(group: Group) -> None:
    """The forged person is the smaller one, at the right."""

    def beside(frames: Frames) -> Frames:
        small = [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in frames]
        pad = ((0, frames[0].shape[0] - small[0].shape[0]), (0, 0), (0, 0))
        return [np.hstack([o, np.pad(s, pad)]) for o, s in zip(group.frames["other"], small, strict=False)]

    group.write_all(beside)


def leaving(group: Group) -> None:
    """In the second half the picture has moved to the left by its width."""

    def leave(frames: Frames) -> Frames:
        gone = [np.repeat(frame[:, -1:], frame.shape[1], 1) for frame in frames]
        half = len(frames) // 2
        moving = frames[half]
        middle = moving.shape[1] // 2
        return [*frames[:half], np.hstack([moving[:, middle:], gone[half][:, :middle]]), *gone[half + 1 :]]

    group.write_all(leave)


def odd_size(group: Group) -> None:
    group.write_all(lambda frames: [frame[:-1, :-1] for frame in frames], pix_fmt="yuv444p")


def rotated(group: Group) -> None:
    for role in ROLES:
        side = group.write(group.root / "side.mp4", [np.rot90(frame, 3) for frame in group.frames[role]])
        group.path(role).unlink()
        rotate(side, group.path(role), 90)
        side.unlink()


def lost_rotation(group: Group) -> None:
    rotated(group)
    group.write(group.path("fake"), [np.rot90(frame, 3) for frame in group.frames["fake"]])


def variable_rate(group: Group) -> None:
    times = [40 * i + 13 * (i % 3) + 200 * (i // 3) for i in range(FRAMES)]
    group.write(group.path("fake"), group.frames["fake"], times=times, options={"bf": "0"})


def shorter_fake(group: Group) -> None:
    group.write(group.path("fake"), group.frames["fake"][: FRAMES // 2])


def other_size(group: Group) -> None:
    group.shrink("fake")


def shorter_mask(group: Group) -> None:
    group.write(group.path("mask"), group.frames["mask"][: FRAMES // 2])


def broken_mask(group: Group) -> None:
    group.path("mask").write_bytes(b"no video")


def other_size_mask(group: Group) -> None:
    group.shrink("mask")


def missing_original(group: Group) -> None:
    group.path("real").unlink()


def broken_original(group: Group) -> None:
    group.cut_off("real")


def broken_original_of_two(group: Group) -> None:
    for role in ("real", "fake", "mate"):
        other = Path(str(group.path(role)).replace("/raw/", "/c23/"))
        other.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(group.path(role), other)
    group.cut_off("real")


def empty_folder(group: Group) -> None:
    group.path("fake").unlink()
    group.path("fake").mkdir()


def folder_of_pictures(group: Group) -> None:
    empty_folder(group)
    cv2.imwrite(str(group.path("fake") / "0000.png"), np.zeros((8, 8, 3), np.uint8))


def dangling(group: Group) -> None:
    group.path("fake").unlink()
    group.path("fake").symlink_to("nowhere.mp4")


def outside(group: Group) -> None:
    away = group.root.parent / f"away-{group.target}.mp4"
    group.path("fake").rename(away)
    group.path("fake").symlink_to(away)


def not_utf8(group: Group) -> None:
    path = group.path("fake")
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/\xff" + os.fsencode(path.name)))


def colliding(group: Group) -> None:
    shutil.copyfile(group.path("fake"), group.path("fake").with_suffix(".avi"))


def large(group: Group) -> None:
    def enlarge(frames: Frames) -> Frames:
        edge = 3840 - 2160 * frames[0].shape[1] // frames[0].shape[0]
        big = [cv2.resize(frame, (3840 - edge, 2160)) for frame in frames[:2]]
        return [cv2.copyMakeBorder(frame, 0, 0, 0, edge, cv2.BORDER_REPLICATE) for frame in big]

    group.write_all(enlarge, crf=12)


def damaged(group: Group) -> None:
    group.zero("fake")


def hidden_damage(group: Group) -> None:
    """64 bytes of one coded frame: the decoder fills in what it cannot read, and says nothing."""
    content = bytearray(group.path("fake").read_bytes())
    middle = (content.index(b"mdat") + content.index(b"moov")) // 2
    content[middle : middle + 64] = np.random.default_rng(0).bytes(64)
    group.path("fake").write_bytes(content)


CASES: tuple[Callable[[Group], None], ...] = (
    empty_file, text, cut_off, cut_off_mkv, zero_frames, audio_only, one_frame_fake, one_frame, no_face,
    two_faces, leaving, odd_size, rotated, lost_rotation, variable_rate, shorter_fake, other_size,
    shorter_mask, broken_mask, other_size_mask, missing_original, broken_original, broken_original_of_two,
    empty_folder, folder_of_pictures, dangling, outside, not_utf8, colliding, large, damaged,
    hidden_damage,
)  # fmt: skip
TARGETS = {case.__name__: f"{100 + number}" for number, case in enumerate(CASES)}
