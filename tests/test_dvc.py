"""The stages under DVC, as `dvc repro` runs them."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.dvc_command import dvc
from tests.shards_factory import Corpus, make_shards
from tests.training_data import TINY
from tests.work import PARAMS, stamps

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(demo_corpus, tmp_path):
    for name in ("pipelines", "schemas", "transforms"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("takedowns.csv", "moves.csv"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "dvc.yaml").symlink_to(ROOT / "dvc.yaml")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        (ROOT / ".dvc/config").read_text().replace("[core]", "[core]\n    no_scm = true")
    )
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    methods = {"methods": ["Deepfakes"], "compressions": ["raw"], "unlisted_split": ""}
    params["datasets"] = {"demo": {**PARAMS["datasets"]["demo"], "root": str(demo_corpus), **methods}}
    params["frames"]["count"] = 2
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


def test_repro_builds_all_once_and_a_mask_parameter_detects_nothing_again(project):
    dvc(project, "repro", "audit@demo")
    assert (project / "work/demo/report/report.html").exists()
    assert "up to date" in dvc(project, "status", "--with-deps", "audit@demo")
    assert "Running stage" not in dvc(project, "repro", "audit@demo")

    params = yaml.safe_load((project / "params.yaml").read_text())
    params["mask"]["gate"] = 1.5
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    status = dvc(project, "status", "--with-deps", "audit@demo")
    assert "shard@demo" in status
    assert "track@demo" not in status
    before = stamps(project / "work/demo/tracks")
    said = dvc(project, "repro", "audit@demo")
    assert "Running stage 'shard@demo'" in said
    assert "Running stage 'track@demo'" not in said
    assert stamps(project / "work/demo/tracks") == before
    assert "up to date" in dvc(project, "status", "--with-deps", "audit@demo")
    assert "samples" in dvc(project, "metrics", "show")

    for path in (project / "pipelines/shard_builder.py", project / "transforms/crops.py"):
        path.write_text(path.read_text() + "\n# An edit that changes no result.\n")
    assert "up to date" in dvc(project, "status", "--with-deps", "audit@demo")
    before = stamps(project / "work/demo/shards/train")
    dvc(project, "repro", "--single-item", "--force", "shard@demo")
    assert stamps(project / "work/demo/shards/train") == before, "nor does the stage itself redo anything"

    stage = project / "pipelines/shard.py"
    stage.write_text(stage.read_text().replace("\nVERSION = ", "\nVERSION = 1"))
    status = dvc(project, "status", "--with-deps", "audit@demo")
    assert "shard@demo" in status
    assert "track@demo" not in status
    assert "Running stage 'shard@demo'" in dvc(project, "repro", "shard@demo")
    after = stamps(project / "work/demo/shards/train")
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)


def test_params_yaml_states_the_defaults():
    from schemas.params import Params
    from schemas.params_file import read_params

    written, defaults = read_params(ROOT / "params.yaml"), Params(datasets={})
    for field in dataclasses.fields(Params):
        if field.name != "datasets":
            assert getattr(written, field.name) == getattr(defaults, field.name), field.name


def test_two_rounds_of_training_are_a_chain_that_runs_once(tmp_path):
    for name in ("pipelines", "schemas", "transforms", "training"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    corpus = Corpus(groups=24, frames=6, methods=("FaceSwap", "Deepfakes"), failed=0, unknown=0)
    make_shards(tmp_path / "work/demo/shards", corpus)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] = {**dataclasses.asdict(TINY), "keep": "last"}
    params["request"]["per_clip"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    dvc(tmp_path, "repro", "training/dvc.yaml")
    folder = tmp_path / "work/lae/runs"
    runs = [json.loads((folder / name / "run.json").read_bytes()) for name in ("r0", "r1", "r2")]
    assert [run["stage"] for run in runs] == [1, 2, 2]
    images = runs[0]["images"]
    assert [run["requested"] for run in runs] == [0, int(0.015 * images), int(0.03 * images)]
    assert 0 < runs[1]["labelled"] < runs[2]["labelled"]
    assert (tmp_path / "work/lae/eval/r2/evaluation.html").exists()
    assert "Running stage" not in dvc(tmp_path, "repro", "training/dvc.yaml")
    params["request"]["seed"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    status = dvc(tmp_path, "status", "training/dvc.yaml")
    assert "request@r1" in status
    assert "train@r0" not in status
