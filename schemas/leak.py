"""What is on more than one side of the split: an identity, or two crops that look alike."""

from typing import Literal

from schemas.clip import Split
from schemas.record import record

LeakKind = Literal["identity", "lookalike"]


@record
class Leak:
    """An identity with clips in several splits, or two groups in two splits of which crops look alike.

    The tuples run in parallel, in the order train, val, test.

    Attributes:
      identity: as in `Clip.identities`: `<kind>:<id>`, or `file:<sha256>` of a clip that is there twice; ""
        for a lookalike: nothing says what the two have in common.
      splits: those that it appears in, two or three.
      clips: an example of each split, as `<dataset>/<clip>`: the first by name, or the one that looks alike.
      counts: number of clips of each split; of a lookalike, those with crops that do.
      kind: "identity" or "lookalike".
      groups: of the examples, as `<dataset>/<group>`.
      samples: keys of the two samples that look most alike; empty for an identity.
      similarity: of those two, -1 to 1 (`transforms.lookalikes.similarity`); None for an identity.
      component: all that hangs together with it has this name: that of its first group, as in `groups`.
    """

    identity: str
    splits: tuple[Split, ...]
    clips: tuple[str, ...]
    counts: tuple[int, ...]
    kind: LeakKind = "identity"
    groups: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    similarity: float | None = None
    component: str = ""
