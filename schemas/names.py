"""How things are named in shards."""

import re
from collections.abc import Iterable

# Best first, where one clip is there in several containers.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")

_NUMBER = re.compile(r"\d+(?=\.[a-z]+$)")
_UNSAFE = re.compile(rb"[^A-Za-z0-9_/-]")


def encode_name(name: str) -> str:
    """Percent-encode every byte outside `[A-Za-z0-9_/-]`, with `=` in place of `%`.

    Two names never encode alike, and the result holds no dot, so that WebDataset splits keys from
    extensions where we do.

    >>> encode_name("a b/c.d=")
    'a=20b/c=2Ed=3D'
    """
    return _UNSAFE.sub(
        lambda match: f"={match.group()[0]:02X}".encode(), name.encode("utf-8", "surrogateescape")
    ).decode("ascii")


def without_suffix(clip: str) -> str:
    """A clip's path without the suffix of a video or a picture; that of a folder of frames as it is.

    >>> without_suffix("a/000.MP4"), without_suffix("a/v1.2")
    ('a/000', 'a/v1.2')
    """
    stem, _, suffix = clip.rpartition(".")
    known = f".{suffix}".lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
    return stem if known and stem and not stem.endswith("/") else clip


def clip_name(clip: str) -> str:
    """The last part of a clip's path, without the suffix of a video or a picture."""
    return without_suffix(clip).rpartition("/")[2]


def clip_stem(clip: str) -> str:
    """A clip's path without its suffix, encoded: the part of a sample's key that names the clip."""
    return encode_name(without_suffix(clip))


def sample_key(dataset: str, clip: str, track: int, frame: int) -> str:
    """`<dataset>/<clip path without suffix>/<track %02d>/<frame %06d>`, encoded.

    >>> sample_key("ffpp", "original_sequences/youtube/c23/videos/000.mp4", 0, 12)
    'ffpp/original_sequences/youtube/c23/videos/000/00/000012'
    """
    return f"{encode_name(dataset)}/{clip_stem(clip)}/{track:02d}/{frame:06d}"


def brace_form(names: Iterable[str]) -> str:
    """Numbered files in the form that WebDataset and shells expand; several runs are parted by `::`.

    >>> brace_form(["a-000.tar", "a-001.tar", "a-003.tar"])
    'a-{000..001}.tar::a-{003..003}.tar'
    """
    runs: list[list[str]] = []
    for name in sorted(names):
        before = runs[-1][-1] if runs else ""
        if before and _NUMBER.sub(lambda match: f"{int(match[0]) + 1:0{len(match[0])}d}", before) == name:
            runs[-1].append(name)
        else:
            runs.append([name])
    return "::".join(_run(run[0], run[-1]) for run in runs)


def _run(first: str, last: str) -> str:
    end = _NUMBER.search(last)
    return _NUMBER.sub(lambda match: f"{{{match[0]}..{end[0]}}}", first) if end else first
