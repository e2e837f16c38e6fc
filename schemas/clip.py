"""One media item of a dataset."""

from typing import Literal

from schemas.record import record

Label = Literal["real", "fake"]
Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")

# Best first. A dataset with one quality calls it "raw".
COMPRESSIONS = ("raw", "c23", "c40")


def compression_rank(compression: str) -> int:
    """Position of a compression from best (0) to worst; unknown names rank last."""
    return COMPRESSIONS.index(compression) if compression in COMPRESSIONS else len(COMPRESSIONS)


@record
class Clip:
    """A clip: one video (later: a folder of frames, or a still) with its place in its source group.

    Attributes:
      dataset: name under which the dataset was indexed; first part of every sample key.
      clip: path relative to the dataset's root, with `/` and its suffix.
      group: source group: one real clip with every forgery made from its frames.
      label: "real" or "fake".
      method: forgery method, or "real".
      compression: "raw", "c23" or "c40".
      split: "train", "val" or "test".
      reference: True for the group's real clip at its best quality; geometry is measured on it.
      target: id whose frames and background are seen.
      source: id whose face or expression was put in; "" for real clips.
      actor: actor id, where the dataset has actors.
      scene: scene name, where the dataset has scenes.
      identities: every identity that is seen or was used, as `<kind>:<id>`; the leak audit joins on them.
      official_mask: path of the dataset's own mask clip relative to the root; "" where it has none.
      frames: number of video frames.
      width, height: pixels after display rotation.
      rotation: display rotation in degrees, anticlockwise.
      fps: nominal frames a second (information only: frames are paired by index).
      bytes: file size.
      sha256: of the file.
      official_mask_sha256: of the mask clip; "" where there is none.
    """

    dataset: str
    clip: str
    group: str
    label: Label
    method: str
    compression: str
    split: Split
    reference: bool = False
    target: str = ""
    source: str = ""
    actor: str = ""
    scene: str = ""
    identities: tuple[str, ...] = ()
    official_mask: str = ""
    frames: int = 0
    width: int = 0
    height: int = 0
    rotation: int = 0
    fps: float = 0.0
    bytes: int = 0
    sha256: str = ""
    official_mask_sha256: str = ""
