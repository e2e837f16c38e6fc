"""Stable digests of plain values."""

import dataclasses
import hashlib
import json
from typing import Any


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"cannot digest a {type(value).__name__}: {value!r}")


def digest(*values: Any) -> str:
    """SHA-256 (64 hex digits) of the values as canonical JSON: the same on every machine and run.

    Takes what JSON takes, and dataclasses of it.

    Raises:
      TypeError: if a value is of another type.
      ValueError: if a float is not finite.
    """
    text = json.dumps(
        values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_plain
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()
