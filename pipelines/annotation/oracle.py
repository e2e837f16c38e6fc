"""The oracle: the shards' own difference masks, in place of people."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pyarrow.dataset as ds

from pipelines.annotation.question import Requests
from pipelines.shard_folder import index_dataset, read_folder, read_members
from schemas.errors import UsageError
from schemas.label import Reason, Verdict
from schemas.paths import as_path, is_url
from schemas.request import LabelRequest
from transforms.audit.verify_sample import IMAGES
from transforms.labelling import Answer

_COLUMNS = ["key", "shard", "crop_sha256", "mask_kind", "label"]
_DIFFERENCE = "mask.difference.png"


@dataclass(frozen=True)
class Oracle:
    """Masks of shards.

    Attributes:
      requests: to answer.
      rows: columns of the index, by key; `shard` is the tar's path.
    """

    requests: Requests
    rows: Mapping[str, Mapping[str, Any]]
    by: Literal["oracle", "human"] = "oracle"

    def answers(self, out: Path) -> Iterator[Answer]:
        """One answer a request, shard by shard."""
        by_shard: dict[str, list[LabelRequest]] = {}
        for request in self.requests.rows:
            row = self.rows.get(request.key)
            if row is None:
                yield _refuse(
                    request, "mask_unknown", "its key is not in these shards; name those it is from"
                )
            else:
                by_shard.setdefault(row["shard"], []).append(request)
        for shard, asked in by_shard.items():
            members = read_members(as_path(shard), [request.key for request in asked])
            for request in asked:
                yield _answer(request, self.rows[request.key], members.get(request.key, {}))

    def notes(self, waiting: int) -> list[str]:
        """What these labels are."""
        return ["these are the oracle's labels (masks of the shards), not a person's"]


def open_oracle(folders: Sequence[Path], requests: Requests) -> Oracle:
    """Find the requests' keys in folders of shards.

    Raises:
      UsageError: if one is not such a folder, or none of the keys is there.
    """
    rows: dict[str, dict[str, Any]] = {}
    for path in folders:
        if not is_url(path) and not path.is_dir():
            raise UsageError(f"--from oracle:{path}: no such folder; name shards that pipelines.shard made")
        folder = read_folder(path)
        if folder.unit != "frame":
            raise UsageError(f"--from oracle:{path}: holds sequences; requests are of frames")
        wanted = ds.field("key").isin([request.key for request in requests.rows])
        for row in index_dataset(folder).to_table(columns=_COLUMNS, filter=wanted).to_pylist():
            rows.setdefault(row["key"], {**row, "shard": str(path / row["shard"])})
    if not rows:
        raise UsageError(
            f"--from oracle:{folders[0]}: holds none of the {len(requests.rows)} keys of {requests.folder}, "
            f"such as {requests.rows[0].key}; name the shards that training.request was given"
        )
    return Oracle(requests, rows)


def _answer(request: LabelRequest, row: Mapping[str, Any], members: Mapping[str, bytes]) -> Answer:
    image = next((data for suffix, data in members.items() if suffix in IMAGES), None)
    if image is None:
        return _refuse(
            request, "unreadable", f"{row['shard']} lacks its crop; run pipelines.audit on the shards"
        )
    found = hashlib.sha256(image).hexdigest()
    if found != request.crop_sha256:
        detail = (
            f"{row['shard']} holds another crop under this key ({found[:8]}…, asked about "
            f"{request.crop_sha256[:8]}…): the shards were built again; make the requests again"
        )
        return _refuse(request, "mask_unknown", detail)
    fake = row["label"] == "fake"
    name = _DIFFERENCE if _DIFFERENCE in members or row["mask_kind"] != "difference" else "mask.png"
    data = members.get(name if fake else "mask.png")
    if data is None:
        return _refuse(
            request,
            "mask_unknown",
            f"the shards have no difference mask of it (mask.png: {row['mask_kind']})",
        )
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    payload = hashlib.sha256(data).hexdigest()
    if mask is None:
        detail = f"{name} in {row['shard']} is not a PNG; run pipelines.audit on the shards"
        return _refuse(request, "unreadable", detail, payload)
    return Answer(
        request_id=request.request_id,
        annotator="oracle",
        tool="oracle",
        tool_id=request.key,
        verdict="forged" if fake else "authentic",
        mask=mask > 127,
        payload_sha256=payload,
    )


def _refuse(request: LabelRequest, reason: Reason, detail: str, payload: str = "") -> Answer:
    verdict: Verdict = "none"
    return Answer(
        request.request_id,
        "oracle",
        "oracle",
        request.key,
        verdict,
        None,
        payload,
        reason=reason,
        detail=detail,
    )
