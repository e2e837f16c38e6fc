"""One media item of a dataset."""

from typing import Literal

from schemas.record import record

Label = Literal["real", "fake"]
Split = Literal["train", "val", "test"]
# What a fake's mask can be made from: its original; nothing, since all of it is made up; or nothing at all.
Truth = Literal["original", "all_one", "none"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")

# Best first. A dataset with one quality calls it "raw".
COMPRESSIONS = ("raw", "c23", "c40")


def compression_rank(compression: str) -> int:
    """Position of a compression from best (0) to worst; unknown names rank last."""
    return COMPRESSIONS.index(compression) if compression in COMPRESSIONS else len(COMPRESSIONS)


@record
class Clip:
    """A clip: one video, still or folder of frames, with its place in its source group.

    Attributes:
      dataset: name under which the dataset was indexed; first part of every sample key.
      clip: path relative to the dataset's root, with `/` and its suffix; of frames in an archive
        `<archive>/<folder in it>`.
      group: source group: one real clip with every forgery made from its frames.
      label: "real" or "fake".
      method: forgery method, or "real".
      compression: "raw", "c23" or "c40".
      split: "train", "val" or "test".
      reference: True for the group's real clip at its best quality (where it has none, its best fake);
        geometry is measured on it.
      target: id whose frames and background are seen.
      source: id whose face or expression was put in; "" for real clips.
      actor: actor id, where the dataset has actors.
      scene: scene name, where the dataset has scenes.
      identities: every identity that is seen or was used, as `<kind>:<id>`; the leak audit joins on them.
      official_mask: path of the dataset's own mask (video, still or folder) relative to the root; "" where it
        has none.
      truth: of a fake: "original" (the real clip of its group), "all_one" (it is synthetic as a whole) or
        "none" (there is nothing to compare it with: its masks are its dataset's own, or unknown).
      cropped: True if its pictures are face crops already: where no face is found, they are taken as they
        are.
      frames: number of video frames.
      width, height: pixels after display rotation.
      rotation: display rotation in degrees, anticlockwise.
      fps: nominal frames a second (information only: frames are paired by index).
      bytes: size of the file, or of all files of its frames.
      sha256: of the file; of frames, of their names and their files' SHA-256.
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
    truth: Truth = "original"
    cropped: bool = False
    frames: int = 0
    width: int = 0
    height: int = 0
    rotation: int = 0
    fps: float = 0.0
    bytes: int = 0
    sha256: str = ""
    official_mask_sha256: str = ""
