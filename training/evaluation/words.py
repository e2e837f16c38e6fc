"""Words that pages and tables share."""

from collections.abc import Iterable

_SOURCES = {"oracle": "oracle", "human": "people"}


def masks_by(sources: Iterable[str]) -> str:
    """Who made the masks that a run was trained on (`Run.sources`): "oracle and people"; "" for nobody."""
    return " and ".join(_SOURCES.get(source, source) for source in sources)
