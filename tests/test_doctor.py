"""The doctor: what it finds on this machine, on workers, and where something is missing."""

import os
import subprocess
import sys

import pytest

from pipelines import doctor
from tests.portable import ROOT, environment, flags, job_service, worker_pool

NAMES = (
    "python", "packages", "code", "modules", "decoder", "face models", "isolation", "open files",
    "temporary files", "shared folder", "commit", "lock", "clock", "room",
)  # fmt: skip


def run(*arguments, shadow=()):
    return subprocess.run(
        [sys.executable, "-m", "pipelines.doctor", *arguments],
        env={**environment(*shadow), "BEAM_ARGS": ""},
        capture_output=True,
        text=True,
        timeout=200,
    )


def shadow(folder, name, text='raise ImportError("planted")\n'):
    (folder / "shadow").mkdir(exist_ok=True)
    (folder / "shadow" / f"{name}.py").write_text(text)
    return folder / "shadow"


def test_a_whole_machine_passes_every_check_and_nothing_is_left(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("BEAM_ARGS", raising=False)
    assert doctor.main(["--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for name in NAMES:
        assert f"  ok      {name} " in said, said
    assert not list(tmp_path.iterdir())


def test_a_machine_without_packages_is_told_what_is_missing(tmp_path):
    """Even those that our own schemas are made with."""
    shadow(tmp_path, "pydantic")
    done = run(shadow=[shadow(tmp_path, "mediapipe")])
    assert done.returncode == 1, done.stderr
    assert not done.stderr
    assert "FAILED  modules          ImportError: planted" in done.stdout
    assert "-> install the wheel with its pins" in done.stdout


def test_a_missing_system_library_has_its_own_remedy(tmp_path):
    text = 'raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")\n'
    done = run(shadow=[shadow(tmp_path, "cv2", text)])
    assert done.returncode == 1
    assert "apt-get install libgl1" in done.stdout


def test_the_embedded_runners_workers_are_examined_each(tmp_path):
    done = run("--out", str(tmp_path), "--workers", "2", "--direct_num_workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("14 of 14 checks ok") == 2
    assert len({line.split(",")[0] for line in done.stdout.splitlines()}) == 2
    assert not list(tmp_path.iterdir())


def test_a_pool_with_a_broken_decoder_or_other_code_is_found_out(tmp_path):
    (tmp_path / "out").mkdir()
    first = shadow(tmp_path, "decord")
    (first / "schemas").mkdir()
    for path in (ROOT / "schemas").glob("*.py"):
        (first / "schemas" / path.name).write_text(f"{path.read_text()}\n# changed\n")
    with job_service(tmp_path) as service, worker_pool(tmp_path, first) as pool:
        done = run("--out", str(tmp_path / "out"), *flags(service, pool))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "12 of 14 checks ok" in done.stdout
    assert "FAILED  decoder          ImportError: planted" in done.stdout
    assert "FAILED  code " in done.stdout
    assert "one wheel everywhere" in done.stdout
    assert str(os.getpid()) not in done.stdout.splitlines()[0]
    assert not list((tmp_path / "out").iterdir())


def test_a_pool_without_our_wheel_is_found_out(tmp_path):
    (tmp_path / "out").mkdir()
    first = shadow(tmp_path, "pipelines")
    with job_service(tmp_path) as service, worker_pool(tmp_path, first) as pool:
        done = run("--out", str(tmp_path / "out"), *flags(service, pool))
    assert done.returncode == 1
    assert "FAILED  the job ended without a report: " in done.stdout
    assert "pip install -c constraints.txt" in done.stdout


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
        (["--runner=PortableRunner"], "--out FOLDER"),
        (["--out", "/no/such"], "make it first"),
        (["--workers", "0"], "at least 1"),
    ],
)
def test_bad_usage_exits_2_and_names_the_remedy(flags, remedy, capsys):
    with pytest.raises(SystemExit) as caught:
        doctor.main(flags)
    assert caught.value.code == 2
    assert remedy in capsys.readouterr().err
