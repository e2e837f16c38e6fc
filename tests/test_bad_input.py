"""Bad files through index, track, shard and audit, as a user runs them: what is lost, and nothing else is."""

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field

import pyarrow.parquet as pq
import pytest

import schemas
from schemas.files import read_rows
from schemas.names import clip_stem
from tests.bad_corpus import ALIKE, GOOD, ROLES, TARGETS
from tests.bad_work import documented, good_work, make_bad, open_work, outcomes
from tests.test_shard import samples
from tests.work import Work
from transforms.indexing.declare import printable

Bad = tuple[str, str, str, str]

ALL = {"real": 4, "fake": 4, "mate": 4}
NO_FAKE = {"real": 4, "mate": 4}
LISTS = {"train.json", "val.json", "test.json", "conversion_dict.json"}
MASK_ALONE: Bad = ("index", "mask", "skipped", "not_in_layout")


@dataclass(frozen=True)
class Case:
    """What a kind of bad input leads to.

    Attributes:
      tried: its row in the docs.
      bad: the outcomes that are not ok: stage, role, status and reason; the first one is in the docs.
      made: samples of each clip at raw, by role.
      same: the clips whose pictures and masks are those of an undamaged group.
    """

    tried: str
    bad: tuple[Bad, ...] = ()
    made: dict[str, int] = field(default_factory=lambda: ALL)
    same: tuple[str, ...] = ("real", "mate")


def no_fake(tried: str, reason: str, *more: Bad, stage: str = "index", status: str = "failed") -> Case:
    """A case that costs the fake alone."""
    return Case(tried, ((stage, "fake", status, reason), *more), NO_FAKE)


def no_group(tried: str, *first: Bad, stage: str, status: str, reason: str, roles: tuple[str, ...]) -> Case:
    """A case that costs the whole group."""
    return Case(tried, (*first, *((stage, role, status, reason) for role in roles)), {}, ())


def no_original(tried: str, *first: Bad) -> Case:
    return no_group(
        tried, *first, stage="index", status="failed", reason="no_original", roles=("fake", "mate")
    )


def no_track(tried: str, status: str, reason: str) -> Case:
    first = ("track", "group", status, reason)
    return no_group(tried, first, stage="shard", status=status, reason="no_track", roles=tuple(ALL))


CASES = {
    "empty_file": no_fake("empty file", "empty_file"),
    "text": no_fake("a text, such as an error page, named `.mp4`", "not_video"),
    "cut_off": no_fake("an mp4 that was cut off", "decode_error"),
    "cut_off_mkv": Case("an mkv that was cut off", made={**ALL, "fake": 2}),
    "zero_frames": no_fake("a video stream without a frame", "no_frames"),
    "audio_only": no_fake("sound only", "not_video"),
    "one_frame_fake": Case("a fake of one frame", made={**ALL, "fake": 1}),
    "one_frame": Case("an original of one frame", made={"real": 1, "fake": 1, "mate": 1}, same=()),
    "no_face": no_track("an original without a face", "skipped", "no_face"),
    "two_faces": Case("two faces", same=()),
    "leaving": Case("a face that leaves the picture", made={"real": 3, "fake": 3, "mate": 3}, same=()),
    "odd_size": Case("an odd width and height", same=()),
    "rotated": Case("a portrait, with a flag that turns it upright", same=()),
    "lost_rotation": Case("a fake without its original's rotation flag", same=()),
    "variable_rate": Case("a variable frame rate"),
    "shorter_fake": Case("a fake shorter than its original", made={**ALL, "fake": 2}),
    "other_size": Case("a fake of another size"),
    "shorter_mask": Case("a mask video shorter than its fake"),
    "broken_mask": Case("a mask video that cannot be read", (("index", "mask", "failed", "not_video"),)),
    "other_size_mask": Case("a mask video of another size"),
    "missing_original": no_original("no original"),
    "broken_original": no_original(
        "a broken original, the only one", ("index", "real", "failed", "decode_error")
    ),
    "broken_original_of_two": Case(
        "a broken original, with another compression beside it",
        (("index", "real", "failed", "decode_error"),),
        {"fake": 4, "mate": 4},
        (),
    ),
    "empty_folder": no_fake("an empty folder named `.mp4`", "not_video", MASK_ALONE),
    "folder_of_pictures": no_fake(
        "a folder of pictures named `.mp4`", "not_in_layout", MASK_ALONE, status="skipped"
    ),
    "dangling": no_fake("a link to nothing", "missing", MASK_ALONE),
    "outside": no_fake("a link out of the root", "outside_root", MASK_ALONE),
    "not_utf8": Case(
        "a name that is not UTF-8", (("index", "odd", "failed", "bad_name"), MASK_ALONE), NO_FAKE
    ),
    "colliding": Case("one clip as `.mp4` and as `.avi`", (("index", "avi", "failed", "key_collision"),)),
    "large": Case("4K: 3840 x 2160", made={"real": 2, "fake": 2, "mate": 2}, same=()),
    "damaged": no_fake("a hole of zeros in a file", "decode_error"),
    "hidden_damage": Case("a few damaged bytes that the decoder hides"),
}


