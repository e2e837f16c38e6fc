"""The files of a dataset as decoders open them: by a local name. What is behind a URL is fetched for that."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipelines.clips import clip_path
from schemas import stores
from schemas.clip import Clip
from schemas.paths import as_path, is_url
from transforms.errors import ClipError
from transforms.indexing.layout import is_image, is_video
from transforms.stills import natural_key

# Nothing of a person's has such a name: orphans are removed by it.
_PREFIX = ".lae-shards-copies-"
# Copies that wait for being asked for again: a real clip, and what is compared with it.
_KEPT = 2


class ClipFiles:
    """The files of one dataset, for one worker; copies are removed again.

    A worker that is killed leaves copies in the system's temporary folder; the next one there removes them.

    Args:
      root: folder of the dataset, or its URL.
    """

    def __init__(self, root: str):
        self._root = root.rstrip("/") if is_url(root) else root
        self._folder: Path | None = None
        self._lock = -1
        self._copies: dict[str, Path] = {}
        self._used: Counter[str] = Counter()
        self._number = 0

    @contextlib.contextmanager
    def open_clip(self, clip: Clip) -> Iterator[Path]:
        """A clip while the block runs; checks that it is still what was indexed.

        Raises:
          ClipError: as `clip_path`; what the block raises names the URL and not its copy.
        """
        if not is_url(self._root):
            yield clip_path(self._root, clip)
            return
        with self.open_file(clip.clip) as path:
            parts = list(path.iterdir()) if path.is_dir() else [path]
            size = sum(part.stat().st_size for part in parts)
            if size != clip.bytes:
                raise ClipError(
                    "changed_on_disk", f"{path}: {size} bytes, {clip.bytes} when indexed; index again"
                )
            yield path

    @contextlib.contextmanager
    def open_file(self, path: str) -> Iterator[Path]:
        """A file, or a folder of pictures, while the block runs.

        Args:
          path: relative to the root.

        Raises:
          ClipError: "missing" if it is behind a URL and not there.
        """
        if not is_url(self._root):
            yield Path(self._root, path)
            return
        copy = self._copies.get(path) or self._fetch(path)
        self._used[path] += 1
        try:
            yield copy
        except ClipError as error:
            said = error.detail.replace(str(copy), f"{self._root}/{path}")
            raise ClipError(error.reason, said) from None
        finally:
            self._used[path] -= 1
            self._copies[path] = self._copies.pop(path)  # The last one that was used is the last to go.
            self._forget(_KEPT)

    def _fetch(self, path: str) -> Path:
        url = as_path(self._root) / path
        self._number += 1
        copy = self._make_folder() / str(self._number) / url.name
        copy.parent.mkdir()
        self._copies[path] = copy
        try:
            if is_image(path) or is_video(path):
                stores.fetch(url, copy)
            else:
                _fetch_folder(url, copy)
        except FileNotFoundError:
            self._forget(0)
            raise ClipError("missing", f"{url}: no such file; put it back, or index again") from None
        except BaseException:
            self._forget(0)
            raise
        return copy

    def _forget(self, kept: int) -> None:
        """Remove copies that are not in use, but for the last few."""
        idle = [path for path in self._copies if not self._used[path]]
        for path in idle[: max(0, len(idle) - kept)]:
            shutil.rmtree(self._copies.pop(path).parent)

    def _make_folder(self) -> Path:
        while self._folder is None:
            _remove_orphans()
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            with contextlib.suppress(FileNotFoundError):
                self._lock = os.open(folder, os.O_RDONLY)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            if folder.exists():  # Another process may have taken it for an orphan before it was locked.
                self._folder = folder
        return self._folder

    def close(self) -> None:
        """Remove all copies."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None
            self._copies.clear()


def _fetch_folder(url: Path, copy: Path) -> None:
    """Copy a folder's pictures, or a file whose name does not say what it is."""
    names = [name for name in stores.list_files(url) if "/" not in name and is_image(name)]
    if not names:
        stores.fetch(url, copy)
        return
    copy.mkdir()
    stores.fetch_all([url / name for name in sorted(names, key=natural_key)], copy)


def _remove_orphans() -> None:
    """Remove what killed workers left behind: folders that nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)
