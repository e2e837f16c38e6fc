"""Files behind URLs without a server: what is written, committed, claimed and fetched."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines import lease, publish, resume
from pipelines.clip_files import ClipFiles
from pipelines.listing import list_root
from schemas import Clip, Outcome, files, stores
from schemas.errors import StoppedError, UsageError
from schemas.paths import absolute, as_path, inside, is_url, local
from schemas.sidecar import Sidecar
from tests.many import FAKES, REALS, add_clips, write_lists
from tests.test_publish import committed, outcome
from tests.work import PARAMS, Work, digests
from transforms.errors import ClipError


class Growing(MemoryFileSystem):
    """A store where a file can be seen while it is written, and that refuses to rename onto another."""

    protocol = "growing"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    seen: ClassVar[list[str]] = []
    broken = False

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("growing://"))

    def put_file(self, lpath, rpath, **options):
        self.seen.append(rpath)
        if self.broken:
            self.pipe_file(rpath, b"half")
            raise OSError("the connection is lost")
        super().put_file(lpath, rpath)

    def mv(self, path1, path2, **options):
        assert not self.exists(path2)
        super().mv(path1, path2)


fsspec.register_implementation("growing", Growing, clobber=True)
pytestmark = pytest.mark.filterwarnings("ignore:UPath 'growing':UserWarning")


@pytest.fixture(params=["memory", "growing"])
def folder(request, tmp_path):
    Growing.broken = False
    Growing.seen.clear()
    url = as_path(f"{request.param}://{tmp_path.name}/out")
    yield url
    for name in stores.list_files(url.parent):
        stores.remove([url.parent / name])


WHOLE: dict = {"methods": [], "compressions": []}


def names(folder: Path) -> list[str]:
    return list(stores.list_files(folder))


def test_texts_are_local_paths_or_urls():
    assert as_path("a/b.tar") == Path("a/b.tar")
    assert as_path("file:///a/b") == local("local:///a/b") == Path("/a/b")
    assert str(as_path("memory://bucket/a//") / "b.tar") == "memory://bucket/a/b.tar"
    assert absolute("memory://bucket/a/") == "memory://bucket/a"
    assert absolute("a") == str(Path.cwd() / "a")
    assert not is_url("C:/a")
    assert not is_url("pipe:cat a")
    assert inside(as_path("memory://b/a/c"), as_path("memory://b/a"))
    assert not inside(as_path("memory://b/ac"), as_path("memory://b/a"))
    assert not inside(Path("/b/a"), as_path("memory://b/a"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gs://bucket/a", "gs://bucket/a: .*pip install gcsfs"),
        ("memory://bucket/a*", r"memory://bucket/a\*: .*a pattern"),
        ("nonsense://bucket/a", "nonsense://bucket/a: no such kind of URL.*s3, gs"),
    ],
)
def test_urls_that_cannot_be_used_say_what_to_do(text, message):
    with pytest.raises(UsageError, match=message):
        as_path(text)
    with pytest.raises(UsageError, match=f"{re.escape(text)}: is a URL, and this must be on a local disk"):
        local(text)


def test_a_failed_write_leaves_what_was_there(folder):
    files.write_json(folder / "a.json", 1)

    def refuse():
        raise StoppedError("another run")

    def fail():
        with files.atomic_write(folder / "a.json") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(StoppedError, match="another run"):
        files.write_json(folder / "a.json", 2, refuse)
    assert json.loads(files.read_bytes(folder / "a.json")) == 1
    assert names(folder) == ["a.json"]
    files.write_json(folder / "a.json", 3)
    assert json.loads(files.read_bytes(folder / "a.json")) == 3


def test_where_files_grow_they_are_renamed():
    folder = as_path("growing://renamed")
    files.write_json(folder / "a/b.json", 1)
    assert Growing.seen[-1].startswith("/renamed/a/.b.json.")
    assert Growing.seen[-1].endswith(".part")
    Growing.broken = True
    with pytest.raises(StoppedError, match=r"growing:/+renamed/a/b\.json: .*the connection is lost"):
        files.write_json(folder / "a/b.json", 2)
    Growing.broken = False
    assert names(folder) == ["a/b.json"]
    assert files.read_bytes(folder / "a/b.json") == b"1\n"


def test_tables_survive(folder):
    clips = [Clip("d", f"{i}.mp4", "g", "real", "real", "raw", "train") for i in range(3)]
    files.write_rows(folder / "clips.parquet", Clip, clips, {"root": "somewhere"})
    assert files.read_rows(folder / "clips.parquet", Clip) == clips
    assert files.read_metadata(folder / "clips.parquet") == {"root": "somewhere"}
    with pytest.raises(UsageError, match=r"none\.parquet: no such file"):
        files.read_rows(folder / "none.parquet", Clip)
    files.write_json(folder / "bad.parquet", 1)
    with pytest.raises(UsageError, match=r"bad\.parquet: not a readable Parquet file"):
        files.read_rows(folder / "bad.parquet", Clip)


def test_results_are_committed_found_withdrawn_and_removed(folder):
    for key in ("train/a", "train/b", "val/c"):
        committed(folder, key, "1", status="failed" if key == "val/c" else "ok")
    wanted = {"train/a": "1", "train/b": "2", "val/c": "1", "val/d": "1"}
    assert resume.find_pending(folder, wanted, retry_failed=False) == ["train/b", "val/d"]
    assert resume.find_pending(folder, wanted, retry_failed=True) == ["train/b", "val/c", "val/d"]
    assert sorted(publish.list_committed(folder)) == ["train/a", "train/b", "val/c"]
    sidecars = publish.read_sidecars(folder, wanted)
    assert {key: publish.read_sidecar(folder, key) for key in wanted} == sidecars
    resume.discard(folder, ["train/b", "val/d"])
    assert publish.read_sidecar(folder, "train/b") is None
    files.write_json(folder / "train/.e.tar.1.part", 0)
    files.write_json(folder / "index.json", 0)
    sealed = resume.seal(folder, {"train/a": "1", "val/d": "1"}, (".tar",))
    assert sealed == {"train/a": sidecars["train/a"], "val/d": None}
    assert names(folder) == ["index.json", "train/a.json", "train/a.tar"]


def test_a_store_that_does_not_delete_is_not_believed(folder, monkeypatch):
    files.write_json(folder / "a.json", 1)
    with monkeypatch.context() as patch:
        patch.setattr(type(stores.split(folder)[0]), "rm", lambda *_, **__: None)  # as s3fs where it may not
        with pytest.raises(UsageError, match=r"not allowed \(PermissionError.*still there"):
            files.remove(folder / "a.json")
    files.remove(folder / "a.json")
    assert names(folder) == []


def test_a_folder_that_cannot_be_listed_is_no_gap(monkeypatch):
    folder = as_path("growing://listed/out")
    files.write_json(folder / "a/b.json", 1)
    listed = Growing.ls

    def ls(self, path, detail=True, **options):
        if path.endswith("/a"):
            raise PermissionError("no entry")
        return listed(self, path, detail=detail, **options)

    assert names(folder) == ["a/b.json"]
    with monkeypatch.context() as patch:
        patch.setattr(Growing, "ls", ls)
        with pytest.raises(UsageError, match="not allowed"):
            names(folder)
    files.remove(folder / "a/b.json")


def test_a_result_is_whole_only_with_its_files(folder):
    committed(folder, "train/a", "1")
    with files.atomic_write(folder / "train/a.tar") as file:
        file.write(b"other")
    assert publish.read_sidecar(folder, "train/a") is None
    assert publish.read_sidecars(folder, ["train/a"]) == {"train/a": None}
    stores.remove([folder / "train/a.tar"])
    assert publish.read_sidecars(folder, ["train/a"]) == {"train/a": None}
    files.write_json(folder / "train/a.json", ["damaged"])
    assert publish.read_sidecars(folder, ["train/a"]) == {"train/a": None}


def test_the_last_claim_to_a_folder_counts(folder):
    with lease.exclusive(folder) as ours:
        with lease.claim(folder) as same:
            assert same == ours
        ours.check()
        files.write_json(folder / ".run.json", {"run": "a newer one"})
        with pytest.raises(StoppedError, match="another run writes here now"):
            publish.commit(folder, "a/b", Sidecar("1", (outcome(),)), ours.check)
    assert names(folder) == [".run.json"]
    with lease.exclusive(folder) as ours:
        ours.check()
    assert names(folder) == []


@pytest.fixture
def root():
    """A dataset with a video, and a folder of frames beside other things."""
    url = as_path("memory://corpus")
    for name in ("v.mp4", "clip/2.png", "clip/10.png", "clip/notes.txt", "clip/deep/1.png"):
        with files.atomic_write(url / name) as file:
            file.write(name.encode())
    yield str(url)
    files.remove_folder(url)


def clip(path: str, size: int) -> Clip:
    return Clip("d", path, "g", "real", "real", "raw", "train", bytes=size)


def test_clips_are_fetched_kept_for_a_while_and_removed(root):
    source = ClipFiles(root)
    with source.open_clip(clip("v.mp4", 5)) as path:
        assert path.name == "v.mp4"
        assert path.read_bytes() == b"v.mp4"
        folder = path.parent.parent
        with source.open_clip(clip("clip", 21)) as frames:
            assert sorted(frame.name for frame in frames.iterdir()) == ["10.png", "2.png"]
    stores.remove([as_path(root) / "v.mp4"])
    with source.open_clip(clip("v.mp4", 5)) as again:
        assert again == path, "what was used last is still there"
    for damaged, said in (
        (clip("gone.mp4", 5), "missing: memory://corpus/gone.mp4: no such file"),
        (clip("clip", 20), "changed_on_disk: memory://corpus/clip: 21 bytes, 20 when indexed"),
    ):
        with pytest.raises(ClipError) as caught, source.open_clip(damaged):
            pass
        assert f"{caught.value.reason}: {caught.value.detail}".startswith(said)
    with pytest.raises(ClipError) as caught, source.open_file("clip") as frames:
        raise ClipError("decode_error", f"{frames}/2.png: odd")
    assert caught.value.detail == "memory://corpus/clip/2.png: odd"
    source.close()
    assert not folder.exists()


def test_copies_of_a_killed_worker_go_with_the_next_one(tmp_path):
    def work(then: str) -> int:
        code = (
            "import os, signal; from pipelines.clip_files import ClipFiles; from schemas import files\n"
            "from schemas.paths import as_path\n"
            "files.write_json(as_path('memory://c/v.mp4'), 1)\n"
            f"with ClipFiles('memory://c').open_file('v.mp4') as path: {then}"
        )
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        return subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode

    assert work("os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["v.mp4"]
    (orphan,) = tmp_path.iterdir()
    assert work("path.rename(os.environ['TMPDIR'] + '/seen')") == 0
    assert (tmp_path / "seen").exists()
    assert not orphan.exists()


def test_a_dataset_is_listed_once_and_touched_files_are_noticed(root):
    listing, refused, stamps = list_root("d", root)
    assert listing.files == ["clip/10.png", "clip/2.png", "clip/deep/1.png", "clip/notes.txt", "v.mp4"]
    assert refused == []
    assert listing.read_text("clip/notes.txt") == "clip/notes.txt"
    with pytest.raises(FileNotFoundError):
        listing.read_bytes("none")
    assert [path for path, _, _ in stamps.of("clip")] == ["clip/10.png", "clip/2.png"]
    assert stamps.of("none") == [("none", -1, -1)]
    later = files.changed(as_path(root) / "v.mp4") + 10**12
    assert stamps.untouched_size("clip", later) == 21
    assert stamps.untouched_size("clip", 0) == stamps.untouched_size("none", later) == -1
    before = stamps.of("v.mp4")
    with files.atomic_write(as_path(root) / "v.mp4") as file:
        file.write(b"V.mp4")
    assert list_root("d", root)[2].of("v.mp4") != before


@pytest.fixture
def work(demo_corpus, tmp_path):
    """A pair of videos, and what is made of it, all behind URLs of this process."""
    url = as_path("memory://pair")
    add_clips(tmp_path / "corpus", demo_corpus, 0)
    write_lists(tmp_path / "corpus", {"train": [0], "val": [], "test": []})
    for name in digests(tmp_path / "corpus"):
        with files.atomic_write(url / "corpus" / name) as file:
            file.write((tmp_path / "corpus" / name).read_bytes())
    work = Work(tmp_path / "work", None)
    work.set_root(f"{url}/corpus/")
    work.set(datasets={"demo": {**PARAMS["datasets"]["demo"], "root": f"{url}/corpus/", **WHOLE}})
    work.clips, work.tracks, work.shards = url / "clips.parquet", url / "tracks", url / "shards"
    yield work
    files.remove_folder(url)


def reasons(folder: Path) -> dict[str, str]:
    rows = files.read_rows(folder / "outcomes.parquet", Outcome)
    return {row.unit: f"{row.reason} {row.detail}".strip() for row in rows if row.status != "ok"}


def test_clips_that_went_or_changed_are_outcomes_and_are_retried(work, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert work.index() == work.track() == 0
    corpus = as_path("memory://pair/corpus")
    real, fake = f"{REALS}/000.mp4", f"{FAKES}/001_000.mp4"
    whole = {name: files.read_bytes(corpus / name) for name in (real, fake)}
    stores.remove([corpus / real])
    with files.atomic_write(corpus / fake) as file:
        file.write(whole[fake][:-1])
    work.set(run={"max_failed_fraction": 1.0})
    assert work.shard() == 0
    said = reasons(work.shards)
    assert said.keys() == whole.keys()
    assert said[real].startswith(f"missing {corpus}/{real}: no such file; put it back")
    size = len(whole[fake])
    assert (
        said[fake] == f"changed_on_disk {corpus}/{fake}: {size - 1} bytes, {size} when indexed; index again"
    )
    for name, data in whole.items():
        with files.atomic_write(corpus / name) as file:
            file.write(data)
    assert work.shard("--retry-failed") == 0
    assert reasons(work.shards) == {}
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_index_behind_a_url_probes_what_was_touched_alone(work, capsys):
    assert work.index() == 0
    before = files.read_rows(work.clips, Clip)
    fake = as_path("memory://pair/corpus") / FAKES / "001_000.mp4"
    data = files.read_bytes(fake)
    with files.atomic_write(fake) as file:
        file.write(data)
    capsys.readouterr()
    assert work.index("--retry-failed", "--dry-run") == 0
    assert "would read 1 files" in capsys.readouterr().out
    assert work.index("--retry-failed") == 0
    assert files.read_rows(work.clips, Clip) == before


def test_archives_behind_a_url_are_refused(work):
    work.set(datasets={"demo": {"layout": "wilddeepfake", "root": "memory://pair/corpus"}})
    with pytest.raises(UsageError, match=r"memory://pair/corpus: layout wilddeepfake reads archives.*copy"):
        work.index()
