"""The same bytes on Flink, with one slot and two, and on Beam's job service, as on the embedded runner."""

import shlex
import shutil

import pytest

from benchmarks.deaths import Run
from tests.portable import flags, job_service, worker_pool
from tests.work import digests


def empty(work, path):
    """A copy of a work without what track and shard wrote."""
    twin = work.copy(path)
    shutil.rmtree(twin.tracks)
    shutil.rmtree(twin.shards)
    return twin


def build(work, *flags, stages=("track", "shard")):
    """Run stages as a user does."""
    for stage in stages:
        code, words = Run(work, stage, 0, *flags).wait()
        assert code == 0, words
        assert "Traceback" not in words
        assert "WARNING" not in words


@pytest.mark.xdist_group("cluster")
@pytest.mark.timeout(600)
def test_flink_on_one_slot(built, cluster, tmp_path, monkeypatch):
    work = empty(built, tmp_path / "work")
    monkeypatch.setenv("BEAM_ARGS", shlex.join(cluster.flags(1)))
    build(work)
    assert len(cluster.shares(cluster.jobs()[0])) == 1
    assert digests(work.tracks) == digests(built.tracks)
    assert digests(work.shards) == digests(built.shards)


@pytest.mark.xdist_group("cluster")
@pytest.mark.timeout(600)
def test_flink_on_both_slots(many, cluster, tmp_path):
    work = empty(many, tmp_path / "work")
    for stage in ("track", "shard"):
        # A flag that its job server alone knows passes, too.
        build(work, *cluster.flags(2), "--object_reuse", stages=[stage])
        shares = cluster.shares(cluster.jobs()[0])
        assert len(shares) == 2
        assert min(shares.values()) > 0
        assert sum(shares.values()) == 18
    assert digests(work.tracks) == digests(many.tracks)
    assert digests(work.shards) == digests(many.shards)


def test_beams_job_service(built, tmp_path):
    work = empty(built, tmp_path / "work")
    with job_service(tmp_path) as service:
        with worker_pool(tmp_path) as pool:
            build(work, *flags(service, pool))
        assert digests(work.tracks) == digests(built.tracks)
        assert digests(work.shards) == digests(built.shards)
        shutil.rmtree(work.shards)
        loopback = ["--runner=PortableRunner", f"--job_endpoint={service}", "--environment_type=LOOPBACK"]
        build(work, *loopback, stages=["shard"])
    assert digests(work.shards) == digests(built.shards)


def test_an_error_that_a_worker_raised_ends_a_job_with_its_message_and_its_exit_code(built, tmp_path):
    work = built.copy(tmp_path / "work")
    shutil.rmtree(work.shards)
    track = min((work.tracks / "groups").rglob("*.parquet"))
    whole = track.read_bytes()
    track.write_bytes(bytes(len(whole)))
    with job_service(tmp_path) as service:
        loopback = ["--runner=PortableRunner", f"--job_endpoint={service}", "--environment_type=LOOPBACK"]
        code, words = Run(work, "shard", 0, *loopback).wait()
        assert code == 2
        assert f"error: {track}: not a readable Parquet file" in words
        assert "Traceback" not in words
        track.write_bytes(whole)
        build(work, *loopback, stages=["shard"])
        with pytest.raises(SystemExit) as caught:
            work.shard(*loopback, "--no_such_flag")
        assert caught.value.code == 2
    assert digests(work.shards) == digests(built.shards)
