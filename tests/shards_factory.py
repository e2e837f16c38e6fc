"""Folders of shards as the shard stage makes them, from synthetic pictures; ways to damage and audit them."""

import dataclasses
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import audit
from pipelines.publish import describe
from schemas import (
    SCHEMA_VERSION,
    Clip,
    MaskQuality,
    Outcome,
    PlannedClip,
    Sample,
    SequenceSample,
    sample_key,
)
from schemas.clip import Split
from schemas.convert import index_schema, to_row
from schemas.files import write_json, write_rows, write_tables
from schemas.sidecar import Sidecar
from transforms.audit import plots

SPLITS: tuple[Split, ...] = ("train", "train", "val", "test")
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
# Of the cartoon's face, in a crop of 64 pixels.
POINTS = ((22.0, 24.0), (42.0, 24.0), (32.0, 36.0), (24.0, 44.0), (40.0, 44.0))
Members = list[tuple[str, bytes]]
_TINY = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()
_BEAM = ("--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What to make: `groups` source groups of `frames` samples a clip, `per_shard` groups a shard.

    Group number n is in split `splits[n % 4]`, and its clips have the identity `youtube:<who><n>`; pictures
    are the same in every dataset. `notes` go to the outcomes of fakes in turn ("" is none); where one says
    so, all masks are unknown.
    """

    dataset: str = "demo"
    groups: int = 4
    methods: tuple[str, ...] = ("Deepfakes", "NeuralTextures")
    compressions: tuple[str, ...] = ("c23", "c40")
    frames: int = 3
    per_shard: int = 2
    unit: str = "frame"
    length: int = 2
    size: int = 64
    unknown: float = 0.15
    failed: int = 1
    leak: bool = False
    splits: tuple[Split, ...] = SPLITS
    who: str = "v"
    image: str = "jpg"
    prefix: str = ""
    notes: tuple[str, ...] = ()
    terms: str = "Made up; use as you like."

    def note(self, clip: Clip) -> str:
        """What the shard stage says of a clip."""
        if not self.notes or clip.label == "real":
            return ""
        group = int(clip.group.removeprefix(self.prefix))
        return self.notes[(group * len(self.methods) + self.methods.index(clip.method)) % len(self.notes)]


def make_shards(folder: Path, corpus: Corpus | None = None) -> Path:
    """Write a folder of shards."""
    corpus = corpus or Corpus()
    clips = [clip for group in range(corpus.groups) for clip in _clips(corpus, group)]
    failed = {clip.clip for clip in clips if clip.label == "fake"} if corpus.failed else set()
    failed = set(sorted(failed)[: corpus.failed])
    plan, shardlist, rows, outcomes = [], [], [], []
    by_split: dict[str, list[str]] = {}
    for clip in clips:
        if clip.group not in by_split.setdefault(clip.split, []):
            by_split[clip.split].append(clip.group)
    for split, groups in by_split.items():
        for start in range(0, len(groups), corpus.per_shard):
            name = f"{split}/{corpus.dataset}-{split}-{start // corpus.per_shard:06d}"
            mine = [clip for clip in clips if clip.group in groups[start : start + corpus.per_shard]]
            plan += [PlannedClip(c.dataset, c.clip, c.group, c.split, f"{name}.tar", "d" * 64) for c in mine]
            records, members = [], []
            for record, parts in _samples(corpus, [clip for clip in mine if clip.clip not in failed]):
                records.append({**to_row(record), "shard": f"{name}.tar"})
                members += parts
            made = {clip.clip: sum(r["clip"] == clip.clip for r in records) for clip in mine}
            shard_outcomes = [
                Outcome(
                    "shard",
                    c.dataset,
                    c.clip,
                    c.group,
                    "failed",
                    "decode_error",
                    "frame 3: bad data; copy it again",
                )
                if c.clip in failed
                else Outcome(
                    "shard",
                    c.dataset,
                    c.clip,
                    c.group,
                    "ok",
                    detail=corpus.note(c),
                    made=made[c.clip],
                )
                for c in mine
            ]
            entry = write_shard(folder, f"{name}.tar", members, records, corpus.unit, shard_outcomes)
            shardlist.append(entry)
            rows.append(records)
            outcomes += shard_outcomes
    indexed = [Outcome("index", c.dataset, c.clip, c.group, "ok", made=c.frames) for c in clips]
    indexed.append(
        Outcome("index", corpus.dataset, "notes.txt", "", "skipped", "not_in_layout", "not a clip")
    )
    tracked = [Outcome("track", corpus.dataset, g, g, "ok", made=100) for gs in by_split.values() for g in gs]
    write_rows(folder / "clips.parquet", Clip, clips, {"terms": corpus.terms})
    write_rows(folder / "plan.parquet", PlannedClip, plan)
    write_rows(folder / "clips.outcomes.parquet", Outcome, indexed)
    write_rows(folder / "tracks.outcomes.parquet", Outcome, tracked)
    write_rows(folder / "outcomes.parquet", Outcome, outcomes)
    write_tables(folder / "index.parquet", index_schema(_record_class(corpus.unit)), rows)
    write_json(
        folder / "index.json",
        {
            "__kind__": "wids-shard-index-v1",
            "wids_version": 1,
            "name": corpus.dataset,
            "dataset": corpus.dataset,
            "schema_version": SCHEMA_VERSION,
            "unit": corpus.unit,
            "terms": corpus.terms,
            "shardlist": shardlist,
        },
    )
    return folder


def _record_class(unit: str) -> type:
    return Sample if unit == "frame" else SequenceSample


def run_audit(
    folder: Path,
    *flags: str,
    shards: tuple[str, ...] = ("shards",),
    out: str = "report",
    drawn: bool = False,
) -> int:
    """The exit code of the audit stage; plots are dots unless `drawn`: they take most of the time."""
    folders = [argument for name in shards for argument in ("--shards", str(folder / name))]
    arguments = [*folders, "--out", str(folder / out), *flags, *_BEAM]
    if drawn:
        return audit.main(arguments)
    with mock.patch.object(plots, "_draw", return_value=_TINY):
        return audit.main(arguments)


def read_metrics(folder: Path) -> dict[str, Any]:
    """What the report's `metrics.json` says."""
    metrics: dict[str, Any] = json.loads((folder / "report/metrics.json").read_bytes())
    return metrics


def write_shard(
    folder: Path, url: str, members: Members, rows: list[dict[str, Any]], unit: str, outcomes: list[Outcome]
) -> dict[str, Any]:
    """Write a tar with what is beside it; gives its entry in `index.json`."""
    path = folder / url
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tar(path, members)
    write_tables(path.with_suffix(".parquet"), index_schema(_record_class(unit)), [rows])
    files = (describe(path), describe(path.with_suffix(".parquet")))
    write_json(path.with_suffix(".json"), to_row(Sidecar("d" * 64, tuple(outcomes), files, len(rows))))
    return {"url": url, "nsamples": len(rows), "filesize": files[0].bytes, "sha256": files[0].sha256}


def write_tar(path: Path, members: Members) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def read_tar(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def edit_tar(folder: Path, url: str, edit: Callable[[Members], Members]) -> None:
    """Change a tar's members and vouch for the result everywhere, so that only the members can be wrong."""
    write_tar(folder / url, edit(read_tar(folder / url)))
    reseal(folder, url)


def reseal(folder: Path, url: str) -> None:
    """Vouch for a tar as it is now, in `index.json` and in its sidecar."""
    entry = describe(folder / url)

    def seal(index: dict) -> None:
        for shard in index["shardlist"]:
            if shard["url"] == url:
                shard.update(filesize=entry.bytes, sha256=entry.sha256)

    edit_json(folder / "index.json", seal)
    edit_json(
        (folder / url).with_suffix(".json"),
        lambda sidecar: sidecar["files"][0].update(bytes=entry.bytes, sha256=entry.sha256),
    )


def edit_json(path: Path, edit: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_bytes())
    edit(value)
    write_json(path, value)


def edit_parquet(path: Path, edit: Callable[[list[dict]], list[dict]]) -> None:
    """Change the rows of a Parquet file."""
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(edit(table.to_pylist()), schema=table.schema), path)


def _clips(corpus: Corpus, group: int) -> Iterator[Clip]:
    split = corpus.splits[group % len(corpus.splits)]
    name, other = f"{corpus.prefix}{group:03d}", f"{corpus.prefix}{(group ^ 1):03d}"
    own = ("youtube:straddler",) if corpus.leak and group in (0, 3) else (f"youtube:{corpus.who}{group:03d}",)
    for compression in corpus.compressions:
        for method in ("real", *corpus.methods):
            real = method == "real"
            stem = name if real else f"{name}_{other}"
            yield Clip(
                dataset=corpus.dataset,
                clip=f"{method}/{compression}/{stem}.mp4",
                group=name,
                label="real" if real else "fake",
                method=method,
                compression=compression,
                split=split,
                reference=real and compression == corpus.compressions[0],
                target=name,
                source="" if real else other,
                identities=own,
                frames=100,
                width=640,
                height=480,
                fps=25.0,
                bytes=1000,
                sha256=hashlib.sha256(f"{corpus.dataset}/{method}/{compression}/{stem}".encode()).hexdigest(),
            )


def _samples(corpus: Corpus, clips: list[Clip]) -> Iterator[tuple[Any, Members]]:
    for number in range(corpus.frames):
        for clip in sorted(clips, key=lambda c: (c.group, c.compression, c.label == "fake", c.method)):
            yield (
                _sequence(corpus, clip, number)
                if corpus.unit == "sequence"
                else _frame(corpus, clip, number * 10)
            )


def _frame(corpus: Corpus, clip: Clip, frame: int) -> tuple[Sample, Members]:
    key = sample_key(clip.dataset, clip.clip, 0, frame)
    image, kind, quality, mask = _picture(corpus, clip, frame)
    per_frame = {
        "frame": frame,
        "crop_to_frame": IDENTITY,
        "landmarks": POINTS,
        "mask_kind": kind,
        "mask_quality": quality,
        "crop_sha256": hashlib.sha256(image).hexdigest(),
    }
    sample = Sample(**_once(corpus, clip, key), **per_frame)
    return sample, [(f"{key}.json", _json(sample)), *_members(corpus, f"{key}.", image, kind, mask)]


def _sequence(corpus: Corpus, clip: Clip, number: int) -> tuple[SequenceSample, Members]:
    frames = tuple(range(number * 10, number * 10 + corpus.length))
    key = sample_key(clip.dataset, clip.clip, 0, frames[0])
    pictures = [_picture(corpus, clip, frame) for frame in frames]
    images, kinds, qualities, _ = (tuple(part) for part in zip(*pictures, strict=True))
    sample = SequenceSample(
        **_once(corpus, clip, key),
        frame=frames,
        crop_to_frame=(IDENTITY,) * len(frames),
        landmarks=(POINTS,) * len(frames),
        mask_kind=kinds,
        mask_quality=qualities,
        crop_sha256=tuple(hashlib.sha256(image).hexdigest() for image in images),
    )
    members = [(f"{key}.json", _json(sample))]
    for position, (image, kind, _, mask) in enumerate(pictures):
        members += _members(corpus, f"{key}.{position:03d}.", image, kind, mask)
    return sample, members


def _once(corpus: Corpus, clip: Clip, key: str) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "key": key,
        "dataset": clip.dataset,
        "group": clip.group,
        "clip": clip.clip,
        "label": clip.label,
        "method": clip.method,
        "compression": clip.compression,
        "split": clip.split,
        "target": clip.target,
        "source": clip.source,
        "track": 0,
        "size": corpus.size,
        "mask_from": corpus.compressions[0] if clip.label == "fake" else None,
        "plan_digest": "d" * 64,
    }


