"""Accuracy of masks of stills: one picture and its edit, each a file of its own, as DFFD's and FaceApp's are.

    python -m benchmarks.mask_truth_stills --stills FOLDER

The edit lies where its original does, or is shifted and scaled against it before it is encoded; the pair is
checked and registered by the guard, as in the pipeline. Truth is the alpha in the original's crop. An unknown
mask counts as an IoU of 0; `dffd` is |real - fake| > 0.1 of the same crops.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from benchmarks.mask_truth_clips import TRUTH
from schemas.params import CropParams, MaskParams
from schemas.sample import MaskKind
from transforms.alignment import apply, crop_to_frame, invert
from transforms.crops import warp
from transforms.difference.pairs import CropShapes
from transforms.faces import FaceFinder
from transforms.masks import iou
from transforms.mesh import FACE_OVAL, LIPS_OUTER, five_points
from transforms.pair_guard import guard
from transforms.pair_masks import measure
from transforms.synthesis.forgery import Face, forge

SIZE = 256
# Encoded as: suffix and quality of the original, then of the edit.
CODECS = {
    "png, png": (".png", 0, ".png", 0),
    "jpg 95, jpg 95": (".jpg", 95, ".jpg", 95),
    "jpg 90, jpg 75": (".jpg", 90, ".jpg", 75),
}
# Shift in pixels and scale of the edit against its original.
MOVES = {"in place": (0.0, 1.0), "1.5 px off": (1.5, 1.0), "1 % larger": (0.0, 1.01)}
FAMILIES = ("swap", "expression", "mouth")
LARGEST = 1024
KINDS: tuple[MaskKind, ...] = ("difference", "dffd")


def through(picture: np.ndarray, suffix: str, quality: int) -> np.ndarray:
    """A picture, (H, W, 3) uint8 RGB, as it comes back from a file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    whole, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    assert whole
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def moved(picture: np.ndarray, shift: float, scale: float) -> np.ndarray:
    """The picture shifted to the right, and scaled around its middle."""
    if not shift and scale == 1:
        return picture
    height, width = picture.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.hstack([np.eye(2) * scale, (middle - scale * middle + (shift, 0))[:, None]])
    return cv2.warpAffine(
        picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def read(path: Path, finder: FaceFinder) -> tuple[np.ndarray, np.ndarray] | None:
    """A picture and its mesh; None where no face is found."""
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    scale = min(1.0, LARGEST / max(picture.shape[:2]))
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces, _ = finder.find(picture)
    return (picture, faces[0].points) if faces else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stills", type=Path, required=True, help="folder of pictures, one face each")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    finder = FaceFinder()
    people = [found for path in sorted(arguments.stills.iterdir()) if (found := read(path, finder))]
    scores: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for number, (picture, points) in enumerate(people):
        donor, donor_points = people[number - 1]
        matrix = crop_to_frame(five_points(points)[None], CropParams(size=SIZE))[0]
        back = invert(matrix)
        shapes = CropShapes(
            *(apply(back, points[list(part)]).astype(np.float32)[None] for part in (FACE_OVAL, LIPS_OUTER))
        )
        for family in FAMILIES:
            others = (donor, Face(donor_points)) if "swap" in family else (None, None)
            fake, alpha = forge(family, picture, Face(points), *others, phase=1.0, seed=number)
            truth = warp(alpha, matrix, SIZE) > TRUTH
            for codec, (real_suffix, real_quality, suffix, quality) in CODECS.items():
                real = [warp(through(picture, real_suffix, real_quality), matrix, SIZE)]
                for move, how in MOVES.items():
                    edit = [warp(through(moved(fake, *how), suffix, quality), matrix, SIZE)]
                    pair = guard(real, edit, shapes, {})
                    params = MaskParams(kinds=KINDS)
                    (masks,) = measure(pair, edit, [], dense=False, lossless=None, params=params)
                    for kind in KINDS:
                        mask = masks.kinds.get(kind)
                        value = 0.0 if mask is None else iou(mask > 127, truth)
                        scores[f"{kind}, {codec}", family, move].append(value)
    names = list(dict.fromkeys(name for name, _, _ in scores))
    print(f"{len(people)} people; mean IoU (share that is known)")
    for move in MOVES:
        print(f"\n{move:32}" + "".join(f"{family:>16}" for family in FAMILIES))
        for name in names:
            cells = [scores[name, family, move] for family in FAMILIES]
            said = (f"{np.mean(one):.3f} ({np.mean(np.array(one) > 0):.2f})" for one in cells)
            print(f"{name:32}" + "".join(f"{one:>16}" for one in said))


if __name__ == "__main__":
    main()
