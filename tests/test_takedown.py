"""Takedowns: who is taken down is in nothing that is made, and nothing else is made again."""

import errno
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import labels, takedown
from pipelines.annotation.question import read_requests
from pipelines.clips import outcomes_path
from schemas import Clip, Outcome, PlannedClip, files
from schemas.errors import StoppedError, UsageError
from schemas.files import read_rows, write_rows
from schemas.label import Annotation, Label
from schemas.request import LabelRequest
from schemas.takedown import Tombstone, read_takedowns, write_takedowns
from tests.labels_factory import request
from tests.many import use, write_lists
from tests.work import Work, stamps

PERSON = "youtube:000"
LAST = "train/demo-train-000011.tar"


class Shelf:
    """A work folder in which a person is asked about and labelled, with the file of takedowns outside it."""

    def __init__(self, folder: Path, work: Work):
        self.work, self.file = work, folder / "takedowns.csv"
        self.requests, self.labels = work.root / "requests/r1", work.root / "labels/r1"

    def copy(self, folder: Path) -> "Shelf":
        return Shelf(folder, self.work.copy(folder / "work"))

    def take(self, *flags: str) -> int:
        """Run the command, as a user does with a work folder elsewhere."""
        where = ["--work", str(self.work.root), "--takedowns", str(self.file), "--date", "2024-05-02"]
        return takedown.main([*where, *flags])

    def index(self) -> int:
        return self.work.index("--takedowns", str(self.file))

    def run(self) -> None:
        """The next run of the stages."""
        assert self.index() == self.work.track() == self.work.shard() == 0

    def clips(self) -> list[Clip]:
        return read_rows(self.work.clips, Clip)

    def plan(self) -> list[PlannedClip]:
        return read_rows(self.work.shards / "plan.parquet", PlannedClip)

    def shards(self) -> dict[str, tuple[int, int]]:
        """Tars, their rows and their sidecars."""
        return {name: one for name, one in stamps(self.work.shards).items() if "/" in name}


def ask(work: Work, folder: Path) -> None:
    """Ask about every fake of the training split, with its own crop."""
    rows: list[LabelRequest] = []
    inside = members(work.shards)
    index = pq.read_table(work.shards / "index.parquet").to_pylist()
    for row in (row for row in index if (row["split"], row["label"]) == ("train", "fake")):
        data = np.frombuffer(inside[f"{row['key']}.jpg"], np.uint8)
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        face = tuple(tuple(point) for point in row["landmarks"])
        blank = np.zeros(picture.shape[:2], np.uint8)
        one = request(folder, row["key"], picture, blank, len(rows) + 1, face, row["crop_sha256"])
        rows.append(replace(one, group=row["group"], clip=row["clip"]))
    write_rows(folder / "requests.parquet", LabelRequest, rows, {"round": "1"})
    (folder / "requests.png").write_bytes((folder / rows[0].crop).read_bytes())


def answer(requests: Path, source: str, out: Path) -> int:
    return labels.main(["--requests", str(requests), "--from", source, "--out", str(out)])


@pytest.fixture(scope="module")
def built_shelf(many, tmp_path_factory) -> Shelf:
    """Ten groups of train in five shards, and no copies of the person in them; not to be written to."""
    folder = tmp_path_factory.mktemp("takedown")
    corpus = shutil.copytree(many.root.parent / "corpus", folder / "corpus", copy_function=os.link)
    for path in corpus.glob("*.json"):
        path.unlink()
    write_lists(corpus, {"train": [0, 1, 2, 4, 5], "val": [7], "test": [8]})
    shelf = Shelf(folder, many.copy(folder / "work"))
    use(shelf.work, corpus)
    shelf.work.set(shard={"groups": 2})
    assert shelf.work.index() == shelf.work.track() == shelf.work.shard() == 0
    ask(shelf.work, shelf.requests)
    assert answer(shelf.requests, f"oracle:{shelf.work.shards}", shelf.labels) == 0
    return shelf


@pytest.fixture
def shelf(built_shelf, tmp_path) -> Shelf:
    return built_shelf.copy(tmp_path)


@pytest.fixture(scope="module")
def taken(built_shelf, tmp_path_factory) -> tuple[Shelf, Shelf]:
    """A work folder, and the same after a takedown of the person and the next run."""
    before = built_shelf.copy(tmp_path_factory.mktemp("before"))
    after = Shelf(before.file.parent, before.work)
    kept = Shelf(built_shelf.file.parent, built_shelf.work)
    assert after.take("--identity", PERSON) == 0
    after.run()
    return kept, after


