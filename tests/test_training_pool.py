import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas.errors import UsageError
from tests.shards_factory import Corpus, edit_json, edit_parquet, make_shards
from training.loading.pool import read_pool


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("pool") / "shards", Corpus(groups=8))


@pytest.fixture
def own(tmp_path):
    return make_shards(tmp_path / "shards", Corpus(groups=4, frames=1))


def test_chooses_by_split_and_filter_in_the_order_of_shards(shards):
    everything = pq.read_table(shards / "index.parquet").to_pandas()
    pool = read_pool([shards])
    expected = everything[everything.split == "train"]
    assert set(pool.column("key")) == set(expected.key)
    assert sorted(set(pool.column("shard"))) == sorted({str(shards / url) for url in expected.shard})
    changes = np.flatnonzero(pool.column("shard")[1:] != pool.column("shard")[:-1])
    assert len(changes) == expected.shard.nunique() - 1

    where = "method in ('real', 'Deepfakes') and compression == 'c23' and `mask_quality.score` >= 0.5"
    chosen = read_pool([str(shards) + "/"], where, "val")
    rows = everything[
        (everything.split == "val")
        & everything.method.isin(["real", "Deepfakes"])
        & (everything.compression == "c23")
        & np.array([quality["score"] >= 0.5 for quality in everything.mask_quality])
    ]
    assert 0 < len(chosen) == len(rows)
    assert set(chosen.column("key")) == set(rows.key)
    assert len(read_pool([shards], split=None)) == len(everything)


def test_an_index_in_another_order_gives_shards_together(own):
    edit_parquet(own / "index.parquet", lambda rows: rows[::2] + rows[1::2])
    shard = read_pool([own], split=None).column("shard")
    assert (shard[1:] != shard[:-1]).sum() == len(set(shard)) - 1


def test_a_part_keeps_order_and_changes_the_digest(shards):
    pool = read_pool([shards])
    part = pool.take(pool.column("label") == "fake")
    assert set(part.column("label")) == {"fake"}
    numbers = pool.take([5, 2])
    assert list(numbers.column("key")) == [pool.column("key")[2], pool.column("key")[5]]
    assert len({pool.digest, part.digest, numbers.digest}) == 3


def test_the_digest_is_of_what_is_trained_on_not_of_where_it_lies(shards, tmp_path):
    pool = read_pool([shards])
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("index.json", "index.parquet"):
        (copy / name).write_bytes((shards / name).read_bytes())
    assert read_pool([copy]).digest == pool.digest
    assert read_pool([shards], "label == label").digest != pool.digest
    assert read_pool([shards], split="val").digest != pool.digest


@pytest.mark.parametrize("prefix", ["file:{}", "file://{}", "pipe:cat {}"])
def test_reads_behind_a_url(shards, prefix):
    pool = read_pool([prefix.format(shards)])
    assert list(pool.column("key")) == list(read_pool([shards]).column("key"))
    assert pool.column("shard")[0].startswith(prefix.format(shards))


def set_json(**values):
    return lambda folder: edit_json(folder / "index.json", lambda index: index.update(values))


def shard_url(url):
    def edit(folder):
        edit_json(folder / "index.json", lambda index: index["shardlist"][0].update(url=url))

    return edit


def drop_column(folder):
    path = folder / "index.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["crop_sha256"]), path)


def cut_parquet(folder):
    path = folder / "index.parquet"
    path.write_bytes(path.read_bytes()[:-200])


