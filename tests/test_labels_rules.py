"""What answers are worth: the codec, the face, verdicts, several people."""

import contextlib
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.label import Annotation
from tests.labels_factory import POINTS, SIZE, disc, make_requests
from transforms import brush_rle
from transforms.labelling import Answer, Vote, agreement, check, face_region, settle, supersede

NONE = np.zeros((SIZE, SIZE), bool)


# What Label Studio's own encoder makes (label_studio_sdk 2.1.2, converter.brush.encode_rle): of this alpha in
# all four channels, and of the RGBA values 0 to 23, which are no runs.
ALPHA = np.array([[0, 255, 255], [7, 0, 9]], np.uint8)
RUNS = [0, 0, 0, 24, 57, 27, 252, 96, 19, 255, 198, 15, 24, 4, 97, 32]
# fmt: off
SINGLES = [
    0, 0, 0, 24, 57, 27, 248, 0, 0, 0, 128, 4, 0, 24, 0, 128, 2, 128, 12, 0, 56, 1, 0, 4, 128, 20, 0, 88, 1,
    128, 6, 128, 28, 0, 120, 2, 0, 8, 128, 36, 0, 152, 2, 128, 10, 128, 44, 0, 184,
]
# fmt: on


def test_codec_is_label_studios():
    assert brush_rle.encode(ALPHA) == RUNS
    assert (brush_rle.decode(RUNS, 2, 3) == ALPHA).all()
    assert (brush_rle.decode(SINGLES, 2, 3) == [[3, 7, 11], [15, 19, 23]]).all()


@settings(deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.sampled_from([0, 7, 255]))
)
def test_codec_returns_what_went_in(alpha):
    assert (brush_rle.decode(brush_rle.encode(alpha), *alpha.shape) == alpha).all()


def test_codec_of_large_flat_and_noisy_masks():
    for alpha in (
        np.zeros((512, 512), np.uint8),
        np.full((300, 301), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (64, 65)).astype(np.uint8),
    ):
        assert (brush_rle.decode(brush_rle.encode(alpha), *alpha.shape) == alpha).all()
    assert (brush_rle.decode(brush_rle.encode(disc()), SIZE, SIZE) == disc() * 255).all()


@pytest.mark.parametrize(
    ("rle", "says"),
    [
        ([], "ends after 0 bytes"),
        (RUNS[:-4], "ends after 12 bytes"),
        (SINGLES[:-4], "ends after"),
        ([0, 0, 1, 24, *RUNS[4:]], "not 2x3 RGBA"),
        ([255, 255, 255, 255, *RUNS[4:]], "not 2x3 RGBA"),
        ([*RUNS[:3], 24, 49, *RUNS[5:]], "7 bits"),
        ([*RUNS[:-1], 256], "no bytes"),
        ([*RUNS[:-1], -1], "no bytes"),
        (["x"], "else than numbers"),
        ([[1]], "else than numbers"),
        ([1e400], "else than numbers"),
        ([10**30], "else than numbers"),
    ],
)
def test_codec_refuses_what_it_cannot_read(rle, says):
    with pytest.raises(ValueError, match=says):
        brush_rle.decode(rle, 2, 3)


@settings(deadline=None)
@given(st.lists(st.integers(0, 255), max_size=60))
def test_codec_survives_noise(noise):
    with contextlib.suppress(ValueError):
        assert brush_rle.decode([*RUNS[:7], *noise], 2, 3).shape == (2, 3)


def test_face_holds_brows_and_chin_and_no_corner():
    face = face_region(POINTS, SIZE)
    assert 0.3 < face.mean() < 0.7
    for x, y in ((32, 10), (32, 57), (14, 30), (50, 30)):
        assert face[y, x]
    for x, y in ((0, 0), (63, 0), (0, 63), (63, 63), (32, 0)):
        assert not face[y, x]


def test_face_turns_and_grows_with_the_landmarks():
    points, face = np.array(POINTS), face_region(POINTS, SIZE)
    turned = np.rot90(face)  # the picture's right becomes its top
    x, y = points.T
    again = face_region(tuple(map(tuple, np.stack([y, SIZE - 1 - x], 1))), SIZE)
    assert (again != turned).mean() < 0.01
    small = face_region(tuple(map(tuple, points / 2)), SIZE)
    assert small.sum() == pytest.approx(face.sum() / 4, rel=0.03)


