"""What a worker's Python must have: versions of packages, our own code, and modules that import.

Imports nothing that may be missing: this is where it is found out.
"""

import hashlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

DISTRIBUTION = "lae-shards"
INSTALL = f"install the wheel with its pins: pip install -c constraints.txt {DISTRIBUTION}-*.whl"
# What a stage imports on a worker; more than that only the main process needs.
STAGES = ("index", "track", "shard", "audit")
_ROOMS = ("pipelines", "transforms", "schemas")
_SYSTEM = {
    "libGL.so": "apt-get install libgl1 (what OpenCV links to)",
    "libgthread": "apt-get install libglib2.0-0 (what OpenCV links to)",
    "libglib": "apt-get install libglib2.0-0 (what OpenCV links to)",
}
_SECONDS = 120


@dataclass(frozen=True)
class Check:
    """What was found about one thing that a worker needs.

    Attributes:
      name: of the thing.
      status: "ok", "note" (runs, but read it) or "failed".
      detail: the value, for a person.
      remedy: what to do; "" where it is ok.
    """

    name: str
    status: Literal["ok", "note", "failed"]
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Wanted:
    """What the driver has, and its workers are to have.

    Attributes:
      python: range of versions, as in pyproject.toml.
      requirements: of the package, without extras.
      pins: exact versions of constraints.txt by name; empty where that is not at hand.
      versions: of the requirements on the driver, by name.
      code: digest of our own modules.
    """

    python: str
    requirements: tuple[str, ...]
    pins: dict[str, str]
    versions: dict[str, str]
    code: str


def find_wanted() -> Wanted:
    """What this process has and needs: from the checkout that it runs in, else from the installed package."""
    root = Path(__file__).parents[1]
    pins: dict[str, str] = {}
    if (root / "pyproject.toml").is_file():
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
        python, requirements = project["requires-python"], tuple(project["dependencies"])
        if (root / "constraints.txt").is_file():
            lines = (root / "constraints.txt").read_text("utf-8").splitlines()
            pins = dict(line.split("==") for line in lines if "==" in line)
    else:
        found = metadata.distribution(DISTRIBUTION)
        python = found.metadata["Requires-Python"]
        requirements = tuple(text for text in found.requires or () if "extra ==" not in text)
    names = [_name(text) for text in requirements]
    versions = {name: version for name in names if (version := _version(name))}
    return Wanted(python, requirements, pins, versions, _code())


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _code() -> str:
    """Digest of our modules, wherever they would be imported from."""
    digest = hashlib.sha256()
    for room in _ROOMS:
        spec = importlib.util.find_spec(room)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{room}/{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def check_packages(wanted: Wanted) -> Iterator[Check]:
    """Python, packages and our code, against what is wanted."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    if SpecifierSet(wanted.python).contains(version):
        yield Check("python", "ok", version)
    else:
        yield Check("python", "failed", f"{version}, not {wanted.python}", "start workers with Python 3.11")
    wrong, other = [], []
    for text in wanted.requirements:
        requirement = Requirement(text)
        here, name = _version(requirement.name), requirement.name
        there, pin = wanted.versions.get(name, ""), wanted.pins.get(name, "")
        if not here:
            wrong.append(f"{name} is missing")
        elif not requirement.specifier.contains(here, prereleases=True):
            wrong.append(f"{name} {here} is not {requirement.specifier}")
        elif name == "apache-beam" and here != there:
            wrong.append(f"apache-beam {here}, {there or 'none'} on the driver")
        elif there and here != there:
            other.append(f"{name} {here}, {there} on the driver")
        elif pin and here != pin:
            other.append(f"{name} {here}, {pin} in constraints.txt")
    if wrong:
        yield Check("packages", "failed", "; ".join(wrong), INSTALL)
    elif other:
        yield Check(
            "packages", "note", "; ".join(other), f"bytes may differ from those of other workers; {INSTALL}"
        )
    else:
        beam = wanted.versions.get("apache-beam", "")
        yield Check("packages", "ok", f"{len(wanted.requirements)} as wanted, apache-beam {beam}")
    code = _code()
    if code == wanted.code:
        yield Check("code", "ok", code[:12])
    else:
        yield Check(
            "code",
            "failed",
            f"{code[:12]} here, {wanted.code[:12]} on the driver",
            f"workers must have the driver's own {DISTRIBUTION}: install one wheel everywhere",
        )


def check_modules() -> Iterator[Check]:
    """That the stages import in a process of their own, with OpenCV's system libraries, and without torch."""
    names = [f"pipelines.{stage}" for stage in STAGES]
    code = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(sorted({'torch'} & set(sys.modules)))"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    if done.returncode == 0:
        loaded = done.stdout.strip().endswith("[]")
        yield Check("modules", "ok", f"{', '.join(STAGES)} import" + ("" if loaded else ", with torch"))
        return
    said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    remedy = next((remedy for library, remedy in _SYSTEM.items() if library in said), INSTALL)
    yield Check("modules", "failed", said, remedy)
