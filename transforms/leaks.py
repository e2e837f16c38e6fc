"""The graph of identities: who is seen together with whom, and who is on more than one side of the split."""

from collections.abc import Iterable, Sequence

import networkx as nx

from schemas.clip import SPLITS, Clip, Split
from schemas.leak import Leak


def leaks(clips: Iterable[Clip]) -> list[Leak]:
    """Identities that appear in more than one split, sorted by identity; none is what a split should give.

    An identity is the same wherever its `<kind>:<id>` is the same, also in another dataset. Takes one pass,
    and memory for the identities only.
    """
    seen: dict[str, dict[Split, tuple[str, int]]] = {}
    for clip in clips:
        name = f"{clip.dataset}/{clip.clip}"
        for identity in set(clip.identities):
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
