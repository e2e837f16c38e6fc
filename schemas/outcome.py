"""One row for each thing that was tried."""

from typing import Literal

from schemas.record import record

Status = Literal["ok", "skipped", "failed"]
Stage = Literal["index", "track", "shard", "audit"]

# Why something was skipped (as it should be) or failed (something to mend).
Reason = Literal[
    "",
    # index
    "not_in_layout",
    "not_in_split",
    "bad_name",
    "key_collision",
    "missing",
    "empty_file",
    "not_video",
    "not_image",
    "too_large",
    "unsafe_member",
    "taken_down",
    "no_frames",
    "unreadable",
    "outside_root",
    "no_original",
    # track
    "no_face",
    "face_too_small",
    "track_too_short",
    # reading clips, in any stage
    "decode_error",
    "decode_crashed",
    "decode_timeout",
    "changed_on_disk",
    # shard
    "no_track",
    "other_size",
    "too_few_frames",
    "internal_error",
    # audit
    "damaged",
]


@record
class Outcome:
    """What became of one unit in one stage.

    Attributes:
      stage: "index", "track", "shard" or "audit".
      dataset: name of the dataset.
      unit: what was tried: a clip's path (index, shard), a group (track) or a shard (audit).
      group: source group of the unit; "" where it could not be told.
      status: "ok", "skipped" (nothing to mend) or "failed" (something to mend).
      reason: why it is not ok; "" where it is.
      detail: one line for a person: the value, the file, the remedy.
      made: what came of it: frames (index), tracked frames (track), samples (shard, audit).
    """

    stage: Stage
    dataset: str
    unit: str
    group: str
    status: Status
    reason: Reason = ""
    detail: str = ""
    made: int = 0
