"""Paths of a command line: of a local file or folder, or a URL of one."""

import os
import re
from pathlib import Path
from typing import Any, cast

import fsspec
from fsspec.registry import known_implementations
from upath import UPath

from schemas.errors import UsageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_LOCAL = ("file", "local")
# By default s3fs asks for a file's size before it reads it, and holds ten parts of an upload in memory.
_ONE_BY_ONE = {"max_concurrency": 1}
_OPTIONS: dict[str, dict[str, Any]] = {"s3": _ONE_BY_ONE, "s3a": _ONE_BY_ONE}
_PATTERN = re.compile(r"[*?\[\]]")


def is_url(path: str | Path) -> bool:
    """Whether a path, or its text, is a URL such as `s3://bucket/folder`; `file://` names what is local."""
    if not isinstance(path, str):
        return isinstance(path, UPath)
    scheme = _SCHEME.match(path)
    return scheme is not None and scheme[1].lower() not in _LOCAL


def as_path(text: str) -> Path:
    """The path that a text names: a plain `pathlib.Path`, or for a URL a `UPath`, which is used as one.

    Other processes write there as well, so that no listing of a store is remembered.

    Raises:
      UsageError: if nothing is known of such a URL, or a package that it needs is not installed.
    """
    if not is_url(text):
        return Path(re.sub(rf"^({'|'.join(_LOCAL)})://", "", text))
    if _PATTERN.search(text):
        raise UsageError(f"{text}: fsspec takes * ? [ ] in a URL for a pattern; choose a name without")
    scheme = text.partition(":")[0].lower()
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = known_implementations[scheme]["class"].partition(".")[0]
        remedy = f"; pip install {package}" if package != fsspec.__name__ else ""
        raise UsageError(f"{text}: {error}{remedy}") from None
    except ValueError:
        known = "s3, gs, abfs, hdfs or another one that fsspec knows"
        raise UsageError(f"{text}: no such kind of URL; its scheme must be {known}") from None
    # Not a Path by inheritance: object stores have neither links nor a working folder.
    # SFTP's would take the option for one of the connection's, and keeps no listings anyway.
    options: dict[str, Any] = {} if scheme in ("sftp", "ssh") else {"use_listings_cache": False}
    return cast(Path, UPath(text.rstrip("/"), **options | _OPTIONS.get(scheme, {})))


def local(text: str) -> Path:
    """The path that a text names, which must be local.

    Raises:
      UsageError: if it is a URL.
    """
    if is_url(text):
        raise UsageError(f"{text}: is a URL, and this must be on a local disk; give a folder or file there")
    return as_path(text)


def absolute(text: str) -> str:
    """A path's text without reference to the working folder; a URL is one already."""
    return text.rstrip("/") if is_url(text) else os.path.abspath(as_path(text))  # noqa: PTH100 - links stay


def inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder, or in it."""
    if is_url(path) or is_url(folder):
        return f"{path}/".startswith(f"{folder}/")
    return path.resolve().is_relative_to(folder.resolve())
