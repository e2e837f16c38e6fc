"""Listings of trees that are file names and texts only, and what layouts make of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.params import DatasetParams
from transforms.indexing.declare import declare
from transforms.indexing.layout import Declared, Listing, load_layout
from transforms.leaks import leaks


def look(layout: str, files: Iterable[str], texts: Mapping[str, str | Exception], **params: Any) -> Declared:
    """What a layout declares of a tree in ROOT; a text that is an exception is raised."""

    def read_text(path: str) -> str:
        if path not in texts:
            raise FileNotFoundError(path)
        text = texts[path]
        if isinstance(text, Exception):
            raise text
        return text

    listing = Listing("ROOT", sorted({*files, *texts}), read_text)
    return declare(load_layout(layout), layout, listing, DatasetParams(layout, "ROOT", **params))


def by_path(declared: Declared) -> dict:
    return {clip.clip: clip for clip in declared.clips}


def reasons(declared: Declared) -> dict:
    return {outcome.unit: (outcome.status, outcome.reason) for outcome in declared.outcomes}


def check_laws(declared: Declared, files: Iterable[str], split: str) -> None:
    """What holds for every tree: nothing vanishes, nothing is there twice, groups are whole."""
    clips = [clip.clip for clip in declared.clips]
    units = [outcome.unit for outcome in declared.outcomes]
    masks = [clip.official_mask for clip in declared.clips if clip.official_mask]
    everything = [*clips, *units, *masks, *declared.used]
    assert len(everything) == len({*everything})
    missing = {outcome.unit for outcome in declared.outcomes if outcome.reason == "missing"}
    assert not missing & {*files}
    for path in files:
        assert any(path == one or path.startswith(f"{one}/") for one in everything), path
    groups: dict = {}
    for clip in declared.clips:
        groups.setdefault(clip.group, []).append(clip)
    for members in groups.values():
        assert len({clip.split for clip in members}) == 1
        (reference,) = (clip for clip in members if clip.reference)
        if reference.label == "fake":
            assert [(clip.label, clip.truth) for clip in members] == [("fake", "none")]
        else:
            assert {clip.truth for clip in members} == {"original"}
            assert [clip.label for clip in members].count("real") == 1
    if split == "hash":
        assert leaks(declared.clips) == []
