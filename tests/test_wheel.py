"""What workers install: the wheel, and the container file that takes it."""

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "schemas", "training", "transforms")
CONTAINER = ROOT / "pipelines/Containerfile"


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of what a wheel is built from, with the wheel in its `dist`."""
    project = tmp_path_factory.mktemp("wheel")
    for name in (*ROOMS, "tests", "benchmarks"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, project)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(project / "dist"), str(project))
    return project


@pytest.fixture(scope="module")
def wheel(project):
    (wheel,) = project.glob("dist/*.whl")
    return wheel


def test_the_wheel_holds_the_four_rooms_with_their_templates_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".py", ".j2") and "__pycache__" not in path.parts
    }
    assert names == expected
    assert any(name.startswith("transforms/layouts/") for name in names)
    assert "pipelines/templates/report.html.j2" in names


def test_every_module_imports_from_an_installed_wheel(wheel, tmp_path):
    pip("install", "--no-index", "--target", str(tmp_path / "site"), str(wheel))
    names = sorted(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py"))
    modules = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names]
    code = (
        "import importlib\n"
        f"for name in {modules!r}:\n"
        "    module = importlib.import_module(name)\n"
        f"    assert module.__file__.startswith({str(tmp_path)!r}), module.__file__\n"
        "print('whole')"
    )
    outside = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 200}
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, **outside)
    assert done.stdout.strip() == "whole", done.stderr
    done = subprocess.run([sys.executable, "-m", "pipelines.doctor", "--help"], env=environment, **outside)
    assert done.returncode == 0, done.stderr
    assert "--workers" in done.stdout


def instructions(word: str) -> list[str]:
    text = CONTAINER.read_text().replace("\\\n", " ")
    return [line.removeprefix(word).strip() for line in text.splitlines() if line.startswith(f"{word} ")]


def test_the_container_is_of_the_pinned_beam_and_the_right_python(project):
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    base = instructions("FROM")[0]
    assert base == f"apache/beam_python3.11_sdk:{pins['apache-beam']} AS worker"
    assert re.search(r'requires-python = ">=3\.11,<3\.12"', (ROOT / "pyproject.toml").read_text())


def test_all_that_the_container_copies_is_there_and_not_ignored(project):
    lines = CONTAINER.with_name("Containerfile.dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    sources = [source for copy in instructions("COPY") for source in copy.split()[:-1]]
    assert sources
    for source in sources:
        found = [str(path.relative_to(project)) for path in project.glob(source)]
        assert len(found) == 1, source
        assert any(fnmatch.fnmatch(found[0], pattern) for pattern in kept), source


def test_the_container_has_nothing_for_a_linter_to_say():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, CONTAINER], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
