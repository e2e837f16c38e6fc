"""What runs say while they work: log lines, metrics, and the status file."""

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from pipelines import logs, publish, status, status_file
from pipelines.progress import Looker, progress
from schemas.convert import from_row, json_schema
from schemas.outcome import Outcome
from schemas.paths import as_path
from schemas.sidecar import Sidecar
from schemas.status import RunStatus
from tests.work import digests, stamps

# Those that are to be built again.
SHARDS = {"test/demo-test-000000", "val/demo-val-000000"}


@pytest.fixture
def work(built, tmp_path):
    """All is built but some shards."""
    work = built.copy(tmp_path / "work")
    for key in SHARDS:
        publish.sidecar_path(work.shards, key).unlink()
    return work


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def read_status(path: Path) -> RunStatus:
    row = json.loads(path.read_text())
    jsonschema.validate(row, json_schema(RunStatus))
    return from_row(RunStatus, row)


def break_clip(work) -> str:
    """A fake that fails in `shard`, in a corpus of its own."""
    import pyarrow.parquet as pq

    rows = pq.read_table(work.clips).to_pylist()
    row = next(row for row in rows if (row["label"], row["split"]) == ("fake", "val"))
    root = work.root / "corpus"
    root.mkdir()
    source = Path(pq.read_schema(work.clips).metadata[b"root"].decode())
    for path in source.rglob("*"):
        target = root / path.relative_to(source)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif str(path.relative_to(source)) != row["clip"]:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return row["clip"]


@pytest.mark.parametrize("workers", [1, 2])
def test_lines_metrics_and_status_tell_one_story(work, workers, capfd):
    clip = break_clip(work)
    work.set(run={"max_failed_fraction": 0.0})
    flags = "--log-format=json", f"--direct_num_workers={workers}", "--root", str(work.root / "corpus")
    assert work.shard(*flags) == 3
    *said, end = capfd.readouterr().err.splitlines()
    assert "more than run.max_failed_fraction" in end
    told = lines("\n".join(said))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in told)
    assert {line["key"] for line in told if line["message"].endswith(": begins")} == SHARDS
    assert (os.getpid() in {line["pid"] for line in told if "key" in line}) == (workers == 1)
    done = {line["key"]: line for line in told if "seconds" in line}
    assert done.keys() == SHARDS
    (failed,) = [line for line in told if line["level"] == "warning"]
    assert (failed["stage"], failed["clip"], failed["reason"]) == ("shard", clip, "missing")
    assert failed["group"] in failed["message"]
    assert failed["key"] == "val/demo-val-000000"
    assert told[-1]["done"] == told[-1]["total"] == 2

    found = read_status(work.root / "shards.status.json")
    assert (found.state, found.exit_code, found.failed, found.done) == ("failed", 3, 1, 2)
    assert [(error.unit, error.reason) for error in found.errors] == [(clip, "missing")]
    metrics = found.metrics
    assert metrics["shard.failed.missing"] == metrics["shard.failed"] == 1
    sidecars = {key: sidecar for key in SHARDS if (sidecar := publish.read_sidecar(work.shards, key))}
    assert sidecars.keys() == SHARDS
    assert metrics["shard.ok"] + 1 == sum(len(sidecar.outcomes) for sidecar in sidecars.values())
    size = {key: sum(file.bytes for file in sidecar.files) for key, sidecar in sidecars.items()}
    assert {key: line["bytes"] for key, line in done.items()} == size
    assert {key: line["samples"] for key, line in done.items()} == {
        key: sidecar.samples for key, sidecar in sidecars.items()
    }
    assert metrics["shard.key_bytes.sum"] == sum(size.values())
    assert metrics["shard.key_samples.sum"] == sum(sidecar.samples for sidecar in sidecars.values())
    assert metrics["shard.key_ms.count"] == 2
    assert metrics["decoder.fill_crops.items.sum"] > 0
    assert metrics["decoder.fill_crops.ms.count"] == metrics["decoder.fill_crops.items.count"]


