import dataclasses
import hashlib
import json

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas.convert import index_schema
from schemas.names import clip_stem

RECORDS = [
    schemas.Clip,
    schemas.Outcome,
    schemas.PlannedClip,
    schemas.Sample,
    schemas.SequenceSample,
    schemas.TrackFrame,
]
MATRIX = ((1.0, 0.0, 3.5), (0.0, 1.0, -2.0))
POINTS = ((1.0, 2.0),) * 5


def sample(**changes) -> schemas.Sample:
    fields: dict = {
        "schema_version": schemas.SCHEMA_VERSION,
        "key": "d/a/00/000003",
        **{"dataset": "d", "group": "g", "clip": "a.mp4", "label": "fake", "method": "Deepfakes"},
        **{"compression": "c40", "split": "train", "target": "000", "source": "003", "track": 0, "size": 256},
        **{
            "mask_from": "raw",
            "plan_digest": "0" * 64,
            "frame": 3,
            "crop_to_frame": MATRIX,
            "landmarks": POINTS,
        },
        **{
            "mask_kind": "difference",
            "mask_quality": schemas.MaskQuality(0.9, area=0.2),
            "crop_sha256": "1" * 64,
        },
    }
    return schemas.Sample(**{**fields, **changes})


def sequence() -> schemas.SequenceSample:
    row = schemas.to_row(sample())
    names = "frame", "crop_to_frame", "landmarks", "mask_kind", "mask_quality", "crop_sha256", "alignment"
    for field in names:
        row[field] = [row[field]] * 3
    return schemas.from_row(schemas.SequenceSample, row)


@pytest.mark.parametrize("cls", RECORDS)
def test_json_schema_and_arrow_schema_name_the_same_fields(cls):
    fields = [field.name for field in dataclasses.fields(cls)]
    assert schemas.arrow_schema(cls).names == fields
    schema = schemas.json_schema(cls)
    assert list(schema["properties"]) == fields
    assert schema["additionalProperties"] is False
    required = {field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
    assert set(schema["required"]) == required


@pytest.mark.parametrize(
    "record", [sample(), sample(mask_from=None), sequence()], ids=["frame", "null", "sequence"]
)
def test_a_record_is_valid_in_both_and_comes_back_the_same(record):
    cls = type(record)
    row = json.loads(json.dumps(schemas.to_row(record)))
    jsonschema.validate(row, schemas.json_schema(cls))
    table = pa.Table.from_pylist([row], schema=schemas.arrow_schema(cls))
    table.validate(full=True)
    assert schemas.from_row(cls, table.to_pylist()[0]) == record


@pytest.mark.parametrize(
    "change",
    [{"label": "maybe"}, {"frame": "three"}, {"extra": 1}, {"mask_quality": {"score": 1, "other": 2}}],
)
def test_both_readers_refuse_what_the_other_refuses(change):
    row = {**json.loads(json.dumps(schemas.to_row(sample()))), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(row, schemas.json_schema(schemas.Sample))
    with pytest.raises(ValueError, match=next(iter(change))):
        schemas.from_row(schemas.Sample, row)


def test_frame_and_sequence_records_have_the_same_fields():
    names = [field.name for field in dataclasses.fields(schemas.Sample)]
    assert names == [field.name for field in dataclasses.fields(schemas.SequenceSample)]
    assert index_schema(schemas.Sample).names == [*names, "shard"]


paths = st.text(min_size=1, max_size=30).filter(
    lambda text: "/" not in text and text not in (".", "..") and "\0" not in text
)


@given(paths, paths)
def test_encoded_names_are_safe_and_never_collide(a, b):
    for name in (a, b):
        encoded = schemas.encode_name(name)
        assert all(c.isascii() and (c.isalnum() or c in "_-=/") for c in encoded)
    assert (schemas.encode_name(a) == schemas.encode_name(b)) == (a == b)


def test_names_follow_the_contract():
    assert schemas.encode_name("a b%é=.") == "a=20b=25=C3=A9=3D=2E"
    assert clip_stem("x/y.z/000_003.mp4") == "x/y=2Ez/000_003"
    key = schemas.sample_key("ffpp", "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4", 1, 42)
    assert key == "ffpp/manipulated_sequences/Deepfakes/c23/videos/000_003/01/000042"


def test_digests_are_stable_and_see_every_change():
    assert schemas.digest(1, "a", [1.5, None], {"b": True}) == schemas.digest(
        1, "a", (1.5, None), {"b": True}
    )
    assert schemas.digest(sample()) != schemas.digest(sample(frame=4))
    assert schemas.digest("ab") != schemas.digest("a", "b")
    assert schemas.digest("a") == hashlib.sha256(b'["a"]').hexdigest()
    with pytest.raises(ValueError, match="float"):
        schemas.digest(float("nan"))
    with pytest.raises(TypeError, match="set"):
        schemas.digest({1})


@pytest.mark.parametrize(
    ("clip", "stem"),
    [
        ("a/000.MP4", "a/000"),
        ("a/000.jpeg", "a/000"),
        ("a/v1.2", "a/v1=2E2"),
        ("a/.png", "a/=2Epng"),
        ("12.tar.gz/12/fake/131", "12=2Etar=2Egz/12/fake/131"),
    ],
)
def test_only_the_suffix_of_a_video_or_a_picture_is_left_out_of_a_key(clip, stem):
    assert clip_stem(clip) == stem