BAD = {
    "no index.json": (lambda folder: (folder / "index.json").unlink(), "index.json.*No such file.*finished"),
    "no index.parquet": (lambda folder: (folder / "index.parquet").unlink(), "index.parquet.*finished"),
    "not JSON": (lambda folder: (folder / "index.json").write_text("{"), "index.json.*not readable JSON"),
    "a list": (lambda folder: (folder / "index.json").write_text("[]"), "not an index of our shards"),
    "other version": (set_json(schema_version=99), "schema_version is 99, this code reads 1"),
    "sequences": (set_json(unit="sequence"), "unit is 'sequence'.*shard.unit: frame"),
    "no list": (set_json(shardlist=None), "not an index"),
    "path out": (shard_url("../other.tar"), "must be a tar in this folder"),
    "shell": (shard_url("$(touch x).tar"), "must be a tar in this folder"),
    "number": (shard_url(7), "not a shard"),
    "other shard": (shard_url("train/other.tar"), "index.parquet and index.json differ"),
    "cut": (cut_parquet, "index.parquet.*not a readable Parquet"),
    "empty": (lambda folder: (folder / "index.parquet").write_bytes(b""), "not a readable Parquet"),
    "columns": (drop_column, "crop_sha256"),
    "rows": (
        lambda folder: edit_parquet(folder / "index.parquet", lambda rows: rows[1:]),
        "index.parquet and index.json differ",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_folders_that_are_not_ours(own, case):
    damage, message = BAD[case]
    damage(own)
    with pytest.raises(UsageError, match=message):
        read_pool([own])


def test_refuses_folders_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere: no such folder; name a folder"):
        read_pool([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="none is given"):
        read_pool([])
    for url in ("gopher://host/shards", f"pipe:cat {tmp_path}", f"file:{tmp_path}"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_pool([url])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("methd == 'real'", "methd.*columns.*method"),
        ("method ==", "SyntaxError.*columns"),
        ("method", "true or false"),
        ("frame + 1", "true or false"),
        ("True", "true or false"),
        ("frame > 'a'", "TypeError|not supported"),
        ("@os.system('true')", "os"),
        (
            "method == 'Deepfake'",
            r"no sample is left of \d+: split 'train' leaves \d+, .*leaves 0.*Deepfakes",
        ),
        ("split == 'val'", "leaves 0"),
    ],
)
def test_refuses_filters_that_say_nothing(shards, where, message):
    with pytest.raises(UsageError, match=message):
        read_pool([shards], where)


def test_an_empty_split_is_said(shards, tmp_path):
    folder = make_shards(tmp_path / "few", Corpus(groups=2, frames=1))
    with pytest.raises(UsageError, match=r"no sample is left of \d+: split 'test' leaves 0"):
        read_pool([folder], split="test")


def test_the_same_key_twice_is_refused_unless_the_filter_chooses(shards, tmp_path):
    with pytest.raises(UsageError, match=r"samples are there twice, such as demo/.*name each folder once"):
        read_pool([shards, shards])
    other = make_shards(tmp_path / "other", Corpus(dataset="more", groups=4, frames=1))
    pool = read_pool([shards, other])
    assert set(pool.column("dataset")) == {"demo", "more"}
    assert pool.folders == (str(shards), str(other))


def move(split):
    return lambda rows: [{**row, "split": split} for row in rows]


def test_a_group_in_two_splits_is_refused_unless_the_filter_chooses(tmp_path):
    """The same faces in training and in test, where each folder by itself is sound."""
    one, two = (
        make_shards(tmp_path / name, Corpus(groups=1, frames=1, methods=(method,), failed=0))
        for name, method in (("one", "Deepfakes"), ("two", "FaceSwap"))
    )
    edit_parquet(two / "index.parquet", move("test"))
    other = "label == 'fake'"  # The real is in both folders under the same key.
    for split in ("train", "test", None):
        with pytest.raises(
            UsageError,
            match=rf"1 source groups are in more than one split, such as group \w+ of demo in test \({two}/.*"
            rf" and train \({one}/.*choose with --where, or make the folders with the same splits",
        ):
            read_pool([one, two], other, split)
        with pytest.raises(UsageError, match=r"samples are there twice, such as demo/.*one/.* and .*two/"):
            read_pool([one, two], "", split)
    assert len(read_pool([one, two], f"{other} and method == 'FaceSwap'", "test")) == 2
    edit_parquet(two / "index.parquet", move("train"))
    assert len(read_pool([one, two], other, "train")) == 4


def test_relative_folders_and_odd_names(shards, monkeypatch, tmp_path):
    monkeypatch.chdir(shards)
    assert list(read_pool(["."]).column("shard")) == list(read_pool([shards]).column("shard"))
    hostile = json.loads((shards / "index.json").read_bytes())
    hostile["shardlist"][0]["url"] = "pipe:echo x.tar"
    folder = make_shards(tmp_path / "hostile", Corpus(groups=4, frames=1))
    (folder / "index.json").write_text(json.dumps(hostile))
    with pytest.raises(UsageError, match="must be a tar in this folder"):
        read_pool([folder])
