"""Shards behind URLs: webdataset's own schemes, and object stores and all else that fsspec knows."""

import importlib.util
from typing import Any, BinaryIO, cast

from fsspec.registry import known_implementations
from webdataset.gopen import gopen, gopen_schemes

from schemas import stores
from schemas.paths import as_path


def _open_stored(url: str, mode: str = "rb", bufsize: int = 8192) -> BinaryIO:
    """What webdataset calls for a scheme; it gives shards no other mode than "rb"."""
    return stores.open_stream(as_path(url))


for _scheme in known_implementations:
    gopen_schemes.setdefault(_scheme, _open_stored)
if importlib.util.find_spec("gcsfs") is not None:
    gopen_schemes["gs"] = _open_stored  # webdataset's own starts `gsutil` for each shard.


def open_url(url: str, **options: Any) -> BinaryIO:
    """A local file or what a URL names, to be read from its begin to its end.

    Raises:
      OSError: if it cannot be opened.
      UsageError: if a package is missing, or credentials or the bucket.
      StoppedError: if a store does not answer.
    """
    return cast(BinaryIO, gopen(url, **options))
