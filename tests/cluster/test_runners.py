"""The same bytes on Flink, with one slot and two, as on the embedded runner."""

import shlex

import pytest

from tests.cluster.runs import build, empty
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
