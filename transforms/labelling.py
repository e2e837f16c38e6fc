"""Answers to label requests: is one right, which counts, and what do several say together?"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from schemas.label import Annotation, Reason, Tool, Verdict
from schemas.request import LabelRequest
from schemas.sample import Points5

State = Literal["labelled", "skipped", "rejected", "disputed", "waiting"]

# Half-axes of the face region in units of its scale, across and along the face.
_ACROSS, _ALONG = 1.2, 1.5


@dataclass(frozen=True)
class Answer:
    """One answer as a tool gave it.

    Attributes:
      request_id: as the answer names it.
      annotator, tool, verdict, origin, seconds, updated, payload_sha256: as in `Annotation`.
      tool_id: what the tool calls the answer.
      mask: (height, width) bool, True where it says forged; None where none can be read.
      reason: why it does not count, where that is known already; "" where it is still to be checked.
      detail: in words.
    """

    request_id: str
    annotator: str
    tool: Tool
    tool_id: str
    verdict: Verdict
    mask: np.ndarray | None
    payload_sha256: str
    origin: str = ""
    seconds: float | None = None
    updated: str = ""
    reason: Reason = ""
    detail: str = ""


@dataclass(frozen=True)
class Vote:
    """An accepted answer.

    Attributes:
      verdict: "forged", "authentic" or "unusable".
      mask: (size, size) bool; empty where authentic. Not looked at where unusable.
    """

    verdict: Verdict
    mask: np.ndarray


@dataclass(frozen=True)
class Consensus:
    """What all answers to a request say together.

    Attributes:
      state, verdict, agreement, reason, detail: as in `schemas.label.Label`.
      mask: (size, size) bool; None where it does not train.
    """

    state: State
    verdict: Verdict
    mask: np.ndarray | None
    agreement: float | None
    reason: Reason
    detail: str


def face_region(landmarks: Points5, size: int) -> np.ndarray:
    """Where a forgery of a face may be drawn; ours, and generous.

    An ellipse about the middle between eyes and mouth, along the line between them. Its unit is the longest
    of three distances: between the eyes, between the corners of the mouth, from the eyes to the mouth. So it
    does not shrink where a face is turned, and it holds forehead, chin and ears.

    Args:
      landmarks: crop pixels.
      size: edge of the crop in pixels.

    Returns:
      (size, size) bool; True everywhere where the landmarks span nothing.
    """
    points = np.asarray(landmarks, np.float64)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    spans = (points[1] - points[0], points[4] - points[3], mouth - eyes)
    unit, length = max(np.hypot(*span) for span in spans), np.hypot(*(mouth - eyes))
    if not np.isfinite(points).all() or length < 1:
        return np.ones((size, size), bool)
    down = (mouth - eyes) / length
    y, x = np.mgrid[:size, :size]
    away = np.stack([x, y], -1) - (eyes + mouth) / 2
    along, across = away @ down, away @ np.array([down[1], -down[0]])
    return (along / (_ALONG * unit)) ** 2 + (across / (_ACROSS * unit)) ** 2 <= 1


def check(answer: Answer, request: LabelRequest | None, outside: float) -> tuple[Reason, str]:
    """Why an answer does not count, and that in words; both "" where it does.

    Args:
      answer: to be checked.
      request: that it answers; None where there is none of that id.
      outside: most of a mask's area that may lie outside the face, 0 to 1.
    """
    if request is None:
        detail = answer.detail or (
            f"no request {answer.request_id!r} is in these requests; ingest it with its own"
        )
        return "unknown_request", detail
    if answer.reason:
        return answer.reason, answer.detail
    if answer.verdict == "none":
        return "no_verdict", "no verdict was chosen; choose forged, authentic or unusable"
    if answer.verdict == "unusable":
        return "", answer.detail
    if answer.mask is None:
        return "unreadable", "there is no mask; answer again"
    if answer.mask.shape != (request.size, request.size):
        height, width = answer.mask.shape
        return (
            "wrong_size",
            f"the mask is {width}x{height}, the crop {request.size}x{request.size}; draw on the crop",
        )
    area = int(answer.mask.sum())
    if answer.verdict == "forged" and not area:
        return (
            "forged_without_mask",
            "the verdict is forged, but no pixel is drawn; draw it, or choose authentic",
        )
    if answer.verdict == "authentic" and area:
        return (
            "authentic_with_mask",
            f"the verdict is authentic, but {area} pixels are drawn; erase them, or choose forged",
        )
    if area:
        share = float((answer.mask & ~face_region(request.landmarks, request.size)).sum() / area)
        if share > outside:
            return (
                "outside_face",
                f"{share:.0%} of the mask lies outside the face, labels.outside is {outside:.0%}; draw on it",
            )
    return "", answer.detail


def supersede(rows: Iterable[Annotation]) -> list[Annotation]:
    """Leave each annotator one vote a request, the latest, be it right or wrong; the others are superseded.

    Of several at the same time an accepted one counts, then the greatest id.
    Answers to unknown requests are left alone. Of answers with one id, the first is taken.
    """
    unique = {row.annotation_id: row for row in reversed(list(rows))}
    latest: dict[tuple[str, str], Annotation] = {}
    for row in unique.values():
        if row.status != "superseded" and row.reason != "unknown_request":
            key = row.request_id, row.annotator
            latest[key] = max(latest.get(key, row), row, key=_rank)
    return [
        row
        if row.reason == "unknown_request"
        or row.status == "superseded"
        or latest[row.request_id, row.annotator] is row
        else replace(
            row,
            status="superseded",
            reason="superseded",
            detail=f"{row.annotator} answered again; that answer counts",
        )
        for row in reversed(unique.values())
    ]


def _rank(row: Annotation) -> tuple[datetime, bool, str]:
    try:
        time = datetime.fromisoformat(row.updated)
    except ValueError:
        time = datetime.min
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return time, row.status == "accepted", row.annotation_id


def agreement(masks: Sequence[np.ndarray]) -> float | None:
    """Smallest pairwise intersection over union, 0 to 1; two empty masks agree. None for fewer than two.

    Args:
      masks: (size, size) bool, each.
    """
    return min((_overlap(a, b) for a, b in itertools.combinations(masks, 2)), default=None)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0


def settle(votes: Sequence[Vote], rejected: Sequence[Annotation], least: float) -> Consensus:
    """What becomes of a request.

    More than half of the answers decide whether it is usable, and then whether it is forged; a pixel is
    forged where more than half say so. That mask is the consensus, and it stands where more than half agree
    with it; two who agree with it, and nobody else, must agree with each other, too. So two annotators must
    agree, and a third can settle what two dispute. Who says authentic has drawn nothing, so "forged" and
    "authentic" agree by 0.

    Args:
      votes: accepted answers, one an annotator.
      rejected: answers that do not count.
      least: intersection over union from which two masks agree, 0 to 1.
    """
    if not votes and not rejected:
        return Consensus("waiting", "none", None, None, "no_answer", "nobody has answered yet")
    if not votes:
        detail = "; ".join(f"{row.annotator}: {row.reason}, {row.detail}" for row in rejected)
        return Consensus("rejected", "none", None, None, rejected[0].reason, detail)
    usable = [vote for vote in votes if vote.verdict != "unusable"]
    if 2 * len(usable) < len(votes):
        return Consensus("skipped", "unusable", None, None, "unusable", _count(votes))
    agreed = agreement([vote.mask for vote in usable])
    forged = sum(vote.verdict == "forged" for vote in usable)
    mask = 2 * np.sum([vote.mask for vote in usable], axis=0) > len(usable)
    verdict: Verdict = "forged" if 2 * forged > len(usable) else "authentic"
    tie = 2 * len(usable) == len(votes) or 2 * forged == len(usable)
    backing = [vote.mask for vote in usable if _overlap(vote.mask, mask) >= least]
    stands = 2 * len(backing) > len(usable) and (len(backing) != 2 or _overlap(*backing) >= least)
    if tie or not stands or (verdict == "forged") != bool(mask.any()):
        said = "" if agreed is None else f", agreement {agreed:.2f}, labels.agreement is {least:g}"
        if len(usable) > 2:
            said += f", {len(backing)} of {len(usable)} masks agree with the consensus"
        return Consensus(
            "disputed", "none" if tie else verdict, None, agreed, "low_agreement", f"{_count(votes)}{said}"
        )
    return Consensus("labelled", verdict, mask, agreed, "", "")


def _count(votes: Sequence[Vote]) -> str:
    verdicts = [vote.verdict for vote in votes]
    return ", ".join(f"{verdicts.count(verdict)} say {verdict}" for verdict in sorted(set(verdicts)))
