"""Committing results: a sidecar, written last, vouches for the files beside it."""

import json
from collections.abc import Iterable
from pathlib import Path

from schemas.convert import from_row, to_row
from schemas.files import Check, file_sha256, write_json
from schemas.sidecar import CommittedFile, Sidecar


def describe(path: Path) -> CommittedFile:
    """The entry of a finished file in its sidecar."""
    return CommittedFile(path.name, path.stat().st_size, file_sha256(path))


def sidecar_path(folder: Path, key: str) -> Path:
    """Where the sidecar of a result is."""
    return folder / f"{key}.json"


def commit(folder: Path, key: str, sidecar: Sidecar, check: Check | None = None) -> None:
    """Commit a result: write its sidecar, after the files that it names; `check` as in `atomic_write`."""
    write_json(sidecar_path(folder, key), to_row(sidecar), check)


def read_sidecar(folder: Path, key: str) -> Sidecar | None:
    """The sidecar of a result if the result is whole: sidecar readable, its files there with their sizes."""
    path = sidecar_path(folder, key)
    try:
        row = json.loads(path.read_bytes())
        if not isinstance(row, dict):
            return None
        sidecar = from_row(Sidecar, row)
        sizes = [(path.parent / file.name).stat().st_size for file in sidecar.files]
    except (OSError, ValueError):
        return None
    return sidecar if sizes == [file.bytes for file in sidecar.files] else None


def remove_unnamed(folder: Path, keys: set[str], suffixes: Iterable[str]) -> list[Path]:
    """Remove results that the plan no longer names: files `<key><suffix>` below sub-folders of `folder`.

    The sidecar goes first, so that a result is never committed without its files. Empty folders go too.
    """
    ordered = [".json", *(suffix for suffix in suffixes if suffix != ".json")]
    removed = []
    for suffix in ordered:
        for path in sorted(folder.glob(f"*/**/*{suffix}")):
            if str(path.relative_to(folder))[: -len(suffix)] not in keys:
                path.unlink()
                removed.append(path)
    for path in sorted(folder.glob("**/"), reverse=True):
        if path != folder and not any(path.iterdir()):
            path.rmdir()
    return removed
