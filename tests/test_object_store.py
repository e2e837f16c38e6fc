"""Everything behind s3://, on a real server: whole runs, readers while writers are killed, training, DVC."""

import contextlib
import copy
import dataclasses
import hashlib
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import s3fs
import torch

from benchmarks.deaths import Run
from pipelines import audit, index, shard
from schemas import Clip, stores
from schemas.errors import StoppedError, UsageError
from schemas.files import read_rows
from schemas.params_training import TrainParams
from schemas.paths import as_path
from tests.dvc_command import dvc
from tests.labels_factory import contents, requests_of
from tests.labels_factory import run as ask
from tests.s3_server import digests_behind, serve
from tests.work import Work, digests, stamps
from training.data import TrainingLoader
from training.loading.pool import read_pool

URL = "s3://data"


class Remote(Work):
    """A work whose results, and its corpus, are behind URLs; its parameters are local."""

    def __init__(self, root: Path, corpus: str, url: str):
        super().__init__(root, None)
        self.set_root(corpus)  # type: ignore[arg-type]
        base = as_path(url)
        self.clips, self.tracks, self.shards = base / "clips.parquet", base / "tracks", base / "shards"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("s3")) as server:
        s3fs.S3FileSystem().mkdir("data")
        yield server


@pytest.fixture(scope="module")
def remote(s3, demo_corpus, tmp_path_factory) -> Remote:
    """A run from corpus to shards, all of it behind URLs; not to be written to."""
    s3fs.S3FileSystem().put(str(demo_corpus), "data/corpus", recursive=True)
    work = Remote(tmp_path_factory.mktemp("remote"), f"{URL}/corpus", f"{URL}/work")
    for stage in ("index", "track", "shard"):
        before = len(s3.requests())
        assert getattr(work, stage)() == 0
        print(f"{stage}: {count_requests(s3.requests()[before:])}")
    return work


def count_requests(seen: list[tuple[str, str]]) -> str:
    kinds = Counter("LIST" if (method, path) == ("GET", "/data") else method for method, path in seen)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


def test_a_run_behind_urls_gives_the_bytes_of_a_local_one(remote, built):
    assert digests_behind(remote.tracks) == digests(built.tracks)
    expected, found = digests(built.shards), digests_behind(remote.shards)
    # It says where the corpus is.
    assert expected.pop("clips.parquet") != found.pop("clips.parquet")
    assert found == expected
    assert read_rows(remote.clips, Clip) == read_rows(built.clips, Clip)


def test_a_rerun_behind_urls_writes_no_track_and_no_shard_again(remote, s3, capsys):
    folder = s3.folder / "data/work"
    before, seen = stamps(folder), len(s3.requests())
    assert remote.shard("--dry-run") == 0
    assert "would build 0 of 3 shards" in capsys.readouterr().out
    assert stamps(folder) == before
    assert remote.track() == remote.shard() == 0
    changed = {name for name, stamp in stamps(folder).items() if stamp != before[name]}
    assert not [name for name in changed if name.endswith(".tar") or "groups/" in name]
    assert not [path for _, path in s3.requests()[seen:] if "/corpus/" in path]


def test_the_audit_reads_shards_behind_a_url_once(remote, s3, tmp_path, capsys):
    flags = ["--params", str(remote.params), "--direct_num_workers=1", "--out", str(tmp_path / "report")]
    assert audit.main([*flags, "--shards", str(remote.shards)]) == 0
    assert "3 shards read to their end, nothing wrong" in capsys.readouterr().out
    seen = len(s3.requests())
    assert audit.main([*flags, "--shards", str(remote.shards), "--dry-run"]) == 0
    assert "would read 0 of 3 shards" in capsys.readouterr().out
    assert not [path for method, path in s3.requests()[seen:] if method == "GET" and path.endswith(".tar")]


