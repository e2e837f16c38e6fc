"""What the cost model says of three large datasets.

FaceForensics++ from its documentation: 1,000 real clips and five methods of 1,000 fakes, each at three
compressions; 509 frames on average, and about 500, 10 and 2 GB. Of DFDC 470 GB is all that is given; its
clips are assumptions (10 s of 1080p at 30 frames a second, five fakes a real clip, 4 MB each), and so are
FaceForensics++'s 720p.
"""

from collections.abc import Iterator

from schemas.clip import Clip, Label
from schemas.params import FramesParams, ShardParams
from transforms.cost import Rates, estimate

_GB = 10**9


def _group(
    name: str, fakes: int, sizes: dict[str, int], frames: int, width: int, height: int
) -> Iterator[Clip]:
    for compression, size in sizes.items():
        for number in range(fakes + 1):
            label: Label = "fake" if number else "real"
            yield Clip(
                "scale",
                f"{compression}/{name}_{number}.mp4",
                name,
                label,
                f"method{number}" if number else "real",
                compression,
                "train",
                reference=not number and compression == next(iter(sizes)),
                frames=frames,
                width=width,
                height=height,
                fps=30.0,
                bytes=size,
            )


def faceforensics() -> Iterator[Clip]:
    """18,000 clips."""
    sizes = {"raw": 500 * _GB // 6000, "c23": 10 * _GB // 6000, "c40": 2 * _GB // 6000}
    for number in range(1000):
        yield from _group(f"{number:03d}", 5, sizes, 509, 1280, 720)


def dfdc(times: int = 1) -> Iterator[Clip]:
    """470 GB, or several times that."""
    size = 4 * 10**6
    for number in range(times * 470 * _GB // (6 * size)):
        yield from _group(f"{number:07d}", 5, {"raw": size}, 300, 1920, 1080)


def describe_datasets(rates: Rates) -> list[str]:
    """The lines of the table, with default parameters."""
    lines = [
        f"{'':20s} {'clips':>10s} {'groups':>9s} {'core h':>8s} {'index':>7s} {'track':>7s} {'shard':>7s} "
        f"{'read':>8s} {'written':>8s} {'shuffle':>8s} {'driver':>8s} {'samples':>12s} {'shards':>7s}"
    ]
    for name, clips in (
        ("FaceForensics++", faceforensics()),
        ("DFDC", dfdc()),
        ("ten times DFDC", dfdc(10)),
    ):
        cost = estimate(clips, FramesParams(), ShardParams(), rates=rates)
        hours = [stage.core_seconds / 3600 for stage in (cost.index, cost.track, cost.shard)]
        lines.append(
            f"{name:20s} {cost.clips:10,d} {cost.groups:9,d} {cost.core_hours:8,.0f} "
            + " ".join(f"{hour:7,.0f}" for hour in hours)
            + f" {cost.bytes_read / _GB:5,.0f} GB {cost.bytes_written / _GB:5,.0f} GB"
            f" {cost.shuffle_bytes / _GB:5,.2f} GB {cost.driver_bytes / _GB:5,.2f} GB"
            f" {cost.samples:12,d} {cost.shards:7,d}"
        )
    return lines
