"""The contract of shards, checked on shards of the demo corpus with the readers that users have."""

import hashlib
import io
import json
import tarfile
from collections import Counter, defaultdict

import cv2
import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

import schemas
from pipelines import shard, track
from schemas.errors import UsageError
from schemas.files import read_rows
from schemas.params import FramesParams
from schemas.track import TrackFrame
from tests.work import Work, digests, stamps
from transforms.crops import warp
from transforms.geometry import GroupGeometry
from transforms.masks import iou
from transforms.video import Video


def samples(tar) -> dict[str, dict[str, bytes]]:
    """Members by key, in the order of the tar, read by nothing but tarfile."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(tar) as reader:
        for member in reader:
            key, _, extension = member.name.partition(".")
            file = reader.extractfile(member)
            assert file is not None
            found.setdefault(key, {})[extension] = file.read()
    return found


def every_sample(work: Work):
    for tar in sorted(work.shards.glob("*/*.tar")):
        yield from samples(tar).items()


def picture(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_names_are_those_of_the_contract(built):
    for split in ("train", "val", "test"):
        names = sorted(path.name for path in (built.shards / split).glob("*.tar"))
        assert names == [f"demo-{split}-{number:06d}.tar" for number in range(len(names))]
        assert names


def test_members_and_records_follow_the_contract(built):
    schema = schemas.json_schema(schemas.Sample)
    seen = Counter()
    for key, members in every_sample(built):
        row = json.loads(members["json"])
        jsonschema.validate(row, schema)
        sample = schemas.from_row(schemas.Sample, row)
        assert key == sample.key == schemas.sample_key("demo", sample.clip, sample.track, sample.frame)
        assert hashlib.sha256(members["jpg"]).hexdigest() == sample.crop_sha256
        assert picture(members["jpg"]).shape == (256, 256, 3)
        assert ("mask.png" in members) == (sample.mask_kind != "unknown")
        if "mask.png" in members:
            mask = picture(members["mask.png"])
            assert mask.shape == (256, 256)
            assert set(np.unique(mask)) <= {0, 255}
            assert mask.any() == (sample.label == "fake")
        assert (sample.mask_kind == "all_zero") == (sample.label == "real")
        assert sample.mask_from == ("raw" if sample.label == "fake" else None)
        assert ("mask.official.png" in members) == (sample.label == "fake")
        points = np.array(sample.landmarks)
        assert (points > 0).all()
        assert (points < 255).all()
        assert points[0, 0] < points[2, 0] < points[1, 0]
        seen[sample.label, sample.compression] += 1
    assert set(seen) == {(label, c) for label in ("real", "fake") for c in ("raw", "c40")}


def test_crop_to_frame_takes_the_crop_to_its_place_in_its_own_clip(built, demo_corpus):
    checked = 0
    for number, (_, members) in enumerate(every_sample(built)):
        row = json.loads(members["json"])
        if number % 13 == 0:
            frame = Video(demo_corpus / row["clip"])[row["frame"]]
            crop = warp(frame, np.array(row["crop_to_frame"]), row["size"])
            assert np.abs(crop.astype(int) - picture(members["jpg"])).mean() < 2
            checked += 1
    assert checked > 5


def test_masks_are_where_the_known_alpha_is(built, demo_corpus):
    scores = defaultdict(dict)
    for _, members in every_sample(built):
        row = json.loads(members["json"])
        if row["label"] == "fake":
            name = row["clip"].rsplit("/", 1)[1].removesuffix(".mp4")
            alpha = np.load(demo_corpus / "alpha" / row["method"] / f"{name}.npz")["alpha"][row["frame"]]
            truth = warp(alpha, np.array(row["crop_to_frame"]), row["size"]) > 25
            found = picture(members["mask.png"]) > 127
            scores[row["method"], row["compression"]][name, row["frame"]] = iou(found, truth)
    assert len(scores) == 6
    for method in ("Deepfakes", "NeuralTextures", "FaceSwap"):
        assert np.mean(list(scores[method, "raw"].values())) > 0.9, method
        assert scores[method, "c40"] == scores[method, "raw"], "c40 carries the mask of raw"


def test_blocks_are_together_real_first_and_shuffled(built):
    for tar in built.shards.glob("train/*.tar"):
        rows = [json.loads(members["json"]) for members in samples(tar).values()]
        blocks = [(row["group"], row["frame"], row["compression"]) for row in rows]
        starts = [i for i in range(len(blocks)) if i == 0 or blocks[i] != blocks[i - 1]]
        assert len(starts) == len(set(blocks)), "a block is in one piece"
        assert [i for i, row in enumerate(rows) if row["label"] == "real"] == starts
        order = [blocks[i] for i in starts]
        assert order != sorted(order)


def test_webdataset_reads_it_as_documented(built):
    count = Counter()
    for split in ("train", "val", "test"):
        last = len(list((built.shards / split).glob("*.tar"))) - 1
        url = str(built.shards / split / f"demo-{split}-{{000000..{last:06d}}}.tar")
        data = webdataset.WebDataset(url, shardshuffle=False, empty_check=False).decode("pil")
        for image, mask, record in data.to_tuple("jpg", "mask.png", "json", missing_is_error=False):
            assert image.size == (256, 256)
            assert (mask is None) == (record["mask_kind"] == "unknown")
            count[split] += 1
    rows = pq.read_table(built.shards / "index.parquet", columns=["split"]).to_pylist()
    assert count == Counter(row["split"] for row in rows)


def test_wids_reads_it(built, monkeypatch):
    wids = pytest.importorskip("wids", reason="wids imports torch; make test installs both")
    data = wids.ShardListDataset(str(built.shards / "index.json"), base=str(built.shards) + "/", keep=True)
    index = json.loads((built.shards / "index.json").read_text())
    assert len(data) == sum(entry["nsamples"] for entry in index["shardlist"])
    for number in (0, len(data) // 2, len(data) - 1):
        assert data[number][".json"]["schema_version"] == schemas.SCHEMA_VERSION
        assert data[number][".jpg"].size == (256, 256)


def test_index_tells_what_is_in_the_shards(built):
    table = pq.read_table(built.shards / "index.parquet")
    rows = {row["key"]: row for row in table.to_pylist()}
    assert len(rows) == table.num_rows
    index = json.loads((built.shards / "index.json").read_text())
    for entry in index["shardlist"]:
        tar = built.shards / entry["url"]
        found = samples(tar)
        assert len(found) == entry["nsamples"]
        assert tar.stat().st_size == entry["filesize"]
        assert hashlib.sha256(tar.read_bytes()).hexdigest() == entry["sha256"]
        for key, members in found.items():
            row = rows.pop(key)
            assert row.pop("shard") == entry["url"]
            assert schemas.from_row(schemas.Sample, row) == schemas.from_row(
                schemas.Sample, json.loads(members["json"])
            )
    assert not rows
    assert "FaceForensics" in index["terms"]


def test_headers_hold_no_clock_and_no_user(built):
    for tar in built.shards.glob("*/*.tar"):
        with tarfile.open(tar) as reader:
            for member in reader:
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")


def test_outcomes_balance(built):
    clips = read_rows(built.shards / "clips.parquet", schemas.Clip)
    outcomes = read_rows(built.shards / "outcomes.parquet", schemas.Outcome)
    plan = read_rows(built.shards / "plan.parquet", schemas.PlannedClip)
    assert sorted(o.unit for o in outcomes) == sorted(c.clip for c in clips) == sorted(p.clip for p in plan)
    assert {o.status for o in outcomes} == {"ok"}
    assert sum(o.made for o in outcomes) == pq.read_metadata(built.shards / "index.parquet").num_rows


def test_two_workers_another_folder_and_one_worker_give_the_same_bytes(built, demo_corpus, tmp_path):
    twin = Work(tmp_path / "elsewhere", demo_corpus)
    two = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    assert twin.index(*two) == twin.track(*two) == twin.shard(*two) == 0
    assert digests(twin.tracks) == digests(built.tracks)
    assert digests(twin.shards) == digests(built.shards)


def test_sequences(built, tmp_path):
    work = built.copy(tmp_path / "work")
    work.set(shard={"unit": "sequence"}, frames={"count": 2, "length": 3})
    assert work.shard() == 0
    schema = schemas.json_schema(schemas.SequenceSample)
    count = 0
    for key, members in every_sample(work):
        row = json.loads(members["json"])
        jsonschema.validate(row, schema)
        assert row["frame"] == list(range(row["frame"][0], row["frame"][0] + 3))
        assert key.endswith(f"/{row['frame'][0]:06d}")
        for number in range(3):
            image = members[f"{number:03d}.jpg"]
            assert hashlib.sha256(image).hexdigest() == row["crop_sha256"][number]
            assert (f"{number:03d}.mask.png" in members) == (row["mask_kind"][number] != "unknown")
        count += 1
    assert count == json.loads((work.shards / "index.json").read_text())["shardlist"][0]["nsamples"] + sum(
        entry["nsamples"] for entry in json.loads((work.shards / "index.json").read_text())["shardlist"][1:]
    )
    assert pq.read_schema(work.shards / "index.parquet").field("frame").type.value_type == "int64"


def test_every_kind_of_mask_can_be_asked_for(built, tmp_path):
    work = built.copy(tmp_path / "work")
    kinds = ["difference", "official", "soft", "dffd", "ssim", "hull", "boundary", "all_one"]
    work.set(mask={"kinds": kinds}, frames={"count": 2}, shard={"image": "png"})
    assert work.shard() == 0
    for _, members in every_sample(work):
        row = json.loads(members["json"])
        assert "png" in members
        others = {name for name in members if name.startswith("mask.") and name != "mask.png"}
        expected = (
            {f"mask.{kind}.png" for kind in kinds if kind != "difference"}
            if row["label"] == "fake"
            else set()
        )
        assert others == expected
        for name in others:
            mask = cv2.imdecode(np.frombuffer(members[name], np.uint8), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (256, 256)
            assert mask.dtype == np.uint8
            assert mask.any() or name == "mask.dffd.png"


def test_another_mask_can_train(built, tmp_path):
    work = built.copy(tmp_path / "work")
    work.set(mask={"train": "official", "kinds": ["difference"]}, frames={"count": 1})
    assert work.shard() == 0
    for _, members in every_sample(work):
        row = json.loads(members["json"])
        if row["label"] == "fake":
            assert row["mask_kind"] == "official"
            assert row["mask_from"] is None
            assert {"mask.png", "mask.difference.png"} <= set(members)


def test_a_difference_below_the_gate_is_unknown_never_zeros(built, tmp_path):
    work = built.copy(tmp_path / "work")
    work.set(mask={"gate": 1e9}, frames={"count": 1})
    assert work.shard() == 0
    fakes = 0
    for _, members in every_sample(work):
        row = json.loads(members["json"])
        if row["label"] == "fake":
            assert row["mask_kind"] == "unknown"
            assert row["mask_quality"]["score"] == 0
            assert "mask.png" not in members
            fakes += 1
    assert fakes


def test_a_folder_that_holds_what_shards_are_made_of_is_refused(built, demo_corpus, tmp_path):
    before = stamps(built.root)
    flags = ["--params", str(built.params), "--clips", str(built.clips)]
    with pytest.raises(
        UsageError, match=r"--out .*: --tracks \(.*\) is in it; give results a folder of their"
    ):
        shard.main([*flags, "--tracks", str(built.tracks), "--out", str(built.root)])
    with pytest.raises(UsageError, match=r"--out .*: the dataset \(.*\) is in it"):
        track.main([*flags, "--out", str(demo_corpus.parent)])
    assert stamps(built.root) == before


def test_tracks_too_short_for_a_sequence_have_no_outlines(built):
    path = min((built.tracks / "groups").rglob("*.parquet"))
    rows = read_rows(path, TrackFrame)[:3]
    geometry = GroupGeometry(rows, FramesParams(length=8), "sequence")
    assert geometry.shapes([]).oval.shape[0] == 0