@pytest.mark.parametrize("points", [((5.0, 5.0),) * 5, ((float("nan"), 1.0), *POINTS[1:])])
def test_face_without_landmarks_is_everywhere(points):
    assert face_region(points, SIZE).all()


def answer(verdict="forged", mask=None, **more):
    return Answer("r", "a", "folder", "t", verdict, disc() if mask is None else mask, "p", **more)


@pytest.mark.parametrize(
    ("verdict", "mask", "reason", "says"),
    [
        ("forged", disc(), "", ""),
        ("authentic", NONE, "", ""),
        ("unusable", disc(), "", ""),
        ("none", disc(), "no_verdict", "choose"),
        ("forged", NONE, "forged_without_mask", "no pixel"),
        ("authentic", disc(), "authentic_with_mask", "pixels are drawn"),
        ("forged", np.zeros((32, 64), bool), "wrong_size", "64x32"),
        ("forged", disc(-30, -30, 8), "outside_face", "100%"),
        ("forged", disc(0, 0, 40), "", ""),
    ],
)
def test_answers_are_checked(tmp_path, verdict, mask, reason, says):
    request = make_requests(tmp_path, 1)[0]
    found, detail = check(answer(verdict, mask), request, 0.5)
    assert found == reason
    assert says in detail


def test_share_outside_the_face_is_the_parameters(tmp_path):
    request = make_requests(tmp_path, 1)[0]
    half = answer(mask=face_region(POINTS, SIZE) ^ (np.arange(SIZE) < SIZE / 2))
    share = (half.mask & ~face_region(POINTS, SIZE)).sum() / half.mask.sum()
    assert 0 < share < 1
    assert check(half, request, share + 0.01) == ("", "")
    assert check(half, request, share - 0.01)[0] == "outside_face"


def test_unknown_requests_are_never_accepted():
    assert check(answer(), None, 0.5)[0] == "unknown_request"


def row(number, annotator="a", updated="", status="accepted", reason="", request="r"):
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return Annotation(
        str(number),
        request,
        annotator,
        "folder",
        "forged",
        "",
        0.1,
        "",
        None,
        updated,
        digest,
        status,
        reason,
        "",
    )


def statuses(*rows):
    return {found.annotation_id: found.status for found in supersede(rows)}


def test_the_latest_answer_counts_even_if_it_is_wrong():
    bad = row(2, updated="2026-01-02T00:00:00Z", status="rejected", reason="no_verdict")
    assert statuses(row(1, updated="2026-01-01T00:00:00Z"), bad) == {"1": "superseded", "2": "rejected"}


def test_times_are_compared_as_times():
    """Django leaves out the fraction of a whole second: as text, 00Z is after 00.5Z."""
    assert statuses(row(1, updated="2026-01-01T00:00:00Z"), row(2, updated="2026-01-01T00:00:00.5Z"))[
        "1"
    ] == ("superseded")
    assert statuses(row(1, updated="2026-01-01T00:00:00+02:00"), row(2, updated="2025-12-31T23:00:00Z"))[
        "1"
    ] == ("superseded")


@pytest.mark.parametrize("updated", ["", "2026-01-01T00:00:00Z"])
def test_of_answers_at_one_time_an_accepted_one_counts(updated):
    bad = row(9, updated=updated, status="rejected", reason="unreadable")
    for rows in ([row(1, updated=updated), bad], [bad, row(1, updated=updated)]):
        assert statuses(*rows) == {"1": "accepted", "9": "superseded"}
    assert statuses(row(1), row(2)) == {"1": "superseded", "2": "accepted"}


def test_answers_of_others_and_unknown_requests_are_left_alone():
    found = statuses(
        row(1),
        row(2, "b"),
        row(3, request="s"),
        row(4, status="rejected", reason="unknown_request"),
        row(5, "b"),
    )
    assert found == {"1": "accepted", "2": "superseded", "3": "accepted", "4": "rejected", "5": "accepted"}


def test_an_earlier_answer_never_votes():
    gone = row(1, updated="2027-01-01T00:00:00Z", status="superseded", reason="superseded")
    assert statuses(gone, row(2)) == {"1": "superseded", "2": "accepted"}


def test_the_same_answer_twice_is_one():
    assert len(supersede([row(1), row(1)])) == 1


