"""What the index stage tells a person before it runs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from schemas.clip import SPLITS, Clip, compression_rank
from schemas.outcome import Outcome
from transforms.leaks import leaks

# Lines of one kind after which the rest is counted only.
_MOST = 10


def describe_clips(clips: Sequence[Clip]) -> Iterator[str]:
    """Clips by method, compression and split, as the lines of a table."""
    methods = sorted({(clip.label != "real", clip.method) for clip in clips})
    compressions = sorted({clip.compression for clip in clips}, key=compression_rank)
    counts = Counter((clip.method, column) for clip in clips for column in (clip.compression, clip.split))
    counts += Counter(("all", column) for clip in clips for column in (clip.compression, clip.split))
    width = max([len("method"), *(len(method) for _, method in methods)])
    columns = [*compressions, *SPLITS]
    yield f"  {'method':{width}}" + "".join(f"{column:>8}" for column in columns)
    for method in [*(method for _, method in methods), "all"]:
        yield f"  {method:{width}}" + "".join(f"{counts[method, column]:8}" for column in columns)


def describe_leaks(clips: Iterable[Clip], dataset: str) -> Iterator[str]:
    """Identities on more than one side of the split, and the remedy."""
    found = leaks(clips)
    lines = [
        f"{leak.identity} is in {' and '.join(leak.splits)}, such as {' and '.join(leak.clips)}"
        for leak in found
    ]
    yield from _first(lines, "identities on more than one side")
    if found:
        yield (
            f"{len(found)} identities are on more than one side of the split: "
            f"set datasets.{dataset}.split to repaired, or to hash"
        )


def describe_notes(notes: Sequence[str]) -> Iterator[str]:
    """What the layout has to say."""
    yield from _first(notes, "notes")


def describe_outcomes(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """What will not be indexed, by reason, with an example."""
    examples: dict[tuple[str, str], Outcome] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        reason = outcome.status, outcome.reason
        counts[reason] += 1
        examples.setdefault(reason, outcome)
    for (status, why), example in sorted(examples.items()):
        yield f"{counts[status, why]} {status}, {why}, such as {example.unit}: {example.detail}"


def _first(lines: Sequence[str], what: str) -> Iterator[str]:
    yield from lines[:_MOST]
    if len(lines) > _MOST:
        yield f"... and {len(lines) - _MOST} more {what}"
