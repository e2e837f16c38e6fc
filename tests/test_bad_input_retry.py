"""Mending one of two bad files, and trying again: what is built anew, and what is left alone."""

import shutil
from collections.abc import Set

import pytest

from schemas import PlannedClip
from schemas.files import read_rows
from tests.bad_corpus import fake, mate, real
from tests.bad_work import documented, good_work, open_work, outcomes
from tests.work import Work, digests, stamps

MENDED, BROKEN = "002", "003"


@pytest.fixture
def good(tmp_path_factory) -> Work:
    return good_work(tmp_path_factory)


@pytest.fixture
def work(good, tmp_path) -> Work:
    """A work folder whose corpus may be damaged; nothing is built."""
    shutil.copytree(good.root.parent / "good", tmp_path / "corpus")
    return open_work(tmp_path / "work", tmp_path / "corpus")


def take(work: Work, good: Work, tracks: Set[str] = frozenset(), shards: Set[str] = frozenset()) -> None:
    """Take over tracks and shards of the good corpus, without some of their files."""
    for source, target, without in ((good.tracks, work.tracks, tracks), (good.shards, work.shards, shards)):
        shutil.copytree(source, target)
        for name in without:
            (target / name).unlink()


def damage(work: Work, path) -> bytes:
    """Zeros in place of nearly all of a file, which is as long as before; gives what it held."""
    file = work.root.parent / "corpus" / path
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes(len(content) - 100))
    return content


def mend(work: Work, path, content: bytes) -> None:
    (work.root.parent / "corpus" / path).write_bytes(content)


def failed(work: Work, stage: str) -> dict[str, str]:
    return {unit: o.reason for (at, unit), o in outcomes(work).items() if at == stage and o.status != "ok"}


def shards_of(work: Work, *targets: str) -> set[str]:
    """Files of the shards that these groups are in."""
    rows = read_rows(work.shards / "plan.parquet", PlannedClip)
    tars = {row.shard for row in rows if row.group in {f"youtube/{target}" for target in targets}}
    names = {
        f"{tar.removesuffix('.tar')}{suffix}"
        for tar in tars
        for suffix in (".tar", ".idx", ".parquet", ".json")
    }
    return {name for name in names if (work.shards / name).exists()}  # an empty shard has no .idx


def tars_of(work: Work, target: str) -> dict[str, str]:
    """Digests of the tars that a group is in."""
    return {
        name: digest
        for name, digest in digests(work.shards, "*/*.tar").items()
        if name in shards_of(work, target)
    }


def rewritten(before: dict, after: dict) -> set[str]:
    """Results of keys (not the tables over all of them) that are new, gone or written again."""
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return {name for name in names if "/" in name}


def test_a_file_that_index_refused(work, good):
    contents = {
        target: (work.root.parent / "corpus" / fake(target)).read_bytes() for target in ("002", "003")
    }
    for target in contents:
        mend(work, fake(target), b"")
    assert work.index() == 3
    take(work, good)
    assert work.track() == work.shard() == 0
    tracks, shards = stamps(work.tracks), stamps(work.shards)
    mend(work, fake(MENDED), contents[MENDED])
    assert work.index("--retry-failed") == 3, "one of twelve is still broken"
    assert failed(work, "index") == {fake(BROKEN): "empty_file"}
    assert work.track() == work.shard() == 0
    assert failed(work, "shard") == {}
    assert len([unit for stage, unit in outcomes(work) if stage == "shard"]) == 11
    group = f"groups/youtube/{MENDED}"
    assert rewritten(tracks, stamps(work.tracks)) <= {f"{group}.parquet", f"{group}.json"}
    assert rewritten(shards, stamps(work.shards)) == shards_of(work, MENDED)
    assert tars_of(work, MENDED) == tars_of(good, MENDED)


def test_files_that_shard_could_not_decode(work, good):
    assert work.index() == 0
    take(work, good, shards=shards_of(good, MENDED, BROKEN))
    whole = {target: damage(work, fake(target)) for target in (MENDED, BROKEN)}
    mend(work, fake(BROKEN), whole[BROKEN][:-1])
    assert work.shard() == 3
    assert failed(work, "shard") == {fake(MENDED): "decode_error", fake(BROKEN): "changed_on_disk"}
    for tried, reason in (
        ("a file damaged after it was indexed, as long as before", "decode_error"),
        ("a file of another length than when indexed", "changed_on_disk"),
    ):
        assert documented()[tried] == ("track, shard", f"failed, `{reason}`")
    before, bytes_before = stamps(work.shards), digests(work.shards)
    mend(work, fake(MENDED), whole[MENDED])
    assert work.shard("--retry-failed") == 3
    assert failed(work, "shard") == {fake(BROKEN): "changed_on_disk"}
    assert rewritten(before, stamps(work.shards)) == shards_of(work, MENDED, BROKEN)
    assert rewritten(bytes_before, digests(work.shards)) == shards_of(work, MENDED) - shards_of(work, BROKEN)
    mend(work, fake(BROKEN), whole[BROKEN])
    before = stamps(work.shards)
    assert work.shard("--retry-failed") == 0
    assert rewritten(before, stamps(work.shards)) == shards_of(work, BROKEN)
    assert digests(work.shards, "*/*.tar") == digests(good.shards, "*/*.tar")


def test_originals_that_track_could_not_decode(work, good):
    assert work.index() == 0
    lost = {f"groups/youtube/{target}{end}" for target in (MENDED, BROKEN) for end in (".json", ".parquet")}
    take(work, good, lost, shards_of(good, MENDED, BROKEN))
    whole = {target: damage(work, real(target)) for target in (MENDED, BROKEN)}
    assert work.track() == 3
    assert failed(work, "track") == {f"youtube/{target}": "decode_error" for target in whole}
    assert work.shard() == 3
    assert failed(work, "shard") == {
        path(target): "no_track" for target in whole for path in (real, fake, mate)
    }
    tracks, shards = stamps(work.tracks), stamps(work.shards)
    tables = digests(work.tracks / "groups")
    mend(work, real(MENDED), whole[MENDED])
    assert work.track("--retry-failed") == 3
    assert failed(work, "track") == {f"youtube/{BROKEN}": "decode_error"}
    names = {f"groups/youtube/{MENDED}.parquet", f"groups/youtube/{MENDED}.json"}
    assert rewritten(tracks, stamps(work.tracks)) == names | {f"groups/youtube/{BROKEN}.json"}
    assert rewritten(tables, digests(work.tracks / "groups")) == {name.partition("/")[2] for name in names}
    assert work.shard() == 3
    assert rewritten(shards, stamps(work.shards)) == shards_of(work, MENDED)
    assert tars_of(work, MENDED) == tars_of(good, MENDED)