def test_agreement_is_the_worst_pair():
    assert agreement([]) is agreement([disc()]) is None
    assert agreement([NONE, NONE]) == 1
    assert agreement([disc(), NONE]) == 0
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    a[0], b[0, :2] = True, True
    assert agreement([a, a, b]) == 0.5


def forged(*args):
    return Vote("forged", disc(*args))


AUTHENTIC, UNUSABLE = Vote("authentic", NONE), Vote("unusable", NONE)


@pytest.mark.parametrize(
    ("votes", "state", "verdict", "reason"),
    [
        ([], "waiting", "none", "no_answer"),
        ([forged()], "labelled", "forged", ""),
        ([AUTHENTIC], "labelled", "authentic", ""),
        ([AUTHENTIC, AUTHENTIC], "labelled", "authentic", ""),
        ([forged(), forged(1)], "labelled", "forged", ""),
        ([forged(), forged(12)], "disputed", "forged", "low_agreement"),
        ([forged(), AUTHENTIC], "disputed", "none", "low_agreement"),
        ([forged(), forged(), AUTHENTIC], "labelled", "forged", ""),
        ([forged(), forged(1), AUTHENTIC], "labelled", "forged", ""),
        ([forged(), forged(5), AUTHENTIC], "disputed", "forged", "low_agreement"),
        ([forged(), AUTHENTIC, AUTHENTIC], "labelled", "authentic", ""),
        ([forged(), forged(), AUTHENTIC, AUTHENTIC], "disputed", "none", "low_agreement"),
        ([forged(), forged(1), forged(12)], "labelled", "forged", ""),
        ([forged(), forged(12), forged(0, 12)], "disputed", "forged", "low_agreement"),
        ([forged(), forged(1), forged(12), forged(0, 12)], "disputed", "forged", "low_agreement"),
        ([forged(), forged(1), forged(2), AUTHENTIC, AUTHENTIC], "labelled", "forged", ""),
        ([UNUSABLE], "skipped", "unusable", "unusable"),
        ([forged(), UNUSABLE], "disputed", "none", "low_agreement"),
        ([forged(), forged(1), UNUSABLE], "labelled", "forged", ""),
        ([forged(), UNUSABLE, UNUSABLE], "skipped", "unusable", "unusable"),
    ],
)
def test_consensus(votes, state, verdict, reason):
    for order in (votes, votes[::-1]):
        found = settle(order, [], 0.6)
        assert (found.state, found.verdict, found.reason) == (state, verdict, reason)
        assert (found.mask is not None) == (state == "labelled")


def test_a_pixel_is_forged_where_more_than_half_say_so():
    two = settle([forged(-2), forged(2)], [], 0.5)
    assert (two.mask == disc(-2) & disc(2)).all()
    three = settle([forged(-2), forged(), forged(2)], [], 0.5)
    assert (three.mask == (disc(-2).astype(int) + disc() + disc(2) >= 2)).all()
    assert three.agreement == agreement([disc(-2), disc(2)])


def test_a_third_person_settles_what_two_dispute():
    apart = [forged(), forged(12)]
    assert settle(apart, [], 0.6).state == "disputed"
    settled = settle([*apart, forged(1)], [], 0.6)
    assert (settled.state, settled.verdict) == ("labelled", "forged")
    assert settled.agreement == agreement([disc(), disc(12)]) < 0.6
    near = [forged(), forged(5)]  # each agrees with what both drew, but not with the other
    assert agreement([disc(), disc(5)]) < 0.6 < agreement([disc(), disc() & disc(5)])
    for votes in (near, [*near, AUTHENTIC], [*near, AUTHENTIC, AUTHENTIC]):
        assert settle(votes, [], 0.6).state == "disputed"


def test_a_majority_labels_where_no_agreement_is_asked_for():
    found = settle([forged(), forged(), AUTHENTIC], [], 0.0)
    assert (found.state, found.verdict, found.agreement) == ("labelled", "forged", 0.0)
    assert (found.mask == disc()).all()
    apart = [forged(-12, 0, 5), forged(12, 0, 5), forged(0, 12, 5)]
    assert settle(apart, [], 0.0).state == "disputed"  # no pixel has a majority


def test_bad_answers_alone_are_rejected_with_all_reasons():
    found = settle([], [row(1, reason="no_verdict"), row(2, "b", reason="outside_face")], 0.6)
    assert (found.state, found.reason) == ("rejected", "no_verdict")
    assert "a: no_verdict" in found.detail
    assert "b: outside_face" in found.detail
