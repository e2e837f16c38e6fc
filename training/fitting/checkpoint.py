"""The state of a run while it trains: `checkpoint.pt`."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from schemas import files
from schemas.errors import UsageError

NAME = "checkpoint.pt"
_FORMAT = "lae-checkpoint-1"


def write_checkpoint(path: Path, settings: str, state: dict[str, Any]) -> None:
    """Write a state, or leave the one that is there.

    Args:
      path: of the file.
      settings: digest of all that decides the weights.
      state: `Trainer.capture`'s.

    Raises:
      OSError: if there is no room; the file that was there before is untouched.
    """
    data = to_bytes({"format": _FORMAT, "settings": settings, "state": state})
    with files.atomic_write(path) as file:
        file.write(data)


def read_checkpoint(path: Path) -> tuple[str, dict[str, Any]] | None:
    """The settings' digest and the state; None where there is no such file.

    Raises:
      UsageError: if it is damaged, or something else.
    """
    try:
        found = from_bytes(path.read_bytes())
        if found["format"] != _FORMAT:
            raise ValueError(f"its format is {found['format']!r}, not {_FORMAT!r}")
        return str(found["settings"]), found["state"]
    except FileNotFoundError:
        return None
    except (*UNREADABLE, KeyError, TypeError, OSError) as error:
        raise UsageError(
            f"{path}: not a whole checkpoint of this program ({summarise(error)}); remove it, and the run "
            "starts afresh"
        ) from None


UNREADABLE = (RuntimeError, ValueError, EOFError, pickle.UnpicklingError)


def to_bytes(value: Any) -> bytes:
    """What `torch.save` writes, in memory: a full disk then fails in one place. Equal values, equal bytes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Any:
    """What `to_bytes` was given, on the CPU; plain values and tensors only, so that no code can hide in it.

    Raises:
      one of `UNREADABLE`: if the bytes are something else.
    """
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def summarise(error: Exception) -> str:
    """The first line of an error's words, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
