"""The label stage from outside: oracle, folder, export; bad input; the same bytes again."""

import os
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import labels
from pipelines.shard_folder import read_members
from schemas.errors import UsageError
from schemas.files import read_rows, write_rows
from schemas.label import Label
from schemas.request import LabelRequest
from tests.labels_factory import (
    SIZE,
    contents,
    disc,
    make_requests,
    paint,
    read_mask,
    requests_of,
    run,
)
from tests.shards_factory import Corpus, edit_tar, make_shards
from transforms.labelling import face_region


@pytest.fixture
def asked(tmp_path):
    return tmp_path / "requests", make_requests(tmp_path / "requests")


@pytest.fixture
def drop(tmp_path):
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


# --- oracle


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("labels") / "shards", Corpus(groups=6, failed=0, unknown=0.3))


def test_oracle_answers_with_the_masks_of_the_shards(tmp_path, shards):
    rows = requests_of(tmp_path / "requests", shards)
    index = {row["key"]: row for row in pq.read_table(shards / "index.parquet").to_pylist()}
    made, annotations = run(tmp_path / "requests", f"oracle:{shards}", tmp_path / "out")
    states = Counter()
    for row in rows:
        sample, label = index[row.key], made[row.request_id]
        members = read_members(shards / sample["shard"], [row.key])[row.key]
        assert (label.source, label.key, label.crop_sha256) == ("oracle", row.key, row.crop_sha256)
        states[sample["mask_kind"]] += 1
        if sample["mask_kind"] == "unknown":
            assert (label.state, label.reason, label.mask) == ("rejected", "mask_unknown", "")
            continue
        truth = cv2.imdecode(np.frombuffer(members["mask.png"], np.uint8), cv2.IMREAD_GRAYSCALE) > 127
        assert label.state == "labelled"
        assert label.verdict == ("forged" if sample["label"] == "fake" else "authentic")
        assert (read_mask(tmp_path / "out", label.mask) == truth).all()
        assert label.area == pytest.approx(truth.mean())
        assert (label.annotations, label.annotators, label.agreement) == (1, ("oracle",), None)
    assert min(states["difference"], states["unknown"], states["all_zero"]) > 3
    assert {row.tool for row in annotations} == {"oracle"}
    assert len(annotations) == len(rows)


def test_oracle_of_real_shards_accepts_every_true_mask(tmp_path, built):
    """Real landmarks, measured masks: none lies so far outside the face region that it is refused."""
    rows = requests_of(tmp_path / "requests", built.shards, lambda row: row["mask_kind"] == "difference")
    made, _ = run(tmp_path / "requests", f"oracle:{built.shards}", tmp_path / "out")
    assert len(rows) > 20
    assert {label.state for label in made.values()} == {"labelled"}
    for row in rows:
        mask = read_mask(tmp_path / "out", made[row.request_id].mask)
        assert (mask & ~face_region(row.landmarks, row.size)).sum() < 0.1 * mask.sum()


def test_oracle_takes_several_folders(tmp_path, shards):
    other = make_shards(tmp_path / "other", Corpus(dataset="second", groups=2, failed=0))
    rows = requests_of(tmp_path / "a", shards)[:3] + requests_of(tmp_path / "b", other)[:3]
    write_rows(tmp_path / "requests" / "requests.parquet", LabelRequest, rows)
    made, _ = run(tmp_path / "requests", [f"oracle:{shards}", f"oracle:{other}"], tmp_path / "out")
    assert {label.reason for label in made.values()} <= {"", "mask_unknown"}
    alone, annotations = run(tmp_path / "requests", f"oracle:{shards}", tmp_path / "alone")
    lost = [row for row in annotations if row.status == "rejected" and "not in these shards" in row.detail]
    assert {row.request_id for row in lost} == {row.request_id for row in rows[3:]}
    assert all(alone[row.request_id].state == "rejected" for row in rows[3:])


def test_oracle_refuses_another_crop_under_the_same_key(tmp_path, shards):
    row = requests_of(tmp_path / "requests", shards)[0]
    write_rows(tmp_path / "requests" / "requests.parquet", LabelRequest, [replace(row, crop_sha256="0" * 64)])
    made, _ = run(tmp_path / "requests", f"oracle:{shards}", tmp_path / "out")
    (label,) = made.values()
    assert (label.state, label.reason) == ("rejected", "mask_unknown")
    assert row.crop_sha256[:8] in label.detail
    assert "00000000" in label.detail


