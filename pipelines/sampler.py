"""From a source group to encoded samples: every clip of the group is decoded once."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.clip_masks import ClipMasks, MaskMaker
from pipelines.clips import clip_path, reference_clip, versions
from pipelines.isolation import Isolated
from pipelines.spool import ByteSpool, CropStore, Place
from schemas.clip import Clip, compression_rank
from schemas.convert import to_row
from schemas.outcome import Outcome
from schemas.params import CropParams, FramesParams, MaskParams, ShardParams
from schemas.record import record
from schemas.sample import MaskKind, MaskQuality
from schemas.track import TrackFrame
from transforms.assignment import block_place
from transforms.crops import FrameReads, encode_image, fill_crops
from transforms.errors import ClipError, internal_error
from transforms.geometry import GroupGeometry, Window
from transforms.masks import all_one, all_zero
from transforms.pair_masks import BY_DEFINITION, COMPARING, UNKNOWN, WHOLE, binary
from transforms.records import FrameRecord, make_record


@record
class SampleParams:
    """The parameters that a group's samples depend on."""

    frames: FramesParams
    mask: MaskParams
    crop: CropParams
    shard: ShardParams


@dataclass(frozen=True)
class Encoded:
    """A sample on its way to a shard.

    Attributes:
      order: where it stands in its shard.
      key: of the sample.
      members: extension and place in the spool of each member, in order of extensions.
    """

    order: tuple[float, bool, str, str, int]
    key: str
    members: tuple[tuple[str, Place], ...]


