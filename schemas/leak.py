"""An identity that is on more than one side of the split."""

from schemas.clip import Split
from schemas.record import record


@record
class Leak:
    """One identity with clips in several splits. The tuples run in parallel, in the order train, val, test.

    Attributes:
      identity: as in `Clip.identities`: `<kind>:<id>`.
      splits: those that it appears in, two or three.
      clips: an example of each split, as `<dataset>/<clip>`: the first by name.
      counts: number of clips of each split.
    """

    identity: str
    splits: tuple[Split, ...]
    clips: tuple[str, ...]
    counts: tuple[int, ...]