def test_oracle_reads_what_a_damaged_tar_still_holds(tmp_path, shards):
    work = shutil.copytree(shards, tmp_path / "shards")
    rows = requests_of(tmp_path / "requests", work, lambda row: row["mask_kind"] == "difference")
    hit = {row.key: row for row in rows}
    url = next(row["shard"] for row in pq.read_table(work / "index.parquet").to_pylist() if row["key"] in hit)
    first = next(name for name, _ in _members(work / url) if name.partition(".")[0] in hit)
    key = first.partition(".")[0]
    edit_tar(
        work, url, lambda members: [(n, b"junk" if n.startswith(f"{key}.mask") else d) for n, d in members]
    )
    made, _ = run(tmp_path / "requests", f"oracle:{work}", tmp_path / "out")
    assert made[hit[key].request_id].reason == "unreadable"
    assert Counter(label.state for label in made.values()) == {"labelled": len(rows) - 1, "rejected": 1}
    (work / url).write_bytes((work / url).read_bytes()[:2000])
    made, _ = run(tmp_path / "requests", f"oracle:{work}", tmp_path / "out")
    states = Counter((label.state, label.reason) for label in made.values())
    assert states["rejected", "unreadable"] >= 1
    assert sum(states.values()) == len(rows)
    assert set(states) <= {("rejected", "unreadable"), ("labelled", "")}


def _members(path):
    import tarfile

    with tarfile.open(path) as tar:
        return [(info.name, info.size) for info in tar]


# --- folder


def test_folder_of_one_person(asked, drop, tmp_path, capsys):
    folder, rows = asked
    paint(drop / f"{rows[0].request_id}.png", disc())
    paint(drop / f"{rows[1].request_id}.png", np.zeros((SIZE, SIZE)))
    made, annotations = run(folder, f"folder:{drop}", tmp_path / "out")
    drawn, black, *others = (made[row.request_id] for row in rows)
    assert (drawn.state, drawn.verdict, drawn.source) == ("labelled", "forged", "human")
    assert (read_mask(tmp_path / "out", drawn.mask) == disc()).all()
    assert (black.state, black.verdict, black.area) == ("labelled", "authentic", 0.0)
    assert not read_mask(tmp_path / "out", black.mask).any()
    assert {(label.state, label.reason) for label in others} == {("waiting", "no_answer")}
    assert {row.annotator for row in annotations} == {"folder"}
    assert all(uuid.UUID(row.annotation_id).version == 5 for row in annotations)
    said = capsys.readouterr().out
    assert "2 labelled, 0 skipped, 0 rejected, 0 disputed, 2 waiting" in said
    assert "REQUEST_ID.png" in said


def test_folder_of_several_people(asked, drop, tmp_path):
    folder, rows = asked
    for name, shift in (("anna", -1), ("ben", 0), ("cy", 1)):
        paint(drop / name / f"{rows[0].request_id}.png", disc(shift))
    for name, mask in (("anna", disc(0, -8, 6)), ("ben", disc(0, 8, 6))):
        paint(drop / name / f"{rows[1].request_id}.png", mask)
    paint(drop / "anna" / f"{rows[2].request_id}.png", disc(-28, -28, 6))
    paint(drop / "ben" / f"{rows[2].request_id}.png", disc())
    made, annotations = run(folder, f"folder:{drop}", tmp_path / "out")
    agreed, disputed, one = (made[row.request_id] for row in rows[:3])
    assert agreed.annotators == ("anna", "ben", "cy")
    assert (read_mask(tmp_path / "out", agreed.mask) == disc()).all()
    assert agreed.agreement == pytest.approx((disc(-1) & disc(1)).sum() / (disc(-1) | disc(1)).sum())
    assert (disputed.state, disputed.reason, disputed.agreement) == ("disputed", "low_agreement", 0.0)
    kept = [row for row in annotations if row.request_id == rows[1].request_id]
    assert [row.status for row in kept] == ["accepted"] * 2  # both are kept, with what they drew
    assert (read_mask(tmp_path / "out", kept[0].mask) == disc(0, -8, 6)).all()
    assert (one.state, one.annotators, one.agreement) == ("labelled", ("ben",), None)  # anna's was refused
    (params := tmp_path / "params.yaml").write_text("labels: {agreement: 0.95, outside: 1.0}\n")
    strict, _ = run(folder, f"folder:{drop}", tmp_path / "strict", "--params", str(params))
    assert [strict[row.request_id].state for row in rows[:3]] == ["disputed"] * 3


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


