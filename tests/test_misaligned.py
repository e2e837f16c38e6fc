"""Fakes that do not show what their original shows, at the same place or time, through all stages."""

import io
import json
import shutil
import tarfile

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from schemas import Outcome
from schemas.files import read_rows
from tests.bad_work import documented
from tests.videos import write_video
from tests.work import Work
from transforms.video import Video

METHOD = "manipulated_sequences/Deepfakes/raw/videos"


def shifted(frame):
    matrix = np.float32([[1, 0, 3], [0, 1, -2]])
    return cv2.warpAffine(frame, matrix, frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


CHANGES = {
    "delayed": lambda frames: [frames[0], *frames[:-1]],
    "ahead": lambda frames: [*frames[1:], frames[-1]],
    "shifted": lambda frames: [shifted(frame) for frame in frames],
    "mirrored": lambda frames: [frame[:, ::-1] for frame in frames],
}


@pytest.fixture(scope="module")
def misaligned(demo_corpus, tmp_path_factory):
    """Samples by change, their masks, and the outcomes of the fakes; "straight" is left as it was."""
    root = tmp_path_factory.mktemp("misaligned")
    corpus = root / "corpus"
    fakes = sorted((demo_corpus / METHOD).glob("*.mp4"))[: len(CHANGES) + 1]
    for path in (*fakes, *demo_corpus.glob("*.json")):
        (corpus / path.relative_to(demo_corpus)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, corpus / path.relative_to(demo_corpus))
    of = {}
    for (change, make), path in zip(CHANGES.items(), fakes[1:], strict=True):
        video = Video(path)
        write_video(corpus / METHOD / path.name, make([video[i] for i in range(len(video))]), crf=0)
        of[change] = f"{METHOD}/{path.name}"
    of["straight"] = f"{METHOD}/{fakes[0].name}"
    for path in fakes:
        real = f"original_sequences/youtube/raw/videos/{path.stem.split('_')[0]}.mp4"
        (corpus / real).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(demo_corpus / real, corpus / real)
    work = Work(root / "work", corpus, frames={"count": 8}, mask={"kinds": ["difference", "dffd"]})
    work.set(datasets={"demo": {"layout": "faceforensics", "root": str(corpus), "split": "hash"}})
    assert work.index() == 0
    assert work.track() == work.shard() == 0
    rows = pq.read_table(work.shards / "index.parquet").to_pylist()
    outcomes = {row.unit: row for row in read_rows(work.shards / "outcomes.parquet", Outcome)}
    found = {}
    for change, clip in of.items():
        samples = [row for row in rows if row["clip"] == clip]
        found[change] = (samples, outcomes[clip], members(work, samples))
    return found


def members(work, samples):
    found = {}
    for row in samples:
        with tarfile.open(work.shards / row["shard"]) as tar:
            for member in tar:
                if member.name.startswith(row["key"] + "."):
                    found[member.name[len(row["key"]) + 1 :], row["frame"]] = tar.extractfile(member).read()
    return found


def test_one_that_lies_well_is_compared(misaligned):
    samples, outcome, found = misaligned["straight"]
    assert len(samples) == 8
    assert {row["mask_kind"] for row in samples} == {"difference"}
    assert all(row["mask_quality"]["residual"] < 0.1 for row in samples)
    assert (outcome.status, outcome.detail) == ("ok", "")
    assert sum(name == "mask.dffd.png" for name, _ in found) == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("delayed", "frame i shows frame i-1 of its original: masks are unknown"),
        ("ahead", "frame i shows frame i+1 of its original: masks are unknown"),
        ("mirrored", "masks are unknown"),
    ],
)
def test_what_cannot_be_compared_has_samples_and_no_mask(misaligned, change, said):
    samples, outcome, found = misaligned[change]
    assert len(samples) == outcome.made == 8
    assert {row["mask_kind"] for row in samples} == {"unknown"}
    assert outcome.status == "ok"
    assert outcome.detail.endswith(said)
    tried = {"delayed": "a fake shifted by one frame", "mirrored": "a mirrored fake"}
    if change in tried:
        assert documented()[tried[change]][0] == "shard"
        assert said in documented()[tried[change]][1]
    assert not any(name.endswith(".png") for name, _ in found)
    assert all(
        json.loads(data)["mask_kind"] == "unknown" for (name, _), data in found.items() if name == "json"
    )


def test_a_shifted_one_is_registered_and_masked_where_it_shows_the_forgery(misaligned):
    samples, outcome, found = misaligned["shifted"]
    assert "shift +" in outcome.detail
    assert outcome.detail.endswith("registered before comparing")
    assert "registered before comparing" in documented()["a fake that lies some pixels off its original"][1]
    assert {row["mask_kind"] for row in samples} == {"difference"}
    assert all(row["mask_quality"]["residual"] < 0.25 for row in samples)
    straight = misaligned["straight"][0]
    for row in samples:
        mask = np.array(Image.open(io.BytesIO(found["mask.png", row["frame"]]))) > 127
        assert mask.mean() == pytest.approx(np.mean([s["mask_quality"]["area"] for s in straight]), rel=0.5)
        # Unregistered, the crop's rim would be full of it.
        assert mask[:8].mean() < 0.05
