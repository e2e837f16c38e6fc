"""Faults on Flink: nothing is lost, and a shard has the bytes of an undisturbed run."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.deaths import Run, committed
from schemas.errors import UsageError
from tests.bad_corpus import fake
from tests.bad_work import documented, good_work, open_work, outcomes
from tests.cluster.flink import write_worker
from tests.work import Work, digests

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def work(many: Work, tmp_path: Path) -> Work:
    """A work of eighteen shards that are not built yet."""
    work = many.copy(tmp_path / "work")
    shutil.rmtree(work.shards)
    return work


def until(run: Run, ready: Callable[[], bool]) -> None:
    """Wait for something that a run does."""
    while not ready():
        assert run.process.poll() is None, run.wait()[1]
        time.sleep(0.02)


@contextlib.contextmanager
def begun(work: Work, *flags: str) -> Iterator[Run]:
    """A shard stage that has committed its first shard."""
    run = Run(work, "shard", 0, *flags)
    try:
        until(run, lambda: committed(work.shards) > 0)
        yield run
    finally:
        run.end()


def test_a_worker_that_is_killed_is_replaced(many, work, cluster):
    with begun(work, *cluster.flags(2)) as run:
        os.kill(cluster.workers()[0], signal.SIGKILL)
        code, words = run.wait()
    assert code == 0, words
    assert cluster.failures(cluster.jobs()[0]), "the job was restarted"
    assert digests(work.shards) == digests(many.shards)


def test_the_other_taskmanager_goes_on_where_one_was_killed(many, work, cluster):
    with begun(work, *cluster.flags(1)) as run:
        (host,) = cluster.shares(cluster.jobs("RUNNING")[0])
        lost = cluster.workers("pipelines.boot", host)
        cluster.services[host].process.kill()
        code, words = run.wait()
    assert lost
    assert code == 0, words
    assert set(cluster.shares(cluster.jobs()[0])) != {host}
    assert not set(lost) & set(cluster.workers()), "its workers ended with it"
    assert digests(work.shards) == digests(many.shards)


def test_a_job_whose_command_was_killed_gives_way_to_the_next_run(many, work, cluster):
    work.set(crop={"size": 128})
    with begun(work, *cluster.flags(1)) as first:
        (stopped,) = cluster.workers()
        os.kill(stopped, signal.SIGSTOP)
        first.process.kill()
    (old,) = cluster.jobs("RUNNING")
    work.set(crop={"size": 256})
    code, words = Run(work, "shard", 0, *cluster.flags(1)).wait()
    assert code == 0, words
    assert cluster.jobs("RUNNING") == [old], "it only waits"
    os.kill(stopped, signal.SIGCONT)
    cluster.until(lambda: old in cluster.jobs("FAILED"), "the end of the older job")
    assert "another run writes here now" in cluster.failures(old)[0]
    assert not [path for path in work.shards.rglob(".*") if path.suffix != ".part"]
    assert work.shard() == 0, "it clears what the older job had half-written"
    assert digests(work.shards) == digests(many.shards)


def test_a_second_run_is_refused_and_a_cancelled_job_is_continued(many, work, cluster):
    with begun(work, *cluster.flags(1)) as run:
        with pytest.raises(UsageError, match=f"^{work.shards}: another run is writing here; wait for it"):
            work.shard()
        cluster.cancel(cluster.jobs("RUNNING")[0])
        code, words = run.wait()
    assert code == 1
    assert "stopped: the job was cancelled; what is finished is kept: run again" in words
    assert "Traceback" not in words
    kept = committed(work.shards)
    assert 0 < kept < 18
    assert work.shard() == 0
    assert digests(work.shards) == digests(many.shards)


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_cancels_its_job(many, work, cluster, interrupt):
    with begun(work, *cluster.flags(1), f"--flink_master={cluster.url}") as run:
        run.process.send_signal(interrupt)
        code, words = run.wait()
    assert code == 130
    assert "the job is cancelled" in words
    assert "a rerun continues from here" in words
    assert "Traceback" not in words
    assert cluster.jobs()[:1] == cluster.jobs("CANCELED")[:1]
    assert work.shard() == 0
    assert digests(work.shards) == digests(many.shards)


def test_a_job_server_that_is_killed_ends_the_command(many, work, cluster):
    with begun(work, *cluster.flags(1)) as run:
        cluster.services["jobserver"].process.kill()
        code, words = run.wait()
    assert code == 1
    assert "stopped: the job service went away" in words
    assert "Traceback" not in words
    cluster.start_job_server()
    orphan = cluster.jobs()[0]
    cluster.until(lambda: orphan in cluster.jobs("FAILED", "FINISHED"), "the end of its job")
    assert work.shard() == 0
    assert digests(work.shards) == digests(many.shards)


def test_no_job_service_is_found_out_before_work_begins(work, monkeypatch):
    monkeypatch.setattr("pipelines.job_service._ANSWER", 1.0)
    with pytest.raises(UsageError, match=r"--job_endpoint=127\.0\.0\.1:9: no job service answers there"):
        work.shard("--runner=PortableRunner", "--job_endpoint=127.0.0.1:9")
    assert not committed(work.shards)


def test_a_full_disk_of_the_workers_ends_the_job_with_a_message(many, work, cluster, tmp_path):
    work.set(shard={"groups": 18}, frames={"count": 4})
    limited = write_worker(tmp_path / "limited", before="prlimit --fsize=200000")
    code, words = Run(work, "shard", 0, *cluster.flags(2, limited)).wait()
    assert code == 1
    assert f"stopped: {work.shards} " in words
    assert "file too large; raise the limit" in words
    assert "Traceback" not in words
    work.set(shard={"groups": 1}, frames={"count": 1})
    assert work.shard() == 0
    assert digests(work.shards) == digests(many.shards)


def reading(folder: Path) -> list[str]:
    """Words before a command that let it see a folder that nobody may write to."""
    script = f'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && exec "$@"'
    words = ["unshare", "-rm", "sh", "-c", script, "sh"]
    probe = subprocess.run([*words, "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no mount without privileges here: {probe.stderr.strip()}")
    return words


def read_only(many: Work, work: Work, run: Run) -> None:
    """A run that ends because it may not write; the next one may."""
    code, words = run.wait()
    assert code == 1
    assert f"stopped: {work.shards}" in words
    assert "read-only file system; mount it for writing" in words
    assert "Traceback" not in words
    assert work.shard() == 0
    assert digests(work.shards) == digests(many.shards)


def test_a_folder_that_workers_may_not_write_to(many, work, cluster, tmp_path):
    work.shards.mkdir()
    worker = write_worker(tmp_path / "worker", before=shlex.join(reading(work.shards)))
    read_only(many, work, Run(work, "shard", 0, *cluster.flags(1, worker)))


def test_a_folder_that_the_embedded_runner_may_not_write_to(many, work):
    work.shards.mkdir()
    read_only(many, work, Run(work, "shard", 1, prefix=reading(work.shards)))


def test_decoders_that_misbehave_and_a_clip_that_is_gone_cost_one_clip_each(
    cluster, tmp_path, tmp_path_factory
):
    good = good_work(tmp_path_factory)
    corpus = shutil.copytree(good.root.parent / "good", tmp_path / "corpus", copy_function=os.link)
    limits = {"clip_timeout": 8, "clip_memory": 4096, "max_failed_fraction": 0.5}
    work = open_work(tmp_path / "work", corpus, run=limits)
    for path in (good.clips, good.clips.with_name("clips.outcomes.parquet")):
        shutil.copy(path, work.root)
    shutil.copytree(good.tracks, work.tracks)
    gone = corpus / fake("000")
    gone.rename(tmp_path / "away")
    planted = (
        "import pipelines.clip_reader as reader; from tests import bad_decoders; from pipelines import boot;"
        "reader.fill_crops = bad_decoders.fill_crops; boot.main()"
    )
    worker = write_worker(tmp_path / "bad", run=f"-c '{planted}'")
    code, words = Run(work, "shard", 0, *cluster.flags(2, worker), "--root", str(corpus)).wait()
    assert code == 0, words
    assert not cluster.failures(cluster.jobs()[0]), "no worker was lost"
    found = {unit: o.reason for (stage, unit), o in outcomes(work).items() if o.status != "ok"}
    assert found == {
        fake("000"): "missing",
        fake("001"): "decode_crashed",
        fake("002"): "decode_timeout",
        fake("003"): "decode_crashed",
    }
    assert documented()["a decoder that hangs"] == ("shard", "failed, `decode_timeout`")
    (tmp_path / "away").rename(gone)
    assert work.shard("--retry-failed") == 0
    assert digests(work.shards, "*/*.tar") == digests(good.shards, "*/*.tar")
