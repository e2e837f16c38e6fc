"""The audit stage as a person runs it: what it finds, says and refuses."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines import audit
from schemas import files
from schemas.errors import UsageError
from schemas.leak import Leak
from tests.shards_factory import (
    Corpus,
    edit_json,
    make_shards,
    read_metrics,
    run_audit,
    write_tar,
)

TRAIN = "train/demo-train-000000.tar"


@pytest.fixture
def shards(tmp_path):
    """A folder of whole shards."""
    return make_shards(tmp_path / "shards")


def test_whole_shards_pass(shards, tmp_path, capsys):
    assert run_audit(tmp_path) == 0
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("pass")] == [
        "pass balance",
        "pass integrity",
        "pass leaks",
        "pass counts",
    ]
    metrics = read_metrics(tmp_path)
    table = pq.read_table(shards / "index.parquet")
    assert metrics["samples"] == table.num_rows == metrics["samples_real"] + metrics["samples_fake"]
    assert metrics["clips"] == len(set(table["clip"].to_pylist()))
    assert metrics["shard_failed"] == 1
    assert metrics["findings_integrity"] == metrics["leaks"] == 0
    assert files.read_rows(tmp_path / "report/leaks.parquet", Leak) == []


def test_same_shards_give_the_same_bytes_and_are_not_read_again(shards, tmp_path):
    def made_files(out: str) -> dict[str, bytes]:
        folder = tmp_path / out
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and ".verified" not in path.parts
        }

    assert run_audit(tmp_path, drawn=True) == run_audit(tmp_path, out="other", drawn=True) == 0
    assert made_files("report") == made_files("other")
    assert run_audit(tmp_path) == 0
    without_plots = made_files("report")
    verified = {path: path.stat().st_mtime_ns for path in (tmp_path / "report/.verified").rglob("*.json")}
    assert len(verified) == 3
    (tmp_path / "report/plots/stale.png").write_bytes(b"")
    assert run_audit(tmp_path) == 0
    assert made_files("report") == without_plots
    assert verified == {path: path.stat().st_mtime_ns for path in verified}
    assert run_audit(tmp_path, "--reverify") == 0
    assert all(path.stat().st_mtime_ns > before for path, before in verified.items())


@pytest.mark.parametrize("unit", ["frame", "sequence"])
def test_both_units_pass(tmp_path, unit):
    make_shards(tmp_path / "shards", Corpus(unit=unit, groups=4, frames=2))
    assert run_audit(tmp_path) == 0
    metrics = read_metrics(tmp_path)
    assert metrics["images"] == metrics["samples"] * (2 if unit == "sequence" else 1)
    assert b"data:image/jpeg" in (tmp_path / "report/report.html").read_bytes()


def test_damage_fails_the_run_and_is_named(shards, tmp_path, capsys):
    (shards / TRAIN).write_bytes((shards / TRAIN).read_bytes()[:-20_000])  # More than tar's padding.
    (shards / "val/demo-val-000000.tar").unlink()
    (shards / "test/demo-test-000000.parquet").write_bytes(b"not Parquet")
    write_tar(shards / "test/old.tar", [])
    assert run_audit(tmp_path) == 3
    said = capsys.readouterr()
    assert "failed: integrity" in said.err
    for place in (
        "train/demo-train-000000.tar: unreadable stops after",
        "val/demo-val-000000.tar: missing No such file",
        "test/demo-test-000000.tar: rows demo-test-000000.parquet: ",
        "demo: stray test/old.tar",
    ):
        assert place in said.out
    assert read_metrics(tmp_path)["findings_integrity"] >= 4


def test_retry_failed_reads_only_shards_with_findings(shards, tmp_path):
    whole = (shards / TRAIN).read_bytes()
    (shards / TRAIN).write_bytes(whole[:-4096])
    assert run_audit(tmp_path) == 3
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "report/.verified").rglob("*.json")}
    assert run_audit(tmp_path) == 3
    assert before == {path: path.stat().st_mtime_ns for path in before}
    (shards / TRAIN).write_bytes(whole)
    assert run_audit(tmp_path, "--retry-failed") == 0
    again = [path.stem for path, time in before.items() if path.stat().st_mtime_ns > time]
    assert again == ["demo-train-000000"]
    assert not list((tmp_path / "report/.verified").rglob("*.parquet"))


def test_retry_failed_reads_shards_that_were_never_read(shards, tmp_path, capsys):
    assert run_audit(tmp_path, "--retry-failed") == 0
    assert "3 shards read to their end" in capsys.readouterr().out


def write_params(tmp_path: Path, text: str) -> tuple[str, str]:
    (tmp_path / "params.yaml").write_text(text)
    return "--params", str(tmp_path / "params.yaml")


def test_leaks_fail_above_the_limit_and_say_which(tmp_path, capsys):
    make_shards(tmp_path / "shards", Corpus(leak=True))
    assert run_audit(tmp_path) == 3
    said = capsys.readouterr().out
    assert "youtube:straddler" in said
    assert "6 of 6 test clips (100%)" in said
    assert "split: repaired" in said
    (leak,) = files.read_rows(tmp_path / "report/leaks.parquet", Leak)
    assert (leak.identity, leak.splits, leak.counts) == ("youtube:straddler", ("train", "test"), (6, 6))
    html = (tmp_path / "report/report.html").read_text()
    assert "6 of\n  6 test clips (100%)" in html
    for limit in (1, -1):
        assert run_audit(tmp_path, *write_params(tmp_path, f"audit: {{max_leaks: {limit}}}")) == 0
        assert "youtube:straddler" in (tmp_path / "report/report.html").read_text()


def test_several_datasets_in_one_report(tmp_path):
    for name in ("one", "two"):
        make_shards(tmp_path / name, Corpus(dataset=name, frames=1, terms=f"Terms of {name}."))
    assert run_audit(tmp_path, shards=("one", "two")) == 0
    html = (tmp_path / "report/report.html").read_text()
    assert "Audit of one, two" in html
    assert "Terms of one." in html
    assert "Terms of two." in html
    single = pq.read_metadata(tmp_path / "one/index.parquet").num_rows
    assert read_metrics(tmp_path)["samples"] == 2 * single


def test_one_dataset_twice_has_duplicate_keys(tmp_path, capsys):
    for name in ("one", "two"):
        make_shards(tmp_path / name, Corpus(frames=1))
    assert run_audit(tmp_path, shards=("one", "two")) == 3
    assert "all datasets: duplicate_key" in capsys.readouterr().out


def test_shards_without_samples_make_a_report(tmp_path):
    make_shards(tmp_path / "shards", Corpus(frames=0))
    assert run_audit(tmp_path) == 0
    assert read_metrics(tmp_path)["samples"] == 0
    make_shards(tmp_path / "nothing", Corpus(groups=0))
    assert run_audit(tmp_path, shards=("nothing",)) == 0


def test_only_real_clips_make_a_report(tmp_path):
    make_shards(tmp_path / "shards", Corpus(methods=(), failed=0))
    assert run_audit(tmp_path) == 0
    assert "There are no fakes." in (tmp_path / "report/report.html").read_text()


def test_dry_run_writes_nothing(shards, tmp_path, capsys):
    assert run_audit(tmp_path, "--dry-run") == 0
    assert "would read 3 of 3 shards" in capsys.readouterr().out
    assert not (tmp_path / "report").exists()


def test_show_says_what_a_report_says(shards, tmp_path, capsys):
    (shards / "val/demo-val-000000.tar").unlink()
    assert run_audit(tmp_path) == 3
    capsys.readouterr()
    assert audit.main(["--show", str(tmp_path / "report")]) == 3
    said = capsys.readouterr().out
    assert re.search(r"^Samples +\d+  \d+ real, \d+ fake$", said, re.MULTILINE)
    assert re.search(r"^Shards are whole +FAILED$", said, re.MULTILINE)
    with pytest.raises(UsageError, match="no report in it"):
        audit.main(["--show", str(shards)])
    with pytest.raises(SystemExit, match="2"):
        audit.main(["--shards", str(shards)])


def version(shards: Path) -> None:
    edit_json(shards / "index.json", lambda index: index.update(schema_version=99))


def kind(shards: Path) -> None:
    edit_json(shards / "index.json", lambda index: index.update(unit="video"))


def escape(shards: Path) -> None:
    edit_json(shards / "index.json", lambda index: index["shardlist"][0].update(url="../../x.tar"))


def columns(shards: Path) -> None:
    table = pq.read_table(shards / "index.parquet")
    pq.write_table(table.drop_columns("method"), shards / "index.parquet")


def types(shards: Path) -> None:
    table = pq.read_table(shards / "index.parquet")
    pq.write_table(table.set_column(11, "track", table["track"].cast("string")), shards / "index.parquet")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda shards: (shards / "index.json").unlink(), r"index\.json: no such file.*the shard stage"),
        (lambda shards: (shards / "index.json").write_text("{"), r"index\.json: not readable JSON"),
        (lambda shards: (shards / "index.json").write_text("[]"), r"holds a list, not an index"),
        (lambda shards: (shards / "index.json").write_text("{}"), r"not an index of our shards"),
        (version, r"schema_version is 99, this code reads 1"),
        (kind, r"unit 'video'"),
        (escape, r"not a shard: .*\.\./\.\./x\.tar"),
        (lambda shards: (shards / "index.parquet").unlink(), r"index\.parquet: no such file"),
        (lambda shards: (shards / "index.parquet").write_text("x"), r"not a readable Parquet file"),
        (columns, r"index\.parquet: its columns are not those of Sample .*method"),
        (types, r"index\.parquet: its columns are not those of Sample .*track"),
        (lambda shards: (shards / "clips.parquet").unlink(), r"clips\.parquet: no such file"),
    ],
)
def test_a_folder_that_is_not_shards_is_refused(shards, tmp_path, harm, message):
    harm(shards)
    with pytest.raises(UsageError, match=message):
        run_audit(tmp_path)
    assert not (tmp_path / "report").exists()


def test_other_bad_usage_is_refused(shards, tmp_path):
    with pytest.raises(UsageError, match="nothing: no such folder"):
        run_audit(tmp_path, shards=("nothing",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no finished shards"):
        run_audit(tmp_path, shards=("empty",))
    with pytest.raises(UsageError, match="give another folder"):
        run_audit(tmp_path, out="shards/report")
