"""Label Studio's export, offline: what its answers become, bad ones too, and that nothing of it is lost."""

import base64
import json
import uuid
from collections import Counter

import cv2
import numpy as np
import pytest

from schemas.errors import UsageError
from tests.labels_factory import SIZE, contents, disc, make_requests, read_mask, run
from transforms import brush_rle


@pytest.fixture
def asked(tmp_path):
    return tmp_path / "requests", make_requests(tmp_path / "requests")


def region(mask, **more):
    value = {"format": "rle", "rle": brush_rle.encode(mask), "brushlabels": ["forged"]}
    return {
        "id": "m",
        "type": "brushlabels",
        "from_name": "mask",
        "original_width": SIZE,
        "original_height": SIZE,
        "image_rotation": 0,
        "value": value,
        **more,
    }


def choice(*verdicts):
    return {"id": "v", "type": "choices", "from_name": "verdict", "value": {"choices": list(verdicts)}}


def answered(results, user=1, unique=None, updated="2026-11-21T20:00:00.5Z", **more):
    unique = unique or str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([results, user], default=repr)))
    return {"result": results, "completed_by": user, "unique_id": unique, "updated_at": updated, **more}


def task(request, *annotations, number=1):
    return {"id": number, "data": {"request_id": request}, "annotations": list(annotations)}


def save(path, tasks):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tasks))
    return f"label-studio:{path}"


FORGED = [choice("forged"), region(disc())]
CUT = region(disc())
CUT = {**CUT, "value": {**CUT["value"], "rle": CUT["value"]["rle"][:-9]}}
PNG = cv2.imencode(".png", np.zeros((SIZE, SIZE, 4), np.uint8))[1].tobytes()
HUGE = PNG[:16] + b"\0\0\x4e\x20\0\0\x4e\x20" + PNG[24:]  # 20,000 by 20,000: OpenCV would take its room
BOMB = f"data:image/png;base64,{base64.b64encode(HUGE).decode()}"
ANSWERS = {
    "no list": ("x", "unreadable", "no list of results"),
    "no results": ([], "no_verdict", "choose"),
    "not a result": ([1], "unreadable", "no list of results"),
    "mask alone": ([region(disc())], "no_verdict", "choose"),
    "two verdicts": ([choice("forged", "authentic"), region(disc())], "no_verdict", "forged"),
    "another verdict": ([choice("maybe")], "no_verdict", "maybe"),
    "verdict alone": ([choice("forged")], "forged_without_mask", "no pixel"),
    "contradiction": ([choice("authentic"), region(disc())], "authentic_with_mask", "erase"),
    "faint": ([choice("forged"), region(disc().astype(np.uint8) * 127)], "forged_without_mask", "no pixel"),
    "elsewhere": ([choice("forged"), region(disc(-28, -28, 6))], "outside_face", "100%"),
    "other picture": ([choice("forged"), region(disc(), original_width=128)], "wrong_size", "128x64"),
    "turned": ([choice("forged"), region(disc(), image_rotation=90)], "unreadable", "turned by 90"),
    "truncated": ([choice("forged"), CUT], "unreadable", "too early"),
    "rectangle": (
        [choice("forged"), region(disc(), type="rectanglelabels")],
        "unreadable",
        "rectanglelabels",
    ),
    "no value": ([choice("forged"), region(disc(), value=None)], "unreadable", "brush"),
    "no rle": ([choice("forged"), region(disc(), value={"format": "rle"})], "unreadable", "neither"),
    "bad png": (
        [
            choice("forged"),
            region(disc(), type="bitmasklabels", value={"imageDataURL": "data:image/png;base64,AA"}),
        ],
        "unreadable",
        "",
    ),
    "png bomb": (
        [choice("forged"), region(disc(), type="bitmasklabels", value={"imageDataURL": BOMB})],
        "unreadable",
        "not RGBA of 64x64",
    ),
    "endless": (
        [choice("forged"), region(disc(), value={"rle": [1e400]})],
        "unreadable",
        "else than numbers",
    ),
}


def test_a_png_is_not_decoded_before_its_size_is_known(asked, tmp_path, monkeypatch):
    folder, rows = asked
    results = [choice("forged"), region(disc(), type="bitmasklabels", value={"imageDataURL": BOMB})]
    decode, seen = cv2.imdecode, []
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: seen.append(bytes(data)) or decode(data, flags))
    run(
        folder,
        save(
            tmp_path / "export.json",
            [task(rows[0].request_id, answered(results)), task(rows[1].request_id, answered(FORGED))],
        ),
        tmp_path / "out",
    )
    assert seen
    assert not any(data.startswith(PNG[:16] + b"\0\0\x4e\x20") for data in seen)


