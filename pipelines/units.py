"""Units of work on their way to workers: in the graph itself, or in files that workers share.

A runner takes a graph as one message of a few megabytes. What does not fit is written to files of bounded
size in the folder of the results, and the graph names them.
"""

import contextlib
import itertools
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipelines.lease import Lease
from schemas import files

# Bytes of pickled units that a graph, or a file of them, holds at most; a larger unit has a file of its own.
MOST = 4 << 20

Item = tuple[str, Any]


def write_chunk(path: Path, pickled: Sequence[bytes]) -> None:
    """Write pickled items as one file."""
    with files.atomic_write(path) as file:
        pickle.dump(pickled, file)


def read_chunk(path: Path) -> Iterator[Item]:
    """The items of a file."""
    for item in pickle.loads(files.read_bytes(path)):
        yield pickle.loads(item)


@dataclass(frozen=True)
class Units:
    """Keys and units, for a graph.

    Attributes:
      items: those in the graph.
      chunks: names of the files that hold all others, in the folder of the results.
    """

    items: tuple[Item, ...]
    chunks: tuple[str, ...]


@contextlib.contextmanager
def handed_out(items: Iterable[Item], lease: Lease, most: int) -> Iterator[Units]:
    """Keys and units, such that a graph can take them, while the block runs.

    Holds the units of two files at most. Files are named as temporary ones are, so that what a killed run
    leaves goes with the next one's `remove_parts`.

    Args:
      items: any number of them; the order is kept.
      lease: of the run, in the folder of the results.
      most: bytes of a graph and of a file.
    """
    names: list[str] = []
    try:
        chunks = _chunks(items, most)
        first, second = next(chunks, []), next(chunks, None)
        if second is None:
            yield Units(tuple(pickle.loads(item) for item in first), ())
            return
        for number, chunk in enumerate(itertools.chain([first, second], chunks)):
            names.append(f".units-{lease.run}-{number:06d}{files.PART}")
            write_chunk(lease.folder / names[-1], chunk)
        yield Units((), tuple(names))
    finally:
        for name in names:
            files.remove(lease.folder / name)


def _chunks(items: Iterable[Item], most: int) -> Iterator[list[bytes]]:
    """Pickled items in lists of bounded size."""
    chunk: list[bytes] = []
    size = 0
    for item in items:
        pickled = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        if chunk and size + len(pickled) > most:
            yield chunk
            chunk, size = [], 0
        chunk.append(pickled)
        size += len(pickled)
    if chunk:
        yield chunk


class _ReadChunk(beam.DoFn):
    def __init__(self, lease: Lease):
        self._lease = lease

    def process(self, name: str) -> Iterator[Item]:
        self._lease.check()  # The files of a run go when it ends.
        yield from read_chunk(self._lease.folder / name)


@dataclass
class CreateUnits(beam.PTransform):
    """The keys and units, from the graph or from files."""

    units: Units
    lease: Lease

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Apply to the pipeline itself."""
        if not self.units.chunks:
            return pipeline | "Create" >> beam.Create(self.units.items, reshuffle=False)
        return (
            pipeline
            | "CreateChunks" >> beam.Create(self.units.chunks, reshuffle=False)
            | "ReadChunks" >> beam.ParDo(_ReadChunk(self.lease))
        )
