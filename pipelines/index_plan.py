"""What is to be indexed: what a dataset's layout says of the files in its folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.archives import Contents
from pipelines.listing import list_root
from pipelines.probing import Probed
from pipelines.stamps import Stamps
from schemas.clip import Clip
from schemas.errors import UsageError
from schemas.outcome import Outcome
from schemas.params import DatasetParams
from transforms.indexing.declare import declare
from transforms.indexing.layout import DatasetError, Declared, Layout, Listing, load_layout

# What other stages have to say of what a layout declares.
Change = Callable[[Declared], Declared]


@dataclass(frozen=True)
class Source:
    """A dataset's folder.

    Attributes:
      dataset: name.
      params: of the dataset.
      layout: of the folder.
      listing: of the folder; says nothing of what is in archives.
      refused: outcomes of what must not be read.
      stamps: of its files.
    """

    dataset: str
    params: DatasetParams
    layout: Layout
    listing: Listing
    refused: Sequence[Outcome]
    stamps: Stamps


@dataclass(frozen=True)
class Plan:
    """What is to be indexed.

    Attributes:
      dataset: name.
      params: of the dataset.
      terms: of its use.
      clips: without media facts; each group's reference clip first.
      outcomes: of all other files, one each.
      notes: for a person.
      facts: of clips in archives, by path.
      stamps: of the files.
    """

    dataset: str
    params: DatasetParams
    terms: str
    clips: tuple[Clip, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]
    facts: Mapping[str, Probed]
    stamps: Stamps


def open_dataset(dataset: str, params: DatasetParams) -> Source:
    """List a dataset's folder.

    Raises:
      UsageError: if it cannot be listed, or there is no such layout.
    """
    try:
        layout = load_layout(params.layout)
    except DatasetError as error:
        raise UsageError(str(error)) from None
    return Source(dataset, params, layout, *list_root(dataset, params.root))


def plan(source: Source, contents: Contents, changes: Iterable[Change] = ()) -> Plan:
    """Let a dataset's layout say what is in its folder. Opens no clip.

    Args:
      source: the folder.
      contents: of its archives.
      changes: to what is declared, in this order, before anything is probed.

    Raises:
      UsageError: if the folder or its lists cannot be used.
    """
    archived = {path: fact.frames for path, fact in contents.facts.items()}
    try:
        listing = replace(source.listing, archived=archived)
        declared = declare(source.layout, source.dataset, listing, source.params)
    except DatasetError as error:
        raise UsageError(str(error)) from None
    for change in changes:
        declared = change(declared)
    known = {clip.clip for clip in declared.clips}
    outcomes: dict[str, Outcome] = {}
    for outcome in (*source.refused, *declared.outcomes, *_inside(contents, declared.outcomes)):
        used = any(path == outcome.unit or path.startswith(f"{outcome.unit}/") for path in declared.used)
        if not used and outcome.unit not in known:
            outcomes.setdefault(outcome.unit, outcome)
    facts = {path: contents.facts[path] for path in known & contents.facts.keys()}
    return Plan(
        dataset=source.dataset,
        params=source.params,
        terms=source.layout.TERMS,
        clips=declared.clips,
        outcomes=tuple(outcomes.values()),
        notes=declared.notes,
        facts=facts,
        stamps=source.stamps,
    )


def _inside(contents: Contents, declared: Iterable[Outcome]) -> Iterator[Outcome]:
    """What is not taken of archives, but of those that a layout takes as a whole for strays."""
    strays = {outcome.unit for outcome in declared}
    for archive, outcomes in contents.outcomes.items():
        parts = archive.split("/")
        if not any("/".join(parts[:end]) in strays for end in range(1, len(parts) + 1)):
            yield from outcomes
