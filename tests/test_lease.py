import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines import publish
from pipelines.engine import Work, run
from pipelines.lease import Lease, claim
from schemas import files
from schemas.errors import StoppedError
from schemas.outcome import Outcome
from schemas.sidecar import Sidecar

ONE = ["--runner=FnApiRunner", "--direct_num_workers=1"]
TWO = ["--direct_num_workers=2"]
TWICE = [*ONE, "--direct_runner_bundle_repeat=1"]


@dataclasses.dataclass
class Writer:
    """Commits its unit as text, and counts how often; another run comes before the file is whole, if told."""

    folder: Path
    log: Path
    another: bool = False

    def setup(self) -> None:
        pass

    def teardown(self) -> None:
        pass

    def build(self, key: str, units: Sequence[str], lease) -> list[Outcome]:
        with self.log.open("a") as log:
            log.write(f"{key}\n")
        path = self.folder / f"{key}.txt"
        with files.atomic_write(path, lease.check) as file:
            file.write(units[0].encode())
            if self.another:
                files.write_json(self.folder / ".run.json", {"run": "a newer one"})
        outcome = Outcome("shard", "demo", key, key, "ok", made=1)
        publish.commit(self.folder, key, Sidecar("1", (outcome,), (publish.describe(path),)), lease.check)
        return [outcome]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def writer(folder, tmp_path):
    return Writer(folder, tmp_path / "log")


WORK = [Work(f"a/{n}", "1", f"unit {n}") for n in range(4)]


@pytest.mark.parametrize("flags", [ONE, TWO, TWICE])
def test_each_result_is_built_once_however_often_its_bundle_runs(writer, folder, flags):
    run(WORK, writer, flags, "test", folder)
    assert sorted(writer.log.read_text().split()) == [item.key for item in WORK]
    assert {path.read_text() for path in folder.rglob("*.txt")} == {item.unit for item in WORK}
    assert not list(folder.rglob(".*"))


def test_a_result_of_another_plan_is_built_again(writer, folder):
    run(WORK, writer, ONE, "test", folder)
    run([dataclasses.replace(WORK[0], digest="2", unit="changed"), *WORK[1:]], writer, ONE, "test", folder)
    assert writer.log.read_text().split().count("a/0") == 2
    assert writer.log.read_text().split().count("a/1") == 1
    assert (folder / "a/0.txt").read_text() == "changed"


@pytest.mark.parametrize("flags", [ONE, TWO])
def test_a_run_that_another_one_superseded_puts_nothing_in_place(writer, folder, flags):
    with pytest.raises(StoppedError, match=r"out: another run writes here now.*any more\Z"):
        run(WORK, dataclasses.replace(writer, another=True), flags, "test", folder)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [".run.json"]


def test_a_lease_ends_with_its_run_but_not_with_a_kill(folder):
    with claim(folder) as lease:
        lease.check()
    with pytest.raises(StoppedError, match="has ended"):
        lease.check()
    assert not list(folder.iterdir())
    files.write_json(folder / ".run.json", {"run": "killed"})
    lease = Lease(folder, "killed")
    lease.check()
    with claim(folder) as newer:
        newer.check()
        with pytest.raises(StoppedError, match="another run"):
            lease.check()