def members(shards: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(shards.rglob("*.tar")):
        with tarfile.open(path) as tar:
            for entry in tar:
                file = tar.extractfile(entry)
                assert file is not None
                found[entry.name] = file.read()
    return found


def traces(shelf: Shelf) -> set[bytes]:
    """What tells of the person: the id, keys, digests of crops, and bytes of pictures of nobody else."""
    clips = {clip.clip for clip in shelf.clips() if PERSON in clip.identities}
    rows = pq.read_table(shelf.work.shards / "index.parquet").to_pylist()
    mine = [row for row in rows if row["clip"] in clips]
    keys = {row["key"] for row in mine}
    inside = members(shelf.work.shards)
    others = {data for name, data in inside.items() if name.partition(".")[0] not in keys}
    pictures = {data for name, data in inside.items() if name.partition(".")[0] in keys} - others
    asked = [row for row in read_rows(shelf.requests / "requests.parquet", LabelRequest) if row.key in keys]
    pictures |= {(shelf.requests / row.crop).read_bytes() for row in asked}
    words = {PERSON, *keys, *(row["crop_sha256"] for row in mine), *(row.request_id for row in asked)}
    assert len(clips) == 3
    assert len(asked) == 2
    assert sum(data.startswith(b"\xff\xd8") for data in pictures) == len(mine) == 3
    return pictures | {word.encode() for word in words}


def content(path: Path) -> bytes:
    """A file's bytes and name; of a table, whose columns are compressed, what stands in it as well."""
    text = repr(pq.read_table(path).to_pylist()).encode() if path.suffix == ".parquet" else b""
    return path.read_bytes() + text + str(path).encode()


def find(folder: Path, wanted: set[bytes]) -> dict[str, set[bytes]]:
    """Files below a folder, and which of the wanted bytes each holds."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = content(path)
        found[str(path.relative_to(folder))] = {one for one in wanted if one in data}
    return {name: held for name, held in found.items() if held}


def test_nothing_below_the_work_folder_holds_a_person_who_was_taken_down(taken):
    before, after = taken
    wanted = traces(before)
    found = find(before.work.root, wanted)
    assert set.union(*found.values()) == wanted, "what is looked for is there, and can be found"
    assert {Path(name).suffix for name in found} == {".tar", ".idx", ".parquet", ".png"}
    assert find(after.work.root, wanted) == {}

    kept = after.clips()
    outcomes = read_rows(outcomes_path(after.work.clips), Outcome)
    gone = {outcome.unit for outcome in outcomes if outcome.reason == "taken_down"}
    assert gone == {clip.clip for clip in before.clips() if PERSON in clip.identities}
    assert {clip.clip for clip in kept} == {outcome.unit for outcome in outcomes if outcome.status == "ok"}
    assert len(kept) + len(gone) == len(before.clips())
    assert "youtube/000" not in {clip.group for clip in kept}
    assert "youtube/001" in {clip.group for clip in kept}, "whose face was swapped with it stays"


def test_only_shards_that_held_the_person_are_written_again(built_shelf, tmp_path):
    shelf = built_shelf.copy(tmp_path)
    plan, shards = shelf.plan(), shelf.shards()
    clips = {clip.clip for clip in shelf.clips() if PERSON in clip.identities}
    held = {row.shard.removesuffix(".tar") for row in plan if row.clip in clips}
    assert 0 < len(held) < len({row.shard for row in plan if row.split == "train"})
    samples = pq.read_table(shelf.work.shards / "index.parquet").to_pylist()
    tracks = stamps(shelf.work.tracks / "groups")
    assert shelf.take("--identity", PERSON) == 0
    shelf.run()
    now = shelf.shards()
    assert now.keys() == shards.keys(), "as many as before"
    assert {name.partition(".")[0] for name in shards if now[name] != shards[name]} == held
    tracks_now = stamps(shelf.work.tracks / "groups")
    again = {name.rpartition(".")[0] for name in tracks if tracks_now.get(name) != tracks[name]}
    assert again == {"youtube/000", "youtube/001"}
    after = {row["key"]: row for row in pq.read_table(shelf.work.shards / "index.parquet").to_pylist()}
    assert len(after) == len(samples) - 3
    for row in (row for row in samples if row["clip"] not in clips):
        assert after[row["key"]]["crop_sha256"] == row["crop_sha256"], "labels of others still fit"
    shelf.run()
    assert shelf.shards() == now


def test_where_a_shard_is_not_needed_any_more_one_other_takes_its_groups(many, tmp_path):
    shelf = Shelf(tmp_path, many.copy(tmp_path / "work"))  # 12 groups of train in as many shards
    plan, tars = shelf.plan(), shelf.shards()
    clips = {clip.clip for clip in shelf.clips() if PERSON in clip.identities}
    held = {row.shard for row in plan if row.clip in clips}
    assert shelf.take("--identity", PERSON) == 0
    shelf.run()
    now = shelf.shards()
    assert {name for name in tars.keys() - now.keys() if name.endswith(".tar")} == {LAST}
    moved = {row.group for row in plan if row.shard == LAST} - {"youtube/000"}
    takers = {row.shard for row in shelf.plan() if row.group in moved}
    assert len(takers) <= 1
    changed = {name for name in now if name.endswith(".tar") and now[name] != tars[name]}
    assert changed <= held | takers
    assert not any(name.startswith(("val/", "test/")) for name in changed)


def test_a_clip_takes_down_what_was_made_of_it_though_its_file_is_deleted(shelf, capsys):
    path = "original_sequences/youtube/c40/videos/000.mp4"
    assert shelf.take("--clip", path, "--because", "asked, ticket 17") == 0
    assert "1 real, 2 fake" in capsys.readouterr().out
    names = [(one.kind, one.dataset, Path(one.name).name) for one in read_takedowns(shelf.file)]
    assert names == [("clip", "demo", f"{name}.mp4") for name in ("000", "000_001", "001_000")]
    assert {one.because for one in read_takedowns(shelf.file)} == {"asked, ticket 17"}
    assert shelf.index() == 0
    assert not [clip.clip for clip in shelf.clips() if PERSON in clip.identities]


def test_labels_and_requests_of_others_stay_as_they_are(shelf):
    asked = read_rows(shelf.requests / "requests.parquet", LabelRequest)
    gone = {row.request_id for row in asked if "000" in row.clip.split("/")[-1]}
    drop, export = shelf.work.root / "drop", shelf.work.root / "answers.json"
    for row in asked:
        mask = cv2.imencode(".png", np.full((row.size, row.size), 255, np.uint8))[1].tobytes()
        for name in (f"ann/{row.request_id}.png", f"ann/.{row.request_id}.png.swp", f"{row.request_id}.xcf"):
            (drop / name).parent.mkdir(parents=True, exist_ok=True)
            (drop / name).write_bytes(mask)
    tasks = [
        {"id": n, "data": {"request_id": row.request_id}, "annotations": []} for n, row in enumerate(asked)
    ]
    export.write_text(json.dumps(tasks))
    answers = ["--labels", str(shelf.labels), "--labels", str(drop), "--labels", str(export)]
    before = stamps(shelf.work.root)
    assert shelf.take("--identity", PERSON, *answers) == 0
    after = stamps(shelf.work.root)
    lost = before.keys() - after.keys()
    assert {name for name in lost if not any(one in name for one in gone)} - {"requests/r1/requests.png"} == {
        f"labels/r1/{name}" for name in annotations_of(shelf, before)
    }
    assert len([name for name in lost if name.startswith("drop/")]) == 3 * len(gone)
    rewritten = {name for name in after if after[name] != before[name]}
    tables = {"requests/r1/requests.parquet", "labels/r1/labels.parquet", "labels/r1/annotations.parquet"}
    assert rewritten == {*tables, "answers.json"}
    left = [row for row in asked if row.request_id not in gone]
    assert read_rows(shelf.requests / "requests.parquet", LabelRequest) == left
    assert [row.request_id for row in read_rows(shelf.labels / "labels.parquet", Label)] == [
        row.request_id for row in left
    ]
    assert json.loads(export.read_text()) == [
        task for task in tasks if task["data"]["request_id"] not in gone
    ]

    stamped = stamps(shelf.work.root)
    assert shelf.take("--identity", PERSON, *answers) == 0
    assert stamps(shelf.work.root) == stamped, "a second time there is nothing to do"
    assert answer(shelf.requests, f"oracle:{shelf.work.shards}", shelf.labels) == 0
    assert len(read_rows(shelf.labels / "labels.parquet", Label)) == len(left)


def annotations_of(shelf, before) -> set[str]:
    """Pictures of annotations that are gone: those that no row names."""
    named = {row.mask for row in read_rows(shelf.labels / "annotations.parquet", Annotation)}
    drawn = {name.removeprefix("labels/r1/") for name in before if name.startswith("labels/r1/annotations/")}
    assert drawn - named
    return drawn - named


def test_a_purge_that_the_disk_stopped_is_finished_by_the_next(shelf, monkeypatch):
    wanted = traces(shelf)
    write_rows = files.write_rows

    def full(path: Path, *rest) -> None:
        if path == shelf.labels / "labels.parquet":
            raise OSError(errno.ENOSPC, "no space left on device")
        write_rows(path, *rest)

    monkeypatch.setattr(files, "write_rows", full)
    with pytest.raises(StoppedError, match="make room"):
        shelf.take("--identity", PERSON)
    assert read_takedowns(shelf.file), "the line comes first, so that the index stage obeys it already"
    assert find(shelf.labels, wanted)
    monkeypatch.undo()
    assert shelf.take() == 0
    assert find(shelf.labels, wanted) == find(shelf.requests, wanted) == {}


def test_takedowns_of_others_reach_labels_that_turn_up_after_the_run(shelf):
    """After a `git pull`: takedowns.csv is there, the index is new, and a folder of answers is old."""
    write_takedowns(shelf.file, [Tombstone("identity", "", PERSON)])
    assert shelf.index() == 0
    assert shelf.take() == 0
    assert read_takedowns(shelf.file) == (Tombstone("identity", "", PERSON),)
    left = [row.clip for row in read_rows(shelf.labels / "labels.parquet", Label)]
    assert left
    assert not [clip for clip in left if "000" in clip.split("/")[-1]]


def test_a_dry_run_says_what_goes_and_touches_nothing(shelf, capsys):
    before = stamps(shelf.work.root)
    assert shelf.take("--identity", PERSON, "--dry-run") == 0
    assert stamps(shelf.work.root) == before
    assert not shelf.file.exists()
    said = capsys.readouterr().out
    assert "demo: 3 of 28 clips go (1 real, 2 fake): 1 groups go whole, 1 lose some" in said
    assert "3 samples in" in said
    assert "2 of 10 requests" in said
    assert "2 of 10 labels, 2 of 10 annotations, 2 masks" in said
    assert "would add 1 lines" in said


def test_what_is_left_to_do_is_said(shelf, capsys):
    for name in ("runs/r0/run.json", "eval/r0/evaluation.html", "report/report.html"):
        (shelf.work.root / name).parent.mkdir(parents=True)
        (shelf.work.root / name).write_text("{}")
    (shelf.work.root / "labels/r1.dvc").write_text("")
    assert shelf.take("--identity", PERSON) == 0
    said = capsys.readouterr().out
    for words in ("dvc repro", "dvc gc --workspace", "delete 3 files of", "runs/r0", "eval/r0", "/report"):
        assert words in said
    assert f"dvc add {shelf.labels}\n" in said
    asked = read_rows(shelf.requests / "requests.parquet", LabelRequest)
    assert len(asked) == 8
    assert f"call it 'lae r1 {read_requests(shelf.requests).digest[:8]}'" in said


def test_other_clips_with_an_identity_of_the_person_are_named(shelf, capsys):
    path = "manipulated_sequences/Deepfakes/c40/videos/000_001.mp4"
    assert shelf.take("--clip", f"demo/{path}", "--dry-run") == 0
    assert "stay, such as" not in capsys.readouterr().out, "a fake shows a person, but is not one"
    rows = shelf.clips()
    twin = [clip for clip in rows if clip.clip.endswith(("/000.mp4", "/002.mp4"))]
    same = {clip.clip: replace(clip, identities=(*clip.identities, "origin:x")) for clip in twin}
    metadata = {"dataset": "demo", "root": "data"}
    write_rows(shelf.work.clips, Clip, [same.get(clip.clip, clip) for clip in rows], metadata)
    assert shelf.take("--identity", PERSON, "--dry-run") == 0
    assert "1 clips that have origin:x too stay" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "name", "meant"),
    [
        ("--identity", "youtube:0000", "youtube:000"),
        ("--identity", "Youtube:000", "youtube:000"),
        ("--identity", "003", "youtube:003"),
        (
            "--clip",
            "demo/original_sequences/youtube/c40/videos/00.mp4",
            "demo/original_sequences/youtube/c40",
        ),
        ("--clip", "000_001.mp4", "demo/manipulated_sequences/Deepfakes/c40/videos/000_001.mp4"),
    ],
)
def test_a_name_that_nobody_has_is_refused_with_near_ones(built_shelf, tmp_path, flag, name, meant):
    with pytest.raises(UsageError, match="did you mean") as error:
        Shelf(tmp_path, built_shelf.work).take(flag, name)
    assert meant in str(error.value)
    assert not (tmp_path / "takedowns.csv").exists()


def test_a_path_in_two_datasets_must_be_told_apart(shelf, tmp_path):
    path = "original_sequences/youtube/c40/videos/000.mp4"
    other = shelf.work.root / "other/clips.parquet"
    rows = [replace(clip, dataset="other") for clip in shelf.clips()]
    write_rows(other, Clip, rows, {"dataset": "other", "root": "data"})
    write_rows(outcomes_path(other), Outcome, [])
    with pytest.raises(UsageError, match=f"2 datasets have it.*--clip demo/{path} or --clip other/{path}"):
        shelf.take("--clip", path)
    assert shelf.take("--clip", f"other/{path}") == 0
    assert {one.dataset for one in read_takedowns(shelf.file)} == {"other"}
    assert shelf.take("--identity", PERSON) == 0
    assert read_takedowns(shelf.file)[-1] == Tombstone("identity", "", PERSON, "2024-05-02")


def test_lines_are_added_once_and_never_changed(shelf):
    assert shelf.take("--identity", PERSON, "--because", 'asked, "twice"') == 0
    first = shelf.file.read_bytes()
    assert first.decode().splitlines() == [
        "kind,dataset,name,date,because",
        'identity,,youtube:000,2024-05-02,"asked, ""twice"""',
    ]
    stamp = shelf.file.stat().st_mtime_ns
    assert shelf.take("--identity", PERSON, "--identity", PERSON, "--date", "2025-01-01") == 0
    assert shelf.file.stat().st_mtime_ns == stamp
    assert shelf.take("--identity", "youtube:005") == 0
    assert shelf.file.read_bytes().startswith(first)
    assert len(read_takedowns(shelf.file)) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line"),
        ("kind,name\n", "first line"),
        ("kind,dataset,name,date,because\n<<<<<<< HEAD\n", "line 2: 1 columns"),
        ("kind,dataset,name,date,because\nperson,,a:1,,\n", "line 2: kind 'person'"),
        ("kind,dataset,name,date,because\nidentity,,,,\n", "line 2: name ''"),
        ("kind,dataset,name,date,because\nidentity,,a:1,yesterday,\n", "line 2: 'yesterday' is no date"),
        ('kind,dataset,name,date,because\nidentity,,"a:1,,\n', "not CSV"),
        ("kind,dataset,name,date,because\nidentity,,a\udcff:1,,\n", "UTF-8"),
    ],
)
def test_a_damaged_file_stops_the_run_and_lets_nobody_back_in(shelf, text, said):
    shelf.file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=said):
        shelf.work.index("--takedowns", str(shelf.file))
    with pytest.raises(UsageError, match=said):
        shelf.take("--identity", PERSON)


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path):
    path = tmp_path / "takedowns.csv"
    path.write_bytes(b"\xef\xbb\xbfkind,dataset,name,date,because\r\nidentity,,a:1,2024-05-02,\r\n\r\n")
    assert read_takedowns(path) == (Tombstone("identity", "", "a:1", "2024-05-02"),)


def test_a_file_that_is_named_must_be_there(shelf):
    with pytest.raises(UsageError, match="no such file"):
        shelf.work.index("--takedowns", str(shelf.file))


def test_takedowns_beside_the_parameters_hold_without_a_flag(shelf):
    write_takedowns(shelf.work.params.with_name("takedowns.csv"), [Tombstone("identity", "", PERSON)])
    assert shelf.work.index() == 0
    assert not [clip for clip in shelf.clips() if PERSON in clip.identities]
