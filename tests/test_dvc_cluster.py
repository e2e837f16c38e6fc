"""DVC with its stages as jobs on a cluster: here Beam's own job service, and a pool of worker processes."""

import json
import shlex
import shutil
import subprocess

import pytest
import yaml

from tests.dvc_command import dvc
from tests.portable import ROOT, flags, job_service, worker_pool
from tests.work import PARAMS, digests

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")


def git(folder, *arguments):
    subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def project(built, demo_corpus, tmp_path):
    """A Git and DVC project whose stages are done, as `dvc repro` would leave it."""
    for name in ("pipelines", "schemas", "transforms"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("takedowns.csv", "moves.csv", "dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, part in PARAMS.items():
        params[name] = {**params[name], **part}
    params["datasets"]["demo"]["root"] = str(demo_corpus)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    work = tmp_path / "work/demo"
    work.mkdir(parents=True)
    for source in (built.clips, built.clips.with_name("clips.outcomes.parquet")):
        shutil.copy(source, work)
    for folder in (built.tracks, built.shards):
        shutil.copytree(folder, work / folder.name)
    (tmp_path / ".gitignore").write_text("/work/\n*.log\n")
    git(tmp_path, "init")
    dvc(tmp_path, "init", "--quiet")
    dvc(tmp_path, "commit", "--force", "--quiet", "index@demo", "track@demo", "shard@demo")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "all stages are done")
    return tmp_path


@pytest.mark.timeout(600)
def test_an_experiment_changes_a_parameter_and_a_job_makes_its_shards(project, built, monkeypatch):
    monkeypatch.setenv("LAE_LOG_FORMAT", "json")
    work = project / "work/demo"
    with job_service(project) as service, worker_pool(project) as pool:
        beam_args = shlex.join(flags(service, pool))
        change = ("--name", "gate", "--set-param", "mask.gate=1000")
        said = dvc(project, "exp", "run", *change, "shard@demo", beam_args=beam_args)
        assert "Running stage 'shard@demo'" in said
        assert "Running stage 'track@demo'" not in said
        status = json.loads((work / "shards.status.json").read_text())
        assert (status["state"], status["done"]) == ("finished", 3)
        assert status["metrics"]["shard.ok"] == status["ok"], "what the job's workers counted"
        assert "up to date" in dvc(project, "status", "shard@demo"), "whatever runs the stages next"
    told = [line for line in (project / "pool.log").read_text().splitlines() if line.startswith("{")]
    built_there = {line["key"]: line for line in map(json.loads, told) if "seconds" in line}
    assert {f"{key}.tar" for key in built_there} == set(digests(built.shards, "**/*.tar"))
    assert status["pid"] not in {line["pid"] for line in built_there.values()}
    after, before = digests(work / "shards", "**/*.tar"), digests(built.shards, "**/*.tar")
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)
    assert digests(work / "tracks") == digests(built.tracks)

    (shown,) = json.loads(dvc(project, "exp", "show", "--json", "--only-changed"))[1]["experiments"] or [None]
    (revision,) = shown["revs"]
    assert shown["name"] == "gate"
    assert revision["data"]["params"]["params.yaml"]["data"]["mask"]["gate"] == 1000
    for path in (project / "dvc.lock", project / "params.yaml"):
        assert "PortableRunner" not in path.read_text()
