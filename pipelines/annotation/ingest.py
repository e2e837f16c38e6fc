"""From answers to labels: everything that is written of them."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from pipelines.annotation.question import ID, Requests
from schemas import files
from schemas.label import Annotation, Label
from schemas.params_training import LabelParams
from schemas.request import LabelRequest
from transforms.labelling import Answer, Consensus, Vote, check, settle, supersede

ANNOTATIONS, LABELS = "annotations.parquet", "labels.parquet"
DRAWN, MASKS = "annotations", "masks"
"""Folders of what was drawn, and of what was made of it."""

_NAMESPACE = uuid.UUID("0d7a2a5c-7a61-5d0c-9a8e-5d3b5b1f7c66")
# What others wrote may be of any length.
_LONGEST = 500


@dataclass(frozen=True)
class Ingested:
    """What was made of answers.

    Attributes:
      annotations: by request in the requests' order, then annotator; unknown requests last.
      labels: one a request, in the requests' order.
    """

    annotations: list[Annotation]
    labels: list[Label]


def ingest(
    answers: Iterable[Answer],
    requests: Requests,
    by: Literal["oracle", "human"],
    out: Path,
    params: LabelParams,
) -> Ingested:
    """Check answers, settle each request, and write rows and masks into a folder that the caller holds.

    The tables are written after the masks that they name; masks that they no longer name are removed last.
    What else lies beside the masks is left alone.
    """
    rows = [_keep(answer, requests, out, params) for answer in answers]
    order = {row.request_id: place for place, row in enumerate(requests.rows)}
    annotations = sorted(
        supersede(rows),
        key=lambda row: (
            order.get(row.request_id, len(order)),
            row.annotator,
            row.updated,
            row.annotation_id,
        ),
    )
    by_request: dict[str, list[Annotation]] = {}
    for row in annotations:
        by_request.setdefault(row.request_id, []).append(row)
    labels = [
        _label(request, by_request.get(request.request_id, []), by, out, params) for request in requests.rows
    ]
    files.write_rows(out / ANNOTATIONS, Annotation, annotations)
    files.write_rows(out / LABELS, Label, labels)
    _remove_stale(out, annotations, labels)
    return Ingested(annotations, labels)


def _keep(answer: Answer, requests: Requests, out: Path, params: LabelParams) -> Annotation:
    reason, detail = check(answer, requests.by_id.get(answer.request_id), params.outside)
    name = f"{answer.request_id}|{answer.tool_id}|{answer.payload_sha256}"
    number = str(uuid.uuid5(_NAMESPACE, _plain(name, len(name) * 6)))
    path = "" if answer.mask is None else f"{DRAWN}/{number}.png"
    if answer.mask is not None:
        _write_mask(out / path, answer.mask)
    return Annotation(
        annotation_id=number,
        request_id=_plain(answer.request_id),
        annotator=_plain(answer.annotator),
        tool=answer.tool,
        verdict=answer.verdict,
        mask=path,
        area=0.0 if answer.mask is None else float(answer.mask.mean()),
        origin=_plain(answer.origin),
        seconds=answer.seconds,
        updated=_plain(answer.updated),
        payload_sha256=answer.payload_sha256,
        status="superseded" if reason == "superseded" else "rejected" if reason else "accepted",
        reason=reason,
        detail=_plain(detail),
    )


def _label(
    request: LabelRequest,
    rows: Sequence[Annotation],
    by: Literal["oracle", "human"],
    out: Path,
    params: LabelParams,
) -> Label:
    accepted = [row for row in rows if row.status == "accepted"]
    votes = [Vote(row.verdict, _read_mask(out, row, request.size)) for row in accepted]
    found: Consensus = settle(votes, [row for row in rows if row.status == "rejected"], params.agreement)
    path = "" if found.mask is None else f"{MASKS}/{request.request_id}.png"
    if found.mask is not None:
        _write_mask(out / path, found.mask)
    return Label(
        request_id=request.request_id,
        round=request.round,
        key=request.key,
        crop_sha256=request.crop_sha256,
        dataset=request.dataset,
        clip=request.clip,
        source=by,
        state=found.state,
        verdict=found.verdict,
        mask=path,
        area=0.0 if found.mask is None else float(found.mask.mean()),
        annotations=len(accepted),
        annotators=tuple(row.annotator for row in accepted),
        agreement=found.agreement,
        reason=found.reason,
        detail=_plain(found.detail),
    )


def _write_mask(path: Path, mask: np.ndarray) -> None:
    data = cv2.imencode(".png", mask.astype(np.uint8) * np.uint8(255))[1].tobytes()
    if not path.is_file() or path.read_bytes() != data:
        with files.atomic_write(path) as file:
            file.write(data)


def _read_mask(out: Path, row: Annotation, size: int) -> np.ndarray:
    if not row.mask:
        return np.zeros((size, size), bool)
    data = np.frombuffer((out / row.mask).read_bytes(), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)) > 127


def _remove_stale(out: Path, annotations: Sequence[Annotation], labels: Sequence[Label]) -> None:
    named = {row.mask for row in annotations} | {label.mask for label in labels}
    for folder in (DRAWN, MASKS):
        for path in (out / folder).glob("*.png"):
            if ID.fullmatch(path.stem) and f"{folder}/{path.name}" not in named:
                path.unlink()


def _plain(text: str, longest: int = _LONGEST) -> str:
    """Text that a table can hold: valid Unicode, of bounded length."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
