"""What is known of clips' files, and what is to be probed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pipelines.probing import Probed, ProbeUnit, key_of, plan_group
from pipelines.stamps import Stamps
from schemas import files
from schemas.clip import Clip


def known_facts(out: Path, stamps: Stamps) -> dict[str, Probed]:
    """Facts of the files that were indexed before and were not touched since, by path."""
    facts = {}
    clips = files.read_rows(out, Clip)
    indexed = files.changed(out)
    for clip in clips:
        if stamps.untouched_size(clip.clip, indexed) == clip.bytes:
            shape = clip.frames, clip.width, clip.height, clip.rotation, clip.fps
            facts[clip.clip] = Probed(clip.clip, *shape, clip.bytes, clip.sha256)
        if clip.official_mask and stamps.untouched_size(clip.official_mask, indexed) >= 0:
            facts[clip.official_mask] = Probed(
                clip.official_mask, 0, 0, 0, 0, 0.0, 0, clip.official_mask_sha256
            )
    return facts


def plan_units(
    dataset: str, clips: Iterable[Clip], stamps: Stamps, facts: Mapping[str, Probed]
) -> dict[str, tuple[ProbeUnit, int]]:
    """Units and their sizes in bytes, by key; without the files whose facts are known."""
    groups: dict[str, tuple[list[str], dict[str, None]]] = {}
    for clip in clips:
        paths, masks = groups.setdefault(clip.group, ([], {}))
        if clip.clip not in facts:
            paths.append(clip.clip)
        if clip.official_mask and clip.official_mask not in facts:
            masks[clip.official_mask] = None
    return {
        key_of(group): plan_group(dataset, stamps, group, paths, list(masks))
        for group, (paths, masks) in groups.items()
        if paths or masks
    }


def with_facts(clip: Clip, fact: Probed, mask: Probed | None) -> Clip:
    """A clip with what was found in its file, and in its official mask where that can be used."""
    return replace(
        clip,
        frames=fact.frames,
        width=fact.width,
        height=fact.height,
        rotation=fact.rotation,
        fps=fact.fps,
        bytes=fact.bytes,
        sha256=fact.sha256,
        official_mask=clip.official_mask if mask else "",
        official_mask_sha256=mask.sha256 if mask else "",
    )
