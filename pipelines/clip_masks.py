"""The masks of one forgery: measured against its real clip, stated by its dataset, or neither."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipelines.spool import ByteSpool, CropStore, Place, Selection
from schemas.clip import Clip
from schemas.params import MaskParams
from schemas.sample import MaskKind, MaskQuality
from transforms.crops import encode_image
from transforms.errors import ClipError
from transforms.geometry import GroupGeometry
from transforms.pair_guard import guard
from transforms.pair_masks import FrameMasks, measure, unpaired


@dataclass
class ClipMasks:
    """Where the encoded masks of one forgery are.

    Attributes:
      compression: that they were measured on; None where nothing was.
      kinds: place in the spool by crop and kind.
      quality: by crop.
      notes: for the outcome.
    """

    compression: str | None
    kinds: dict[int, dict[MaskKind, Place]] = field(default_factory=dict)
    quality: dict[int, MaskQuality] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class MaskMaker:
    """Makes the masks of one forgery after the other.

    Args:
      spool: where encoded masks go.
      geometry: of the crops.
      params: which kinds.
      size: edge of the crops in pixels.
      official: reads the crops of a clip's official mask; whoever calls it closes them.
    """

    def __init__(
        self,
        spool: ByteSpool,
        geometry: GroupGeometry,
        params: MaskParams,
        size: int,
        official: Callable[[Clip], CropStore],
    ):
        self._spool, self._geometry, self._params, self._size = spool, geometry, params, size
        self._official = official

    def compared(self, clip: Clip, real: CropStore, fake: CropStore) -> ClipMasks:
        """Masks of a fake that its real clip is there for."""
        made = ClipMasks(clip.compression)
        official = self._stated(clip, fake, made)
        resampled = any(row.alignment == "registered" for row in self._geometry.rows)
        try:
            for places in self._geometry.tracks().values():
                both = [place for place in places if place in real and place in fake]
                if not both:
                    continue
                pair = guard(
                    Selection(real, both),
                    Selection(fake, both),
                    self._geometry.shapes(both),
                    self._geometry.around(both, real),
                )
                if pair.note and pair.note not in made.notes:
                    made.notes.append(pair.note)
                measured = measure(
                    pair,
                    Selection(fake, both),
                    _those(official, both),
                    dense=self._geometry.is_dense(both),
                    lossless=None if clip.compression == "raw" and not resampled else False,
                    params=self._params,
                )
                for place, frame in zip(both, measured, strict=True):
                    self._keep(made, place, frame)
        finally:
            if official is not None:
                official.close()
        return made

    def alone(self, clip: Clip, fake: CropStore) -> ClipMasks:
        """Masks of a fake that there is nothing to compare with."""
        made = ClipMasks(None)
        official = self._stated(clip, fake, made)
        try:
            places = [place for place in range(len(self._geometry.rows)) if place in fake]
            outlines = self._geometry.shapes(places).oval
            found = unpaired(len(places), self._size, _those(official, places), outlines, self._params)
            for place, frame in zip(places, found, strict=True):
                if self._geometry.rows[place].alignment == "picture":
                    frame.kinds.pop("hull", None)  # Nobody saw an outline.
                self._keep(made, place, frame)
        finally:
            if official is not None:
                official.close()
        return made

    def _stated(self, clip: Clip, fake: CropStore, made: ClipMasks) -> CropStore | None:
        """Crops of the dataset's own mask, where it is wanted and can be read."""
        if not clip.official_mask or "official" not in {self._params.train, *self._params.kinds}:
            return None
        try:
            official = self._official(clip)
        except ClipError as error:
            made.notes.append(f"official mask: {error}")
            return None
        if len(official) < len(fake):
            made.notes.append(f"official mask: {len(official)} of {len(fake)} crops, then it ends")
        return official

    def _keep(self, made: ClipMasks, place: int, frame: FrameMasks) -> None:
        made.kinds[place] = {
            kind: self._spool.append(encode_image(mask, "png")) for kind, mask in frame.kinds.items()
        }
        made.quality[place] = frame.quality


def _those(official: CropStore | None, places: Sequence[int]) -> Selection:
    return Selection(official or {}, [place for place in places if official and place in official])
