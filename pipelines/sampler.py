"""From a source group to encoded samples: every clip of the group is decoded once."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.clip_files import ClipFiles
from pipelines.clip_masks import ClipMasks, MaskMaker
from pipelines.clip_reader import ClipReader
from pipelines.clips import versions
from pipelines.isolation import Isolated
from pipelines.spool import ByteSpool, CropStore, Place
from schemas.clip import Clip, compression_rank
from schemas.convert import to_row
from schemas.errors import StoppedError, UsageError
from schemas.outcome import Outcome
from schemas.params import CropParams, FramesParams, MaskParams, ShardParams
from schemas.record import record
from schemas.sample import MaskKind, MaskQuality
from transforms.assignment import block_place
from transforms.clip_geometry import ClipGeometries
from transforms.crops import encode_image
from transforms.errors import ClipError, internal_error, status_of
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
      clip_files: of the dataset.
      child: process to decode in.
      spool: where encoded members go.
      params: what samples depend on.
      folder: for temporary files.
    """

    def __init__(
        self, clip_files: ClipFiles, child: Isolated, spool: ByteSpool, params: SampleParams, folder: Path
    ):
        self._reader = ClipReader(clip_files, child, params.crop.size, folder)
        self._spool, self._params = spool, params
        self._black, self._white = (
            spool.append(encode_image(binary(mask(params.crop.size)), "png")) for mask in (all_zero, all_one)
        )

    def run(
        self, clips: Sequence[Clip], geometries: ClipGeometries, plan_digest: str
    ) -> Iterator[Encoded | Outcome]:
        """The samples of a group's clips, and an outcome for each clip.

        Args:
          clips: of the group.
          geometries: of the clips.
          plan_digest: for the samples' records.
        """
        self._geometries, self._digest = geometries, plan_digest
        self._real = {clip.compression: clip for clip in clips if clip.label == "real"}
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
        crops: CropStore | None = None
        kept = False
        try:
            geometry, shared = self._geometries.of(clip), self._geometries.shared(clip)
            crops = self._reader.crops(geometry, clip, around=clip.label == "real" and self._compares)
            own = masks.get(name) if shared else None
            if clip.label == "fake" and own is None and clip.truth != "all_one":
                own = self._masks(name, clip, geometry, crops, real if shared else {})
                if own is not None and shared:
                    masks[name] = own
            encoded = []
            for window in geometry.windows:
                places = [geometry.places[window.track, frame] for frame in window.frames]
                if all(place in crops for place in places):
                    encoded.append(self._encode(clip, window, geometry, places, crops, own))
            if clip.label == "real" and shared:
                real[clip.compression] = crops
                kept = True
            notes = [self._geometries.note(clip), *(own.notes if own else [])]
            outcome = self._finish(outcome, clip, len(encoded), geometry, [note for note in notes if note])
            yield from encoded
            yield outcome
        except ClipError as error:
            yield _failed(outcome, error)
        except (OSError, StoppedError, UsageError):
            raise  # The disk is full, the store does not answer: not this clip's fault.
        except Exception as error:
            yield _failed(outcome, internal_error(error))
        finally:
            if crops is not None and not kept:
                crops.close()

    @property
    def _compares(self) -> bool:
        return bool({self._params.mask.train, *self._params.mask.kinds} & COMPARING)

    def _masks(
        self,
        name: str,
        clip: Clip,
        geometry: GroupGeometry,
        fake: CropStore,
        real: Mapping[str, CropStore],
    ) -> ClipMasks | None:
        """The masks of a fake; None where they are to be measured on another compression of it."""
        params = self._params
        official = functools.partial(self._reader.official, geometry)
        maker = MaskMaker(self._spool, geometry, params.mask, params.crop.size, official)
        if clip.compression not in real:
            alone = name in self._alone or not self._geometries.shared(clip)
            return maker.alone(clip, fake) if alone else None
        original = self._real[clip.compression]
        shown = self._geometries.shown(original, clip)
        if shown is None:
            return maker.compared(clip, real[clip.compression], fake)
        # What its picture lost in detail or at its edges is no forgery: the real clip's crops lose it, too.
        there = self._geometries.of(original)
        alike = self._reader.crops(there, original, around=self._compares, shown=shown)
        try:
            return maker.compared(clip, alike, fake)
        finally:
            alike.close()

    def _finish(
        self, outcome: Outcome, clip: Clip, made: int, geometry: GroupGeometry, notes: list[str]
    ) -> Outcome:
        planned = len(geometry.windows)
        hidden = f"{geometry.hides} faces lie outside of its picture" if geometry.hides else ""
        if not made:
            why = hidden or f"{clip.frames} frames, none of those that were chosen for its group"
            return _failed(outcome, ClipError("too_few_frames", f"{clip.clip}: {why}"))
        if made < planned:
            why = hidden or f"{clip.frames} frames, fewer than its original"
            notes = [f"{made} of {planned} samples: {why}", *notes]
        return dataclasses.replace(outcome, made=made, detail="; ".join(notes))

    def _encode(
        self,
        clip: Clip,
        window: Window,
        geometry: GroupGeometry,
        places: Sequence[int],
        crops: CropStore,
        masks: ClipMasks | None,
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
            row, points = geometry.rows[place], geometry.landmarks(place)
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
    return dataclasses.replace(outcome, status=status_of(error), reason=error.reason, detail=error.detail)


def outcomes_without_track(clips: Iterable[Clip], track: Outcome) -> Iterator[Outcome]:
    """Outcomes of the clips of a group that has no track file."""
    detail = f"no track of {track.group}: {track.reason}: {track.detail}"
    for clip in clips:
        yield Outcome("shard", clip.dataset, clip.clip, clip.group, track.status, "no_track", detail)