class Reader(threading.Thread):
    """Reads a folder of shards again and again, as somebody who trusts what is seen there, and keeps count.

    Args:
      url: of the shards.
      whole: SHA-256 of every shard of an undisturbed run.
    """

    def __init__(self, url: Path, whole: dict[str, str]):
        super().__init__(daemon=True)
        self._url, self._whole = url, whole
        self._stopped = threading.Event()
        self.looks = self.tars = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self._stopped.wait(0.05):
            names = set(stores.list_files(self._url))
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # withdrawn since it was listed
                    self._look(name)
            self.looks += 1

    def _look(self, name: str) -> None:
        if not name.endswith((".tar", ".json")) or name.startswith("."):
            return
        data = stores.read_bytes(self._url / name)
        if name.endswith(".tar"):
            self.tars += 1
            if hashlib.sha256(data).hexdigest() != self._whole[name]:
                self.wrong.append(f"{name}: {len(data)} bytes")
            return
        said = json.loads(data)
        if name == "index.json":
            vouched = {shard["url"]: shard["sha256"] for shard in said["shardlist"]}
        else:
            folder = name.rpartition("/")[0]
            files = {f"{folder}/{file['name']}": file["sha256"] for file in said["files"]}
            vouched = {name: digest for name, digest in files.items() if name.endswith(".tar")}
        there = stores.list_files(self._url)
        self.wrong += [
            f"{name} vouches for {tar}"
            for tar, digest in vouched.items()
            if tar not in there or digest != self._whole[tar]
        ]

    def stop(self) -> None:
        self._stopped.set()
        self.join(60)
        assert not self.is_alive()


def wait_for(run: Run, seen: Callable[[], bool]) -> None:
    """Wait until something can be seen in the store, while a run works."""
    while not seen():
        assert run.process.poll() is None, run.wait()
        time.sleep(0.05)


def count(url: Path, suffix: str) -> int:
    return len([name for name in stores.list_files(url) if "/" in name and name.endswith(suffix)])


@pytest.fixture
def writing(many, s3, request) -> Remote:
    """Clips and tracks of many small groups on the disk, and an empty folder of shards behind a URL."""
    work = copy.copy(many)
    work.shards = as_path(f"{URL}/{request.node.name}")
    return work


@pytest.mark.timeout(400)
def test_a_reader_never_sees_half_a_shard_while_writers_are_killed(writing, many):
    whole = digests(many.shards)
    reader = Reader(writing.shards, whole)
    reader.start()
    try:
        # Right when a tar is seen that no sidecar vouches for yet, or soon after a sidecar is.
        for victim, suffix, enough in (("group", ".tar", 1), ("main", ".json", 5), ("worker", ".tar", 10)):
            run = Run(writing, "shard", 2 if victim == "worker" else 1)
            try:
                wait_for(run, lambda suffix=suffix, enough=enough: count(writing.shards, suffix) >= enough)
                assert run.kill(victim, random.Random(enough))
                code, words = run.wait()
                assert code == (1 if victim == "worker" else -9), words
            finally:
                run.end()
            assert "index.json" not in stores.list_files(writing.shards)
        assert writing.shard() == 0
    finally:
        reader.stop()
    print(f"{reader.looks} looks, {reader.tars} tars read")
    assert not reader.wrong
    assert reader.tars > 20
    assert digests_behind(writing.shards) == whole


def test_the_newer_of_two_runs_goes_on_and_the_older_one_stops(writing, many):
    older, newer = Run(writing, "shard", 1), None
    try:
        wait_for(older, lambda: count(writing.shards, ".json") > 0)
        newer = Run(writing, "shard", 1)
        code, words = older.wait()
        assert code == 1, words
        assert f"stopped: {writing.shards}: another run writes here now" in words
        code, words = newer.wait()
        assert code == 0, words
    finally:
        for run in (older, newer):
            if run is not None:
                run.end()
    assert digests_behind(writing.shards) == digests(many.shards)


