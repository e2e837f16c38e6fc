"""Decoders that crash, hang, eat memory or are killed, and files that they fail at now and then."""

import contextlib
import os
import re
import shutil
import signal
import threading

import pytest

import pipelines.clip_reader
from pipelines.isolation import Isolated
from tests import bad_decoders
from tests.bad_corpus import Group, fake, mate
from tests.bad_work import documented, good_work, open_work, outcomes
from tests.test_isolation import eat, pid
from tests.videos import numbered_frames, write_video
from tests.work import Work, digests
from transforms.errors import ClipError
from transforms.indexing.probe import probe
from transforms.video import Video


@pytest.fixture
def good(tmp_path_factory) -> Work:
    return good_work(tmp_path_factory)


@pytest.fixture
def work(good, tmp_path) -> Work:
    """Index and tracks of the good corpus, with limits that are soon reached."""
    limits = {"clip_timeout": 8, "clip_memory": 4096, "max_failed_fraction": 0.5}
    work = open_work(tmp_path / "work", good.root.parent / "good", run=limits)
    for path in (good.clips, good.clips.with_name("clips.outcomes.parquet")):
        shutil.copy(path, work.root)
    shutil.copytree(good.tracks, work.tracks)
    return work


def corpus(good: Work, path: str) -> str:
    return str(good.root.parent / "good" / path)


def failed(work: Work) -> dict[str, tuple[str, str]]:
    return {unit: (o.reason, o.detail) for (_, unit), o in outcomes(work).items() if o.status != "ok"}


def kill_at(times: dict[str, int], monkeypatch) -> None:
    """Kill the children that are asked to read a file, the first ones."""
    real = Isolated._once

    def once(self, function, arguments, into):
        path = str(arguments[0])
        if left.get(path, 0):
            left[path] -= 1
            child = self._ensure() and self._process
            # Stopped, it cannot have finished before it is killed.
            child.send_signal(signal.SIGSTOP)
            threading.Timer(0.2, child.send_signal, [signal.SIGKILL]).start()
        return real(self, function, arguments, into)

    left = dict(times)
    monkeypatch.setattr(Isolated, "_once", once)


def test_a_crash_a_kill_a_hang_and_hunger_cost_one_clip_each(work, good, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr(pipelines.clip_reader, "fill_crops", bad_decoders.fill_crops)
        kill_at({corpus(good, fake("000")): 2, corpus(good, mate("000")): 1}, patch)
        assert work.shard() == 0, "four of twelve: below the limit that is set here"
    found = failed(work)
    expected = {
        "000": ("is killed twice at one clip", "decode_crashed", "the decoder died: exit status -9"),
        "001": ("crashes", "decode_crashed", "exit status -11"),
        "002": ("hangs", "decode_timeout", "no frame for 8 s"),
        "003": ("eats memory", "decode_crashed", "run.clip_memory (4096 MiB)"),
    }
    assert found.keys() == {fake(target) for target in expected}
    for target, (tried, reason, said) in expected.items():
        assert found[fake(target)][0] == reason
        assert said in found[fake(target)][1]
        assert documented()[f"a decoder that {tried}"] == ("shard", f"failed, `{reason}`")
    assert documented()["a decoder that is killed (`kill -9`)"] == ("nowhere", "ok")
    assert "Traceback" not in capfd.readouterr().err
    assert work.shard("--retry-failed") == 0
    assert digests(work.shards, "*/*.tar") == digests(good.shards, "*/*.tar")


def test_what_decord_says_holds_no_clock_and_no_line_of_source(tmp_path):
    path = write_video(tmp_path / fake("000"), numbered_frames(40), crf=0)
    Group(tmp_path, "000", {}).zero("fake")
    with pytest.raises(ClipError) as caught:
        Video(path)[39]
    assert caught.value.reason == "decode_error"
    assert re.fullmatch(rf"{path}: frame 39: Check failed: [^\[]+", caught.value.detail)


def test_a_child_that_ran_out_of_memory_is_replaced():
    child = Isolated(timeout=20, memory=1024)
    with contextlib.closing(child):
        first = list(child.iterate(pid))
        with pytest.raises(ClipError, match=r"run\.clip_memory \(1024 MiB\)"):
            list(child.iterate(eat))
        assert list(child.iterate(pid)) != first


@contextlib.contextmanager
def unprivileged():
    """As somebody who may read nothing here."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read(tmp_path):
    path = write_video(tmp_path / "v.mp4", numbered_frames(3))
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    for read in (probe, Video):
        with unprivileged(), pytest.raises(ClipError) as caught:
            read(path)
        assert caught.value.reason == "unreadable"
        assert "Permission denied" in caught.value.detail
    assert documented()["a file that may not be read"] == ("index", "failed, `unreadable`")
