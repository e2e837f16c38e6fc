"""What the data is: frozen dataclasses, and the pyarrow and JSON Schemas derived from them."""

from schemas.clip import Clip as Clip
from schemas.clip import compression_rank as compression_rank
from schemas.convert import arrow_schema as arrow_schema
from schemas.convert import from_row as from_row
from schemas.convert import json_schema as json_schema
from schemas.convert import to_row as to_row
from schemas.digest import digest as digest
from schemas.leak import Leak as Leak
from schemas.names import encode_name as encode_name
from schemas.names import sample_key as sample_key
from schemas.outcome import Outcome as Outcome
from schemas.plan import PlannedClip as PlannedClip
from schemas.sample import MaskQuality as MaskQuality
from schemas.sample import Sample as Sample
from schemas.sample import SequenceSample as SequenceSample
from schemas.track import TrackFrame as TrackFrame

SCHEMA_VERSION = 1
