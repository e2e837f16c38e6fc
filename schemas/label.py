"""Answers to label requests, one by one (`Annotation`), and what became of each request (`Label`)."""

from typing import Literal

from schemas.record import record

Verdict = Literal["forged", "authentic", "unusable", "none"]
Tool = Literal["oracle", "folder", "label-studio"]
Reason = Literal[
    "",
    "unknown_request",
    "wrong_size",
    "unreadable",
    "no_verdict",
    "forged_without_mask",
    "authentic_with_mask",
    "outside_face",
    "superseded",
    "no_answer",
    "unusable",
    "mask_unknown",
    "low_agreement",
]


@record
class Annotation:
    """One answer, good or bad; a row of `annotations.parquet`. None is ever lost.

    Attributes:
      annotation_id: of the tool's own id and what was answered.
      request_id: as the answer names it; may be unknown.
      annotator: who answered, as the tool says; "oracle" for masks of the shards.
      tool: that it was answered with.
      verdict: what the annotator says the crop is; "none" where nothing was chosen.
      mask: PNG of the answer, 0 or 255, relative to the file's folder; "" where none can be read.
      area: share of the crop that is masked, 0 to 1.
      origin: how the regions came about ("manual", "prediction", "prediction-changed", joined by a comma).
      seconds: how long it took, where the tool says so.
      updated: the tool's time of the answer, ISO 8601; "" where it has none.
      payload_sha256: of the answer as the tool gave it.
      status: "accepted" (it counts), "rejected" (it is wrong) or "superseded" (the annotator answered again).
      reason: why it does not count.
      detail: the reason in words, with the values.
    """

    annotation_id: str
    request_id: str
    annotator: str
    tool: Tool
    verdict: Verdict
    mask: str
    area: float
    origin: str
    seconds: float | None
    updated: str
    payload_sha256: str
    status: Literal["accepted", "rejected", "superseded"]
    reason: Reason
    detail: str


@record
class Label:
    """What became of one request; a row of `labels.parquet`.

    Only masks of `state` "labelled" and `verdict` "forged" train.

    Attributes:
      request_id, round, key, crop_sha256, dataset, clip: as in `LabelRequest`.
      source: "oracle" (a mask of the shards) or "human"; never mixed up.
      state: "labelled", "skipped" (unusable), "rejected" (bad answers only), "disputed" (no mask has
        more than half of the annotators behind it) or "waiting" (no answer yet).
      verdict: the consensus.
      mask: PNG of the consensus, 0 or 255, relative to the file's folder; "" where there is none.
      area: share of the crop that is masked, 0 to 1.
      annotations: accepted answers.
      annotators: who gave them.
      agreement: smallest pairwise intersection over union of their masks, 0 to 1; None for fewer than two. It
        decides between two; of three or more, more than half decide.
      reason: why it is not labelled.
      detail: the reason in words.
    """

    request_id: str
    round: int
    key: str
    crop_sha256: str
    dataset: str
    clip: str
    source: Literal["oracle", "human"]
    state: Literal["labelled", "skipped", "rejected", "disputed", "waiting"]
    verdict: Verdict
    mask: str
    area: float
    annotations: int
    annotators: tuple[str, ...]
    agreement: float | None
    reason: Reason
    detail: str
