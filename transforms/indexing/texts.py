"""Text files of a dataset, read or refused with a remedy."""

import json
from typing import Any

from transforms.indexing.layout import DatasetError, Listing


def read_text(listing: Listing, path: str, remedy: str) -> str | None:
    """A file's text, without a byte order mark; None where there is no such file.

    Args:
      listing: of the dataset.
      path: relative to the root.
      remedy: what to do where the file cannot be used.

    Raises:
      DatasetError: if it cannot be read, or is not UTF-8.
    """
    name = f"{listing.root}/{path}"
    try:
        return listing.read_text(path).removeprefix("\ufeff")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{name}: not UTF-8 at byte {error.start}; {remedy}") from None
    except OSError as error:
        raise DatasetError(f"{name}: {error.strerror}; make it readable") from None


def parse_json(text: str, name: str, remedy: str) -> Any:
    """What a JSON text holds.

    Raises:
      DatasetError: naming the line, if it is not JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DatasetError(f"{name}: not JSON at {where} ({error.msg}); {remedy}") from None


def kind_of(value: Any) -> str:
    """What a JSON value is, for messages."""
    names = {"list": "a list", "dict": "an object", "str": "a text"}
    return names.get(type(value).__name__, "a number or null")


def shorten(value: Any) -> str:
    """A JSON value's beginning, for messages."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
