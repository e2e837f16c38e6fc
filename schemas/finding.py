"""What the audit found wrong."""

from typing import Literal

from schemas.record import record

CheckName = Literal["balance", "integrity", "leaks", "counts"]


@record
class Finding:
    """One kind of thing that is wrong in one place.

    Attributes:
      check: the check that found it.
      problem: short name of what is wrong.
      where: shard, or folder of shards.
      example: the first sample, member or clip that shows it; "" where it is the whole place.
      detail: one line for a person, on the example: the value, and the remedy.
      count: how many show it.
    """

    check: CheckName
    problem: str
    where: str
    example: str
    detail: str
    count: int = 1
