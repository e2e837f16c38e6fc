"""Verification of one sample: its members in the tar against its row."""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, get_args

import cv2
import numpy as np

from schemas.convert import from_row
from schemas.sample import MaskKind, Sample, SequenceSample
from transforms.audit.findings import Findings

IMAGES = ("jpg", "png")
_MASK = re.compile(rf"mask(\.({'|'.join(get_args(MaskKind))}))?\.png")
_FRAME = re.compile(r"(\d{3})\.(.+)")
_UNIFORM = {"all_zero": 0, "all_one": 255}


def check_sample(
    key: str, members: Mapping[str, bytes], row: Mapping[str, Any], unit: str, findings: Findings
) -> None:
    """Check that a sample has all members that it must have, and no others, and that they fit its row.

    Args:
      key: of the sample.
      members: by what follows the key's dot.
      row: what the index says of the sample.
      unit: "frame" or "sequence".
      findings: where to note what is wrong.
    """
    _check_record(key, members, row, unit, findings)
    kinds, digests = row["mask_kind"], row["crop_sha256"]
    if unit == "frame":
        kinds, digests = [kinds], [digests]
    if len(kinds) != len(digests):
        findings.add("bad_record", f"{key}.json", f"{len(kinds)} mask kinds for {len(digests)} crops")
    known = {"json"}
    for number, (kind, digest) in enumerate(zip(kinds, digests, strict=False)):
        prefix = "" if unit == "frame" else f"{number:03d}."
        known |= _check_image(f"{key}.", prefix, members, digest, findings)
        known |= _check_mask(f"{key}.", prefix, members, kind, row["size"], findings)
    for suffix in sorted(members.keys() - known):
        if not _is_mask(suffix, unit, len(kinds)):
            findings.add("extra_member", f"{key}.{suffix}", "not a member that a sample may have")


def _is_mask(suffix: str, unit: str, frames: int) -> bool:
    if unit == "sequence":
        match = _FRAME.fullmatch(suffix)
        if match is None or int(match[1]) >= frames:
            return False
        suffix = match[2]
    return suffix != "mask.png" and _MASK.fullmatch(suffix) is not None


def _check_record(
    key: str, members: Mapping[str, bytes], row: Mapping[str, Any], unit: str, findings: Findings
) -> None:
    if "json" not in members:
        findings.add("missing_member", f"{key}.json", "the sample's record is not in the tar")
        return
    try:
        record = json.loads(members["json"])
        if not isinstance(record, dict):
            raise TypeError(f"a {type(record).__name__}, not a sample's record")
        from_row(Sample if unit == "frame" else SequenceSample, record)
    except (ValueError, TypeError, RecursionError) as error:
        findings.add("bad_record", f"{key}.json", " ".join(str(error).split())[:300])
        return
    if record != row:
        names = sorted(name for name in record.keys() | row.keys() if record.get(name) != row.get(name))
        values = f"{names[0]} is {record.get(names[0])!r}, in the index {row.get(names[0])!r}"
        findings.add("record_differs", f"{key}.json", f"differs in {', '.join(names)}: {values[:200]}")


def _check_image(
    start: str, prefix: str, members: Mapping[str, bytes], digest: str, findings: Findings
) -> set[str]:
    there = [prefix + suffix for suffix in IMAGES if prefix + suffix in members]
    if not there:
        findings.add("missing_member", f"{start}{prefix}jpg", "the sample's image is not in the tar")
    for suffix in there:
        found = hashlib.sha256(members[suffix]).hexdigest()
        if found != digest:
            findings.add("crop_sha256", f"{start}{suffix}", f"is {found}, the record says {digest}")
    if len(there) > 1:
        findings.add("extra_member", f"{start}{there[1]}", "a sample has one image: jpg or png")
    return set(there)


def _check_mask(
    start: str, prefix: str, members: Mapping[str, bytes], kind: str, size: int, findings: Findings
) -> set[str]:
    suffix = f"{prefix}mask.png"
    name, mask, value = f"{start}{suffix}", members.get(suffix), _UNIFORM.get(kind)
    if mask is None:
        if kind != "unknown":
            findings.add("missing_member", name, f"mask_kind is {kind}, so there must be a mask")
        return set()
    if kind == "unknown":
        findings.add("extra_member", name, "mask_kind is unknown, so there must be no mask")
    elif _png_size(mask) != (size, size):
        findings.add("mask", name, f"{_png_size(mask) or 'not a PNG'}, the record says {size} px")
    elif value is not None and _uniform(mask) != value:
        findings.add("mask", name, f"mask_kind is {kind}, but its pixels are not all {value}")
    return {suffix}


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


@functools.lru_cache(maxsize=256)
def _uniform(data: bytes) -> int | None:
    """The value of all pixels of a PNG, or None; masks of real samples are the same bytes again and again."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if image is None or image.min() != image.max():
        return None
    return int(image.max())