def test_the_summary_counts_proposals(asked, tmp_path, capsys):
    folder, rows = asked
    untouched = [choice("forged"), region(disc(), origin="prediction")]
    drawn = [choice("forged"), region(disc(), origin="manual")]
    tasks = [
        task(rows[0].request_id, answered(untouched)),
        task(rows[1].request_id, answered(drawn)),
        task(rows[2].request_id, answered(drawn)),
        task(rows[3].request_id, answered([choice("forged")])),
    ]
    run(folder, save(tmp_path / "export.json", tasks), tmp_path / "plain")
    assert "proposal" not in capsys.readouterr().out
    for one, shown in zip(tasks, ("shown", "shown", "hidden", "shown"), strict=True):
        one["data"]["proposal_shown"] = shown
    run(folder, save(tmp_path / "export.json", tasks), tmp_path / "out")
    said = "shown to 2 accepted answers (1 are it, untouched), hidden from 1, empty for 0"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", ANSWERS)
def test_bad_annotations_are_rows(asked, tmp_path, name):
    folder, rows = asked
    results, reason, says = ANSWERS[name]
    source = save(
        tmp_path / "export.json",
        [task(rows[0].request_id, answered(results)), task(rows[1].request_id, answered(FORGED), number=2)],
    )
    made, annotations = run(folder, source, tmp_path / "out")
    (bad,) = (row for row in annotations if row.request_id == rows[0].request_id)
    assert (bad.status, bad.reason, bad.annotator) == ("rejected", reason, "user 1")
    assert says in bad.detail
    assert made[rows[0].request_id].state == "rejected"
    assert made[rows[1].request_id].state == "labelled"


def test_regions_are_added_up_and_soft_strokes_cut_at_half(asked, tmp_path):
    folder, rows = asked
    soft = disc(-6).astype(np.uint8) * 128
    soft[disc(6) & ~disc(-6)] = 127
    bitmap = np.zeros((SIZE, SIZE, 4), np.uint8)
    bitmap[disc(0, 10, 5), 3] = 255
    url = "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", bitmap)[1].tobytes()).decode()
    results = [
        choice("forged"),
        region(soft, origin="manual"),
        region(disc(0, -10, 4), origin="prediction-changed"),
        region(disc(), type="bitmasklabels", value={"imageDataURL": url, "bitmasklabels": ["forged"]}),
        {"type": "textarea", "value": {"text": ["the edge"]}},
    ]
    source = save(tmp_path / "export.json", [task(rows[0].request_id, answered(results, lead_time=12.5))])
    made, (row,) = run(folder, source, tmp_path / "out")
    drawn = disc(-6) | disc(0, -10, 4) | disc(0, 10, 5)
    assert (read_mask(tmp_path / "out", made[rows[0].request_id].mask) == drawn).all()
    assert (row.origin, row.seconds, row.updated) == (
        "manual,prediction-changed",
        12.5,
        "2026-11-21T20:00:00.5Z",
    )


def test_skips_and_unusable_are_skipped(asked, tmp_path):
    folder, rows = asked
    source = save(
        tmp_path / "export.json",
        [
            task(rows[0].request_id, answered([], was_cancelled=True)),
            task(rows[1].request_id, answered([choice("unusable"), CUT]), number=2),
            task(rows[2].request_id, answered([choice("unusable")]), answered(FORGED, 2), number=3),
            task(rows[3].request_id, answered([choice("authentic")]), number=4),
        ],
    )
    made, annotations = run(folder, source, tmp_path / "out")
    found = [(made[row.request_id].state, made[row.request_id].verdict) for row in rows]
    assert found == [("skipped", "unusable")] * 2 + [("disputed", "none"), ("labelled", "authentic")]
    assert {row.status for row in annotations} == {"accepted"}
    assert annotations[0].detail == "skipped in Label Studio"


def test_one_person_has_one_vote(asked, tmp_path):
    """A task that was imported twice, and a person who answered a task twice."""
    folder, rows = asked
    request = rows[0].request_id
    first = answered(FORGED, updated="2026-11-21T20:00:01Z")
    second = answered([choice("forged"), region(disc(5))], updated="2026-11-21T20:00:02Z")
    third = answered([choice("forged"), region(disc(-5))], updated="2026-11-21T20:00:00.7Z")
    source = save(tmp_path / "export.json", [task(request, first, third), task(request, second, number=2)])
    made, annotations = run(folder, source, tmp_path / "out")
    assert (made[request].annotations, made[request].agreement) == (1, None)
    assert (read_mask(tmp_path / "out", made[request].mask) == disc(5)).all()
    assert Counter((row.status, row.reason) for row in annotations) == {
        ("superseded", "superseded"): 2,
        ("accepted", ""): 1,
    }
    assert all(row.mask for row in annotations)


