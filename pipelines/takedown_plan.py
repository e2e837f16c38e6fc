"""What a takedown is of: the clips that go, and what of requests and labels shows them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines import purge
from pipelines.annotation.ingest import LABELS
from pipelines.clips import outcomes_path
from pipelines.purge import Purge
from schemas import files
from schemas.clip import Clip
from schemas.errors import UsageError
from schemas.outcome import Outcome
from schemas.takedown import Tombstone
from transforms.takedown import Place, find_near, find_taken


@dataclass(frozen=True)
class Indexed:
    """A dataset's index.

    Attributes:
      path: of `clips.parquet`.
      dataset: name.
      root: folder of the dataset.
      clips: of it.
      outcomes: beside it.
    """

    path: Path
    dataset: str
    root: str
    clips: list[Clip]
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Plan:
    """What a takedown does.

    Attributes:
      before, new: tombstones that are there, and those to add.
      indexes: of the datasets.
      taken: clips that are indexed and go, by dataset and path.
      places: these, and what went when it was indexed last.
      purges: of requests and labels that lose something, in the order in which to carry them out.
    """

    before: tuple[Tombstone, ...]
    new: tuple[Tombstone, ...]
    indexes: tuple[Indexed, ...]
    taken: dict[Place, str]
    places: set[Place]
    purges: tuple[Purge, ...]


def read_indexes(paths: Iterable[Path]) -> tuple[Indexed, ...]:
    """Read `clips.parquet` of several datasets, with their outcomes.

    Raises:
      UsageError: if one is not an index.
    """
    found = []
    for path in paths:
        clips: list[Clip] = files.read_rows(path, Clip)
        metadata = files.read_metadata(path)
        outcomes = files.read_rows(outcomes_path(path), Outcome)
        found.append(Indexed(path, metadata.get("dataset", ""), metadata.get("root", ""), clips, outcomes))
    return tuple(found)


def name_person(
    identity: str, indexes: Sequence[Indexed], before: Collection[Tombstone], day: str, because: str
) -> Tombstone:
    """The tombstone of an identity.

    Raises:
      UsageError: if no clip has it, and it is not taken down already.
    """
    tombstone = Tombstone("identity", "", identity, day, because)
    known = {one for index in indexes for clip in index.clips for one in clip.identities}
    if identity not in known and tombstone.place not in {one.place for one in before}:
        raise _unknown("--identity", identity, known, indexes)
    return tombstone


def name_clip(
    given: str, indexes: Sequence[Indexed], before: Collection[Tombstone], day: str, because: str
) -> list[Tombstone]:
    """The tombstones of a clip, and of what goes with it: that goes also when the clip itself is deleted.

    Raises:
      UsageError: if no dataset holds it, or several do.
    """
    places = {(index.dataset, unit) for index in indexes for unit in _units(index)}
    places |= {(one.dataset, one.name) for one in before if one.kind == "clip"}
    dataset, _, path = given.partition("/")
    found = sorted(place for place in places if place == (dataset, path) or place[1] == given)
    if not found:
        raise _unknown("--clip", given, {f"{dataset}/{path}" for dataset, path in places}, indexes)
    if len(found) > 1:
        several = " or ".join(f"--clip {dataset}/{path}" for dataset, path in found)
        raise UsageError(f"--clip {given}: {len(found)} datasets have it; say which: {several}")
    own = Tombstone("clip", found[0][0], found[0][1], day, because)
    every = [clip for index in indexes for clip in index.clips if index.dataset == own.dataset]
    others = sorted(find_taken(every, [own]).keys() - {found[0]})
    return [own, *(Tombstone("clip", dataset, path, day, because) for dataset, path in others)]


def _units(index: Indexed) -> Iterator[str]:
    yield from (clip.clip for clip in index.clips)
    yield from (outcome.unit for outcome in index.outcomes)


def _unknown(flag: str, name: str, known: Collection[str], indexes: Sequence[Indexed]) -> UsageError:
    where = ", ".join(str(index.path) for index in indexes)
    if not where:
        return UsageError(
            f"{flag} {name}: no clips.parquet to look it up in; give --clips FILE, or --work FOLDER"
        )
    near = find_near(name, known)
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    return UsageError(
        f"{flag} {name}: not in {where}{meant} (of a dataset that is not indexed yet, write the line into "
        "takedowns.csv yourself)"
    )


def plan(
    before: tuple[Tombstone, ...],
    asked: Iterable[Tombstone],
    indexes: tuple[Indexed, ...],
    requests: Sequence[Path],
    labels: Sequence[Path],
) -> Plan:
    """What goes where; touches nothing.

    Raises:
      UsageError: if a table cannot be read.
    """
    known = {one.place for one in before}
    new = tuple({one.place: one for one in asked if one.place not in known}.values())
    taken: dict[Place, str] = {}
    for index in indexes:
        taken |= find_taken(index.clips, (*before, *new))
    past = {
        (index.dataset, outcome.unit)
        for index in indexes
        for outcome in index.outcomes
        if outcome.reason == "taken_down"
    }
    places = past | taken.keys()
    ids = purge.find_requests(places, requests, labels)
    # What has no table of its own to find its pictures by comes first.
    ordered = sorted(labels, key=lambda path: (path / LABELS).is_file())
    purges = [
        *(purge.plan_labels(path, ids) for path in ordered),
        *(purge.plan_requests(path, ids) for path in requests),
    ]
    return Plan(before, new, indexes, taken, places, tuple(one for one in purges if one.said))
