"""Evaluations side by side."""

import json

import pytest

from schemas.errors import UsageError
from training import rounds


def _evaluation(folder, labelled, sources=(), split="test", where="", digest="d" * 64, **metrics):
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    run = {"labelled": labelled, "images": 1000, "sources": sources}
    details = {"run": run, "split": split, "where": where, "digest": digest}
    (folder / "evaluation.json").write_text(json.dumps(details))
    return folder


def test_a_line_an_evaluation_with_the_share_of_masks(tmp_path, capsys):
    first = _evaluation(tmp_path / "r0", 0, auc_seen=0.9, auc_unseen=0.5)
    second = _evaluation(tmp_path / "r1", 29, ["human", "oracle"], auc_seen=0.8, auc_unseen=None)
    assert rounds.main([str(first), str(second)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["r0", "0.0%", "-", "0.900", "0.500"]
    assert lines[2].split()[:7] == ["r1", "2.9%", "people", "and", "oracle", "0.800", "-"]
    assert lines[3].startswith("see ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": "val"}, "split (r0: 'test', r1: 'val')"),
        ({"where": "method == 'x'"}, "where (r0: '', r1: \"method == 'x'\")"),
        ({"digest": "e"}, "digest of the test data"),
    ],
)
def test_evaluations_of_other_images_are_warned_of(tmp_path, change, said):
    first, second = _evaluation(tmp_path / "r0", 0), _evaluation(tmp_path / "r1", 0, **change)
    (warning,) = (line for line in rounds.compare([first, second]) if line.startswith("warning: "))
    assert said in warning
    assert ";" not in warning


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"run": {"labelled": 1, "images": 0}}'])
def test_a_folder_without_an_evaluation_is_named(tmp_path, text):
    folder = _evaluation(tmp_path / "r0", 0)
    if text is None:
        (folder / "evaluation.json").unlink()
    else:
        (folder / "evaluation.json").write_text(text)
    with pytest.raises(UsageError, match="r0: holds no evaluation"):
        rounds.compare([folder])
