"""The same bytes on Flink, with one slot and two, as on the embedded runner."""

import copy
import shlex

import pytest
import s3fs

from schemas.paths import as_path
from tests.cluster.flink import write_worker
from tests.cluster.runs import build, empty
from tests.s3_server import digests_behind, serve
from tests.work import digests


@pytest.mark.timeout(600)
def test_flink_on_one_slot(built, cluster, tmp_path, monkeypatch):
    work = empty(built, tmp_path / "work")
    monkeypatch.setenv("BEAM_ARGS", shlex.join(cluster.flags(1)))
    build(work)
    assert len(cluster.shares(cluster.jobs()[0])) == 1
    assert digests(work.tracks) == digests(built.tracks)
    assert digests(work.shards) == digests(built.shards)


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


@pytest.mark.timeout(600)
def test_flink_into_an_object_store(many, cluster, tmp_path):
    work = copy.copy(many)
    work.shards = as_path("s3://data/shards")
    with serve(tmp_path) as server:
        s3fs.S3FileSystem().mkdir("data")
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in server.environment.items())
        worker = write_worker(tmp_path / "worker", before=f"env {variables}")
        build(work, *cluster.flags(2, worker), stages=["shard"])
        assert sum(cluster.shares(cluster.jobs()[0]).values()) == 18
        assert digests_behind(work.shards) == digests(many.shards)
