"""Crops of a group's clips, read in a child process."""

from pathlib import Path

from pipelines.clip_files import ClipFiles
from pipelines.isolation import Isolated
from pipelines.spool import CropStore
from schemas.clip import Clip
from transforms.crops import Shown, fill_crops
from transforms.geometry import GroupGeometry


class ClipReader:
    """Reads crops of one clip after the other; whoever asks for them closes them.

    Args:
      clip_files: of the dataset.
      child: process to decode in.
      size: edge of the crops in pixels.
      folder: for temporary files.
    """

    def __init__(self, clip_files: ClipFiles, child: Isolated, size: int, folder: Path):
        self._files, self._child, self._size, self._folder = clip_files, child, size, folder

    def crops(
        self, geometry: GroupGeometry, clip: Clip, *, around: bool = False, shown: Shown | None = None
    ) -> CropStore:
        """The crops of a clip that a geometry asks for.

        Args:
          geometry: of the clip.
          clip: to read.
          around: also those of frames beside some of them.
          shown: crops of what another clip shows of it.

        Raises:
          ClipError: if it cannot be read.
        """
        with self._files.open_clip(clip) as path:
            return self._read(path, clip, geometry, around, shown, False)

    def official(self, geometry: GroupGeometry, clip: Clip) -> CropStore:
        """Crops of a clip's official mask, which may be a resized one.

        Raises:
          ClipError: if it cannot be read, or is of another aspect.
        """
        with self._files.open_file(clip.official_mask) as path:
            return self._read(path, clip, geometry, False, None, True)

    def _read(
        self,
        path: Path,
        clip: Clip,
        geometry: GroupGeometry,
        around: bool,
        shown: Shown | None,
        resizable: bool,
    ) -> CropStore:
        crops = CropStore(geometry.slots(around=around), self._size, self._folder)
        picture = clip.width, clip.height
        arguments = str(path), geometry.reads(around=around), self._size, picture, shown, resizable
        try:
            for slots in self._child.iterate(fill_crops, *arguments, into=crops.descriptor):
                crops.fill(slots)
        except BaseException:
            crops.close()
            raise
        return crops