# The stages one after the other, as a user runs them, but in one process, which imports Beam once.
STAGES = """
import json, os, pathlib, sys
from pipelines import cli
from schemas import program
folder, plan = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
for stage, flags in plan.items():
    for stream, number in {"out": 1, "err": 2}.items():
        os.dup2(os.open(folder / f"{stage}.{stream}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [stage, *flags]
    try:
        program.run_main(f"pipelines.{stage}")
    except SystemExit as ended:
        (folder / f"{stage}.code").write_text(str(ended.code))
    sys.stdout.flush()
    sys.stderr.flush()
"""


@dataclass(frozen=True)
class Run:
    """All stages over the bad corpus: exit codes and what was said, by stage; and the good corpus's work."""

    work: Work
    good: Work
    codes: dict[str, int]
    said: dict[str, str]
    errors: dict[str, str]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    good = good_work(tmp_path_factory)
    root = tmp_path_factory.mktemp("bad")
    make_bad(good.root.parent / "good", root / "corpus")
    work = open_work(root / "work", root / "corpus")
    common = ["--params", work.params, "--direct_num_workers=1"]
    commands = {
        "index": ["--dataset", "demo", "--out", work.clips],
        "track": ["--clips", work.clips, "--out", work.tracks],
        "shard": ["--clips", work.clips, "--tracks", work.tracks, "--out", work.shards],
        "audit": ["--shards", work.shards, "--out", root / "report"],
    }
    plan = {stage: [*map(str, common), *map(str, flags)] for stage, flags in commands.items()}
    subprocess.run([sys.executable, "-c", STAGES, root, json.dumps(plan)], check=True, timeout=240)
    codes, said, errors = (
        {stage: (root / f"{stage}.{what}").read_text() for stage in plan} for what in ("code", "out", "err")
    )
    return Run(work, good, {stage: int(code) for stage, code in codes.items()}, said, errors)


