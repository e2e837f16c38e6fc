"""Near-duplicates among real faces: how many planted copies are found, and how many are invented.

    python -m benchmarks.lookalikes --faces FOLDER [--stills FOLDER] [--same d11 s11]

Every 8th of the first 160 frames of each clip is a crop, aligned by itself; so are pictures. Copies are
encoded, resized, cut or brightened before the face is found in them again. Then:

- crops: share of crops of which the copy's crop of the same frame is found;
- clips: the same for clips, with as many crops of each side as the audit takes of a clip;
- frames: share of single crops, at any frame, that are found by the crops of the clip that they are of;
- people: the largest similarity among all pairs of crops of different people, copies too, and how many the
  search calls the same, each crop being on one side and on the other;
- the same for 100 people of scikit-image's part of Labeled Faces in the Wild, and for the 16 people of
  `pipelines.demo`, who are made from one portrait.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

from pipelines.demo import read_portrait
from pipelines.demo_clips import backdrop
from schemas.params import CropParams
from transforms.alignment import crop_to_frame
from transforms.crops import warp
from transforms.faces import FaceFinder
from transforms.lookalike_search import Crops, find_candidates, find_pairs
from transforms.lookalikes import CROPS, EDGE, SIMILAR, correlate, detail, fingerprint, similarity
from transforms.mesh import five_points
from transforms.synthesis.motion import film
from transforms.synthesis.people import make_person

Frames = list[np.ndarray]
_EVERY, _FRAMES = 8, 160
# Similarities are measured among the pairs of different people that are nearest as they lie.
_NEAREST = 5000


@dataclass(frozen=True)
class Look:
    """A crop: whose, of which copy and frame, and what the audit keeps of it."""

    who: str
    copy: str
    frame: int
    hash: bytes
    thumb: bytes


def read(path: Path, most: int = _FRAMES) -> Frames:
    if path.suffix != ".mp4":
        image = cv2.imread(str(path))
        shrink = min(1.0, 1280 / max(image.shape))
        return [cv2.cvtColor(cv2.resize(image, None, fx=shrink, fy=shrink), cv2.COLOR_BGR2RGB)]
    with av.open(str(path)) as container:
        frames = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return [frame for _, frame in zip(range(most), frames, strict=False)]


def encode(frames: Frames, crf: int) -> Frames:
    height, width = (edge // 2 * 2 for edge in frames[0].shape[:2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": str(crf), "threads": "1"}
            for frame in frames:
                picture = np.ascontiguousarray(frame[:height, :width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        return read(path, len(frames))


def resize(frames: Frames) -> Frames:
    return [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in frames]


def cut(frames: Frames) -> Frames:
    height, width = frames[0].shape[:2]
    rows, columns = (slice(int(a * n), int(b * n)) for a, b, n in ((0.03, 0.96, height), (0.05, 0.98, width)))
    return [frame[rows, columns] for frame in frames]


def brighten(frames: Frames) -> Frames:
    return [np.clip(frame * np.float32(0.8) + 30, 0, 255).astype(np.uint8) for frame in frames]


COPIES: dict[str, Callable[[Frames], Frames]] = {
    "original": lambda frames: frames,
    "c23": lambda frames: encode(frames, 23),
    "c40": lambda frames: encode(frames, 40),
    "half size, c23": lambda frames: encode(resize(frames), 23),
    "half size, c40": lambda frames: encode(resize(frames), 40),
    "cut, c23": lambda frames: encode(cut(frames), 23),
    "brighter, c23": lambda frames: encode(brighten(frames), 23),
}
_ELSEWHERE = "aligned elsewhere, c23"


def crop(frame: np.ndarray, points: np.ndarray, *, elsewhere: bool = False) -> bytes:
    """An aligned crop as a JPEG; `elsewhere`: turned by 1 degree, 2% larger, shifted by (4, -3) px of 256."""
    matrix = crop_to_frame(five_points(points)[None], CropParams())[0]
    if elsewhere:
        turn = 1.02 * np.array([[np.cos(0.01745), -np.sin(0.01745)], [np.sin(0.01745), np.cos(0.01745)]])
        shift = np.array([4, -3]) + 127.5 - turn @ np.full(2, 127.5)
        matrix = np.hstack([matrix[:, :2] @ turn, (matrix[:, :2] @ shift + matrix[:, 2])[:, None]])
    picture = cv2.cvtColor(warp(frame, matrix, 256), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def look_at(paths: Sequence[Path]) -> Iterator[Look]:
    finder = FaceFinder()
    for path in paths:
        frames = read(path)
        made = {name: change(frames)[::_EVERY] for name, change in COPIES.items()}
        for name, copy in {**made, _ELSEWHERE: made["c23"]}.items():
            for number, frame in enumerate(copy):
                faces = finder.find(frame)[0]
                look = faces and fingerprint(crop(frame, faces[0].points, elsewhere=name == _ELSEWHERE))
                if look:
                    yield Look(path.stem, name, number * _EVERY, *look)
        print(f"  {path.name}", flush=True)


def demo_people(count: int = 16) -> Iterator[Look]:
    portrait = read_portrait()
    for index in range(count):
        person = make_person(portrait, backdrop(index), index)
        for number in range(0, 48, _EVERY):
            look = fingerprint(crop(*film(person, number / 25)))
            if look:
                yield Look(f"demo {index}", "original", number, *look)


def wild_people() -> Iterator[Look]:
    for number, face in enumerate(skimage.data.lfw_subset()[:100]):
        picture = cv2.resize((face * 255).astype(np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)
        look = fingerprint(cv2.imencode(".png", picture)[1].tobytes())
        if look:
            yield Look(f"face {number}", "original", 0, *look)


def gather(sides: Sequence[Sequence[Look]], groups: Sequence[str]) -> Crops:
    """Looks on several sides as the search takes them; each of a group by its name."""
    every = [look for side in sides for look in side]
    return Crops(
        np.frombuffer(b"".join(look.hash for look in every), np.uint8).reshape(-1, 32),
        np.frombuffer(b"".join(look.thumb for look in every), np.uint8).reshape(-1, EDGE * EDGE),
        np.repeat(np.arange(len(sides)), [len(side) for side in sides]),
        np.unique(np.array(groups), return_inverse=True)[1].astype(np.int64),
    )


def spread(looks: Sequence[Look]) -> list[Look]:
    return [looks[n] for n in np.linspace(0, len(looks) - 1, min(CROPS, len(looks))).round().astype(int)]


def measure_copies(looks: Sequence[Look]) -> None:
    people = list(dict.fromkeys(look.who for look in looks))
    originals = {who: [x for x in looks if x.who == who and x.copy == "original"] for who in people}
    print(f"{'copy':26s}{'crops found':>16s}{'clips found':>16s}")
    for name in dict.fromkeys(look.copy for look in looks if look.copy != "original"):
        by_frame = [
            (one, other)
            for other in (x for x in looks if x.copy == name)
            for one in originals[other.who]
            if one.frame == other.frame
        ]
        ones, others = [pair[0] for pair in by_frame], [pair[1] for pair in by_frame]
        names = [f"{n}" for n in range(len(ones))] + [f"{n} copy" for n in range(len(ones))]
        pairs = find_pairs(gather((ones, others), names))
        crops = {pair.one for pair in pairs if pair.other == pair.one + len(ones)}
        clips = 0
        for who in people:
            copies = [x for x in looks if x.who == who and x.copy == name]
            sides = spread(originals[who]), spread(copies)
            clips += bool(find_pairs(gather(sides, ["original"] * len(sides[0]) + ["copy"] * len(sides[1]))))
        print(f"{name:26s}{f'{len(crops)} of {len(ones)}':>16s}{f'{clips} of {len(people)}':>16s}")
    alone = found = 0
    for who in people:
        if len(originals[who]) > CROPS:
            clip = spread(originals[who])
            rest = [look for look in originals[who] if look not in clip]
            pairs = find_pairs(
                gather((clip, rest), ["clip"] * len(clip) + [f"{look.frame}" for look in rest])
            )
            found, alone = found + len({pair.other for pair in pairs}), alone + len(rest)
    print(f"single frames found by {CROPS} others of their clip: {found} of {alone}")


def measure_people(looks: Sequence[Look], same: set[str]) -> None:
    names = np.array([look.who for look in looks])
    every = gather((looks, looks), [*names, *names])
    other = (names[:, None] != names) & ~(np.isin(names, [*same])[:, None] & np.isin(names, [*same]))
    rows = np.argwhere(np.triu(other, 1))
    fine = detail(every.thumbs[: len(looks)].reshape(-1, EDGE, EDGE))
    plain = np.concatenate([correlate(fine[p[:, 0]], fine[p[:, 1]]) for p in np.array_split(rows, 500)])
    nearest = rows[np.argsort(-plain)[:_NEAREST]]
    values = [similarity(fine[a], fine[b]) for a, b in nearest]
    worst = nearest[int(np.argmax(values))]
    said = " and ".join(f"{looks[n].who} ({looks[n].copy}, frame {looks[n].frame})" for n in worst)
    print(f"{len(set(names))} people, {len(rows):,} pairs of crops: most alike {max(values):.3f}, {said}")
    called = [pair for pair in find_pairs(every) if other[pair.one % len(looks), pair.other % len(looks)]]
    print(f"  called the same: {len(called)}; compared as pictures: {len(find_candidates(every)[0]):,}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=Path, required=True, help="folder of mp4 files, a person each")
    parser.add_argument("--stills", type=Path, help="folder of pictures, a person each")
    parser.add_argument("--same", nargs="*", default=[], help="names of files that show one person")
    options = parser.parse_args()
    paths = sorted(options.faces.glob("*.mp4"))
    paths += sorted(options.stills.glob("*.jpg")) if options.stills else []
    if not paths:
        parser.error(f"--faces {options.faces}: no .mp4 files")
    looks = list(look_at(paths))
    print(f"similar from {SIMILAR}")
    measure_copies(looks)
    measure_people(looks, set(options.same))
    measure_people(list(wild_people()), set())
    measure_people(list(demo_people()), set())


if __name__ == "__main__":
    main()
