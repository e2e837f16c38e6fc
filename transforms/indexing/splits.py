"""Which side of the split an id is on: by a dataset's lists, by its lists without their leaks, or by hash."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.clip import SPLITS, Split
from transforms.leaks import components

# Shares of train and val; the rest is test. Those of FaceForensics++'s lists.
_TRAIN, _VAL = 0.72, 0.14


@dataclass(frozen=True)
class Lists:
    """A dataset's split lists.

    Attributes:
      ids: the split of each id.
      pairs: ids that fakes were made of together, in both orders; of each pair, both are in one split.
    """

    ids: Mapping[str, Split]
    pairs: frozenset[tuple[str, str]]

    def of(self, target: str, source: str = "") -> Split | None:
        """The split of a fake, or without a source of a real clip; None where no list names it."""
        listed = target in self.ids if not source else (target, source) in self.pairs
        return self.ids[target] if listed else None


@dataclass(frozen=True)
class Move:
    """Ids that the repaired split moves, and the origin (such as a YouTube video) because of which."""

    ids: tuple[str, ...]
    before: Split
    after: Split
    origin: str


def straddlers(lists: Lists, origins: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Origins with ids on more than one side: their ids, sorted, by origin.

    Args:
      lists: the split.
      origins: what each id was cut from; ids that are not in it share nothing.
    """
    ids: dict[str, list[str]] = {}
    for one in sorted(lists.ids):
        if one in origins:
            ids.setdefault(origins[one], []).append(one)
    return {
        origin: tuple(members)
        for origin, members in sorted(ids.items())
        if len({lists.ids[one] for one in members}) > 1
    }


def repair(lists: Lists, origins: Mapping[str, str]) -> tuple[Lists, list[Move]]:
    """The lists without their leaks: what hangs together, by pairs and origins, goes to one side as a whole.

    That side is the most held out of those it was on: test over val over train. So all of the official test
    set is in the repaired one, and nobody trains on what is officially held out.

    Returns:
      The lists, and what moved, sorted.
    """
    sets = [(f"id:{first}", f"id:{second}") for first, second in lists.pairs]
    sets += [(f"id:{one}", f"origin:{origins[one]}") for one in lists.ids if one in origins]
    component = components([*sets, *((f"id:{one}",) for one in lists.ids)])
    side: dict[str, Split] = {}
    for one, split in lists.ids.items():
        name = component[f"id:{one}"]
        side[name] = max(side.get(name, split), split, key=SPLITS.index)
    ids = {one: side[component[f"id:{one}"]] for one in lists.ids}
    asking = {component[f"origin:{origin}"]: origin for origin in straddlers(lists, origins)}
    moved: dict[tuple[Split, Split, str], list[str]] = {}
    for one, split in sorted(ids.items()):
        if split != lists.ids[one]:
            moved.setdefault((lists.ids[one], split, asking[component[f"id:{one}"]]), []).append(one)
    moves = [Move(tuple(members), *why) for why, members in moved.items()]
    return Lists(ids, lists.pairs), moves


def hash_splits(sets: Iterable[Sequence[str]], seed: int = 0) -> dict[str, Split]:
    """The split of each identity without lists: 72, 14 and 14 % of the connected components, by hash.

    A component's side depends on its first identity by name and on the seed, and on nothing else: a dataset
    that grows keeps its split, except where new clips join components.

    Args:
      sets: the identities of each clip; those of one clip are never separated.
      seed: another one gives another split.
    """
    return {identity: _draw(f"{seed}/{name}") for identity, name in components(sets).items()}


def _draw(name: str) -> Split:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "train" if number < _TRAIN else "val" if number < _TRAIN + _VAL else "test"
