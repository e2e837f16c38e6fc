"""A round through a real Label Studio server: push, answer over its API, pull, compare pixels."""

import dataclasses
import json
import re
import uuid
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
import yaml

from pipelines.annotation.label_studio_client import TOKEN
from schemas.errors import UsageError
from schemas.files import read_rows
from schemas.label import Label
from schemas.request import LabelRequest
from tests.label_studio import Server, serve
from tests.labels_factory import SIZE, contents, disc, make_requests, read_mask, run
from tests.shards_factory import Corpus, make_shards
from tests.training_data import TINY
from training import request, train
from transforms import brush_rle

COUNT = 60  # more than one batch is pushed


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("label-studio")) as running:
        yield running


def region(mask, size=SIZE):
    value = {"format": "rle", "rle": brush_rle.encode(mask), "brushlabels": ["forged"]}
    shape = {"original_width": size, "original_height": size, "image_rotation": 0}
    return {
        "id": "m",
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "image",
        **shape,
        "value": value,
    }


def choice(verdict):
    return {"type": "choices", "from_name": "verdict", "to_name": "image", "value": {"choices": [verdict]}}


class Project:
    """What an annotator, or whoever looks after the server, does over the API."""

    def __init__(self, server: Server, title: str = ""):
        self.url, self.session = server.url, server.session()
        projects = self._ask("GET", "/api/projects/")["results"]
        (self.project,) = (project for project in projects if project["title"].startswith(title))
        self.tasks = {task["data"]["request_id"]: task for task in self.export()}

    def _ask(self, method, path, **rest):
        response = self.session.request(method, f"{self.url}{path}", **rest)
        assert response.ok, response.text
        return response.json() if response.content else None

    def export(self):
        query = {"exportType": "JSON", "download_all_tasks": "true"}
        return self._ask("GET", f"/api/projects/{self.project['id']}/export", params=query)

    def predictions(self, request):
        return self._ask("GET", "/api/predictions/", params={"task": self.tasks[request]["id"]})

    def picture(self, request):
        return self.session.get(self.url + self.tasks[request]["data"]["image"]).content

    def add_user(self, name):
        return self._ask("POST", "/api/users/", json={"email": f"{name}@example.org", "username": name})["id"]

    def answer(self, request, *results, **more):
        path = f"/api/tasks/{self.tasks[request]['id']}/annotations/"
        return self._ask("POST", path, json={"result": list(results), **more})["id"]

    def change(self, annotation, *results):
        self._ask("PATCH", f"/api/annotations/{annotation}/", json={"result": list(results)})


