"""Strokes that are drawn in Chromium, in a real Label Studio. Asked for by LAE_BROWSER_TEST=1."""

import itertools
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipelines.annotation.label_studio_client import TOKEN
from schemas.files import write_rows
from schemas.request import LabelRequest
from tests import label_studio
from tests.labels_factory import POINTS, disc, read_mask, request, run

SIZE = 256
CHROMIUM = Path("/usr/bin/chromium")


@pytest.mark.skipif(
    os.environ.get("LAE_BROWSER_TEST") != "1", reason="draws in Chromium; ask with LAE_BROWSER_TEST=1"
)
@pytest.mark.timeout(900)
def test_strokes_come_back_as_drawn(tmp_path, monkeypatch):
    assert CHROMIUM.exists(), "install it: apt-get install chromium"
    bin_ = label_studio.install()
    subprocess.run(
        [bin_ / "python", "-m", "pip", "install", "--quiet", "playwright"], check=True, timeout=300
    )
    folder, out = tmp_path / "requests", tmp_path / "out"
    picture = np.full((SIZE, SIZE, 3), 160, np.uint8)
    points = tuple((4 * x, 4 * y) for x, y in POINTS)
    proposals = np.zeros((SIZE, SIZE), np.uint8), disc(5, 9, 50, SIZE).astype(np.uint8) * 200
    rows = [
        request(folder, f"k{i}", picture, p, i, points) for i, p in enumerate([*proposals, proposals[1]], 1)
    ]
    write_rows(folder / "requests.parquet", LabelRequest, rows)
    stroke = [(0.35, 0.4), (0.65, 0.4), (0.65, 0.6)]
    with label_studio.serve(tmp_path / "server") as server:
        monkeypatch.setenv(TOKEN, server.token)
        monkeypatch.setattr("pipelines.annotation.label_studio.HIDDEN", 0.0)
        source = f"label-studio:{server.url}"
        run(folder, source, out)
        tasks = json.loads((out / "export.json").read_text())
        answers = [
            {
                "task": task["id"],
                "verdict": "forged",
                "stroke": line,
                "screenshot": str(tmp_path / f"{number}.png"),
            }
            for number, (task, line) in enumerate(zip(tasks, (stroke, [], stroke), strict=True))
        ]
        told = {"url": server.url, "email": server.email, "password": server.password, "answers": answers}
        (tmp_path / "told.json").write_text(json.dumps({**told, "project": tasks[0]["project"]}))
        script = Path(label_studio.__file__).with_name("label_studio_stroke.py")
        command = [bin_ / "python", script, tmp_path / "told.json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == []  # the page asked no other host
        made, annotations = run(folder, source, out)
    drawn, untouched, both = (read_mask(out, made[row.request_id].mask) for row in rows)
    origins = {row.request_id: row.origin for row in annotations}
    assert [origins[row.request_id] for row in rows] == ["manual", "prediction", "manual,prediction"]
    assert (untouched == (proposals[1] > 127)).all()
    width = drawn[:, SIZE // 2].sum()
    assert 2 < width < 30
    away = distance(stroke)
    assert drawn[away < width / 2 - 1].all()
    assert not drawn[away > width / 2 + 1.5].any()
    assert (both == drawn | untouched).all()


def distance(stroke):
    """From each pixel to the line, in pixels: (SIZE, SIZE)."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    found = np.full((SIZE, SIZE), np.inf)
    for (x0, y0), (x1, y1) in itertools.pairwise(stroke):
        for step in np.linspace(0, 1, 400):
            px, py = SIZE * (x0 + step * (x1 - x0)), SIZE * (y0 + step * (y1 - y0))
            found = np.minimum(found, np.hypot(x - px, y - py))
    return found
