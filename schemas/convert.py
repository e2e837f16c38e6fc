"""pyarrow schemas, JSON Schemas and rows, all derived from the dataclasses."""

import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

T = TypeVar("T")

_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_ATOMS = tuple(_SCALARS)


def _arrow_type(hint: Any) -> tuple[pa.DataType, bool]:
    """The pyarrow type of a type hint, and whether it may be null."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return _arrow_type(inner)[0], True
    if origin is typing.Literal:
        return pa.string(), False
    if origin is tuple:
        element, nullable = _arrow_type(arguments[0])
        return pa.list_(pa.field("item", element, nullable)), False
    if dataclasses.is_dataclass(hint):
        return pa.struct(list(_arrow_fields(typing.cast(type, hint)))), False
    if hint in _SCALARS:
        return _SCALARS[hint], False
    raise TypeError(f"no pyarrow type for {hint!r}: add it to schemas/convert.py")


def _arrow_fields(cls: type) -> list[pa.Field]:
    hints = typing.get_type_hints(cls)
    return [pa.field(field.name, *_arrow_type(hints[field.name])) for field in dataclasses.fields(cls)]


def arrow_schema(cls: type) -> pa.Schema:
    """The pyarrow schema of a schema dataclass: Literals are strings, tuples lists, dataclasses structs.

    Raises:
      TypeError: if a field has a type that is not used here yet.
    """
    return pa.schema(_arrow_fields(cls))


@functools.cache
def _adapter(cls: type) -> TypeAdapter:
    return TypeAdapter(cls)


@functools.cache
def json_schema(cls: type) -> dict[str, Any]:
    """The JSON Schema of a schema dataclass; unknown fields are not allowed."""
    return _adapter(cls).json_schema()


def from_row(cls: type[T], row: Mapping[str, Any]) -> T:
    """The dataclass of a row (of Parquet or JSON).

    Raises:
      pydantic.ValidationError: (a ValueError) naming each field that is missing, unknown or of a wrong type.
    """
    record: T = _adapter(typing.cast(Hashable, cls)).validate_python(dict(row))
    return record


# Rows of a table that are Python's values at once.
_ROWS = 50_000


def from_table(cls: type[T], table: pa.Table) -> Iterator[T]:
    """The dataclasses of a table that has the schema of the class, as `from_row` gives them.

    Of classes whose fields are plain values or tuples of them, which is what there are millions of, values
    are taken column by column, and rows with equal ones share them: 1 KB and a few microseconds a clip.

    Raises:
      pydantic.ValidationError: (a ValueError) if a value is none of its `Literal`.
    """
    plain = all(not pa.types.is_nested(_inner(field.type)) and not field.nullable for field in table.schema)
    batches = table.to_batches(_ROWS)
    if not plain or not _are_allowed(cls, table):
        for batch in batches:
            yield from (from_row(cls, row) for row in batch.to_pylist())
        return
    for batch in batches:
        yield from map(cls, *map(_values, batch.columns))


def _inner(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def _are_allowed(cls: type, table: pa.Table) -> bool:
    """Whether every column of a `Literal` holds nothing else."""
    return all(
        set(pc.unique(table.column(name)).to_pylist()) <= set(typing.get_args(hint))
        for name, hint in typing.get_type_hints(cls).items()
        if typing.get_origin(hint) is typing.Literal
    )


def _values(column: pa.Array) -> Iterable[Any]:
    if pa.types.is_list(column.type):
        known: dict[tuple, tuple] = {}
        return [known.setdefault(value, value) for value in map(tuple, column.to_pylist())]
    encoded = column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    return [values[place] for place in encoded.indices.to_pylist()]


def to_row(record: Any) -> dict[str, Any]:
    """The row of a schema dataclass: plain values, for Parquet or JSON."""
    return {name: _plain(getattr(record, name)) for name in _names(typing.cast(Hashable, type(record)))}


@functools.cache
def _names(cls: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(typing.cast(type, cls)))


def _plain(value: Any) -> Any:
    """As `dataclasses.asdict`, which copies every number; values here are never changed."""
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value) if value and not isinstance(value[0], _ATOMS) else value
    return to_row(value) if dataclasses.is_dataclass(value) else value


@functools.cache
def index_schema(cls: type) -> pa.Schema:
    """The pyarrow schema of `index.parquet`: a sample's fields and the URL of its shard."""
    return arrow_schema(cls).append(pa.field("shard", pa.string(), False))