def _json(sample: Any) -> bytes:
    return json.dumps(to_row(sample), sort_keys=True).encode()


def _members(corpus: Corpus, prefix: str, image: bytes, kind: str, mask: bytes) -> Members:
    members = [(f"{prefix}{corpus.image}", image)]
    if kind != "unknown":
        members += [(f"{prefix}mask.png", mask)]
    if kind == "difference":
        members += [(f"{prefix}mask.difference.png", mask)]
    return members


def _picture(corpus: Corpus, clip: Clip, frame: int) -> tuple[bytes, Any, MaskQuality, bytes]:
    """A cartoon of a face; a fake has another texture in its mask."""
    size, seed = corpus.size, int(hashlib.sha256(clip.group.encode()).hexdigest()[:8], 16)
    method = corpus.methods.index(clip.method) % 5 if clip.label == "fake" else -1
    rng = np.random.default_rng([seed, frame, method + 1])
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    base = np.stack([0.4 + 0.3 * np.sin(3 * x + seed % (7 + c) + c) + 0.2 * y for c in range(3)], axis=-1)
    face = (x / 0.32) ** 2 + (y / 0.42) ** 2 < 1
    base[face] = base[face] * 0.4 + np.array([0.35, 0.42, 0.55]) * (0.8 + 0.1 * np.cos(frame))
    spots = np.random.default_rng(seed).uniform(-0.2, 0.2, (9, 9, 3))  # No two groups look alike.
    base += cv2.resize(spots, (size, size), interpolation=cv2.INTER_CUBIC)
    for cx in (-0.13, 0.13):
        base[(x - cx) ** 2 * 3 + (y + 0.1) ** 2 * 6 < 0.006] = 0.1
    mask = np.zeros((size, size), np.uint8)
    if method >= 0:
        mask[(x / (0.26 - 0.03 * method)) ** 2 + ((y - 0.05 * method) / (0.34 - 0.05 * method)) ** 2 < 1] = (
            255
        )
        base[mask > 0] = base[mask > 0] * 0.85 + 0.1 * np.sin(60 * x + method)[mask > 0][:, None] + 0.05
    noise = rng.normal(0, 0.01 if clip.compression == "c23" else 0.03, base.shape)
    image = cv2.imencode(f".{corpus.image}", (np.clip(base + noise, 0, 1) * 255).astype(np.uint8))[
        1
    ].tobytes()
    png = cv2.imencode(".png", mask)[1].tobytes()
    if method < 0:
        return image, "all_zero", MaskQuality(score=1.0, area=0.0), png
    if "masks are unknown" in corpus.note(clip):
        return image, "unknown", MaskQuality(score=0.0), png
    if rng.random() < corpus.unknown:
        return image, "unknown", MaskQuality(score=0.0, snr=float(rng.uniform(0.2, 1))), png
    score = float(np.clip(rng.beta(6, 1.5 + method), 0, 1))
    quality = MaskQuality(
        score=score,
        noise=float(rng.gamma(3, 0.6)),
        snr=float(1 + rng.gamma(3, 0.8 - 0.1 * method)),
        area=float((mask > 0).mean()),
        official_iou=None
        if clip.method == "FaceShifter"
        else float(np.clip(score + rng.normal(0, 0.08), 0, 1)),
        temporal_iou=None if frame == 0 else float(np.clip(rng.beta(12, 1.5), 0, 1)),
        residual=float(rng.gamma(2, 0.15)),
    )
    return image, "difference", quality, png
