"""The record of a training run: `run.json`, written last."""

from schemas.params_training import TrainParams
from schemas.record import record


@record
class Run:
    """What a model was trained on, and how.

    Attributes:
      schema_version: of this record.
      round: 0 has no labels; each further run counts one up from the run it started from.
      stage: 1 (no masks) or 2 (masks).
      settings: digest of all that decides the weights; a rerun with the same does nothing.
      init: SHA-256 of the model file that it started from; "" for none.
      shards: folders or URLs of the shards, as given.
      where: the filter on their samples.
      train: parameters.
      images: number of training images, which label budgets are shares of.
      requested: label requests so far, answered or not, this round's labels included.
      labelled: images that were trained with masks.
      methods: of the fakes that it and the runs before it were trained on, sorted.
      sources: of the masks that it was trained with ("human", "oracle"), sorted.
      epochs: that were trained.
      best_epoch: that the model is from; 1 is the first.
      model_sha256: of `model.pt`.
      validation: figures of the best epoch.
    """

    schema_version: int
    round: int
    stage: int
    settings: str
    init: str
    shards: tuple[str, ...]
    where: str
    train: TrainParams
    images: int
    requested: int
    labelled: int
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    epochs: int
    best_epoch: int
    model_sha256: str
    validation: dict[str, float]