def test_a_killed_upload_of_many_parts_leaves_nothing_to_be_seen(s3, tmp_path):
    code = (
        "import sys; from schemas import files; from schemas.paths import as_path\n"
        "with files.atomic_write(as_path(sys.argv[1])) as file:\n"
        "    file.truncate(300 << 20); file.seek(0, 2)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, f"{URL}/large/x.tar"])
    parts = s3.folder / "data/.sgwtmp/multipart"
    try:
        while not any(parts.rglob("*")):
            assert writer.poll() is None
            time.sleep(0.005)
    finally:
        writer.kill()
        writer.wait()
    assert stores.list_files(as_path(f"{URL}/large")) == {}
    assert s3fs.S3FileSystem().list_multipart_uploads("data")


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_reads_shards_behind_a_url(remote, built, workers):
    params = TrainParams(size=64, batch=8, workers=workers, shuffle=20)
    here, there = (
        list(TrainingLoader(read_pool([str(folder)]), params).epoch(0))
        for folder in (built.shards, remote.shards)
    )
    assert len(here) == len(there) > 0
    for one, other in zip(here, there, strict=True):
        for field in dataclasses.fields(one):
            assert torch.equal(getattr(one, field.name), getattr(other, field.name))


def test_a_broken_shard_behind_a_url_is_named(remote, s3, tmp_path):
    store, tar = s3fs.S3FileSystem(), "data/broken/train/demo-train-000000.tar"
    store.cp("data/work/shards", "data/broken", recursive=True)
    store.pipe_file(tar, store.cat_file(tar)[:100_000])
    loader = TrainingLoader(read_pool([f"{URL}/broken"]), TrainParams(size=64, batch=8, workers=0))
    with pytest.raises(UsageError, match=r"s3://data/broken/train/demo-train-000000\.tar: .*--skip-broken"):
        list(loader.epoch(0))
    with pytest.raises(UsageError, match=r"s3://data/nothing/index\.json: cannot be read"):
        read_pool([f"{URL}/nothing"])


def test_the_oracle_answers_from_shards_behind_a_url(remote, built, tmp_path):
    requests_of(tmp_path / "requests", built.shards, lambda row: row["mask_kind"] == "difference")
    for name, folder in (("here", built.shards), ("there", remote.shards)):
        made, _ = ask(tmp_path / "requests", f"oracle:{folder}", tmp_path / name)
        assert {label.state for label in made.values()} == {"labelled"}
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_dvc_pushes_to_the_store_and_pulls_from_it(s3, built, tmp_path):
    shutil.copytree(built.shards, tmp_path / "shards")
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    dvc(tmp_path, "remote", "add", "--default", "store", f"{URL}/dvc")
    dvc(tmp_path, "remote", "modify", "store", "endpointurl", s3.environment["AWS_ENDPOINT_URL"])
    dvc(tmp_path, "add", "shards")
    dvc(tmp_path, "push")
    shutil.rmtree(tmp_path / "shards")
    shutil.rmtree(tmp_path / ".dvc/cache")
    dvc(tmp_path, "pull")
    assert digests(tmp_path / "shards") == digests(built.shards)


def test_what_is_missing_or_not_allowed_is_said_with_its_url(built, s3, tmp_path, monkeypatch):
    work = copy.copy(built)
    work.shards = as_path("s3://nowhere/shards")
    with pytest.raises(UsageError, match=r"s3://nowhere/shards\S*: no such bucket; create it"):
        work.shard()
    flags = ["--params", str(built.params), "--direct_num_workers=1"]
    out = ["--tracks", str(built.tracks), "--out", str(tmp_path / "out")]
    with pytest.raises(UsageError, match=r"s3://data/none\.parquet: no such file; run the stage"):
        shard.main([*flags, "--clips", f"{URL}/none.parquet", *out])
    with pytest.raises(UsageError, match=r"s3://data/nothing: nothing is there; set the dataset's root"):
        index.main([*flags, "--dataset", "demo", "--root", f"{URL}/nothing", "--out", str(tmp_path / "c")])
    work.shards = as_path(f"{URL}/refused")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(UsageError, match=r"s3://data/refused\S*: not allowed \(Permission.*docs/obj"):
            work.shard()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(StoppedError, match=r"s3://data/refused\S*: the store does not.*ENDPOINT_URL"):
            work.shard()
    s3fs.S3FileSystem.clear_instance_cache()
    assert stores.list_files(as_path(f"{URL}/refused")) == {}
