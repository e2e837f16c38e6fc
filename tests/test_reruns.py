"""What a rerun does and leaves alone, and what becomes of clips that cannot be used."""

import json
import shutil

import pytest

import schemas
from schemas.files import read_rows
from tests.work import Work, digests, stamps

FAKE = "manipulated_sequences/Deepfakes/raw/videos/000_003.mp4"


def outcomes(folder) -> dict[str, schemas.Outcome]:
    return {outcome.unit: outcome for outcome in read_rows(folder / "outcomes.parquet", schemas.Outcome)}


@pytest.fixture
def corpus(demo_corpus, tmp_path):
    """A copy of the corpus that may be damaged."""
    return shutil.copytree(demo_corpus, tmp_path / "corpus")


def only_tars(folder):
    return digests(folder, "*/*.tar")


def test_a_rerun_writes_no_track_and_no_shard_again(built, tmp_path):
    work = built.copy(tmp_path / "work")
    before = stamps(work.root)
    assert work.track() == work.shard() == 0
    after = stamps(work.root)
    changed = {name for name in before if before[name] != after[name]}
    assert not [name for name in changed if name.endswith(".tar") or "groups/" in name]
    assert digests(work.root) == digests(built.root)


def test_a_new_mask_parameter_detects_no_face_again(built, tmp_path):
    work = built.copy(tmp_path / "work")
    before, tars = stamps(work.tracks / "groups"), only_tars(work.shards)
    work.set(mask={"gate": 1.1, "kinds": ["difference", "soft"]}, frames={"count": 2})
    assert work.track() == work.shard() == 0
    assert stamps(work.tracks / "groups") == before
    assert all(tars[name] != digest for name, digest in only_tars(work.shards).items())


def test_a_clip_that_goes_rewrites_its_shard_alone_and_comes_back_the_same(built, corpus, tmp_path):
    work = Work(tmp_path / "work", corpus)
    shutil.copytree(built.tracks, work.tracks)
    shutil.copytree(built.shards, work.shards)
    (corpus / FAKE).rename(tmp_path / "away.mp4")
    assert work.index() == work.track() == work.shard() == 0
    before, after = only_tars(built.shards), only_tars(work.shards)
    assert len([name for name in before if before[name] != after[name]]) == 1
    (tmp_path / "away.mp4").rename(corpus / FAKE)
    assert work.index() == work.track() == work.shard() == 0
    assert only_tars(work.shards) == before


def test_what_the_plan_no_longer_names_is_removed(built, tmp_path):
    work = built.copy(tmp_path / "work")
    work.set(shard={"groups": 100})
    assert work.shard() == 0
    assert sorted(only_tars(work.shards)) == [f"{s}/demo-{s}-000000.tar" for s in ("test", "train", "val")]
    assert not list(work.shards.rglob("*000001*"))
    assert not list(work.shards.rglob("*.part"))


def test_a_broken_clip_is_an_outcome_and_retry_failed_mends_it(built, corpus, tmp_path):
    work = Work(tmp_path / "work", corpus)
    assert work.index() == 0
    shutil.copytree(built.tracks, work.tracks)
    whole = (corpus / FAKE).read_bytes()
    # As long as it was when indexed, but nothing to decode in it.
    (corpus / FAKE).write_bytes(whole[:100] + bytes(len(whole) - 100))
    assert work.shard() == 0, "one of many is below run.max_failed_fraction"
    broken = outcomes(work.shards)
    assert broken[FAKE].status == "failed"
    assert broken[FAKE].reason == "decode_error"
    assert "000_003.mp4" in broken[FAKE].detail
    assert [unit for unit, outcome in broken.items() if outcome.status != "ok"] == [FAKE]
    carried = FAKE.replace("/raw/", "/c40/")
    index = {row["clip"]: row for row in _rows(work)}
    assert index[carried]["mask_from"] == "c40", "the next best compression measures the mask"

    untouched = stamps(work.shards)
    (corpus / FAKE).write_bytes(whole)
    assert work.shard() == 0
    assert _tars(stamps(work.shards)) == _tars(untouched), (
        "without --retry-failed a rerun leaves failures alone"
    )
    assert work.shard("--retry-failed") == 0
    assert only_tars(work.shards) == only_tars(built.shards)
    again = stamps(work.shards)
    assert len([name for name in _tars(again) if again[name] != untouched[name]]) == 1


def _rows(work: Work) -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(work.shards / "index.parquet").to_pylist()


def _tars(found: dict) -> dict:
    return {name: value for name, value in found.items() if name.endswith(".tar")}