def test_tasks_of_other_requests_are_rows(asked, tmp_path):
    folder, rows = asked
    tasks = [task(rows[0].request_id, answered(FORGED))]
    tasks += [
        task(name, answered(FORGED, user), number=9) for user, name in enumerate(("", "other", None), 5)
    ]
    tasks += [{"id": 10, "annotations": [answered(FORGED, 9)]}]
    made, annotations = run(folder, save(tmp_path / "export.json", tasks), tmp_path / "out")
    assert Counter(row.reason for row in annotations) == {"": 1, "unknown_request": 4}
    assert made[rows[0].request_id].state == "labelled"


def test_hostile_exports_are_rows(asked, tmp_path):
    folder, rows = asked
    request = rows[0].request_id
    tasks = [
        None,
        7,
        {"id": "x", "data": [1], "annotations": 3},
        {"id": [1], "data": {"request_id": request}, "annotations": [None, "x", {"result": {}}]},
        task("\ud800" * 9000, answered(FORGED, "\udfff" * 9000)),
        task(request, answered(FORGED, {"id": {"deep": 1}}, lead_time=10**400), number=True),
        task(request, answered([choice("forged"), region(disc(), value={"rle": [float("inf")]})], None)),
        task(request, answered([{"type": ["x"]}, choice("forged")], 77)),
        task(request, answered([{"type": "choices", "value": 5}], 78, lead_time="soon")),
    ]
    made, annotations = run(folder, save(tmp_path / "export.json", tasks), tmp_path / "out")
    assert made[request].state == "labelled"  # by the one answer that is whole
    assert Counter(row.status for row in annotations) == {"rejected": 4, "superseded": 3, "accepted": 1}
    assert max(len(row.detail) for row in annotations) <= 500


def test_what_changed_since_the_last_pull_is_kept(asked, tmp_path):
    folder, rows = asked
    changed, gone, vanished = (row.request_id for row in rows[:3])
    one = answered(FORGED, unique="u1")
    run(
        folder,
        save(
            tmp_path / "1.json",
            [
                task(changed, one),
                task(gone, answered(FORGED, 2), number=2),
                task(vanished, answered(FORGED), number=3),
            ],
        ),
        tmp_path / "out",
    )
    two = answered([choice("forged"), region(disc(4))], unique="u1", updated="2026-11-22T00:00:00Z")
    later = save(tmp_path / "2.json", [task(changed, two), task(gone, number=2)])
    made, annotations = run(folder, later, tmp_path / "out")
    assert [made[row.request_id].state for row in rows] == ["labelled", "waiting", "waiting", "waiting"]
    assert (read_mask(tmp_path / "out", made[changed].mask) == disc(4)).all()
    old = [row for row in annotations if row.status == "superseded"]
    assert {row.request_id for row in old} == {changed, gone, vanished}
    assert all((read_mask(tmp_path / "out", row.mask) == disc()).all() for row in old)
    before = contents(tmp_path / "out")
    run(folder, later, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    run(folder, f"label-studio:{tmp_path / 'out' / 'export.json'}", tmp_path / "offline")
    assert contents(tmp_path / "offline") == before
    run(folder, f"label-studio:{tmp_path / 'out' / 'export.json'}", tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_changed_and_changed_back_counts(asked, tmp_path):
    folder, rows = asked
    request = rows[0].request_id
    one = answered(FORGED, unique="u")
    two = answered([choice("authentic")], unique="u")
    for number, said in enumerate((one, two, one)):
        made, annotations = run(
            folder, save(tmp_path / f"{number}.json", [task(request, said)]), tmp_path / "out"
        )
    assert made[request].verdict == "forged"
    assert Counter(row.status for row in annotations) == {"accepted": 1, "superseded": 1}


def test_peoples_answers_are_not_overwritten(asked, tmp_path):
    folder, rows = asked
    run(
        folder, save(tmp_path / "export.json", [task(rows[0].request_id, answered(FORGED))]), tmp_path / "out"
    )
    (tmp_path / "drop").mkdir()
    with pytest.raises(UsageError, match="answers of people"):
        run(folder, f"folder:{tmp_path / 'drop'}", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[{", "not JSON"),
        ("\xff", "not JSON"),
        ("{}", "holds a dict, not a list"),
        ('[{"image": "x", "verdict": "forged"}]', "not JSON-MIN"),
        ('[{"annotations": [], "data": {"request_id": "other"}}]', "none of its 1 tasks"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_export_is_refused(asked, tmp_path, text, says):
    (tmp_path / "export.json").write_text(text, "latin-1")
    with pytest.raises(UsageError, match=says):
        run(asked[0], f"label-studio:{tmp_path / 'export.json'}", tmp_path / "out")


def test_an_export_without_answers_leaves_all_waiting(asked, tmp_path):
    folder, rows = asked
    for tasks in ([], [task(row.request_id) for row in rows]):
        made, annotations = run(folder, save(tmp_path / "export.json", tasks), tmp_path / "out")
        assert {label.state for label in made.values()} == {"waiting"}
        assert not annotations
