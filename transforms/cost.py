"""What building a dataset's shards costs, before it is built: a function of its clips and of parameters."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.clip import Clip
from schemas.names import clip_name
from schemas.params import CropParams, FramesParams, MaskParams, Params, ShardParams, TrackParams
from transforms.pair_masks import COMPARING

# Frames between two keyframes, where an encoder was not told otherwise (x264): a decoder that is asked for a
# frame starts at the keyframe before it.
_GOP = 250
_MEGA = 10**6
_CROP = 256 * 256
_DEFAULTS = Params(datasets={})


@dataclass(frozen=True)
class Rates:
    """What parts cost. Seconds are of one core; `python -m benchmarks.cost_model` measures them.

    Attributes:
      hash: seconds to hash 1 MB (10⁶ bytes).
      probe: seconds to open a clip and count its frames.
      decode_pixels: seconds to decode 1 megapixel (10⁶ pixels of video).
      decode_bytes: seconds to decode 1 MB of video, on top of it.
      fetch: seconds to hand out 1 megapixel of decoded frames, on top of it.
      detect: seconds to look for faces in a frame.
      crop: seconds to warp, encode, hash and write a crop of 256 × 256 pixels, with its record.
      compare: seconds to make a difference mask of such a crop.
      image_bytes: of such a crop's JPEG.
      mask_bytes: of a mask's PNG.
      record_bytes: of a sample's record, and of the headers of its members.
      track_bytes: of a frame in a track file.
      unit_bytes: of a clip in the descriptors of a group, as they are shuffled.
      driver_bytes: memory that the process that plans needs for a clip.
    """

    hash: float
    probe: float
    decode_pixels: float
    decode_bytes: float
    fetch: float
    detect: float
    crop: float
    compare: float
    image_bytes: float
    mask_bytes: float
    record_bytes: float
    track_bytes: float
    unit_bytes: float
    driver_bytes: float


@dataclass(frozen=True)
class StageCost:
    """Of one stage: seconds of one core (start-up aside), and bytes."""

    core_seconds: float
    bytes_read: int
    bytes_written: int


@dataclass(frozen=True)
class Cost:
    """What is estimated.

    Attributes:
      clips, groups: counted.
      frames: decoded by `track` and `shard`.
      samples: made, where every clip has a face.
      shards: in which they lie.
      index, track, shard: what the stages cost.
      shuffle_bytes: descriptors that `shard` shuffles; pixels are not.
      driver_bytes: memory of the process that plans.
    """

    clips: int
    groups: int
    frames: int
    samples: int
    shards: int
    index: StageCost
    track: StageCost
    shard: StageCost
    shuffle_bytes: int
    driver_bytes: int

    @property
    def core_hours(self) -> float:
        """Of all three stages."""
        return sum(stage.core_seconds for stage in (self.index, self.track, self.shard)) / 3600

    @property
    def bytes_read(self) -> int:
        """By all three stages."""
        return sum(stage.bytes_read for stage in (self.index, self.track, self.shard))

    @property
    def bytes_written(self) -> int:
        """By all three stages."""
        return sum(stage.bytes_written for stage in (self.index, self.track, self.shard))


# On a shared virtual core (AMD EPYC), by `benchmarks.cost_model`; the last two by `benchmarks.scale`.
MEASURED = Rates(
    hash=0.00197,
    probe=0.00821,
    decode_pixels=0.00134,
    decode_bytes=0.0638,
    fetch=0.000837,
    detect=0.0213,
    crop=0.00126,
    compare=0.00945,
    image_bytes=23_300,
    mask_bytes=990,
    record_bytes=3060,
    track_bytes=759,
    unit_bytes=322,
    driver_bytes=1800,
)


@dataclass(frozen=True)
class _Read:
    """Frames of a clip that are decoded on the way, frames that are handed out, and samples made of these."""

    passed: float
    fetched: int
    samples: int


def _read(clip: Clip, frames: FramesParams, unit: str) -> _Read:
    long = frames.length if unit == "sequence" else 1
    starts = clip.frames - long + 1 if frames.policy == "stride" else clip.frames // long
    step = frames.stride if frames.policy == "stride" else long
    most = max(0, math.ceil(starts / step) if frames.policy == "stride" else starts)
    samples = min(frames.count, most) if frames.count > 0 else most
    if not samples:
        return _Read(0, 0, 0)
    apart = clip.frames / samples if frames.policy == "even" else step
    fetched = min(clip.frames, samples * long)
    if not clip.fps:  # Pictures: each is decoded by itself.
        return _Read(fetched, fetched, samples)
    through = min(clip.frames, samples * apart + long)
    return _Read(min(through, samples * (_GOP / 2 + long)), fetched, samples)


def estimate(
    clips: Iterable[Clip],
    frames: FramesParams,
    shard: ShardParams = _DEFAULTS.shard,
    crop: CropParams = _DEFAULTS.crop,
    track: TrackParams = _DEFAULTS.track,
    mask: MaskParams = _DEFAULTS.mask,
    rates: Rates = MEASURED,
) -> Cost:
    """What `index`, `track` and `shard` cost for some clips; one pass over them.

    Every clip is taken to have one face in all of its frames, and clips without frames to be read whole.
    Official masks count with their pixels, but not with their bytes, which an index does not know.

    Args:
      clips: of one dataset, whole groups.
      frames: which become samples.
      shard: unit, and groups a shard.
      crop: size of crops.
      track: how often faces are looked for.
      mask: kinds of masks.
      rates: what parts cost.
    """
    crop_pixels = crop.size**2 / _CROP
    compares = bool({mask.train, *mask.kinds} & COMPARING)
    groups: dict[str, int] = {}
    masked: set[int] = set()
    count = decoded = samples = crops = compared = masks = size = looked = 0
    seconds = {"index": 0.0, "track": 0.0, "shard": 0.0}
    tracked = 0
    for clip in clips:
        count += 1
        size += clip.bytes
        pixels = clip.width * clip.height / _MEGA
        each = clip.bytes / max(1, clip.frames) / _MEGA
        through = pixels * rates.decode_pixels + each * rates.decode_bytes
        seconds["index"] += rates.probe + clip.bytes / _MEGA * rates.hash
        if clip.reference:
            groups[clip.split] = groups.get(clip.split, 0) + 1
            seen = math.ceil(clip.frames / track.every) if clip.fps else clip.frames
            seconds["track"] += clip.frames * through + seen * (pixels * rates.fetch + rates.detect)
            decoded += clip.frames
            looked += clip.bytes
            tracked += clip.frames
        read = _read(clip, frames, shard.unit)
        made = read.fetched
        seconds["shard"] += read.passed * through + read.fetched * pixels * rates.fetch
        seconds["shard"] += made * rates.crop * crop_pixels
        decoded += round(read.passed)
        samples += read.samples
        crops += made
        if clip.label == "fake":
            masks += made * len(mask.kinds)
        else:
            masks += made
        forgery = hash((clip.group, clip.method, clip_name(clip.clip)))
        if clip.label == "fake" and clip.truth == "original" and forgery not in masked:
            masked.add(forgery)
            compared += made if compares else 0
            if clip.official_mask and "official" in {mask.train, *mask.kinds}:
                seconds["shard"] += read.passed * pixels * rates.decode_pixels
    seconds["shard"] += compared * rates.compare * crop_pixels
    written = crops * rates.image_bytes * crop_pixels + masks * rates.mask_bytes * crop_pixels
    written += samples * rates.record_bytes
    return Cost(
        clips=count,
        groups=sum(groups.values()),
        frames=decoded,
        samples=samples,
        shards=sum(math.ceil(many / shard.groups) for many in groups.values()),
        index=StageCost(seconds["index"], size, 0),
        track=StageCost(seconds["track"], looked, round(tracked * rates.track_bytes)),
        shard=StageCost(seconds["shard"], size, round(written)),
        shuffle_bytes=round(count * rates.unit_bytes),
        driver_bytes=round(count * rates.driver_bytes),
    )