def test_text_says_nothing_more_than_progress_unless_it_is_asked_for(work, capfd, monkeypatch):
    clip = break_clip(work)
    assert work.shard("--root", str(work.root / "corpus")) == 0
    assert re.fullmatch(r"shard: 2 of 2 after \d+ s, 1 failed\n", capfd.readouterr().err)
    monkeypatch.setenv("LAE_LOG_LEVEL", "warning")
    assert work.shard("--root", str(work.root / "corpus"), "--retry-failed") == 0
    said = capfd.readouterr().err
    capfd.readouterr()
    assert status.main([str(work.root / "shards.status.json")]) == 0
    assert f"  {clip}: missing: " in capfd.readouterr().out
    assert re.search(
        rf"^WARNING: shard {clip}: failed missing: .*\(group youtube/\d+, in .*-000000\)$", said, re.M
    )
    assert "begins" not in said


def test_an_unknown_log_is_bad_usage(work, monkeypatch, capsys):
    from schemas.errors import UsageError

    monkeypatch.setenv("LAE_LOG_FORMAT", "xml")
    with pytest.raises(UsageError, match="LAE_LOG_FORMAT=xml: not one of text, json"):
        work.shard()
    monkeypatch.delenv("LAE_LOG_FORMAT")
    with pytest.raises(SystemExit):
        work.shard("--log-level=loud")


def test_the_status_file_stands_beside_the_results_and_changes_none(built, work, capsys):
    before = digests(built.shards)
    assert work.shard() == 0
    assert digests(work.shards) == before
    path = work.root / "shards.status.json"
    found = read_status(path)
    assert (found.stage, found.state, found.exit_code, found.step) == ("shard", "finished", 0, "shard")
    assert (found.total, found.done, found.looked, found.eta) == (2, 2, 2, 0.0)
    assert found.pid == os.getpid()
    assert not found.errors
    first = stamps(work.root)
    assert work.shard("--dry-run", "--status", str(path)) == 0
    assert stamps(work.root) == first
    assert work.shard("--status", "") == 0
    assert stamps(work.root)[path.name] == first[path.name], "none was asked for"
    elsewhere = work.root / "elsewhere.json"
    assert work.shard("--status", str(elsewhere)) == 0
    again = read_status(elsewhere)
    assert (again.total, again.done, again.ok) == (0, 0, found.ok), "nothing was left to do"
    capsys.readouterr()
    assert status.main([str(path), str(elsewhere)]) == 0
    assert "shard: finished with 0" in capsys.readouterr().out


def test_a_run_that_is_refused_leaves_the_others_status_alone(work):
    from schemas.errors import UsageError
    from schemas.files import exclusive

    path = work.root / "shards.status.json"
    path.write_text("another run's")
    with exclusive(work.shards), pytest.raises(UsageError, match="another run is writing here"):
        work.shard()
    assert path.read_text() == "another run's"


def test_a_killed_run_stays_running_in_its_status_and_is_told_to_be_dead(work, capsys, monkeypatch):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom pipelines import status_file\n"
        "file = status_file.StatusFile(Path(sys.argv[1]), 'shard', '')\n"
        "with status_file.kept(file):\n    file.step('shard')\n    time.sleep(60)\n"
    )
    path = work.root / "killed.json"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[1])
    try:
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert read_status(path).state == "running"
        assert status.main([str(path)]) == 0
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_status(path).pid == process.pid
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, "updated": "2026-01-01T00:00:00Z"}))
    capsys.readouterr()
    assert status.main([str(path)]) == 3
    assert "dead? silent for" in capsys.readouterr().out


def test_a_stopped_run_says_so(work, monkeypatch):
    from pipelines import engine
    from schemas.errors import StoppedError

    def stop(*arguments, **options):
        raise StoppedError("no room")

    monkeypatch.setattr(engine.beam, "Pipeline", stop)
    with pytest.raises(StoppedError, match="no room"):
        work.shard()
    found = read_status(work.root / "shards.status.json")
    assert (found.state, found.exit_code, found.done, found.total) == ("stopped", 1, 0, 2)