def test_failures_above_the_limit_exit_3(built, corpus, tmp_path, capsys):
    work = Work(tmp_path / "work", corpus, run={"max_failed_fraction": 0.0})
    assert work.index() == 0
    shutil.copytree(built.tracks, work.tracks)
    (corpus / FAKE).unlink()
    assert work.shard() == 3
    said = capsys.readouterr()
    assert "1 failed" in said.out
    assert "failed missing: 1" in said.out
    assert "--retry-failed" in said.err
    assert outcomes(work.shards)[FAKE].reason == "missing"


def test_a_group_without_a_face_loses_nothing_silently(built, corpus, tmp_path):
    import numpy as np

    from tests.videos import write_video

    for compression in ("raw", "c40"):
        write_video(
            corpus / f"original_sequences/youtube/{compression}/videos/000.mp4",
            [np.full((240, 320, 3), 90, np.uint8)] * 12,
        )
    work = Work(tmp_path / "work", corpus)
    assert work.index() == work.track() == work.shard() == 0
    assert outcomes(work.tracks)["youtube/000"].reason == "no_face"
    found = outcomes(work.shards)
    clips = read_rows(work.clips, schemas.Clip)
    assert set(found) == {clip.clip for clip in clips}
    lost = {clip.clip for clip in clips if clip.group == "youtube/000"}
    assert {unit for unit, outcome in found.items() if outcome.status != "ok"} == lost
    assert {(found[unit].status, found[unit].reason) for unit in lost} == {("skipped", "no_track")}


def test_dry_runs_write_nothing(built, demo_corpus, tmp_path, capsys):
    work = built.copy(tmp_path / "work")
    work.set(mask={"gate": 2.0}, track={"every": 3})
    before = stamps(work.root)
    assert work.index("--dry-run") == work.track("--dry-run") == work.shard("--dry-run") == 0
    assert stamps(work.root) == before
    said = capsys.readouterr().out
    assert "would track 6 of 6 groups" in said
    assert "would build" in said


def test_bad_usage_exits_2_and_names_the_remedy(built, tmp_path, capsys):
    work = built.copy(tmp_path / "work")
    for stage in (work.index, work.track, work.shard):
        with pytest.raises(SystemExit) as caught:
            stage("--no_such_flag=1")
        assert caught.value.code == 2
        assert "--no_such_flag=1" in capsys.readouterr().err
    shutil.rmtree(work.tracks)
    from schemas.errors import UsageError

    with pytest.raises(UsageError, match=r"run pipelines\.track"):
        work.shard()
    work.set(mask={"kinds": ["unknown"]})
    with pytest.raises(UsageError, match=r"mask\.kinds"):
        work.shard()
    work.params.write_text("crop: {size: big}\nshards: {}\n")
    with pytest.raises(UsageError, match=r"crop\.size(.|\n)*shards"):
        work.shard()


def test_bundles_that_are_run_twice_give_the_same_bytes(built, demo_corpus, tmp_path):
    work = built.copy(tmp_path / "work")
    shutil.rmtree(work.tracks)
    shutil.rmtree(work.shards)
    twice = ("--direct_num_workers=1", "--direct_runner_bundle_repeat=1")
    assert work.track(*twice) == work.shard(*twice) == 0
    assert digests(work.tracks) == digests(built.tracks)
    assert digests(work.shards) == digests(built.shards)
    sidecar = json.loads(next(work.shards.glob("train/*.json")).read_text())
    assert sidecar["files"]


def test_an_unexpected_error_costs_one_clip_and_says_where(built, tmp_path, monkeypatch):
    from pipelines import sampler

    real = sampler.encode_image

    def fail_once(image, *rest):
        if len(rest) > 1 and not failed:
            failed.append(True)
            raise ZeroDivisionError("a planted bug")
        return real(image, *rest)

    failed = []
    monkeypatch.setattr(sampler, "encode_image", fail_once)
    work = built.copy(tmp_path / "work")
    shutil.rmtree(work.shards)
    assert work.shard() == 0
    lost = [outcome for outcome in outcomes(work.shards).values() if outcome.status != "ok"]
    assert [outcome.reason for outcome in lost] == ["internal_error"]
    assert "a planted bug (test_reruns.py:" in lost[0].detail
    assert sum(outcome.made for outcome in outcomes(work.shards).values()) == len(_rows(work))
    monkeypatch.undo()
    assert work.shard("--retry-failed") == 0
    assert only_tars(work.shards) == only_tars(built.shards)
