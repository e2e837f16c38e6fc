"""What the audit finds on two sides of the split, over several datasets, and how it ends."""

from pathlib import Path

import pytest

from pipelines.shard_folder import read_folder
from schemas import Clip, Leak, files
from schemas.clip import Split
from tests.shards_factory import Corpus, edit_parquet, make_shards, read_metrics, run_audit
from transforms.indexing.layout import Declared
from transforms.indexing.moves import apply_moves, read_moves
from transforms.leaks import find_leaks

OTHER: tuple[Split, ...] = ("test", "train", "val", "test")  # of SPLITS, group 0 is on another side


def found(tmp_path: Path) -> list[Leak]:
    return files.read_rows(tmp_path / "report/leaks.parquet", Leak)


def make_two(tmp_path: Path, **other: object) -> None:
    """Two datasets with the same pictures; the first group is on two sides."""
    make_shards(tmp_path / "one", Corpus(dataset="one", frames=2))
    make_shards(tmp_path / "two", Corpus(dataset="two", frames=2, splits=OTHER, **other))  # type: ignore[arg-type]


TWO = ("one", "two")


def test_shared_identities_of_two_datasets_are_found(tmp_path, capsys):
    make_two(tmp_path)
    assert run_audit(tmp_path, shards=TWO) == 3
    (leak,) = found(tmp_path)
    assert (leak.kind, leak.identity, leak.splits) == ("identity", "youtube:v000", ("train", "test"))
    assert leak.groups == ("one/000", "two/000")
    assert "1 identity on more than one side" in capsys.readouterr().out
    metrics = read_metrics(tmp_path)
    assert (metrics["leaks"], metrics["lookalikes"]) == (1, 0)


@pytest.mark.parametrize("form", [{}, {"unit": "sequence"}, {"image": "png"}, {"size": 96}])
def test_copies_without_an_identity_are_found_by_their_looks(tmp_path, capsys, form):
    make_two(tmp_path, who="w", **form)
    assert run_audit(tmp_path, shards=TWO) == 3
    assert "1 lookalike on more than one side" in capsys.readouterr().out
    (leak,) = found(tmp_path)
    assert (leak.kind, leak.identity, leak.splits) == ("lookalike", "", ("train", "test"))
    assert leak.groups == ("one/000", "two/000")
    assert leak.counts > (0, 0)
    assert leak.similarity > 0.88
    assert [sample.split("/")[0] for sample in leak.samples] == ["one", "two"]
    metrics = read_metrics(tmp_path)
    assert (metrics["leaks"], metrics["lookalikes"]) == (1, 1)
    html = (tmp_path / "report/report.html").read_text().replace("<wbr>", "")
    assert "Two crops that look alike" in html
    assert all(name in html for name in (*leak.clips, *leak.samples))
    assert run_audit(tmp_path, shards=TWO) == 3  # From what was kept of the shards.
    assert found(tmp_path) == [leak]


def test_a_file_that_is_there_twice_is_found(tmp_path):
    make_two(tmp_path, who="w")

    def twin(rows: list[dict]) -> list[dict]:
        return [row | {"sha256": "e" * 64} if row["clip"] == "real/c23/001.mp4" else row for row in rows]

    edit_parquet(tmp_path / "one/clips.parquet", twin)
    edit_parquet(
        tmp_path / "two/clips.parquet",
        lambda rows: [
            row | {"sha256": "e" * 64} if row["group"] == "002" and row["reference"] else row for row in rows
        ],
    )
    assert run_audit(tmp_path, shards=TWO) == 3
    named = [leak for leak in found(tmp_path) if leak.kind == "identity"]
    assert [(leak.identity, leak.clips) for leak in named] == [
        ("file:" + "e" * 64, ("one/real/c23/001.mp4", "two/real/c23/002.mp4"))
    ]


def clips_of(tmp_path: Path) -> list[Clip]:
    return [clip for name in TWO for clip in read_folder(tmp_path / name).clips]


def test_fix_writes_moves_after_which_nothing_leaks(tmp_path, capsys):
    make_two(tmp_path, who="w")
    assert run_audit(tmp_path, shards=TWO) == 3
    assert not (tmp_path / "report/moves.csv").exists()
    assert run_audit(tmp_path, "--fix", shards=TWO) == 3
    said = capsys.readouterr().out
    assert "fix: one: 1 from train to test, of 4 groups" in said
    assert f"--moves {tmp_path / 'report/moves.csv'}" in said
    moves = read_moves(tmp_path / "report/moves.csv")
    assert [(move.dataset, move.group, move.before, move.after) for move in moves] == [
        ("one", "000", "train", "test")
    ]
    assert "looks like two/" in moves[0].because
    moved = [
        clip
        for name in TWO
        for clip in apply_moves(Declared(read_folder(tmp_path / name).clips, ()), name, moves).clips
    ]
    assert find_leaks(moved) == []
    make_shards(tmp_path / "one", Corpus(dataset="one", frames=2, splits=("test", "train", "val", "test")))
    assert run_audit(tmp_path, "--fix", shards=TWO) == 0
    assert "nothing to move" in capsys.readouterr().out
    assert read_moves(tmp_path / "report/moves.csv") == moves  # They are needed again at the next index.


def test_a_clean_tree_moves_nothing(tmp_path):
    make_shards(tmp_path / "one", Corpus(dataset="one", groups=8, frames=4))
    make_shards(tmp_path / "two", Corpus(dataset="two", groups=8, frames=4, who="w"))
    assert run_audit(tmp_path, "--fix", shards=TWO) == 0
    assert found(tmp_path) == []
    assert read_moves(tmp_path / "report/moves.csv") == []


def test_the_report_shows_what_each_dataset_brings(tmp_path):
    make_shards(tmp_path / "one", Corpus(dataset="one", frames=2, failed=0))
    make_shards(tmp_path / "two", Corpus(dataset="two", frames=2, failed=0, methods=("PGGAN",), who="w"))
    assert run_audit(tmp_path, shards=TWO) == 0
    html = " ".join((tmp_path / "report/report.html").read_text().split())
    assert html.count("share of fakes") >= 2
    assert '<td>fake</td><td>PGGAN</td><td class="n">8</td><td class="n">4</td><td class="n">4</td>' in html
    assert '<td>share of fakes</td><td class="n">50%</td>' in html
    assert '<td>share of fakes</td><td class="n">67%</td>' in html
