"""The answers in tasks of Label Studio."""

import base64
import binascii
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import cv2
import numpy as np

from pipelines.annotation.png import png_size
from pipelines.annotation.question import Requests
from schemas.digest import digest
from schemas.label import Reason, Verdict
from transforms import brush_rle
from transforms.labelling import Answer

EARLIER = "earlier"
"""Key of a task: answers that were pulled once and are changed or gone in Label Studio."""

_BRUSHES = ("brushlabels", "brush", "bitmasklabels", "bitmask")
# What a project may ask besides; no region.
_NOTES = ("textarea", "rating", "number", "datetime", "taxonomy", "relation", "pairwise")


class _BadAnswerError(Exception):
    """An answer that cannot be read: reason and detail."""

    def __init__(self, reason: Reason, detail: str):
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def request_of(task: Any) -> str:
    """The request that a task asks; "" where it names none."""
    data = task.get("data") if isinstance(task, dict) else None
    return str(data.get("request_id") or "") if isinstance(data, dict) else ""


def read_answers(tasks: Sequence[Any], requests: Requests) -> Iterator[Answer]:
    """Answers of an export, good or bad."""
    for task in tasks:
        for item in items(task, "annotations"):
            yield read_answer(task, item, requests)
        for item in items(task, EARLIER):
            yield read_answer(task, item, requests, earlier=True)


def read_answer(task: Any, item: Any, requests: Requests, earlier: bool = False) -> Answer:
    """One annotation of a task.

    Regions are added up; a pixel counts from an alpha of 128, as strokes have soft edges. A skipped task is
    "unusable".
    """
    request = request_of(task)
    fields = item if isinstance(item, dict) else {}
    tool_id, payload = identity(item)
    verdict: Verdict = "none"
    mask, origin, detail = None, "", ""
    reason: Reason = ""
    try:
        if request not in requests.by_id:
            said = f"task {task.get('id')} names request {request!r}, which is none of these; leave it out"
            raise _BadAnswerError("unknown_request", said)
        results = fields.get("result")
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            raise _BadAnswerError(
                "unreadable", f"annotation {tool_id} has no list of results; answer it again"
            )
        verdict = "unusable" if fields.get("was_cancelled") else _verdict(results)
        detail = "skipped in Label Studio" if fields.get("was_cancelled") else ""
        origin = ",".join(
            sorted({str(r["origin"]) for r in results if r.get("type") in _BRUSHES and r.get("origin")})
        )
        if verdict != "unusable":
            mask = _mask(results, requests.by_id[request].size)
    except _BadAnswerError as error:
        reason, detail = error.reason, error.detail
    if earlier:
        reason, detail = "superseded", "changed or removed in Label Studio since it was pulled"
    return Answer(
        request_id=request,
        annotator=_annotator(fields.get("completed_by")),
        tool="label-studio",
        tool_id=tool_id,
        verdict=verdict,
        mask=mask,
        payload_sha256=payload,
        origin=origin,
        seconds=_seconds(fields.get("lead_time")),
        updated=str(fields.get("updated_at") or fields.get("created_at") or ""),
        reason=reason,
        detail=detail,
    )


def _verdict(results: Sequence[Mapping[str, Any]]) -> Verdict:
    chosen = [
        choice
        for result in results
        if result.get("type") == "choices"
        for choice in items(result.get("value"), "choices")
    ]
    for verdict in get_args(Verdict):
        if chosen == [verdict] and verdict != "none":
            return verdict
    if chosen:
        raise _BadAnswerError(
            "no_verdict", f"the verdict is {chosen!r}; choose one of forged, authentic and unusable"
        )
    return "none"


def _mask(results: Sequence[Mapping[str, Any]], size: int) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    for region in results:
        kind = region.get("type")
        if kind == "choices" or kind in _NOTES:
            continue
        value = region.get("value")
        if kind not in _BRUSHES or not isinstance(value, dict):
            raise _BadAnswerError(
                "unreadable", f"a region of type {kind!r}; only brushes make masks: paint it"
            )
        if region.get("image_rotation"):
            raise _BadAnswerError(
                "unreadable", f"the picture was turned by {region['image_rotation']}°; turn it back"
            )
        shape = region.get("original_width"), region.get("original_height")
        if shape != (size, size):
            said = (
                f"a region is for {shape[0]}x{shape[1]}, the crop is {size}x{size}; paint on the task's crop"
            )
            raise _BadAnswerError("wrong_size", said)
        mask |= _alpha(value, size) > 127
    return mask


def _alpha(value: Mapping[str, Any], size: int) -> np.ndarray:
    if "rle" in value:
        try:
            return brush_rle.decode(items(value, "rle"), size, size)
        except ValueError as error:
            raise _BadAnswerError("unreadable", f"{error}; paint it again") from None
    head, _, data = str(value.get("imageDataURL", "")).partition(",")
    try:
        if head != "data:image/png;base64":
            raise ValueError(f"a region holds neither rle nor a PNG but {sorted(value)}")
        png = base64.b64decode(data, validate=True)
        fits = png_size(png) == (size, size)
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED) if fits else None
        if picture is None or picture.dtype != np.uint8 or picture.shape != (size, size, 4):
            raise ValueError(f"a region's PNG is not RGBA of {size}x{size}")
    except (ValueError, binascii.Error, cv2.error) as error:
        raise _BadAnswerError("unreadable", f"{error}; paint it again") from None
    return picture[..., 3]


def identity(item: Any) -> tuple[str, str]:
    """The tool's own id of an annotation, and the digest of what it says."""
    fields = item if isinstance(item, dict) else {"result": repr(item)}
    said = [fields.get("result"), bool(fields.get("was_cancelled"))]
    try:
        payload = digest(*said)
    except ValueError:  # JSON knows no infinity, but Python reads one.
        payload = digest(repr(said))
    return str(fields.get("unique_id") or fields.get("id") or ""), payload


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _annotator(value: Any) -> str:
    number = value.get("id") if isinstance(value, dict) else value
    return f"user {number}" if number is not None else "user unknown"


def items(value: Any, name: str) -> list[Any]:
    """The list under a name; empty where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
