"""Every dataset through the same stages, under DVC, from a tree in its own layout."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from schemas.files import read_rows
from schemas.outcome import Outcome
from tests.dvc_command import dvc
from tests.trees import KINDS, TREES, make_tree

ROOT = Path(__file__).parents[1]
# What is rightly left out, or refused.
LEFT_OUT = {
    "dffd": {"README.txt": "not_in_layout"},
    "wilddeepfake": {
        "deepfake_in_the_wild/fake_test/7.tar.gz/../../escaped.png": "unsafe_member",
        "deepfake_in_the_wild/fake_test/7.tar.gz//tmp/absolute.png": "unsafe_member",
    },
}


@pytest.fixture(scope="module")
def project(demo_corpus, tmp_path_factory) -> Path:
    """All datasets after one `dvc repro`."""
    folder = tmp_path_factory.mktemp("datasets")
    for name in ("pipelines", "schemas", "transforms"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "takedowns.csv", "moves.csv"):
        shutil.copy(ROOT / name, folder)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["datasets"] = {
        name: {"layout": name, "root": str(make_tree(name, demo_corpus, folder / "data" / name))}
        for name in TREES
    }
    params["frames"]["count"] = 2
    params["audit"]["max_leaks"] = -1  # Trees share their few people.
    params["run"] = {**params["run"], "max_failed_fraction": 0.5}  # Refused members count.
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    dvc(folder, "repro", "audit", timeout=800)
    return folder


pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("name", TREES)
def test_every_clip_is_accounted_for_and_its_mask_is_of_the_right_kind(project, name):
    work = project / "work" / name
    outcomes = read_rows(work / "clips.outcomes.parquet", Outcome)
    assert {one.unit for one in outcomes if one.status == "ok"} == {*KINDS[name]}
    assert {one.unit: one.reason for one in outcomes if one.status != "ok"} == LEFT_OUT.get(name, {})
    shards = read_rows(work / "shards/outcomes.parquet", Outcome)
    assert {one.unit: one.status for one in shards} == dict.fromkeys(KINDS[name], "ok")
    rows = pq.read_table(work / "shards/index.parquet").to_pylist()
    assert {row["clip"]: row["mask_kind"] for row in rows} == KINDS[name]
    assert {row["label"] for row in rows if row["mask_kind"] == "all_zero"} == {"real"}
    assert (work / "report/report.html").is_file()


def test_frames_of_an_archive_stay_in_order_and_nothing_is_unpacked(project):
    rows = pq.read_table(project / "work/wilddeepfake/shards/index.parquet").to_pylist()
    assert {row["frame"] for row in rows} == {0, 2}, "two of three, evenly"
    assert {row["split"] for row in rows} == {"train", "test"}
    stray = [path for path in project.rglob("*.png") if "archives" in str(path) or "escaped" in path.name]
    assert not stray


def test_a_fake_of_another_size_is_registered(project):
    rows = pq.read_table(project / "work/dfdc/shards/index.parquet").to_pylist()
    how = {row["clip"].rpartition("/")[2]: row["alignment"] for row in rows}
    assert how == {
        "aaa.mp4": "landmarks",
        "bbb.mp4": "registered",
        "ccc.mp4": "landmarks",
        "ddd.mp4": "landmarks",
    }


def test_several_datasets_are_audited_and_trained_on_together(project):
    from pipelines import audit
    from training.loading.pool import read_pool

    folders = [str(project / "work" / name / "shards") for name in TREES]
    shards = [flag for folder in folders for flag in ("--shards", folder)]
    params = ["--params", str(project / "params.yaml"), "--direct_num_workers=1"]
    assert audit.main([*shards, "--out", str(project / "work/all"), *params]) == 0
    pool = read_pool(folders, split=None)
    assert set(pool.table["dataset"].to_pylist()) == {*TREES}
    assert len(pool) == sum(pq.read_table(Path(one) / "index.parquet").num_rows for one in folders)