@pytest.fixture(scope="module")
def pictures(run) -> dict[str, dict[str, bytes]]:
    """Images and masks by clip, and in it by face, frame and kind."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for tar in sorted(run.work.shards.glob("*/*.tar")):
        for key, members in samples(tar).items():
            clip, face, frame = key.removeprefix("demo/").rsplit("/", 2)
            found[clip] |= {f"{face}/{frame}.{kind}": members[kind] for kind in members if kind != "json"}
    return found


def test_every_case_is_tried():
    assert CASES.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", CASES)
def test_only_the_bad_file_is_lost(run, pictures, name):
    case, target = CASES[name], TARGETS[name]
    paths = {role: path(target) for role, path in ROLES.items()}
    paths["group"] = f"youtube/{target}"
    paths["avi"] = paths["fake"].replace(".mp4", ".avi")
    paths["odd"] = paths["fake"].replace(f"/{target}", f"/\\xff{target}")
    if name == "cut_off_mkv":
        paths["fake"] = paths["fake"].replace(".mp4", ".mkv")
    found = {key: outcome for key, outcome in outcomes(run.work).items() if target in outcome.unit}
    bad = {key: outcome for key, outcome in found.items() if outcome.status != "ok"}
    assert {key: (outcome.status, outcome.reason) for key, outcome in bad.items()} == {
        (stage, paths[role]): (status, reason) for stage, role, status, reason in case.bad
    }
    assert all(outcome.detail for outcome in bad.values())
    made = {unit: o.made for (stage, unit), o in found.items() if stage == "shard" and o.made}
    assert {unit: count for unit, count in made.items() if "/raw/" in unit} == {
        paths[role]: count for role, count in case.made.items()
    }
    for role in case.same:
        undamaged = pictures[clip_stem(ROLES[role]("000"))]
        assert undamaged
        assert pictures[clip_stem(paths[role])] == undamaged
    where, said = documented()[case.tried]
    if case.bad:
        stage, _, status, reason = case.bad[0]
        assert (where, said) == (stage, f"{status}, `{reason}`")
    else:
        assert said.startswith("ok")


def test_what_is_less_than_asked_for_is_said(run):
    said = {unit: outcome.detail for (stage, unit), outcome in outcomes(run.work).items() if stage == "shard"}
    for name, detail in {
        "one_frame_fake": "1 of 4 samples: 1 frames, fewer than its original",
        "shorter_fake": "2 of 4 samples: 3 frames, fewer than its original",
        "other_size": "registered: scale 0.75",
        "lost_rotation": "registered: scale 1.000, turn +90.0°, ",
        "shorter_mask": "official mask: ",
    }.items():
        assert said[ROLES["fake"](TARGETS[name])].startswith(detail), name


def test_good_groups_are_the_same_bytes_as_without_bad_files(run):
    found = [
        {key: members for tar in work.shards.glob("*/*.tar") for key, members in samples(tar).items()}
        for work in (run.good, run.work)
    ]
    assert len(found[0]) == 3 * 4 * len(GOOD)
    assert {key: found[1].get(key) for key in found[0]} == found[0]


def test_names_that_look_alike_have_keys_of_their_own(run, pictures):
    clips = [f"original_sequences/actors/raw/videos/{name}.mp4" for name in ALIKE]
    assert all(len(pictures[clip_stem(clip)]) == 8 for clip in clips)
    assert pictures[clip_stem(clips[0])] == pictures[clip_stem(clips[1])]
    assert documented()["names that would be alike once encoded"] == ("index", "ok")


def test_exit_codes_are_3_above_the_limit_and_0_below(run):
    for stage, code in {"index": 3, "track": 0, "shard": 0}.items():
        failed = [row.status == "failed" for (where, _), row in outcomes(run.work).items() if where == stage]
        assert (code == 3) == (sum(failed) > 0.05 * len(failed))
        assert run.codes[stage] == code
        assert ("more than run.max_failed_fraction" in run.errors[stage]) == (code == 3)
    assert run.codes["audit"] == 0


def test_nobody_sees_a_traceback(run):
    for stage in run.codes:
        assert "Traceback" not in run.errors[stage] + run.said[stage], run.errors[stage]


def test_everything_is_accounted_for(run):
    corpus, found = run.work.root.parent / "corpus", outcomes(run.work)
    clips = {clip.clip: clip for clip in read_rows(run.work.clips, schemas.Clip)}
    indexed = {unit for stage, unit in found if stage == "index"}
    for path in corpus.rglob("*"):
        name = str(path.relative_to(corpus))
        if path.is_dir() or name in LISTS:
            continue
        # A mask video goes with its clip, and pictures with their folder.
        units = [name, str(path.parent.relative_to(corpus)), name.replace("/masks/", "/raw/")]
        units.append(units[-1].replace(".mp4", ".mkv"))
        assert any(printable(unit) in indexed for unit in units), name
    assert clips.keys() == {
        unit for (stage, unit), row in found.items() if stage == "index" and row.status == "ok"
    }
    assert {clip.group for clip in clips.values()} == {unit for stage, unit in found if stage == "track"}
    assert clips.keys() == {unit for stage, unit in found if stage == "shard"}
    made = sum(outcome.made for (stage, _), outcome in found.items() if stage == "shard")
    assert made == pq.read_metadata(run.work.shards / "index.parquet").num_rows


def test_the_report_shows_what_failed_and_why(run):
    html = (run.work.root.parent / "report/report.html").read_text()
    for outcome in outcomes(run.work).values():
        assert outcome.status == "ok" or outcome.reason in html
    assert "pass balance" in run.said["audit"]