def test_a_status_may_be_behind_a_url_and_one_that_cannot_be_written_ends_nothing(tmp_path, capsys):
    url = f"memory://{tmp_path.name}/shards.status.json"
    with status_file.kept(status_file.StatusFile(as_path(url), "shard", "")) as told:
        told(0)
    assert status.main([url]) == 0
    assert f"{url}: shard: finished with 0" in capsys.readouterr().out
    (tmp_path / "file").touch()
    nowhere = tmp_path / "file/status.json"
    with status_file.kept(status_file.StatusFile(nowhere, "shard", "")) as told:
        status_file.current().step("shard")
        told(0)
    assert not nowhere.exists()


def test_what_is_no_status_is_bad_usage(tmp_path):
    from schemas.errors import UsageError

    (tmp_path / "other.json").write_text("{}")
    for name, said in (("missing.json", "name a status file"), ("other.json", "not a status file")):
        with pytest.raises(UsageError, match=said):
            status.main([str(tmp_path / name)])


def commit(folder: Path, key: str, outcome: str) -> None:
    made = Outcome("track", "d", key, key, outcome, "decode_error" if outcome == "failed" else "")  # type: ignore[arg-type]
    publish.commit(folder, key, Sidecar("digest", (made,), (), 1))


def test_a_look_counts_what_is_committed_and_weighs_what_is_left(tmp_path):
    looker = Looker({"a/long": 9.0, "a/b/short": 1.0, "c/never": 10.0}, tmp_path)
    assert looker.look().eta is None
    commit(tmp_path, "a/unknown", "ok")
    commit(tmp_path, "a/long", "ok")
    commit(tmp_path, "a/b/short", "failed")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/.never.json.x.part").touch()
    seen = looker.look()
    assert (seen.done, seen.total, seen.looked) == (2, 3, 2)
    assert seen.counts == {"ok": 1, "failed": 1}
    assert [error.unit for error in seen.errors] == ["a/b/short"]
    assert seen.eta == pytest.approx(seen.elapsed), "half of the cost is done"
    commit(tmp_path, "c/never", "skipped")
    assert looker.look().eta == 0.0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_that_log_lines_do_not_tear(tmp_path):
    commit(tmp_path, "a/one", "failed")
    said = Terminal()
    before = logs.current()
    logs.configure(logs.LogSettings("text", "info"))
    try:
        with progress({"a/one": 1.0, "a/two": 1.0}, "track", tmp_path, said), logs.said_to(said):
            commit(tmp_path, "a/two", "ok")
            logging.getLogger("pipelines.here").info("a line of its own")
    finally:
        logs.configure(before)
    assert "INFO: a line of its own\n" in said.getvalue()
    assert "2/2" in said.getvalue()
    assert "1 failed" in said.getvalue().splitlines()[-1]


def test_looking_costs_one_listing_however_many_are_waited_for(tmp_path, monkeypatch):
    """A look stats no sidecar: of a hundred thousand that are waited for, it asks for none."""
    asked = []
    monkeypatch.setattr(Path, "exists", lambda path: asked.append(path))
    monkeypatch.setattr(Path, "stat", lambda path, **kwargs: asked.append(path))
    listed = []
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: listed.append(top) or walk(top))
    looker = Looker({f"groups/{number}": 1.0 for number in range(100_000)}, tmp_path)
    assert looker.look().done == 0
    assert not asked
    assert listed == [tmp_path]


def test_lines_of_many_processes_are_whole(tmp_path, capfd):
    """Four processes relay at once; each line is one JSON object."""
    code = (
        "import sys, logging\nfrom pipelines import logs\n"
        "logs.use(logs.LogSettings('json', 'info', sys.argv[1]))\n"
        "log = logging.getLogger('pipelines.x')\n"
        "for n in range(50): log.info('line %d', n, extra={'fields': {'n': n}})\n"
    )
    before = logs.current()
    logs.configure(logs.LogSettings("json", "info"))
    try:
        with logs.relayed() as settings:
            command = [sys.executable, "-c", code, settings.relay]
            processes = [subprocess.Popen(command, cwd=Path(__file__).parents[1]) for _ in range(4)]
            assert [process.wait(60) for process in processes] == [0] * 4
    finally:
        logs.configure(before)
    said = lines(capfd.readouterr().err)
    assert sorted(line["n"] for line in said) == sorted(4 * list(range(50)))
