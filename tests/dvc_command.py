"""DVC as its users call it."""

import os
import subprocess
import sys
from pathlib import Path


def dvc(
    folder: Path, *arguments: str, timeout: float = 240, beam_args: str = "--direct_num_workers=1"
) -> str:
    """What a DVC command that succeeds prints."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "BEAM_ARGS": beam_args}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
