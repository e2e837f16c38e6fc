"""Evaluations side by side."""

import json

import pytest

from schemas.errors import UsageError
from training import rounds


def _evaluation(folder, labelled, **metrics):
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "evaluation.json").write_text(json.dumps({"run": {"labelled": labelled, "images": 1000}}))
    return folder


def test_a_line_an_evaluation_with_the_share_of_masks(tmp_path, capsys):
    first = _evaluation(tmp_path / "r0", 0, auc_seen=0.9, auc_unseen=0.5)
    second = _evaluation(tmp_path / "r1", 29, auc_seen=0.8, auc_unseen=None)
    assert rounds.main([str(first), str(second)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["r0", "0.0%", "0.900", "0.500"]
    assert lines[2].split()[:4] == ["r1", "2.9%", "0.800", "-"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"run": {"labelled": 1, "images": 0}}'])
def test_a_folder_without_an_evaluation_is_named(tmp_path, text):
    folder = _evaluation(tmp_path / "r0", 0)
    if text is None:
        (folder / "evaluation.json").unlink()
    else:
        (folder / "evaluation.json").write_text(text)
    with pytest.raises(UsageError, match="r0: holds no evaluation"):
        rounds.compare([folder])
