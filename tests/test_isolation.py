import os
import signal
import time

import pytest

from pipelines.isolation import Isolated
from transforms.errors import ClipError


def count(n):
    yield from range(n)


def crash(n):
    yield from range(n)
    os.kill(os.getpid(), signal.SIGSEGV)


def hang():
    yield 1
    time.sleep(60)


def complain():
    yield 1
    raise ClipError("no_face", "nobody there")


def fail():
    yield 1
    raise KeyError("a bug")


def eat():
    yield len(bytearray(3 << 30))


def strike(marks, times):
    """Be killed, in the first `times` calls."""
    if len(list(marks.iterdir())) < times:
        (marks / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def count_killed(marks, times):
    for number in range(5):
        if number == 3:
            strike(marks, times)
        yield number, os.getpid()


def write_killed(descriptor, marks, times):
    for number in range(5):
        os.pwrite(descriptor, b"half", 9 * number)
        if number == 3:
            strike(marks, times)
        os.pwrite(descriptor, bytes([number] * 9), 9 * number)
        yield number


def pid():
    yield os.getpid()


@pytest.fixture
def child():
    child = Isolated(timeout=20, memory=1024)
    yield child
    child.close()


def test_items_arrive_in_order_and_the_child_is_kept(child):
    assert list(child.iterate(count, 5)) == [0, 1, 2, 3, 4]
    first = list(child.iterate(pid))
    assert list(child.iterate(pid)) == first != [os.getpid()]


def test_a_crash_costs_one_call(child):
    with pytest.raises(ClipError) as caught:
        list(child.iterate(crash, 2))
    assert caught.value.reason == "decode_crashed"
    assert "-11" in caught.value.detail
    assert list(child.iterate(count, 2)) == [0, 1]


def test_a_kill_costs_nothing_and_gives_no_item_twice(child, tmp_path):
    numbers, pids = zip(*child.iterate(count_killed, tmp_path, 1), strict=True)
    assert numbers == (0, 1, 2, 3, 4)
    assert len(set(pids[:3])) == len(set(pids[3:])) == 1
    assert pids[2] != pids[3]


def test_a_kill_leaves_the_file_whole(child, tmp_path):
    with (tmp_path / "file").open("w+b", 0) as file:
        (tmp_path / "marks").mkdir()
        found = list(child.iterate(write_killed, tmp_path / "marks", 1, into=file.fileno()))
        assert found == [0, 1, 2, 3, 4]
        assert file.read() == b"".join(bytes([number] * 9) for number in found)


def test_two_kills_of_one_call_are_a_crash(child, tmp_path):
    with pytest.raises(ClipError, match="exit status -9") as caught:
        list(child.iterate(count_killed, tmp_path, 2))
    assert caught.value.reason == "decode_crashed"
    assert len(list(tmp_path.iterdir())) == 2
    assert list(child.iterate(count, 2)) == [0, 1]


def test_a_hang_is_killed():
    child = Isolated(timeout=3)
    list(child.iterate(count, 1))
    started = time.monotonic()
    with pytest.raises(ClipError, match="decode_timeout"):
        list(child.iterate(hang))
    assert time.monotonic() - started < 30
    assert list(child.iterate(count, 2)) == [0, 1]
    child.close()


def test_memory_is_limited(child):
    with pytest.raises(ClipError, match="decode_crashed"):
        list(child.iterate(eat))


def test_errors_come_through(child):
    with pytest.raises(ClipError, match="nobody there"):
        list(child.iterate(complain))
    with pytest.raises(ClipError, match=r"internal_error: KeyError: 'a bug' \(test_isolation\.py:\d+\)"):
        list(child.iterate(fail))


def test_leaving_early_does_not_mix_up_the_next_call(child):
    for item in child.iterate(count, 1000):
        if item == 3:
            break
    assert list(child.iterate(count, 2)) == [0, 1]


def test_no_process_is_left():
    child = Isolated(timeout=20)
    (number,) = child.iterate(pid)
    child.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
