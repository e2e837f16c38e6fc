"""NVIDIA's DALI in a venv of its own, in a cache folder: it reads shards on the CPU, too."""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests.label_studio import cache, skip

VERSION = "2.4.0"
# Without the libraries that decode on a GPU.
_NEEDS = ("numpy", "astunparse", "gast", "makefun", "optree", "nvtx", "six", "typing_extensions", "packaging")


def install() -> Path:
    """The venv's Python; made once (0.9 GB, half a minute), shared by all workers."""
    folder = cache() / f"dali-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "installed").exists():
            pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-cache-dir"]
            try:
                subprocess.run(
                    [sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=120
                )
                subprocess.run([*pip, f"nvidia-dali-cuda120=={VERSION}", *_NEEDS], check=True, timeout=420)
            except (subprocess.SubprocessError, OSError) as error:
                skip(f"DALI {VERSION} cannot be installed in {folder}: {error}")
            (folder / "installed").touch()
    return python
