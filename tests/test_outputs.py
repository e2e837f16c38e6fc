"""Shards as training clusters read them: DALI's index, brace forms, and DALI itself."""

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
import webdataset as wds

from pipelines import audit
from pipelines.shard_tar import ShardTar
from schemas.names import brace_form
from tests import dali

LONG = "d/" + "clip_with_a_long_name/" * 8
TOO_LONG = "d/" + "m" * 300
KEYS = ["d/short/00/000000", f"{LONG}00/000001", f"{TOO_LONG}/00/000002", "d/short/00/000003"]


def tar_of(path: Path, keys: list[str]) -> bytes:
    """Write a shard of made-up members; gives its index."""
    with path.open("wb") as file:
        writer = ShardTar(file)
        for number, key in enumerate(keys):
            names = ["jpg", "json", "mask.difference.png"][: 2 + number % 2]
            writer.add(key, [(name, f"{name} {number} ".encode() * 100 * (number + 1)) for name in names])
        writer.close()
    return writer.index()


@pytest.fixture(scope="module")
def python() -> Path:
    return dali.install()


def wds2idx(python: Path, tar: Path, to: Path) -> bytes:
    """What DALI's own tool writes."""
    subprocess.run([python, "-m", "wds2idx", tar, to], check=True, capture_output=True, timeout=120)
    return to.read_bytes()


def read_with_dali(
    python: Path, extensions: list[str], tars: list[Path], indexes: list[Path]
) -> list[list[str]]:
    command = [str(python), str(Path(__file__).with_name("dali_probe.py")), ",".join(extensions)]
    command += [",".join(map(str, paths)) for paths in (tars, indexes) if paths]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


def hashes(tars: list[Path], extensions: list[str]) -> list[list[str]]:
    """The same as DALI gives, as tarfile reads it."""
    found: dict[str, dict[str, str]] = {}
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                found.setdefault(key, {})[extension] = hashlib.sha256(file.read()).hexdigest()
    return [[members.get(extension, "") for extension in extensions] for members in found.values()]


def test_an_index_says_where_members_are(tmp_path):
    path = tmp_path / "a.tar"
    head, *lines = tar_of(path, KEYS).decode().splitlines()
    assert head == f"v1.2 {len(KEYS)}"
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        members = {member.name: (member.offset_data, member.size) for member in tar}
    for key, line in zip(KEYS, lines, strict=True):
        words = line.split(" ")
        for extension, offset, size, name in zip(*[iter(words)] * 4, strict=True):
            assert name == f"{key}.{extension}"
            assert (int(offset), int(size)) == members.pop(name)
            assert content[int(offset) :].startswith(extension.encode())
    assert not members


def test_long_names_cost_nothing_while_they_fit_in_plain_headers(tmp_path):
    for name, folder in (("short", "d/"), ("long", LONG), ("too-long", f"{TOO_LONG}/")):
        tar_of(tmp_path / name, [f"{folder}{number:06d}" for number in range(40)])
    short, long, too_long = ((tmp_path / name).stat().st_size for name in ("short", "long", "too-long"))
    assert short == long < too_long


@pytest.mark.timeout(900)
def test_it_is_the_index_that_dali_makes(python, tmp_path, built):
    path = tmp_path / "a.tar"
    assert tar_of(path, KEYS) == wds2idx(python, path, tmp_path / "a.idx")
    shards = sorted(built.shards.rglob("*.idx"))
    assert shards
    for index in shards:
        assert index.read_bytes() == wds2idx(python, index.with_suffix(".tar"), tmp_path / "b.idx")


@pytest.mark.timeout(900)
def test_dali_reads_all_members_by_the_index(python, tmp_path):
    path, index = tmp_path / "a.tar", tmp_path / "a.idx"
    index.write_bytes(tar_of(path, KEYS))
    extensions = ["jpg", "json", "mask.difference.png"]
    assert read_with_dali(python, extensions, [path], [index]) == hashes([path], extensions)


