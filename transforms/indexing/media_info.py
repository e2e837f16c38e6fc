"""What a media file, or a folder of frames, holds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MediaInfo:
    """What a video, a still or a folder of frames holds.

    Attributes:
      frames: number of frames.
      width, height: pixels, as it is to be shown; of the first picture of a folder.
      rotation: of a video's display, in degrees anticlockwise: 0, 90, 180 or 270; 0 for pictures.
      fps: nominal frames a second; 0 where the file does not say, and for pictures.
      bytes: file size; of a folder, of all its pictures.
      sha256: of the whole file; of a folder, `pictures_digest`.
    """

    frames: int
    width: int
    height: int
    rotation: int
    fps: float
    bytes: int
    sha256: str
