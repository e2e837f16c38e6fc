import numpy as np
import pytest

from transforms.faces import FaceFinder
from transforms.mesh import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE, five_points
from transforms.synthesis.forgery import FAMILIES, Face, forge, official_mask
from transforms.synthesis.motion import film
from transforms.synthesis.warps import dense_map, invert_field, thin_plate

SWAPS = ("swap", "hard_swap")


@pytest.fixture(scope="module")
def shots(people):
    return [(frame, Face(points)) for frame, points in (film(person, 0.4) for person in people)]


def make(shots, family, target=0, donor=1, phase=1.0, seed=5):
    frame, face = shots[target]
    other = shots[donor] if family in SWAPS else (None, None)
    return frame, *forge(family, frame, face, *other, phase=phase, seed=seed)


def change(a, b):
    return np.abs(a.astype(int) - b).max(-1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", FAMILIES)
def test_alpha_tells_what_was_changed(shots, family, seed):
    frame, fake, alpha = make(shots, family, seed=seed)
    assert fake.shape == frame.shape
    assert fake.dtype == np.uint8
    assert alpha.shape == frame.shape[:2]
    assert alpha.dtype == np.float32
    assert alpha.min() == 0
    assert alpha.max() == 1
    np.testing.assert_allclose(alpha * 255, np.rint(alpha * 255), atol=1e-3)
    difference = change(fake, frame)
    assert not difference[alpha == 0].any()
    assert (difference[alpha > 0.1] > 0).mean() > 0.9
    assert difference[alpha > 0.1].mean() > 4


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_again_and_another_with_another_seed(shots, family):
    _, fake, alpha = make(shots, family)
    _, again, alpha_again = make(shots, family)
    assert np.array_equal(fake, again)
    assert np.array_equal(alpha, alpha_again)
    assert not np.array_equal(fake, make(shots, family, seed=6)[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_frame_is_not_written_to(shots, family):
    before = shots[0][0].copy()
    make(shots, family)
    assert np.array_equal(shots[0][0], before)


@pytest.mark.parametrize("family", SWAPS)
def test_a_swap_shows_the_donor(shots, family):
    def likeness(donor):
        frame, fake, alpha = make(shots, family, donor=donor)
        inside = alpha > 0.9
        return np.corrcoef(frame[inside].mean(-1), fake[inside].mean(-1))[0, 1]

    assert likeness(0) > 0.98
    assert likeness(1) < 0.95
    assert likeness(2) < 0.95
    assert not np.array_equal(make(shots, family, donor=1)[1], make(shots, family, donor=2)[1])


def test_a_swapped_face_keeps_its_place(shots):
    _, fake, _ = make(shots, "swap")
    (found, *_), _ = FaceFinder().find(fake)
    assert np.abs(five_points(found.points) - five_points(shots[0][1].points)).max() < 8


@pytest.mark.parametrize("family", ["expression", "mouth"])
def test_expressions_move_smoothly_and_in_a_circle(shots, family):
    _, fake, alpha = make(shots, family, phase=1.0)
    inside = alpha > 0.5
    step = change(make(shots, family, phase=1.05)[1], fake)[inside].mean()
    far = change(make(shots, family, phase=1.0 + np.pi)[1], fake)[inside].mean()
    assert 0 < step < far / 5
    assert change(make(shots, family, phase=1.0 + 2 * np.pi)[1], fake).max() <= 1


def test_a_mouth_may_come_from_a_donor(shots):
    frame, face = shots[0]
    own, alpha = forge("mouth", frame, face, None, None, phase=1.0, seed=5)
    other, alpha_other = forge("mouth", frame, face, *shots[1], phase=1.0, seed=5)
    assert np.array_equal(alpha, alpha_other)
    assert change(own, other)[alpha > 0.5].mean() > 4


def test_only_the_mouth_of_the_mouth_family_changes(shots):
    _, _, alpha = make(shots, "mouth")
    _, _, whole = make(shots, "expression")
    assert (alpha > 0.1).sum() < 0.4 * (whole > 0.1).sum()
    rows = np.nonzero(alpha.max(1) > 0.1)[0]
    right_eye, _, nose, right_mouth, _ = five_points(shots[0][1].points)[:, 1]
    assert rows.min() > (right_eye + 3 * nose) / 4
    assert rows.min() < right_mouth < rows.max()


def test_edges_are_hard_or_feathered(shots):
    soft, hard = (make(shots, family)[2] for family in SWAPS)
    assert ((soft > 0) & (soft < 1)).sum() > 5 * ((hard > 0) & (hard < 1)).sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_face_at_the_edge_or_outside_of_the_frame(shots, family):
    frame, face = shots[0]
    other = shots[1] if family in SWAPS else (None, None)
    half = Face(face.points - [face.points[:, 0].mean(), 0])
    fake, alpha = forge(family, frame, half, *other, phase=1.0, seed=5)
    assert alpha[:, 0].max() > 0.9
    assert not change(fake, frame)[alpha == 0].any()
    fake, alpha = forge(family, frame, Face(face.points + np.float32(5000)), *other, phase=1.0, seed=5)
    assert np.array_equal(fake, frame)
    assert not alpha.any()


@pytest.mark.parametrize("family", SWAPS)
def test_swaps_need_a_donor(shots, family):
    with pytest.raises(ValueError, match="donor"):
        forge(family, *shots[0], None, None, phase=0.0, seed=0)


def test_an_unknown_family_is_refused(shots):
    with pytest.raises(ValueError, match="'swop'"):
        forge("swop", *shots[0], *shots[1], phase=0.0, seed=0)


def test_official_masks_are_not_what_was_changed(shots):
    face = shots[0][1]
    swap, mouth = make(shots, "swap")[2], make(shots, "mouth")[2]
    box = official_mask("box", face, swap) > 0
    assert box[swap > 0.1].all()
    assert box.sum() > 1.5 * (swap > 0.1).sum()
    rows, columns = np.nonzero(box)
    assert box.sum() == np.ptp(rows + 1) * np.ptp(columns + 1) + np.ptp(rows) + np.ptp(columns) + 1
    model = official_mask("face", face, mouth) > 0
    assert model[mouth > 0.1].mean() > 0.95
    assert model.sum() > 3 * (mouth > 0.1).sum()
    assert np.array_equal(official_mask("alpha", face, swap) > 0, swap > 0.1)
    with pytest.raises(ValueError, match="'hull'"):
        official_mask("hull", face, swap)


def test_contours_are_those_of_mediapipe():
    from mediapipe.python.solutions import face_mesh_connections as theirs

    contours = {
        FACE_OVAL: theirs.FACEMESH_FACE_OVAL,
        LIPS_OUTER: theirs.FACEMESH_LIPS,
        RIGHT_EYE: theirs.FACEMESH_RIGHT_EYE,
        LEFT_EYE: theirs.FACEMESH_LEFT_EYE,
    }
    for contour, edges in contours.items():
        known = {frozenset(edge) for edge in edges}
        assert {frozenset(edge) for edge in zip(contour, contour[1:] + contour[:1], strict=True)} <= known
    assert (len(FACE_OVAL), len(LIPS_OUTER)) == (36, 20)


def test_five_points_are_in_order(shots):
    points = np.stack([face.points for _, face in shots])
    five = five_points(points)
    assert five.shape == (3, 5, 2)
    assert five.dtype == np.float32
    right_eye, left_eye, nose, right_mouth, left_mouth = np.moveaxis(five, 1, 0)
    assert (right_eye[:, 0] < nose[:, 0]).all()
    assert (nose[:, 0] < left_eye[:, 0]).all()
    assert (right_mouth[:, 0] < left_mouth[:, 0]).all()
    assert (right_eye[:, 1] < nose[:, 1]).all()
    assert (nose[:, 1] < left_mouth[:, 1]).all()
    assert np.array_equal(five_points(points[1]), five[1])


def test_a_thin_plate_passes_through_its_points_and_keeps_affinities():
    random = np.random.default_rng(0)
    source, target = random.uniform(0, 100, (2, 30, 2))
    np.testing.assert_allclose(thin_plate(source, target, source, stiffness=0), target, atol=1e-6)
    matrix = np.array([[1.1, 0.2], [-0.3, 0.9]])
    maps = dense_map(source, source @ matrix.T + 5, (10, 20, 43, 51))
    assert maps.shape == (31, 33, 2)
    x, y = np.meshgrid(np.arange(10, 43), np.arange(20, 51))
    np.testing.assert_allclose(maps, np.stack([x, y], -1) @ matrix.T + 5, atol=1e-3)


def test_an_inverted_field_leads_back():
    def field(at):
        return 3 * np.sin(at[..., ::-1] / 20)

    at = np.random.default_rng(0).uniform(0, 100, (50, 2))
    source = invert_field(field, at, rounds=20)
    np.testing.assert_allclose(source + field(source), at, atol=1e-6)
