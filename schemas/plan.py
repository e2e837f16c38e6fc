"""Which clip goes to which shard."""

from schemas.clip import Split
from schemas.record import record


@record
class PlannedClip:
    """A row of `plan.parquet`: a clip, the shard that holds it, and the digest of its group's plan."""

    dataset: str
    clip: str
    group: str
    split: Split
    shard: str
    plan_digest: str
