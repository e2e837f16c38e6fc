from dataclasses import replace

import pytest

from schemas import Clip, Outcome
from schemas.files import read_rows
from schemas.params import FramesParams, MaskParams, ShardParams, TrackParams
from schemas.params_file import read_params
from tests.work import Work
from transforms.cost import Cost, estimate


@pytest.fixture(scope="module")
def clips(built: Work) -> list[Clip]:
    return read_rows(built.clips, Clip)


def test_counts_are_those_of_the_run(built, clips):
    params = read_params(built.params)
    said = estimate(clips, params.frames, params.shard)
    tars = list(built.shards.rglob("*.tar"))
    assert (said.clips, said.groups) == (len(clips), len({clip.group for clip in clips}))
    assert said.shards == len(tars)
    assert said.index.bytes_read == sum(clip.bytes for clip in clips)
    # Fakes shorter than their original have fewer samples.
    made = sum(outcome.made for outcome in read_rows(built.shards / "outcomes.parquet", Outcome))
    assert made <= said.samples <= 1.2 * made


def test_costs_add_up_over_groups(clips):
    groups = {clip.group for clip in clips}
    parts = [estimate((c for c in clips if c.group == group), FramesParams()) for group in groups]
    whole = estimate(clips, FramesParams())
    assert whole.core_hours == pytest.approx(sum(part.core_hours for part in parts))
    assert whole.samples == sum(part.samples for part in parts)
    assert whole.bytes_read == sum(part.bytes_read for part in parts)
    assert whole.shuffle_bytes == pytest.approx(sum(part.shuffle_bytes for part in parts), abs=len(parts))


def test_nothing_costs_nothing():
    none = estimate([], FramesParams())
    assert (none.core_hours, none.bytes_read, none.bytes_written, none.shards) == (0, 0, 0, 0)


@pytest.fixture
def long(clips) -> list[Clip]:
    return [replace(clip, frames=18_000, bytes=100_000_000) for clip in clips]


def dearer(more: Cost, less: Cost) -> bool:
    return more.shard.core_seconds > less.shard.core_seconds


def test_more_work_costs_more(clips, long):
    few = estimate(clips, FramesParams(count=2))
    assert dearer(estimate(clips, FramesParams(count=8)), few)
    assert dearer(estimate(long, FramesParams(count=2)), few)
    one = MaskParams(kinds=("official",), train="official")
    assert dearer(few, estimate(clips, FramesParams(count=2), mask=one))
    assert estimate(clips, FramesParams(), track=TrackParams(every=1)).track.core_seconds > (
        estimate(clips, FramesParams(), track=TrackParams(every=4)).track.core_seconds
    )


def test_the_first_frames_of_a_long_clip_are_cheaper_than_frames_all_over_it(long):
    assert dearer(estimate(long, FramesParams(count=32)), estimate(long, FramesParams("first", 32)))


def test_a_clip_is_not_decoded_more_than_once(long):
    every = estimate(long, FramesParams(count=0))
    references = sum(clip.frames for clip in long if clip.reference)
    assert every.frames == references + sum(clip.frames for clip in long)
    assert every.samples == sum(clip.frames for clip in long)


@pytest.mark.parametrize("policy", ["even", "first", "stride"])
def test_sequences_have_as_many_samples_as_fit(clips, policy):
    short = [replace(clip, frames=40) for clip in clips]
    said = estimate(short, FramesParams(policy, 0, 8, 16), ShardParams(unit="sequence"))
    fit = {"even": 2, "first": 2, "stride": 4}[policy]
    assert said.samples == fit * len(clips)
