"""Jobs on Beam's own job service: the embedded runner's bytes, and errors that end with a message."""

import shutil

import pytest

from benchmarks.deaths import Run
from tests.cluster.runs import build, empty
from tests.portable import flags, job_service, worker_pool
from tests.work import digests


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


def test_a_bug_in_a_worker_ends_a_job_with_one_line(built, tmp_path):
    work = built.copy(tmp_path / "work")
    shutil.rmtree(work.shards)
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "sitecustomize.py").write_text(
        "from pipelines.shard_builder import ShardBuilder\n"
        "def build(*arguments): raise ZeroDivisionError('a planted bug')\n"
        "ShardBuilder.build = build\n"
    )
    with job_service(tmp_path) as service, worker_pool(tmp_path, tmp_path / "planted") as pool:
        code, words = Run(work, "shard", 0, *flags(service, pool)).wait()
    assert code == 1
    assert "stopped: the job failed: ZeroDivisionError: a planted bug" in words
    assert "what is finished is kept: run again" in words
    assert "Traceback" not in words
