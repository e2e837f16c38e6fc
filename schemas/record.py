"""The decorator of every schema dataclass."""

import dataclasses
from typing import TypeVar, dataclass_transform

T = TypeVar("T", bound=type)


@dataclass_transform(frozen_default=True)
def record(cls: T) -> T:
    """A frozen, slotted dataclass whose JSON Schema and reader refuse unknown fields."""
    cls.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, slots=True)(cls)  # type: ignore[return-value]
