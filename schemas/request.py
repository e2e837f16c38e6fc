"""Label requests: what training asks people (or an oracle) to draw."""

import uuid
from typing import Literal

from schemas.record import record
from schemas.sample import Points5

Strategy = Literal["ranking", "uncertainty", "mislocalisation", "random"]

_NAMESPACE = uuid.UUID("6f0f7f0c-3f0a-5a53-9d53-3c6b8d1c4f11")


@record
class LabelRequest:
    """One crop whose forged region somebody is asked to draw; a row of `requests.parquet`.

    Attributes:
      request_id: of the crop and the round, so that the same question has the same id (`request_id`).
      round: 1 is the first.
      strategy: that chose it.
      score: the strategy's, higher first; what it is stands in `training.asking.selection`.
      rank: 1 is the first of its round.
      key, dataset, group, clip, method, compression, crop_sha256, landmarks, size: as in `Sample`.
      fake_score: the run's a_F - a_T for it.
      crop: PNG of the crop, relative to the file's folder.
      proposal: PNG of the run's attention map, 8 bit, as large as the crop; relative as well.
      model_sha256: of the weights that were asked.
    """

    request_id: str
    round: int
    strategy: Strategy
    score: float
    rank: int
    key: str
    dataset: str
    group: str
    clip: str
    method: str
    compression: str
    crop_sha256: str
    landmarks: Points5
    size: int
    fake_score: float
    crop: str
    proposal: str
    model_sha256: str


def request_id(round_number: int, key: str, crop_sha256: str) -> str:
    """The id of a question: a UUID (version 5) of round, sample key and the crop's digest."""
    return str(uuid.uuid5(_NAMESPACE, f"{round_number}|{key}|{crop_sha256}"))