@pytest.mark.timeout(900)
def test_dali_reads_the_shards_with_their_indexes_and_without(python, built):
    indexes = sorted(built.shards.rglob("*.idx"))
    tars = [index.with_suffix(".tar") for index in indexes]
    extensions = ["jpg", "mask.png", "json"]
    wanted = hashes(tars, extensions)
    assert read_with_dali(python, extensions, tars, indexes) == wanted
    assert read_with_dali(python, extensions, tars, []) == wanted


def test_every_shard_that_holds_anything_has_an_index_that_its_sidecar_vouches_for(built):
    for tar in built.shards.rglob("*.tar"):
        sidecar = json.loads(tar.with_suffix(".json").read_text())
        names = {file["name"]: file["sha256"] for file in sidecar["files"]}
        index = tar.with_suffix(".idx")
        assert index.exists() == (sidecar["samples"] > 0)
        if index.exists():
            assert hashlib.sha256(index.read_bytes()).hexdigest() == names[index.name]


def test_a_shard_that_has_lost_all_its_samples_has_no_index(built, tmp_path):
    work = built.copy(tmp_path / "work")
    work.set(track={"min_face": 4000})  # No face is as large: every clip is skipped.
    assert list(work.shards.rglob("*.idx"))
    assert work.track() == work.shard() == 0
    assert not list(work.shards.rglob("*.idx"))
    assert len(list(work.shards.rglob("*.tar"))) == len(list(built.shards.rglob("*.tar")))


def test_an_index_that_changed_is_found_and_made_again(built, tmp_path):
    work = built.copy(tmp_path / "work")
    index = next(work.shards.rglob("*.idx"))
    content = index.read_bytes()
    flags = ["--direct_num_workers=1", "--params", str(work.params), "--shards", str(work.shards)]
    index.write_bytes(content.replace(b"512", b"513", 1))
    assert audit.main([*flags, "--out", str(tmp_path / "report")]) == 3
    index.unlink()
    assert audit.main([*flags, "--out", str(tmp_path / "report")]) == 3
    assert work.shard() == 0
    assert index.read_bytes() == content
    assert audit.main([*flags, "--out", str(tmp_path / "report")]) == 0


def test_brace_forms_of_the_index_read_each_split_whole(built):
    index = json.loads((built.shards / "index.json").read_text())
    for split, said in index["splits"].items():
        mine = [entry for entry in index["shardlist"] if entry["url"].startswith(f"{split}/")]
        assert list(wds.shardlists.expand_urls(said["shards"])) == [entry["url"] for entry in mine]
        full = [entry["url"] for entry in mine if entry["nsamples"]]
        assert list(wds.shardlists.expand_urls(said["filled"])) == full
        assert said["nshards"] == len(mine)
        assert [Path(name).stem for name in wds.shardlists.expand_urls(said["dali"])] == [
            Path(name).stem for name in full
        ]
        urls = f"{built.shards}/{said['shards']}"
        if "::" not in urls:
            assert sum(1 for _ in wds.WebDataset(urls, shardshuffle=False)) == said["nsamples"]


@pytest.mark.parametrize(
    ("names", "form"),
    [
        ([], ""),
        (["a/x-0000.tar"], "a/x-{0000..0000}.tar"),
        ([f"a/x-{n:04d}.tar" for n in range(8, 12)], "a/x-{0008..0011}.tar"),
        (["x-0.tar", "x-2.tar", "x-3.tar"], "x-{0..0}.tar::x-{2..3}.tar"),
        (["x-00.tar", "y-01.tar"], "x-{00..00}.tar::y-{01..01}.tar"),
        (["plain.tar"], "plain.tar"),
    ],
)
def test_brace_forms(names, form):
    assert brace_form(reversed(names)) == form
    assert list(wds.shardlists.expand_urls(form)) == names or not names
