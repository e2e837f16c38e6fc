"""Which of a clip's faces the fakes of its group forge."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.clip_files import ClipFiles
from pipelines.isolation import Isolated
from schemas.clip import Clip
from transforms.errors import ClipError
from transforms.forged import forged_energy, stated_energy
from transforms.observe import ClipShape
from transforms.tracking import RawTrack

# Frames in which faces are compared.
_FRAMES = 20


def order_by_forgery(
    child: Isolated,
    clip_files: ClipFiles,
    reference: Clip,
    fakes: Sequence[Clip],
    shape: ClipShape,
    tracks: Sequence[RawTrack],
) -> list[RawTrack]:
    """Tracks by their share of what is forged, summed over the fakes; then as they come.

    The dataset's own mask of a fake tells; where it has none that can be read, the difference from the real
    clip does.

    Args:
      child: process to decode in.
      clip_files: of the dataset.
      reference: clip that the tracks are of.
      fakes: of its group.
      shape: of the reference clip.
      tracks: of its faces.
    """
    everywhere = sorted({frame for raw in tracks for frame in raw.frames})
    picked = sorted({everywhere[i] for i in np.linspace(0, len(everywhere) - 1, _FRAMES).astype(int)})
    boxes = np.full((len(picked), len(tracks), 4), np.nan)
    for number, raw in enumerate(tracks):
        found = dict(zip(raw.frames, raw.faces, strict=True))
        for row, frame in enumerate(picked):
            if frame in found:
                boxes[row, number] = found[frame].box
    total = np.zeros(len(tracks))
    for fake in fakes:
        for energies in _evidence(child, clip_files, reference, fake, shape, picked, boxes):
            energy = np.nansum(energies, axis=0) if len(energies) else np.zeros(len(tracks))
            if energy.any():
                total += energy / energy.sum()
                break
    order = sorted(range(len(tracks)), key=lambda number: -total[number])
    return [tracks[number] for number in order]


def _evidence(
    child: Isolated,
    clip_files: ClipFiles,
    reference: Clip,
    fake: Clip,
    shape: ClipShape,
    frames: list[int],
    boxes: np.ndarray,
) -> Iterator[np.ndarray]:
    """Energies (frames, faces) of a fake, the best evidence first; what cannot be read is left out, since the
    shard stage reports what is wrong with a clip.
    """
    if fake.official_mask:
        size = shape.height, shape.width
        with contextlib.suppress(ClipError), clip_files.open_file(fake.official_mask) as mask:
            yield np.array(list(child.iterate(stated_energy, str(mask), frames, boxes, size)))
    if reference.label == "real":
        with (
            contextlib.suppress(ClipError),
            clip_files.open_clip(reference) as real,
            clip_files.open_clip(fake) as path,
        ):
            yield np.array(list(child.iterate(forged_energy, str(real), str(path), frames, boxes)))
