"""Listing a dataset's folder: what is in it, and what must not be read."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.stamps import LocalStamps, Stamps, StoreStamps
from schemas import stores
from schemas.errors import UsageError
from schemas.outcome import Outcome
from schemas.paths import as_path, is_url
from transforms.indexing.declare import printable
from transforms.indexing.layout import Listing, failed, is_video, skipped


def list_root(dataset: str, root: str) -> tuple[Listing, list[Outcome], Stamps]:
    """All files of a dataset's folder, an outcome for each entry that is not taken, and the files' stamps.

    Links are followed inside the root. Takes one pass, and does not look at the files themselves; behind a
    URL the listing says all that their stamps need.

    Raises:
      UsageError: if the root is not a folder that can be listed.
    """
    if is_url(root):
        return _list_store(root)
    if not Path(root).is_dir():
        what = "not a folder" if Path(root).exists() else "no such folder"
        raise UsageError(f"{root}: {what}; set datasets.{dataset}.root, or --root")
    if printable(root) != root:
        raise UsageError(f"{printable(root)}: a name that is not UTF-8; rename the folder, or link to it")
    files: list[str] = []
    refused: list[Outcome] = []
    for found in _walk(dataset, root):
        if isinstance(found, str):
            files.append(found)
        else:
            refused.append(found)
    for outcome in refused:
        if outcome.unit == ".":
            raise UsageError(f"{root}: {outcome.detail}")
    files.sort()

    def read_text(path: str) -> str:
        return Path(root, path).read_text("utf-8-sig")

    def read_bytes(path: str) -> bytes:
        return Path(root, path).read_bytes()

    return Listing(root, files, read_text, read_bytes), refused, LocalStamps(root)


def _list_store(root: str) -> tuple[Listing, list[Outcome], Stamps]:
    url = as_path(root)
    entries = stores.list_files(url)
    if not entries:
        raise UsageError(f"{root}: nothing is there; set the dataset's root, or --root")

    def read_bytes(path: str) -> bytes:
        return stores.read_bytes(url / path)

    def read_text(path: str) -> str:
        return read_bytes(path).decode("utf-8-sig")

    return Listing(root, list(entries), read_text, read_bytes), [], StoreStamps(entries)


def _walk(dataset: str, root: str) -> Iterator[str | Outcome]:
    top = os.path.realpath(root)
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (top,))]
    while waiting:
        folder, above = waiting.pop()
        try:
            entries = list(os.scandir(os.path.join(root, folder)))  # noqa: PTH118 - a million times
        except OSError as error:
            unit = printable(folder) or "."
            yield failed(dataset, unit, "", "unreadable", f"{error.strerror}; make it readable")
            continue
        if folder and not entries and is_video(folder):
            why = "an empty folder; put the video itself there"
            yield failed(dataset, printable(folder), "", "not_video", why)
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            real = f"{above[-1]}/{entry.name}"
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
                outcome = _refused_link(dataset, path, entry, real, top, above)
                if outcome:
                    yield outcome
                    continue
            if entry.is_dir():
                waiting.append((path, (*above, real)))
            elif entry.is_file():
                yield path
            else:
                yield failed(
                    dataset, printable(path), "", "not_video", "not a file; put the video itself there"
                )


def _refused_link(
    dataset: str, path: str, entry: os.DirEntry[str], real: str, top: str, above: tuple[str, ...]
) -> Outcome | None:
    """The outcome of a link that is not followed."""
    unit, target = printable(path), printable(os.readlink(entry.path))  # noqa: PTH115 - bytes as they are
    if real != top and not real.startswith(top.rstrip("/") + "/"):
        why = f"a link to {target}, outside of the root; copy it here, or mount its folder (mount --bind)"
        wanted = is_video(path) or entry.is_dir()
        return (failed if wanted else skipped)(dataset, unit, "", "outside_root", why)
    if not entry.is_dir() and not entry.is_file():
        return failed(dataset, unit, "", "missing", f"a link to {target}, where there is no file; mend it")
    if entry.is_dir() and real in above:
        return skipped(dataset, unit, "", "not_in_layout", f"a link to {target}, the folder that it is in")
    return None
