"""More units than a graph can take: files that workers share carry them, and nothing else changes."""

import shutil

import apache_beam as beam
import pytest

from pipelines import engine, units
from pipelines.engine import BuildAll, Work, longest_first, run
from pipelines.lease import claim
from schemas import files
from schemas.errors import StoppedError
from tests import portable
from tests.test_lease import ONE, TWO, Writer
from tests.work import digests

# A message between Beam's parts may have 4 MiB unless both are told otherwise.
GRPC = 4 << 20
MANY = [Work(f"a/{n:04d}", "1", f"unit {n} {'.' * 50_000}", cost=n % 7) for n in range(120)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def writer(folder, tmp_path):
    return Writer(folder, tmp_path / "log")


def check(writer):
    built = {path.stem: path.read_text() for path in writer.folder.rglob("*.txt")}
    assert built == {item.key.removeprefix("a/"): item.unit for item in MANY}
    assert sorted(writer.log.read_text().split()) == [item.key for item in MANY]
    assert not list(writer.folder.rglob(".*"))


@pytest.mark.parametrize("flags", [ONE, TWO])
def test_units_of_any_size_are_built_once_and_leave_no_file(writer, folder, flags):
    run(MANY, writer, flags, "test", folder)
    check(writer)


def test_a_pool_of_workers_reads_them_too(writer, folder, tmp_path):
    with portable.job_service(tmp_path) as service, portable.worker_pool(tmp_path) as pool:
        run(MANY, writer, portable.flags(service, pool), "test", folder)
    check(writer)


@pytest.mark.parametrize("number", [1, 60, 120])
def test_a_graph_stays_small_enough_for_a_message(writer, folder, number):
    with claim(folder) as lease, units.handed_out(longest_first(MANY[:number]), lease, units.MOST) as handed:
        pipeline = beam.Pipeline(runner="FnApiRunner")
        pipeline | BuildAll(handed, writer, lease)
        assert len(pipeline.to_runner_api().SerializeToString()) < GRPC
        assert bool(handed.chunks) == (number == 120)
        assert all((folder / name).stat().st_size < 1.01 * units.MOST for name in handed.chunks)


def test_the_longest_come_first_through_files_too(folder):
    with claim(folder) as lease, units.handed_out(longest_first(MANY), lease, units.MOST) as handed:
        read = [item for name in handed.chunks for item in units.read_chunk(folder / name)]
    assert read == list(longest_first(MANY))
    cost = {item.key: item.cost for item in MANY}
    assert [cost[key] for key, _ in read] == sorted(cost.values(), reverse=True)


def test_files_go_when_units_cannot_be_had(folder):
    def broken():
        yield from ((f"a/{number}", "." * 1000) for number in range(1000))
        raise RuntimeError("a planted bug")

    with (
        claim(folder) as lease,
        pytest.raises(RuntimeError, match="a planted bug"),
        units.handed_out(broken(), lease, 100_000),
    ):
        pass
    assert not list(folder.iterdir())


def test_a_run_that_another_one_superseded_reads_no_units(writer, folder):
    with claim(folder) as lease, units.handed_out(longest_first(MANY), lease, units.MOST) as handed:
        pipeline = beam.Pipeline(runner="FnApiRunner")
        pipeline | BuildAll(handed, writer, lease)
        files.write_json(folder / ".run.json", {"run": "a newer one"})
        with pytest.raises(StoppedError, match="another run"):
            pipeline.run()
    assert not writer.log.exists()


def test_stages_make_the_same_bytes(built, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "MOST", 1)
    work = built.copy(tmp_path / "work")
    shutil.rmtree(work.tracks)
    shutil.rmtree(work.shards)
    assert work.track() == work.shard() == 0
    assert digests(work.tracks) == digests(built.tracks)
    assert digests(work.shards) == digests(built.shards)


def test_the_next_run_removes_what_a_killed_one_left(built, tmp_path):
    work = built.copy(tmp_path / "work")
    left = work.shards / ".units-0123-000000.part"
    left.write_bytes(b"")
    assert work.shard() == 0
    assert not left.exists()
