"""Committing results: a sidecar, written last, vouches for the files beside it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from schemas import stores
from schemas.convert import from_row, to_row
from schemas.files import Check, file_sha256, read_bytes, write_json
from schemas.paths import is_url
from schemas.sidecar import CommittedFile, Sidecar

# Threads that read small files, and how many files one is given at once.
_THREADS, _TOGETHER = 16, 256


def describe(path: Path) -> CommittedFile:
    """The entry of a finished file in its sidecar."""
    if is_url(path):
        data = read_bytes(path)
        return CommittedFile(path.name, len(data), hashlib.sha256(data).hexdigest())
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
        sidecar = _parse(read_bytes(path))
        sizes = {file.name: _size(path.parent / file.name) for file in sidecar.files}
    except (OSError, ValueError):
        return None
    return _if_whole(sidecar, sizes)


def _size(path: Path) -> int:
    return stores.read_entry(path).size if is_url(path) else path.stat().st_size


def read_sidecars(folder: Path, keys: Iterable[str]) -> dict[str, Sidecar | None]:
    """The sidecar of each result that is whole, as `read_sidecar` gives it.

    Threads read them, since millions of small files are mostly waited for. Behind a URL one listing tells
    which files there are, and sidecars are read some hundreds at once.
    """
    if not is_url(folder):
        every = list(keys)
        parts = [every[start : start + _TOGETHER] for start in range(0, len(every), _TOGETHER)]

        def read(part: Sequence[str]) -> list[Sidecar | None]:
            return [read_sidecar(folder, key) for key in part]

        with ThreadPoolExecutor(_THREADS) as pool:
            return {
                key: sidecar
                for part, sidecars in zip(parts, pool.map(read, parts), strict=True)
                for key, sidecar in zip(part, sidecars, strict=True)
            }
    listed = {name: entry.size for name, entry in stores.list_files(folder).items()}
    found: dict[str, Sidecar | None] = dict.fromkeys(keys)
    paths = {sidecar_path(folder, key): key for key in found if f"{key}.json" in listed}
    for path, data in stores.read_all(list(paths)):
        key = paths[path]
        with contextlib.suppress(ValueError):
            sidecar = _parse(data or b"")
            place = key.rpartition("/")[0]
            names = {file.name: f"{place}/{file.name}".lstrip("/") for file in sidecar.files}
            sizes = {name: listed[full] for name, full in names.items() if full in listed}
            found[key] = _if_whole(sidecar, sizes)
    return found


def _parse(data: bytes) -> Sidecar:
    """A sidecar from its file; a ValueError if it is none."""
    row = json.loads(data)
    if not isinstance(row, dict):
        raise ValueError("not a map")
    return from_row(Sidecar, row)


def _if_whole(sidecar: Sidecar, sizes: Mapping[str, int]) -> Sidecar | None:
    return sidecar if all(sizes.get(file.name) == file.bytes for file in sidecar.files) else None


def list_committed(folder: Path) -> Iterator[str]:
    """Keys of all results whose sidecars are below a folder, and of its own JSON files: one listing."""
    for name in stores.list_files(folder) if is_url(folder) else _walk(folder):
        if name.endswith(".json"):
            yield name.removesuffix(".json")


def _walk(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        place = os.path.relpath(parent, folder)
        yield from (name if place == "." else f"{place}/{name}" for name in names)


def remove_unnamed(
    folder: Path, keys: set[str], suffixes: Iterable[str], places: Collection[str] | None = None
) -> list[Path]:
    """Remove results that the plan no longer names: files `<key><suffix>` below sub-folders of `folder`.

    The sidecar goes first, so that a result is never committed without its files. Empty folders go too.

    Args:
      folder: of the results.
      keys: that the plan names.
      suffixes: of a result's files.
      places: sub-folders of `folder` that results are in; all others are left alone. None: all are.
    """
    ordered = [".json", *(suffix for suffix in suffixes if suffix != ".json")]
    if is_url(folder):
        listed = stores.list_files(folder)
        below = {suffix: [n for n in listed if "/" in n and n.endswith(suffix)] for suffix in ordered}
    else:
        below = {
            suffix: [str(path.relative_to(folder)) for path in sorted(folder.glob(f"*/**/*{suffix}"))]
            for suffix in ordered
        }
    removed = []
    for suffix, names in below.items():
        unnamed = [
            folder / name
            for name in names
            if name.removesuffix(suffix) not in keys and _is_in(places, name.partition("/")[0])
        ]
        if is_url(folder):
            stores.remove(unnamed)
        else:
            for path in unnamed:
                path.unlink()
        removed += unnamed
    if not is_url(folder):
        for path in sorted(folder.glob("**/"), reverse=True):
            if (
                path != folder
                and _is_in(places, path.relative_to(folder).parts[0])
                and not any(path.iterdir())
            ):
                path.rmdir()
    return removed


def _is_in(places: Collection[str] | None, place: str) -> bool:
    return places is None or place in places
