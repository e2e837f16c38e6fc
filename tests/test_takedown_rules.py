"""What goes with a person or a clip that is taken down."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from schemas import Clip, Outcome
from schemas.takedown import Tombstone
from transforms.indexing.declare import elect
from transforms.indexing.layout import Declared
from transforms.takedown import apply_takedowns, find_near, find_taken

IDS = ("000", "001", "002")


def real(target: str, compression: str = "raw", **more) -> Clip:
    fields: dict = {"split": "train", "target": target, "identities": (f"id:{target}",), **more}
    return Clip("d", f"real/{compression}/{target}.mp4", f"g/{target}", "real", "real", compression, **fields)


def fake(target: str, source: str, compression: str = "raw", method: str = "swap", **more) -> Clip:
    both = f"id:{target}", f"id:{source}"
    fields: dict = {"split": "train", "target": target, "source": source, "identities": both, **more}
    path = f"{method}/{compression}/{target}_{source}.mp4"
    return Clip("d", path, f"g/{target}", "fake", method, compression, **fields)


def everything(compressions=("raw", "c40"), methods=("swap", "mouth")) -> list[Clip]:
    """Three people, each with the face of the next and of the one before."""
    clips = []
    for quality in compressions:
        clips += [real(one, quality) for one in IDS]
        pairs = [(a, b) for a in IDS for b in IDS if a != b]
        clips += [fake(a, b, quality, method) for a, b in pairs for method in methods]
    return clips


def declared(clips, outcomes=()) -> Declared:
    kept, lost = elect(clips, {})
    return Declared(tuple(kept), (*outcomes, *lost))


def names(clips) -> set[str]:
    return {clip.clip for clip in clips}


def gone(made: Declared) -> set[str]:
    return {outcome.unit for outcome in made.outcomes if outcome.reason == "taken_down"}


def person(name: str, dataset: str = "") -> Tombstone:
    return Tombstone("identity", dataset, name)


def clip(path: str, dataset: str = "d") -> Tombstone:
    return Tombstone("clip", dataset, path)


def test_a_person_goes_with_their_group_and_with_every_fake_that_has_their_face():
    made = apply_takedowns(declared(everything()), "d", [person("id:000")])
    assert names(made.clips) == names(one for one in everything() if "000" not in one.clip)
    assert {one.group for one in made.clips} == {"g/001", "g/002"}
    assert all(outcome.status == "skipped" for outcome in made.outcomes)


def test_a_person_of_another_dataset_is_somebody_else():
    assert gone(apply_takedowns(declared(everything()), "d", [person("id:000", "other")])) == set()
    assert gone(apply_takedowns(declared(everything()), "d", [person("id:000", "d")]))


def test_a_real_clip_takes_its_group_and_what_was_made_with_it():
    made = apply_takedowns(declared(everything()), "d", [clip("real/c40/000.mp4")])
    assert names(made.clips) == names(one for one in everything() if "000" not in one.clip)


def test_other_clips_of_the_same_person_stay_when_one_is_taken_down():
    same = {"identities": ("id:x",)}
    clips = [real("000", **same), real("001", **same), fake("001", "002")]
    assert find_taken(clips, [clip("real/raw/000.mp4")]).keys() == {("d", "real/raw/000.mp4")}


def test_ids_of_two_kinds_that_are_spelt_alike_are_two_people():
    clips = [real("01", identities=("video:01",)), fake("02", "01", identities=("actor:02", "actor:01"))]
    assert find_taken(clips, [clip("real/raw/01.mp4")]).keys() == {("d", "real/raw/01.mp4")}


def test_a_fake_takes_its_other_compressions_and_nothing_else():
    made = apply_takedowns(declared(everything()), "d", [clip("swap/raw/000_001.mp4")])
    assert gone(made) == {"swap/raw/000_001.mp4", "swap/c40/000_001.mp4"}


def test_a_group_that_loses_its_best_fake_has_another_reference():
    clips = [fake("000", one, truth="none") for one in ("001", "002")]
    first, second = declared(clips).clips
    assert (first.reference, second.reference) == (True, False)
    made = apply_takedowns(declared(clips), "d", [clip(first.clip)])
    assert made.clips == (replace(second, reference=True),)


def test_an_official_mask_goes_with_the_last_clip_that_has_it():
    clips = [real("000"), fake("000", "001", "raw", official_mask="m.mp4")]
    clips.append(replace(clips[1], clip="other.mp4", method="mouth"))
    assert "m.mp4" not in gone(apply_takedowns(declared(clips), "d", [clip(clips[1].clip)]))
    assert "m.mp4" in gone(apply_takedowns(declared(clips), "d", [person("id:000")]))


def test_what_is_missing_of_somebody_who_is_taken_down_is_no_failure():
    lacks = [
        Outcome("index", "d", path, f"g/{path[-11:-8]}", "failed", "missing", "download it")
        for path in ("swap/c23/000_001.mp4", "swap/c23/001_002.mp4")
    ]
    made = apply_takedowns(declared(everything(), lacks), "d", [person("id:000")])
    status = {outcome.unit: (outcome.status, outcome.reason) for outcome in made.outcomes}
    assert status["swap/c23/000_001.mp4"] == ("skipped", "taken_down")
    assert status["swap/c23/001_002.mp4"] == ("failed", "missing")


def test_a_clip_that_could_not_be_used_is_no_failure_when_it_is_taken_down():
    lacks = Outcome("index", "d", "x.mp4", "g/x", "failed", "no_original", "download it")
    made = apply_takedowns(declared([real("000")], [lacks]), "d", [clip("x.mp4")])
    assert gone(made) == {"x.mp4"}


def test_names_that_match_nothing_are_a_note():
    named = [person("id:000"), person("id:nobody"), clip("gone.mp4")]
    (note,) = apply_takedowns(declared(everything()), "d", named).notes
    assert note.startswith("2 of 3 takedowns match nothing here, such as identity id:nobody")
    assert apply_takedowns(declared(everything()), "d", named[:1]).notes == ()


def test_details_name_nobody():
    made = apply_takedowns(declared(everything()), "d", [person("id:000"), clip("real/raw/001.mp4")])
    assert made.outcomes
    assert not any("id:" in outcome.detail or "000" in outcome.detail for outcome in made.outcomes)


CLIPS = everything()
TOMBSTONES = st.lists(
    st.one_of(
        st.sampled_from([person(f"id:{one}") for one in IDS]),
        st.sampled_from([clip(one.clip) for one in CLIPS]),
        st.sampled_from([person("id:none"), clip("none.mp4"), clip(CLIPS[0].clip, "other")]),
    ),
    max_size=4,
)


@given(TOMBSTONES, st.randoms())
def test_every_clip_is_kept_or_accounted_for_and_none_shows_whom_it_must_not(tombstones, random):
    made = apply_takedowns(declared(CLIPS), "d", tombstones)
    assert names(made.clips) | gone(made) == names(CLIPS)
    assert not names(made.clips) & gone(made)
    people = {one.name for one in tombstones if one.kind == "identity"}
    paths = {one.name for one in tombstones if one.kind == "clip" and one.dataset == "d"}
    assert not any(people & {*one.identities} or one.clip in paths for one in made.clips)
    for group in {one.group for one in made.clips}:
        members = [one for one in made.clips if one.group == group]
        assert [one.label for one in members if one.reference] == ["real"]
    shuffled = random.sample(tombstones, len(tombstones))
    assert apply_takedowns(declared(CLIPS), "d", shuffled).clips == made.clips
    assert apply_takedowns(made, "d", tombstones).clips == made.clips, "what is left stays"


@given(TOMBSTONES)
def test_what_went_stays_gone_when_the_files_of_named_clips_are_deleted(tombstones):
    """The command writes a line for each clip that goes with one; here nothing sees the first any more."""
    taken = find_taken(CLIPS, tombstones)
    written = [*tombstones, *(clip(path) for _, path in taken)]
    paths = {one.name for one in tombstones}
    left = [replace(one, truth="none") for one in CLIPS if one.clip not in paths]
    kept = names(apply_takedowns(declared(left), "d", written).clips)
    assert not kept & {path for _, path in taken}


def test_near_names_are_few_and_of_names_that_are_there():
    known = {f"youtube:{n:03d}" for n in range(1000)} | {"actor:01"}
    assert find_near("youtube:00", known)[0].startswith("youtube:00")
    assert find_near("actr:01", known) == ["actor:01"]
    assert find_near("999", known) == ["youtube:999"]
    assert find_near("nothing like it", known) == []
