"""The samples of several folders of shards as one set of tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from pipelines.shard_folder import ShardFolder, read_index_table, read_keys
from schemas.clip import Clip
from transforms.audit.checks import CATEGORIES, flatten_masks


@dataclass(frozen=True)
class Corpus:
    """All that the audit looks at, but for the pictures.

    Attributes:
      folders: of the shards, one a dataset.
      samples: a row a sample: its `CATEGORIES`.
      masks: a row a mask, as `flatten_masks` makes them; `sample` is the row in `samples`.
      keys: of the samples.
    """

    folders: tuple[ShardFolder, ...]
    samples: pa.Table
    masks: pa.Table
    keys: pa.ChunkedArray
    _samples: tuple[int, ...]
    _masks: tuple[int, ...]

    @property
    def clips(self) -> Iterator[Clip]:
        """The clips of all folders."""
        return (clip for folder in self.folders for clip in folder.clips)

    def samples_of(self, folder: int) -> pa.Table:
        """The samples of one folder."""
        return self.samples.slice(self._samples[folder], self._samples[folder + 1] - self._samples[folder])

    def masks_of(self, folder: int) -> pa.Table:
        """The masks of one folder."""
        return self.masks.slice(self._masks[folder], self._masks[folder + 1] - self._masks[folder])

    def folder_of(self, sample: int) -> ShardFolder:
        """The folder that a sample is in."""
        number = next(n for n, (_, end) in enumerate(pairwise(self._samples)) if sample < end)
        return self.folders[number]


def load_corpus(folders: Sequence[ShardFolder]) -> Corpus:
    """Read the indexes of some folders."""
    samples, masks, keys, starts, mask_starts = [], [], [], [0], [0]
    for folder in folders:
        index = read_index_table(folder)
        flat = flatten_masks(index)
        position = flat.column_names.index("sample")
        flat = flat.set_column(position, "sample", pa.compute.add(flat["sample"], starts[-1]))
        samples.append(index.select(list(CATEGORIES)))
        masks.append(flat)
        keys += read_keys(folder).chunks
        starts.append(starts[-1] + index.num_rows)
        mask_starts.append(mask_starts[-1] + flat.num_rows)
    return Corpus(
        folders=tuple(folders),
        samples=pa.concat_tables(samples).unify_dictionaries(),
        masks=pa.concat_tables(masks).unify_dictionaries(),
        keys=pa.chunked_array(keys, pa.string()),
        _samples=tuple(starts),
        _masks=tuple(mask_starts),
    )
