"""The architecture: which room may import which, and what data stages must live without."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT)
    for room in ("schemas", "transforms", "pipelines", "training")
    for path in (ROOT / room).rglob("*.py")
)
MAY_IMPORT = {
    "schemas": {"schemas"},
    "transforms": {"schemas", "transforms"},
    "pipelines": {"schemas", "transforms", "pipelines"},
    "training": {"schemas", "training"},
}
OURS = {*MAY_IMPORT, "tests", "benchmarks"}
NOT_HERE = {
    "transforms": {"apache_beam", "dvc", "argparse", "torch"},
    "schemas": {"apache_beam", "dvc", "torch"},
    "training": {"apache_beam", "dvc", "decord", "mediapipe"},
}
NOT_IN_DATA_STAGES = {"torch", "torchvision", "pandas", "sklearn"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_one_way(module):
    room = module.parts[0]
    names = imported(ROOT / module)
    assert names & OURS <= MAY_IMPORT[room]
    assert not names & NOT_HERE.get(room, set())
    assert room == "training" or not names & NOT_IN_DATA_STAGES


LAYOUTS = {path.stem for path in (ROOT / "transforms/layouts").glob("*.py")} - {"__init__"}
# DFFD's rule is a kind of mask as well, and a folder is a folder.
NAMES = LAYOUTS - {"dffd", "folder"}


@pytest.mark.parametrize(
    "module", [m for m in MODULES if "layouts" not in m.parts and "demo" not in m.stem], ids=str
)
def test_only_its_layout_knows_a_dataset(module):
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    words = {
        node.value.lower()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value
    }
    assert len(NAMES) >= 5
    assert not words & NAMES


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_modules_are_small(module):
    assert len((ROOT / module).read_text("utf-8").splitlines()) <= 300


def test_data_stages_import_without_torch():
    names = [
        ".".join(module.with_suffix("").parts).removesuffix(".__init__")
        for module in MODULES
        if module.parts[0] != "training"
    ]
    code = (
        "import importlib, sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {sorted(NOT_IN_DATA_STAGES)!r}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print('whole')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.strip() == "whole", done.stderr


def test_data_stages_install_without_torch():
    """No pinned package that the base dependencies need, directly or not, is torch."""
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    waiting, seen = [Requirement(text) for text in project["dependencies"]], set()
    while waiting:
        requirement = waiting.pop()
        name = requirement.name.lower().replace("_", "-")
        if (name, *requirement.extras) in seen:
            continue
        seen.add((name, *requirement.extras))
        try:
            needs = requires(requirement.name) or []
        except PackageNotFoundError:
            continue
        for text in needs:
            need = Requirement(text)
            extras = [*requirement.extras, ""]
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(need)
    names = {entry[0] for entry in seen}
    assert "apache-beam" in names
    assert not {name for name in names if name == "torch" or name.startswith(("nvidia-", "torchvision"))}