GREY = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
WHITE = disc().astype(np.uint8) * 255
BAD = {
    "empty": (b"", "unreadable", "not a PNG"),
    "text": (b"hello", "unreadable", "not a PNG"),
    "jpeg": (cv2.imencode(".jpg", WHITE)[1].tobytes(), "unreadable", "not a PNG"),
    "truncated": (png(WHITE)[:-20], "unreadable", "damaged"),
    "header": (png(WHITE)[:30], "unreadable", "damaged"),
    "corrupt": (png(GREY)[:200] + b"\0" * 50 + png(GREY)[250:], "unreadable", ""),
    "small": (png(WHITE[:32, :32]), "wrong_size", "32x32, the crop is 64x64"),
    "bomb": (png(WHITE)[:16] + b"\0\1\0\0\0\1\0\0" + png(WHITE)[24:], "wrong_size", "65536x65536"),
    "photo": (png(GREY), "unreadable", "a picture, not a mask"),
    "red": (png(np.stack([WHITE * 0, WHITE * 0, WHITE], -1)), "no_verdict", "brightest pixel is 76"),
    "corner": (png(disc(-28, -28, 6).astype(np.uint8) * 255), "outside_face", "100% of the mask"),
    "huge": (png(WHITE) + b"\0" * (16 << 20), "unreadable", "bytes, more than"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_rows(asked, drop, tmp_path, name):
    folder, rows = asked
    data, reason, says = BAD[name]
    (drop / f"{rows[0].request_id}.png").write_bytes(data)
    paint(drop / f"{rows[1].request_id}.png", disc())
    made, annotations = run(folder, f"folder:{drop}", tmp_path / "out")
    (bad,) = (row for row in annotations if row.request_id == rows[0].request_id)
    assert (bad.status, bad.reason) == ("rejected", reason)
    assert says in bad.detail
    assert (made[rows[0].request_id].state, made[rows[0].request_id].reason) == ("rejected", reason)
    assert made[rows[1].request_id].state == "labelled"


BLACK = np.dstack([np.zeros((SIZE, SIZE, 3), np.uint8), WHITE])
BAD["black on transparency"] = png(BLACK), "no_verdict", "paint white"
ALPHA = np.dstack([np.full((SIZE, SIZE, 3), 255, np.uint8), WHITE])
GOOD = {
    "grey": WHITE,
    "sixteen bits": WHITE.astype(np.uint16) * 257,
    "colour": np.stack([WHITE] * 3, -1),
    "transparent": ALPHA,
    "soft edges": cv2.GaussianBlur(WHITE, (0, 0), 1),
}


@pytest.mark.parametrize("name", GOOD)
def test_pngs_of_all_kinds_are_masks(asked, drop, tmp_path, name):
    folder, rows = asked
    (drop / f"{rows[0].request_id}.png").write_bytes(png(GOOD[name]))
    made, _ = run(folder, f"folder:{drop}", tmp_path / "out")
    wanted = GOOD[name] > 127 if name == "soft edges" else disc()
    assert (read_mask(tmp_path / "out", made[rows[0].request_id].mask) == wanted).all()


@pytest.mark.parametrize("alpha", [0, 255])
def test_all_black_is_authentic_in_whatever_kind_of_png(asked, drop, tmp_path, alpha):
    folder, rows = asked
    blank = np.zeros((SIZE, SIZE, 4), np.uint8)
    blank[..., 3] = alpha
    (drop / f"{rows[0].request_id}.png").write_bytes(png(blank))
    made, _ = run(folder, f"folder:{drop}", tmp_path / "out")
    assert (made[rows[0].request_id].state, made[rows[0].request_id].verdict) == ("labelled", "authentic")


def test_palette_and_one_bit_pngs(asked, drop, tmp_path):
    from PIL import Image

    folder, rows = asked
    Image.fromarray(disc()).save(drop / f"{rows[0].request_id}.png")
    assert Image.open(drop / f"{rows[0].request_id}.png").mode == "1"
    Image.fromarray(WHITE).convert("P").save(drop / f"{rows[1].request_id}.png")
    Image.fromarray(WHITE).convert("LA").save(drop / f"{rows[2].request_id}.png")
    made, _ = run(folder, f"folder:{drop}", tmp_path / "out")
    for row in rows[:3]:
        assert (read_mask(tmp_path / "out", made[row.request_id].mask) == disc()).all()


@pytest.mark.parametrize("name", ["ID.xcf", "ID.psd", "ID.jpg", "ID.png~", "ID"])
@pytest.mark.parametrize("annotator", ["", "anna"])
def test_a_project_file_beside_its_mask_is_no_answer(asked, drop, tmp_path, name, annotator):
    folder, rows = asked
    for row in rows:
        paint(drop / annotator / f"{row.request_id}.png", disc())
        (drop / annotator / name.replace("ID", row.request_id)).write_bytes(b"gimp xcf v011")
    made, annotations = run(folder, f"folder:{drop}", tmp_path / "out")
    assert [label.state for label in made.values()] == ["labelled"] * 4
    assert [row.status for row in annotations] == ["accepted"] * 4


def test_a_bad_file_in_the_subfolder_of_the_same_name_does_not_win(asked, drop, tmp_path):
    folder, rows = asked
    for row in rows:
        paint(drop / f"{row.request_id}.png", disc())
        (drop / "folder").mkdir(exist_ok=True)
        (drop / "folder" / f"{row.request_id}.png").write_bytes(b"x")
    made, annotations = run(folder, f"folder:{drop}", tmp_path / "out")
    assert [label.state for label in made.values()] == ["labelled"] * 4
    assert Counter(row.status for row in annotations) == {"accepted": 4, "superseded": 4}


def test_strange_files_are_rows(asked, drop, tmp_path):
    folder, rows = asked
    known = [row.request_id for row in rows]
    paint(tmp_path / "outside.png", disc())
    (drop / f"{known[0]}.png").symlink_to(tmp_path / "outside.png")
    (drop / f"{known[1]}.png").symlink_to(f"{known[1]}.png")
    os.mkfifo(drop / f"{known[2]}.png")
    (drop / f"{known[3]}.jpg").write_bytes(cv2.imencode(".jpg", WHITE)[1].tobytes())
    (drop / "notes.txt").write_text("finished")
    (drop / ".DS_Store").write_text("hidden")
    (drop / "everything").symlink_to(tmp_path)
    (drop / os.fsdecode(b"caf\xe9.png")).write_bytes(png(WHITE))
    paint(drop / f"{uuid.uuid4()}.png", disc())
    paint(drop / "anna" / "again" / f"{known[0]}.png", disc())
    made, annotations = run(folder, f"folder:{drop}", tmp_path / "out")
    assert Counter((row.status, row.reason) for row in annotations) == {
        ("rejected", "unreadable"): 4,
        ("rejected", "unknown_request"): 5,
    }
    assert [label.state for label in made.values()] == ["rejected"] * 4
    assert all(row.detail for row in annotations)


def test_the_same_bytes_again_and_nothing_stale(asked, drop, tmp_path):
    folder, rows = asked
    for row in rows[:3]:
        paint(drop / f"{row.request_id}.png", disc())
    run(folder, f"folder:{drop}", tmp_path / "out")
    before = contents(tmp_path / "out")
    assert len(before) == 2 + 2 * 3
    (tmp_path / "out" / ".labels.parquet.x.part").write_text("left by a killed run")
    run(folder, f"folder:{drop}", tmp_path / "out")
    assert contents(tmp_path / "out") == before
    run(folder, f"folder:{drop}", tmp_path / "fresh")
    assert contents(tmp_path / "fresh") == before
    (drop / f"{rows[0].request_id}.png").unlink()
    paint(drop / f"{rows[1].request_id}.png", disc(2))
    made, _ = run(folder, f"folder:{drop}", tmp_path / "out")
    after = contents(tmp_path / "out")
    assert len(after) == 2 + 2 * 2
    assert not made[rows[0].request_id].mask
    assert (read_mask(tmp_path / "out", made[rows[1].request_id].mask) == disc(2)).all()


# --- bad usage


def refused(*argv):
    with pytest.raises(UsageError) as error:
        labels.main([str(part) for part in argv])
    return str(error.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("oracle", "give one kind of"),
        ("oracle:", "give one kind of"),
        ("mail:x", "give one kind of"),
        ("oracle:{tmp}/no", "--from oracle:{tmp}/no: no such folder"),
        ("folder:~nobody-of-this-name/x", "there is no such user"),
        ("oracle:{tmp}", "holds no finished shards"),
        ("folder:{tmp}/no", "no such folder"),
        ("label-studio:{tmp}/no.json", "cannot be read"),
        ("label-studio:127.0.0.1:8080", "http://HOST:PORT"),
    ],
)
def test_bad_sources_are_refused(asked, tmp_path, source, says):
    said = refused("--requests", asked[0], "--from", source.format(tmp=tmp_path), "--out", tmp_path / "out")
    assert says.format(tmp=tmp_path) in said
    assert not (tmp_path / "out").exists()


def test_home_is_found_in_sources(asked, drop, tmp_path, monkeypatch):
    folder, rows = asked
    monkeypatch.setenv("HOME", str(tmp_path))
    paint(drop / f"{rows[0].request_id}.png", disc())
    made, _ = run(folder, "folder:~/drop", tmp_path / "out")
    assert made[rows[0].request_id].state == "labelled"


@pytest.mark.parametrize("given", ["agreement: 60", "outside: 50", "agreement: -0.1", "outside: .nan"])
def test_what_is_no_share_is_refused(asked, drop, tmp_path, given):
    (params := tmp_path / "params.yaml").write_text(f"labels: {{{given}}}\n")
    given_flags = "--requests", asked[0], "--from", f"folder:{drop}", "--out", tmp_path / "out"
    said = refused(*given_flags, "--params", params)
    assert f"labels.{given.partition(':')[0]} is" in said
    assert "0 to 1" in said
    assert not (tmp_path / "out").exists()


def test_sources_do_not_mix(asked, drop, tmp_path):
    given = "--requests", asked[0], "--out", tmp_path / "out"
    assert "one kind" in refused(*given, "--from", f"folder:{drop}", "--from", "oracle:x")
    assert "2 times" in refused(*given, "--from", f"folder:{drop}", "--from", "folder:other")
    assert "--annotators 2" in refused(*given, "--from", f"folder:{drop}", "--annotators", "2")


def test_shards_without_the_keys_are_refused(asked, tmp_path, shards):
    said = refused("--requests", asked[0], "--from", f"oracle:{shards}", "--out", tmp_path / "out")
    assert "none of the 4 keys" in said
    assert "demo/clip1/00/000000" in said


def test_shards_of_sequences_are_refused(asked, tmp_path):
    make_shards(tmp_path / "shards", Corpus(groups=2, unit="sequence"))
    said = refused(
        "--requests", asked[0], "--from", f"oracle:{tmp_path / 'shards'}", "--out", tmp_path / "out"
    )
    assert "sequences" in said


def test_the_output_is_not_put_into_what_is_read(asked, drop, tmp_path, shards):
    given = "--requests", asked[0], "--from", f"folder:{drop}", "--out"
    for out in (asked[0], asked[0] / "labels", drop / "labels", drop):
        assert "inside" in refused(*given, out)


@pytest.mark.parametrize("inside", ["masks", "annotations", "masks/anna"])
def test_drawings_in_the_output_are_not_written_over(asked, tmp_path, inside):
    folder, rows = asked
    work, drawn = tmp_path / "work", tmp_path / "work" / inside
    paint(drawn / f"{rows[0].request_id}.png", disc())
    paint(drawn / f"{uuid.uuid4()}.png", disc())
    before = contents(work)
    said = refused("--requests", folder, "--from", f"folder:{drawn}", "--out", work)
    assert f"{drawn}, which is read, lies in its" in said
    assert contents(work) == before


def test_a_drop_beside_the_masks_is_left_alone(asked, tmp_path):
    folder, rows = asked
    paint(tmp_path / "out" / "drop" / f"{rows[0].request_id}.png", disc())
    for _ in range(2):
        made, _ = run(folder, f"folder:{tmp_path / 'out' / 'drop'}", tmp_path / "out")
        assert made[rows[0].request_id].state == "labelled"
        for place in ("masks", "annotations"):
            paint(tmp_path / "out" / place / "mine.png", disc())
            paint(tmp_path / "out" / place / f"{uuid.uuid4()}.png", disc())  # left by a run that was killed
    run(folder, f"folder:{tmp_path / 'out' / 'drop'}", tmp_path / "out")
    for place in ("masks", "annotations"):
        names = {path.name for path in (tmp_path / "out" / place).iterdir()}
        assert len(names) == 2
        assert "mine.png" in names


def test_masks_of_others_are_not_written_over(asked, drop, tmp_path):
    folder, rows = asked
    paint(drop / f"{rows[0].request_id}.png", disc())
    paint(tmp_path / "out" / "masks" / f"{rows[0].request_id}.png", disc(4))
    before = contents(tmp_path / "out")
    said = refused("--requests", folder, "--from", f"folder:{drop}", "--out", tmp_path / "out")
    assert "not of this stage" in said
    assert contents(tmp_path / "out") == before


def test_labels_of_another_source_or_of_other_requests_are_not_replaced(tmp_path, shards, drop):
    folder, out = tmp_path / "requests", tmp_path / "out"
    rows = requests_of(folder, shards, lambda row: row["mask_kind"] == "difference")
    size = rows[0].size
    person = "--requests", folder, "--from", f"folder:{drop}", "--out"
    oracle = "--requests", folder, "--from", f"oracle:{shards}", "--out"
    run(folder, f"folder:{drop}", out)  # nobody has answered: nothing would be lost
    run(folder, f"oracle:{shards}", out)
    assert "holds labels of source 'oracle', these are 'human'; give another --out" in refused(*person, out)
    paint(drop / f"{rows[0].request_id}.png", np.zeros((size, size)))
    run(folder, f"folder:{drop}", tmp_path / "people")
    before = contents(tmp_path / "people")
    assert "holds labels of source 'human'" in refused(*oracle, tmp_path / "people")
    make_requests(tmp_path / "others")
    given = "--requests", tmp_path / "others", "--from", f"folder:{drop}", "--out", tmp_path / "people"
    assert "labels of other requests" in refused(*given)
    assert contents(tmp_path / "people") == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: replace(row, request_id="../../escape"), "not a UUID"),
        (lambda row: replace(row, crop="../crop.png"), "outside the folder"),
        (lambda row: replace(row, proposal="/etc/passwd"), "outside the folder"),
        (lambda row: replace(row, size=1 << 20), "1048576 pixels"),
        (lambda row: row, "have the id of another"),
    ],
)
def test_hostile_requests_are_refused(asked, drop, tmp_path, change, says):
    folder, rows = asked
    write_rows(folder / "requests.parquet", LabelRequest, [rows[0], change(rows[0])])
    assert says in refused("--requests", folder, "--from", f"folder:{drop}", "--out", tmp_path / "out")


def test_what_is_no_requests_folder_is_refused(asked, drop, tmp_path):
    given = "--from", f"folder:{drop}", "--out", tmp_path / "out", "--requests"
    assert "holds no requests.parquet" in refused(*given, tmp_path)
    (tmp_path / "requests.parquet").write_text("x")
    assert "not a readable Parquet file" in refused(*given, tmp_path)
    write_rows(tmp_path / "requests.parquet", Label, [])
    assert "columns are not those of LabelRequest" in refused(*given, tmp_path)
    write_rows(tmp_path / "requests.parquet", LabelRequest, [])
    assert "holds no request" in refused(*given, tmp_path)


def test_as_a_program(asked, drop, tmp_path):
    command = [sys.executable, "-m", "pipelines.labels", "--requests", asked[0], "--out", tmp_path / "out"]
    root = Path(__file__).parents[1]
    done = subprocess.run([*command, "--from", "oracle:no"], capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --from oracle:no: no such folder")
    done = subprocess.run([*command, "--from", f"folder:{drop}"], capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_rows(tmp_path / "out" / "labels.parquet", Label)) == 4