@pytest.mark.timeout(600)
def test_a_round_through_label_studio(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(TOKEN, server.token)
    folder, out, source = tmp_path / "requests", tmp_path / "out", f"label-studio:{server.url}/"
    rows = make_requests(folder, COUNT)
    ids = [row.request_id for row in rows]

    # The first run pushes; the second finds everything there.
    made, annotations = run(folder, source, out)
    assert {label.state for label in made.values()} == {"waiting"}
    assert not annotations
    said = capsys.readouterr().out
    assert f"({COUNT} tasks are new)" in said
    assert re.search(rf"to answer: {server.url}/projects/\d+/data", said)
    first = contents(out)
    run(folder, source, out)
    assert "are new" not in capsys.readouterr().out
    assert contents(out) == first
    project = Project(server)
    assert sorted(project.tasks) == sorted(ids)
    assert len(project.export()) == COUNT

    # Crops and proposals arrived as they are; some tasks hide theirs.
    assert project.project["title"].startswith("lae r1 ")
    for row in rows[:3]:
        assert project.picture(row.request_id) == (folder / row.crop).read_bytes()
    shown = Counter(task["data"]["proposal_shown"] for task in project.tasks.values())
    assert shown["empty"] == 1
    assert 2 <= shown["hidden"] <= 20
    for row in rows[:8]:
        guesses = project.predictions(row.request_id)
        if project.tasks[row.request_id]["data"]["proposal_shown"] != "shown":
            assert not guesses
            continue
        (guess,) = guesses
        alpha = brush_rle.decode(guess["result"][0]["value"]["rle"], SIZE, SIZE)
        proposal = cv2.imread(str(folder / row.proposal), cv2.IMREAD_GRAYSCALE)
        assert ((alpha > 127) == (proposal > 127)).all()

    # People answer.
    other = project.add_user("other")
    exact = np.random.default_rng(5).random((SIZE, SIZE)) < 0.5
    exact &= disc(0, 0, 22)
    exact[32, 3] = True  # a pixel by itself
    unique = str(uuid.uuid4())
    project.answer(ids[0], choice("forged"), region(exact), lead_time=12.5, unique_id=unique)
    project.answer(ids[1], choice("authentic"))
    project.answer(ids[2], choice("forged"), region(disc(-1)))
    project.answer(ids[2], choice("forged"), region(disc(1)), completed_by=other)
    project.answer(ids[3], choice("forged"), region(disc(0, -9, 6)))
    project.answer(ids[3], choice("forged"), region(disc(0, 9, 6)), completed_by=other)
    project.answer(ids[4], was_cancelled=True)
    wrong = project.answer(ids[5], choice("forged"))
    project.answer(ids[6], choice("forged"), region(disc(size=32), 32))
    changed = project.answer(ids[7], choice("forged"), region(disc(-4)))
    made, annotations = run(folder, source, out)
    found = [(made[number].state, made[number].reason) for number in ids[:9]]
    assert found == [
        ("labelled", ""),
        ("labelled", ""),
        ("labelled", ""),
        ("disputed", "low_agreement"),
        ("skipped", "unusable"),
        ("rejected", "forged_without_mask"),
        ("rejected", "wrong_size"),
        ("labelled", ""),
        ("waiting", "no_answer"),
    ]
    assert (read_mask(out, made[ids[0]].mask) == exact).all()
    assert not read_mask(out, made[ids[1]].mask).any()
    assert (read_mask(out, made[ids[2]].mask) == disc(-1) & disc(1)).all()
    assert made[ids[2]].agreement == pytest.approx((disc(-1) & disc(1)).sum() / (disc(-1) | disc(1)).sum())
    assert len(set(made[ids[2]].annotators)) == 2
    assert {label.source for label in made.values()} == {"human"}
    (row,) = (row for row in annotations if row.request_id == ids[0])
    assert (row.seconds, row.tool, row.verdict) == (12.5, "label-studio", "forged")

    # One changes an answer, one mends theirs; what they said before is kept.
    project.change(changed, choice("forged"), region(disc(4)))
    project.change(wrong, choice("forged"), region(disc(2)))
    made, annotations = run(folder, source, out)
    assert (read_mask(out, made[ids[7]].mask) == disc(4)).all()
    assert (read_mask(out, made[ids[5]].mask) == disc(2)).all()
    old = [row for row in annotations if row.status == "superseded"]
    assert {row.request_id for row in old} == {ids[5], ids[7]}
    (row,) = (row for row in old if row.request_id == ids[7])
    assert (read_mask(out, row.mask) == disc(-4)).all()

    # Pulling again changes nothing, and the export says the same without a server.
    before = contents(out)
    run(folder, source, out)
    assert contents(out) == before
    run(folder, f"label-studio:{out / 'export.json'}", tmp_path / "offline")
    assert contents(tmp_path / "offline") == before
    assert len(project.export()) == COUNT

    # Tokens: a personal one does as well, a wrong one is refused, and a task that is gone is pushed again.
    personal = server.session().post(f"{server.url}/api/token/").json()["token"]
    monkeypatch.setenv(TOKEN, personal)
    assert server.session().delete(f"{server.url}/api/tasks/{project.tasks[ids[20]]['id']}/").ok
    run(folder, source, out)
    assert "(1 tasks are new)" in capsys.readouterr().out
    assert len(Project(server).tasks) == COUNT
    for token in ("0" * 40, "a.b.c"):
        monkeypatch.setenv(TOKEN, token)
        with pytest.raises(UsageError, match=r"401 .* does not take"):
            run(folder, source, out)

    # A project that was removed is not made anew over the answers that are here.
    monkeypatch.setenv(TOKEN, server.token)
    before = contents(out)
    assert server.session().delete(f"{server.url}/api/projects/{project.project['id']}/").ok
    with pytest.raises(UsageError, match="has no project"):
        run(folder, source, out)
    assert contents(out) == before
    assert Server.session(server).get(f"{server.url}/api/projects/").json()["count"] == 0


@pytest.mark.timeout(600)
def test_two_rounds_of_training_with_label_studio_between_them(server, tmp_path, monkeypatch):
    """train, ask, people draw, train on it, ask again, draw, train: masks come back as they were drawn."""
    monkeypatch.setenv(TOKEN, server.token)
    torch.set_num_threads(1)
    shards, runs = make_shards(tmp_path / "shards", Corpus(groups=8, failed=0)), tmp_path / "runs"
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"train": dataclasses.asdict(TINY)}))
    common = ["--shards", str(shards), "--params", str(params), "--device", "cpu"]
    assert train.main([*common, "--out", str(runs / "r0")]) == 0
    drawn: dict[str, np.ndarray] = {}
    for number in (1, 2):
        before, after = runs / f"r{number - 1}", runs / f"r{number}"
        requests, labels = tmp_path / f"requests{number}", tmp_path / f"labels{number}"
        asking = ["--run", str(before), "--out", str(requests), "--count", "4"]
        assert request.main([*common, *asking, "--budget", "0.3", "--exceed-budget"]) == 0
        rows = read_rows(requests / "requests.parquet", LabelRequest)
        run(requests, f"label-studio:{server.url}", labels)
        project = Project(server, f"lae r{number} ")
        assert sorted(project.tasks) == sorted(row.request_id for row in rows)
        for place, row in enumerate(rows[:3]):
            drawn[row.key] = disc(place, number, 9 + place)
            project.answer(row.request_id, choice("forged"), region(drawn[row.key]))
        made, _ = run(requests, f"label-studio:{server.url}", labels)
        assert [made[row.request_id].state for row in rows] == ["labelled"] * 3 + ["waiting"]
        given = ["--init", str(before), "--labels", str(labels), "--out", str(after), "--exceed-budget"]
        assert train.main([*common, *given]) == 0
        record = json.loads((after / "run.json").read_bytes())
        assert (record["round"], record["stage"]) == (number, 2)
        assert (record["requested"], record["labelled"]) == (4 * number, 3 * number)
    carried = read_rows(runs / "r2/labels/labels.parquet", Label)
    assert len(carried) == len({label.key for label in carried}) == 8
    assert {label.key for label in carried if label.state == "labelled"} == set(drawn)
    for label in carried:
        if label.state == "labelled":
            assert (read_mask(runs / "r2/labels", label.mask) == drawn[label.key]).all()
    for number in (1, 2):
        project = Project(server, f"lae r{number} ")
        assert server.session().delete(f"{server.url}/api/projects/{project.project['id']}/").ok