class GroupSampler:
    """Makes the samples of one group.

    Clips are taken compression by compression, the best first, so that the masks of a forgery are measured on
    the best compression that it shares with its real clip, and carried to the others.

    Args:
      root: folder of the dataset.
      child: process to decode in.
      spool: where encoded members go.
      params: what samples depend on.
      folder: for temporary files.
    """

    def __init__(self, root: str, child: Isolated, spool: ByteSpool, params: SampleParams, folder: Path):
        self._root, self._child, self._spool, self._folder = root, child, spool, folder
        self._params = params
        self._black, self._white = (
            spool.append(encode_image(binary(mask(params.crop.size)), "png")) for mask in (all_zero, all_one)
        )

    def run(
        self, clips: Sequence[Clip], rows: Sequence[TrackFrame], plan_digest: str
    ) -> Iterator[Encoded | Outcome]:
        """The samples of a group's clips, and an outcome for each clip.

        Args:
          clips: of the group.
          rows: of its track file.
          plan_digest: for the samples' records.
        """
        self._geometry = GroupGeometry(rows, self._params.frames, self._params.shard.unit)
        self._reads = {real: self._geometry.reads(around=real and self._compares) for real in (True, False)}
        self._maker = MaskMaker(
            self._spool, self._geometry, self._params.mask, self._params.crop.size, self._official
        )
        reference = reference_clip(clips)
        self._expected = (reference.width, reference.height)
        self._digest = plan_digest
        masks: dict[str, ClipMasks] = {}
        real: dict[str, CropStore] = {}
        try:
            for name, clip, round_ in self._order(clips):
                for compression in [c for c in real if c != round_]:
                    real.pop(compression).close()
                yield from self._clip(name, clip, real, masks)
        finally:
            for crops in real.values():
                crops.close()

    def _order(self, clips: Sequence[Clip]) -> list[tuple[str, Clip, str]]:
        """Name of the forgery, clip, and the compression in whose round it is taken.

        A round starts with the real clip, then come fakes whose masks are measured in it. A fake of a better
        compression than its masks can be measured on waits for that round.
        """
        found = versions(clips)
        real = {clip.compression for name in found for clip in found[name] if clip.label == "real"}
        ordered = []
        self._alone: set[str] = set()
        for name, members in found.items():
            shared = [clip.compression for clip in members if clip.compression in real]
            best = shared[0] if shared else ""
            if not shared:
                self._alone.add(name)
            for clip in members:
                late = bool(shared) and compression_rank(best) > compression_rank(clip.compression)
                round_ = best if late else clip.compression
                ordered.append(
                    ((compression_rank(round_), clip.label != "real", late, clip.clip), (name, clip, round_))
                )
        return [item for _, item in sorted(ordered)]

    def _clip(
        self, name: str, clip: Clip, real: dict[str, CropStore], masks: dict[str, ClipMasks]
    ) -> Iterator[Encoded | Outcome]:
        outcome = Outcome("shard", clip.dataset, clip.clip, clip.group, "ok")
        crops = self._store(real=clip.label == "real")
        kept = False
        try:
            self._read(clip_path(self._root, clip), crops, self._reads[clip.label == "real"])
            if clip.label == "fake" and name not in masks and clip.truth != "all_one":
                if clip.compression in real:
                    masks[name] = self._maker.compared(clip, real[clip.compression], crops)
                elif name in self._alone:
                    masks[name] = self._maker.alone(clip, crops)
            encoded = []
            for window in self._geometry.windows:
                places = [self._geometry.places[window.track, frame] for frame in window.frames]
                if all(place in crops for place in places):
                    encoded.append(self._encode(clip, window, places, crops, masks.get(name)))
            if clip.label == "real":
                real[clip.compression] = crops
                kept = True
            notes = masks[name].notes if name in masks else []
            outcome = self._finish(outcome, clip, len(encoded), len(self._geometry.windows), notes)
            yield from encoded
            yield outcome
        except ClipError as error:
            yield _failed(outcome, error)
        except OSError:
            raise  # The disk is full, or the folder is gone: not this clip's fault.
        except Exception as error:
            yield _failed(outcome, internal_error(error))
        finally:
            if not kept:
                crops.close()

    @property
    def _compares(self) -> bool:
        return bool({self._params.mask.train, *self._params.mask.kinds} & COMPARING)

    def _store(self, *, real: bool) -> CropStore:
        return CropStore(
            sum(len(read.slots) for read in self._reads[real]), self._params.crop.size, self._folder
        )

    def _read(self, path: Path, crops: CropStore, reads: Sequence[FrameReads]) -> None:
        arguments = str(path), reads, self._params.crop.size, self._expected
        for slots in self._child.iterate(fill_crops, *arguments, into=crops.descriptor):
            crops.fill(slots)

    def _finish(self, outcome: Outcome, clip: Clip, made: int, planned: int, notes: list[str]) -> Outcome:
        if not made:
            detail = f"{clip.clip}: {clip.frames} frames, none of those that were chosen for its group"
            return _failed(outcome, ClipError("too_few_frames", detail))
        if made < planned:
            notes = [f"{made} of {planned} samples: {clip.frames} frames, fewer than its original", *notes]
        return dataclasses.replace(outcome, made=made, detail="; ".join(notes))

    def _official(self, clip: Clip) -> CropStore:
        """Crops of a clip's official mask."""
        crops = self._store(real=False)
        try:
            self._read(Path(self._root, clip.official_mask), crops, self._reads[False])
        except BaseException:
            crops.close()
            raise
        return crops

    def _encode(
        self, clip: Clip, window: Window, places: Sequence[int], crops: CropStore, masks: ClipMasks | None
    ) -> Encoded:
        shard, sequence = self._params.shard, self._params.shard.unit == "sequence"
        members: dict[str, Place] = {}
        frames = []
        for number, place in enumerate(places):
            prefix = f"{number:03d}." if sequence else ""
            image = encode_image(crops[place], shard.image, shard.quality)
            members[f"{prefix}{shard.image}"] = self._spool.append(image)
            kind, quality, written = self._mask(clip, place, masks)
            members |= {f"{prefix}{suffix}": at for suffix, at in written.items()}
            row, points = self._geometry.rows[place], self._geometry.landmarks(place)
            frames.append(FrameRecord(row, points, kind, quality, hashlib.sha256(image).hexdigest()))
        mask_from = masks.compression if masks and self._params.mask.train != "official" else None
        sample = make_record(clip, frames, self._params.crop.size, mask_from, self._digest, sequence)
        members["json"] = self._spool.append(
            json.dumps(to_row(sample), sort_keys=True, allow_nan=False).encode()
        )
        order = (
            block_place(shard.seed, clip.group, window.frames[0], clip.compression),
            clip.label != "real",
            clip.method,
            clip.clip,
            window.track,
        )
        return Encoded(order, sample.key, tuple(sorted(members.items())))

    def _mask(
        self, clip: Clip, place: int, masks: ClipMasks | None
    ) -> tuple[MaskKind, MaskQuality, dict[str, Place]]:
        """Kind and quality of the training mask, and where the mask members are, of one crop."""
        if clip.label == "real":
            return "all_zero", BY_DEFINITION, {"mask.png": self._black}
        if clip.truth == "all_one":
            return "all_one", WHOLE, {"mask.png": self._white}
        if masks is None or place not in masks.kinds:
            return "unknown", UNKNOWN, {}
        kinds, train = masks.kinds[place], self._params.mask.train
        written = {f"mask.{kind}.png": at for kind, at in kinds.items() if kind != train}
        if train in kinds:
            written["mask.png"] = kinds[train]
        return train if train in kinds else "unknown", masks.quality[place], written


def _failed(outcome: Outcome, error: ClipError) -> Outcome:
    return dataclasses.replace(outcome, status="failed", reason=error.reason, detail=error.detail)


def outcomes_without_track(clips: Iterable[Clip], track: Outcome) -> Iterator[Outcome]:
    """Outcomes of the clips of a group that has no track file."""
    detail = f"no track of {track.group}: {track.reason}: {track.detail}"
    for clip in clips:
        yield Outcome("shard", clip.dataset, clip.clip, clip.group, track.status, "no_track", detail)
