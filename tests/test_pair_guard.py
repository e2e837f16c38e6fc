"""Pairs that do not show the same thing at the same place."""

import numpy as np
import pytest

from tests.test_registration import SPOILT, coded, frames, pair, shapes
from transforms.delay import OFFSETS, find_delay
from transforms.pair_guard import WORST_RESIDUAL, guard

CUT = np.index_exp[:, 32:-32, 32:-32]


def moving(count):
    """The astronaut, nodding: the camera stands still, she moves by up to two pixels a frame."""
    clip = [np.roll(frames()[0], round(4 * np.sin(0.9 * i)), axis=0) for i in range(count)]
    still = frames()[0].copy()
    body = np.index_exp[60:260, 60:260]
    for i, moved in enumerate(clip):
        still[body] = moved[body]
        clip[i] = still.copy()
    return np.stack(clip)


def around(real, at, first):
    return {i: {offset: real[first + at[i] + offset] for offset in OFFSETS} for i in range(len(at))}


def delayed(delay, crf, count=12):
    """Crops of a clip at some frames, of its forgery that runs behind, and of what is beside them."""
    clip = coded(moving(count + 8), crf)[CUT]
    fake = moving(count + 8)
    fake[:, 32:-32, 32:-32][(slice(None), *SPOILT)] //= 2
    fake = coded(fake, crf)[CUT]
    at = list(range(0, count, 2))
    real = [clip[4 + i] for i in at]
    return real, [fake[4 + i + delay] for i in at], around(clip, at, 4)


@pytest.mark.parametrize("crf", [0, 23, 40])
@pytest.mark.parametrize("delay", [-2, -1, 0, 1, 2])
def test_a_delay_is_found_and_its_masks_are_unknown(delay, crf):
    real, fake, beside = delayed(delay, crf)
    outlines = shapes(len(real))
    assert find_delay(real, fake, list(beside.values()), outlines) == delay
    found = guard(real, fake, outlines, beside)
    assert found.comparable == (delay == 0)
    assert (f"i{delay:+d}" in found.note) == (delay != 0)


def test_where_nothing_moves_no_delay_is_claimed():
    real, fake = pair(23)
    beside = [dict.fromkeys(OFFSETS, frame) for frame in real]
    assert find_delay(real, fake, beside, shapes()) == 0


@pytest.mark.parametrize("crf", [0, 23])
@pytest.mark.parametrize("motion", [{"dx": 1.0}, {"dx": -3.0, "dy": 2.0}, {"scale": 1.01}])
def test_a_misregistered_pair_is_registered_first(crf, motion):
    real, fake = pair(crf, **motion)
    found = guard(real, fake, shapes(), {})
    assert found.comparable
    assert found.moved
    assert "registered" in found.note
    assert found.residual < 0.1
    straight = np.abs(fake[0].astype(int) - real[0])[:, :60].mean()
    assert np.abs(fake[0].astype(int) - found.real[0])[:, :60].mean() < 0.5 * straight
    shift = found.shapes.oval.mean(1) - shapes().oval.mean(1)
    assert shift[0] == pytest.approx([motion.get("dx", 0), motion.get("dy", 0)], abs=0.1)


@pytest.mark.parametrize("crf", [0, 23, 40])
@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_a_pair_that_lies_well_is_left_alone(crf, shift):
    real, fake = pair(crf, dx=shift)
    found = guard(real, fake, shapes(), {})
    assert found.comparable
    assert not found.moved
    assert found.note == ""
    assert found.residual <= WORST_RESIDUAL


@pytest.mark.parametrize("shake", [1, 9])
def test_a_clip_that_shakes_against_its_original_is_not_compared(shake):
    real, fake = pair(23)
    shaken = np.stack([np.roll(frame, shake * (-1) ** i, axis=1) for i, frame in enumerate(fake)])
    found = guard(real, shaken, shapes(), {})
    assert not found.comparable
    assert "shake" in found.note


@pytest.mark.parametrize("crf", [0, 40])
@pytest.mark.parametrize("other", ["mirrored", "turned", "noise"])
def test_another_scene_is_not_compared(other, crf):
    real, fake = pair(crf)
    noise = np.random.default_rng(0).integers(0, 255, fake.shape).astype(np.uint8)
    fake = {"mirrored": fake[:, :, ::-1], "turned": np.rot90(fake, axes=(1, 2)), "noise": noise}[other]
    found = guard(real, np.ascontiguousarray(fake), shapes(), {})
    assert not found.comparable
    assert found.note.endswith("masks are unknown")
