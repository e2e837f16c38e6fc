"""The graph of identities: who is seen together with whom, and who is on more than one side of the split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx
from networkx.utils import UnionFind

from schemas.clip import SPLITS, Clip, Split
from schemas.leak import Leak


@dataclass(frozen=True)
class Lookalike:
    """Two groups in two splits of which crops look alike; tuples are parallel, the earlier split first.

    Attributes:
      groups: as `<dataset>/<group>`.
      splits: where they are.
      clips: those with the crops that look most alike, as `<dataset>/<clip>`.
      samples: keys of these crops' samples.
      counts: number of clips of each group with crops that look alike.
      similarity: of those two, -1 to 1.
    """

    groups: tuple[str, str]
    splits: tuple[Split, Split]
    clips: tuple[str, str]
    samples: tuple[str, str]
    counts: tuple[int, int]
    similarity: float


def leaks(clips: Iterable[Clip]) -> list[Leak]:
    """Identities that appear in more than one split, sorted by identity; none is what a split should give.

    An identity is the same wherever its `<kind>:<id>` is the same, also in another dataset; so is a file with
    the same bytes. Takes one pass, and memory for the identities only.
    """
    seen: dict[str, dict[Split, tuple[str, int]]] = {}
    for clip in clips:
        name = f"{clip.dataset}/{clip.clip}"
        for identity in identities_of(clip):
            sides = seen.setdefault(identity, {})
            example, count = sides.get(clip.split, (name, 0))
            sides[clip.split] = min(example, name), count + 1
    found = []
    for identity, sides in sorted(seen.items()):
        if len(sides) > 1:
            splits = tuple(split for split in SPLITS if split in sides)
            examples, counts = zip(*(sides[split] for split in splits), strict=True)
            found.append(Leak(identity, splits, examples, counts))
    return found


def find_leaks(clips: Sequence[Clip], alike: Iterable[Lookalike] = ()) -> list[Leak]:
    """Identities on more than one side, and then groups that look alike, with groups and components.

    Groups that look alike and share an identity are named by that identity alone.
    """
    alike = list(alike)
    named = leaks(clips)
    examples = {name for leak in named for name in leak.clips}
    groups = {name: group_of(clip) for clip in clips if (name := f"{clip.dataset}/{clip.clip}") in examples}
    known = _identities(clips, {group for pair in alike for group in pair.groups})
    found = [replace(leak, groups=tuple(groups[name] for name in leak.clips)) for leak in named]
    found += [
        Leak(
            identity="",
            splits=pair.splits,
            clips=pair.clips,
            counts=pair.counts,
            kind="lookalike",
            groups=pair.groups,
            samples=pair.samples,
            similarity=pair.similarity,
        )
        for pair in sorted(alike, key=lambda pair: (pair.groups, pair.clips, pair.samples))
        if known[pair.groups[0]].isdisjoint(known[pair.groups[1]])
    ]
    component = connect(clips, found)
    return [replace(leak, component=component[leak.groups[0]]) for leak in found]


def connect(clips: Iterable[Clip], leaked: Iterable[Leak]) -> Mapping[str, str]:
    """Which component each group is in, as `<dataset>/<group>`: the first group by name of all that hang
    together by identities, files and looks.
    """
    union: UnionFind = UnionFind()
    groups: dict[str, None] = {}
    for clip in clips:
        group = group_of(clip)
        groups[group] = None
        # An identity is no group: it has another type here.
        union.union(group, *((identity,) for identity in identities_of(clip)))
    for leak in leaked:
        if leak.kind == "lookalike":
            union.union(*leak.groups)
    first: dict[object, str] = {}
    for group in groups:
        root = union[group]
        first[root] = min(first.get(root, group), group)
    return {group: first[union[group]] for group in groups}


def identities_of(clip: Clip) -> set[str]:
    """What a clip may share with another one: its identities, and its file as `file:<sha256>`."""
    return {*clip.identities, f"file:{clip.sha256}"} if clip.sha256 else set(clip.identities)


def group_of(clip: Clip) -> str:
    """The name of a clip's group over all datasets: `<dataset>/<group>`."""
    return f"{clip.dataset}/{clip.group}"


def _identities(clips: Iterable[Clip], groups: set[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {group: set() for group in groups}
    for clip in clips if groups else ():
        if group_of(clip) in found:
            found[group_of(clip)] |= identities_of(clip)
    return found


def components(sets: Iterable[Sequence[str]]) -> dict[str, str]:
    """Who hangs together: each identity's component, named by the component's first identity by name.

    Args:
      sets: identities that belong together, such as those of each clip; a set joins all of its members.
    """
    graph: nx.Graph = nx.Graph()
    for identities in {tuple(sorted(identities)) for identities in sets}:
        graph.add_nodes_from(identities)
        graph.add_edges_from((identities[0], other) for other in identities[1:])
    return {
        identity: name
        for component in nx.connected_components(graph)
        for name in (min(component),)
        for identity in component
    }
