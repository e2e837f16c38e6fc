"""The index that later stages start from: clips of one dataset, and where they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.clip import Clip, compression_rank
from schemas.errors import UsageError
from schemas.files import is_file, read_metadata, read_rows
from schemas.names import clip_name
from schemas.paths import absolute, is_url
from transforms.errors import ClipError
from transforms.media import media_kind, split_archive
from transforms.stills import picture_names


@dataclass(frozen=True)
class Index:
    """What `clips.parquet` holds.

    Attributes:
      path: of the file.
      dataset: name.
      root: folder that clips' paths are relative to.
      terms: the dataset's terms of use.
      groups: clips of each source group, sorted by name.
    """

    path: Path
    dataset: str
    root: str
    terms: str
    groups: dict[str, tuple[Clip, ...]]


def outcomes_path(clips: Path) -> Path:
    """Where the outcomes of an index are, beside its clips."""
    return clips.with_name(f"{clips.stem}.outcomes.parquet")


def read_index(path: Path, root: str | None) -> Index:
    """Read `clips.parquet`; `root` overrides the folder that was indexed.

    Raises:
      UsageError: if the file is not an index, or is empty, or its outcomes are not beside it.
    """
    if not is_url(path) and path.is_dir():
        raise UsageError(
            f"{path}: is a folder; name the file that pipelines.index wrote, such as clips.parquet"
        )
    clips: list[Clip] = read_rows(path, Clip)
    if not clips:
        raise UsageError(f"{path}: no clips in it; see its outcomes beside it for why")
    if not is_file(outcomes_path(path)):
        raise UsageError(
            f"{outcomes_path(path)}: no such file, and it belongs to {path.name}; run pipelines.index again"
        )
    metadata = read_metadata(path)
    root = root if root is not None else metadata.get("root", "")
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    return Index(
        path=path,
        dataset=clips[0].dataset,
        # Workers of other runners start in other folders.
        root=absolute(root),
        terms=metadata.get("terms", ""),
        groups={group: tuple(members) for group, members in sorted(groups.items())},
    )


def reference_clip(clips: Sequence[Clip]) -> Clip:
    """The clip of a group that geometry is measured on.

    Raises:
      ClipError: "no_original" if there is none.
    """
    for clip in clips:
        if clip.reference:
            return clip
    raise ClipError("no_original", f"{clips[0].group}: no reference clip among {len(clips)}")


def versions(clips: Sequence[Clip]) -> dict[str, tuple[Clip, ...]]:
    """The clips of a group by what they show: versions of one clip at several compressions, best first.

    Two clips are versions of each other if they have the same method and file name (or name of the folder of
    frames), and no other clip of their compression has.
    """
    found: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: (compression_rank(clip.compression), clip.clip)):
        found.setdefault(f"{clip.method}/{clip_name(clip.clip)}", []).append(clip)
    result: dict[str, tuple[Clip, ...]] = {}
    for name, members in found.items():
        if len({clip.compression for clip in members}) == len(members):
            result[name] = tuple(members)
        else:
            result |= {clip.clip: (clip,) for clip in members}
    return result


def clip_path(root: str, clip: Clip) -> Path:
    """A clip's path; checks that it is still what was indexed.

    Of a folder of frames the sum of its pictures' sizes must be the same. Of one in an archive only the
    archive must be there: whether the pictures are is found when they are read.

    Raises:
      ClipError: "missing" or "changed_on_disk"; of a folder also as `picture_names`.
    """
    path = Path(root, clip.clip)
    kind = media_kind(path)
    try:
        if kind == "archived":
            through = split_archive(path)
            assert through is not None
            through[0].stat()
            return path
        parts = [path / name for name in picture_names(path)] if kind == "folder" else [path]
        size = sum(part.stat().st_size for part in parts)
    except OSError as error:
        raise ClipError("missing", f"{path}: {error.strerror}; put it back, or index again") from None
    if size != clip.bytes:
        raise ClipError("changed_on_disk", f"{path}: {size} bytes, {clip.bytes} when indexed; index again")
    return path
