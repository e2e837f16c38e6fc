import gzip
import io
import lzma
import tarfile
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import pictures
from tests.tars import MIB, entry, head, opened, packed, png, sequence, write, zeros
from transforms import archive, tar_stream
from transforms.archive import Folder, read_folder, scan
from transforms.errors import ClipError
from transforms.indexing.probe import probe
from transforms.media import open_clip

ONE, TWO = "12/fake/131", "12/fake/9"


def look(path):
    """Frames of each folder, and the reason of each problem."""
    found = [one for one in scan(path) if one is not None]
    folders = {one.path: one.info.frames for one in found if isinstance(one, Folder)}
    return folders, {one.path: one.reason for one in found if not isinstance(one, Folder)}


def names(path, folder=ONE):
    return [name for name, _ in read_folder(path, folder)]


def fails(path, reason, said=""):
    """Nothing of the archive is taken, by either way."""
    folders, problems = look(path)
    assert folders == {}
    assert problems[""] == reason
    assert {*problems.values()} == {reason}
    detail = next(one.detail for one in scan(path) if one and one.path == "")
    assert said in detail
    assert str(path) not in detail
    for folder in {*problems} - {""} or {ONE}:
        with pytest.raises(ClipError, match=f"{reason}: {path}: ") as caught:
            read_folder(path, folder)
        assert caught.value.detail == f"{path}: {detail}"
    return problems


def test_sequences_are_as_on_disk_whatever_their_order_in_the_archive(tmp_path):
    frames = [100, 9, 0, 2, 1000, 10]
    on_disk = tmp_path / "131"
    on_disk.mkdir()
    for frame in frames:
        (on_disk / f"{frame}.png").write_bytes(png(frame))
    first, second = sequence(f"./{ONE}", frames), sequence(f"./{TWO}", range(4))
    mixed = [one for pair in zip(first, second, strict=False) for one in pair] + first[4:]
    path = write(
        tmp_path / "12.tar.gz", [entry("./", tarfile.DIRTYPE), entry(f"./{ONE}/", tarfile.DIRTYPE), *mixed]
    )
    here = sorted(tmp_path.rglob("*"))
    found = [one for one in scan(path) if one]
    assert found[0] == Folder(ONE, probe(on_disk))
    assert look(path) == ({ONE: 6, TWO: 4}, {})
    assert read_folder(path, ONE) == [(f"{frame}.png", png(frame)) for frame in sorted(frames)]
    plain, archived = open_clip(on_disk), open_clip(path / ONE)
    assert [(archived[n] == plain[n]).all() for n in range(6)] == [True] * 6
    assert sorted(tmp_path.rglob("*")) == here


HOSTILE = {
    "absolute": (entry("/etc/7.png"), "unsafe_member"),
    "parent": (entry(f"{ONE}/../../../7.png"), "unsafe_member"),
    "parent folder": (entry("..", tarfile.DIRTYPE), "unsafe_member"),
    "backslash": (entry(f"{ONE}/..\\7.png"), "unsafe_member"),
    "symlink": (entry(f"{ONE}/7.png", tarfile.SYMTYPE, linkname="/etc/passwd"), "unsafe_member"),
    "hardlink": (entry(f"{ONE}/7.png", tarfile.LNKTYPE, linkname=f"{ONE}/1.png"), "unsafe_member"),
    "device": (entry(f"{ONE}/7.png", tarfile.CHRTYPE), "unsafe_member"),
    "pipe": (entry(f"{ONE}/7.png", tarfile.FIFOTYPE), "unsafe_member"),
    "unknown type": (entry(f"{ONE}/7.png", b"Q"), "unsafe_member"),
    "sparse": (entry(f"{ONE}/7.png", tarfile.GNUTYPE_SPARSE), "unsafe_member"),
    "twice": ((f"{ONE}/1.png", png(99)), "unsafe_member"),
    "twice by another name": ((f".//{ONE}/./1.png", png(99)), "unsafe_member"),
    "not UTF-8": (entry(f"{ONE}/\udcff.png"), "bad_name"),
    "control": (entry(f"{ONE}/\x1b[2J7.png"), "bad_name"),
    "long": (entry(f"{ONE}/{'7' * 2000}.png"), "bad_name"),
    "text": ((f"{ONE}/notes.txt", b"hello"), "not_in_layout"),
    "macOS": ((f"{ONE}/._1.png", b"\0\5\26\7"), "not_in_layout"),
    "no folder": (("7.png", png(7)), "not_in_layout"),
}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_costs_itself(tmp_path, kind, form):
    member, reason = HOSTILE[kind]
    good = sequence(f"./{ONE}", [10, 1, 2])
    path = write(tmp_path / "12.tar.gz", [*good, member, *sequence(TWO, [5])], form)
    folders, problems = look(path)
    assert folders == {ONE: 3, TWO: 1}
    ((unit, said),) = problems.items()
    assert said == reason
    assert unit.isprintable()
    assert not unit.startswith("./")
    assert read_folder(path, ONE) == [(f"{n}.png", png(n)) for n in (1, 2, 10)]


def test_other_files_are_one_problem_a_folder(tmp_path):
    others = [(f"{ONE}/{n}.txt", b"") for n in range(9)] + [("12/list.csv", b"")]
    path = write(tmp_path / "12.tar.gz", [*sequence(ONE, [1]), *others])
    assert look(path) == ({ONE: 1}, {f"{ONE}/0.txt": "not_in_layout", "12/list.csv": "not_in_layout"})
    assert any("8 more" in one.detail for one in scan(path) if one and one.path.endswith("0.txt"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"<html>not found</html>", "not_image"),
        (png(1)[:-200], "decode_error"),
        (png(1, 16, 24), "decode_error"),
        (pictures.png(20_000, 20_000), "too_large"),
    ],
    ids=["empty", "text", "cut off", "other size", "pixels"],
)
def test_a_picture_that_is_none_costs_its_sequence(tmp_path, data, reason):
    path = write(
        tmp_path / "12.tar.gz", [*sequence(ONE, [1, 2]), (f"{ONE}/3.png", data), *sequence(TWO, [5])]
    )
    assert look(path) == ({TWO: 1}, {ONE: reason})
    assert any(one.detail.startswith("3.png: ") for one in scan(path) if one and one.path == ONE)


@pytest.mark.parametrize("cut", [1, 9, 20, 300, 1500, -1, -5, -9, -30])
def test_an_archive_that_was_cut_off_gives_nothing(tmp_path, cut):
    whole = write(tmp_path / "12.tar.gz", [*sequence(ONE, [1, 2]), *sequence(TWO, [5])]).read_bytes()
    (tmp_path / "12.tar.gz").write_bytes(whole[:cut])
    problems = fails(tmp_path / "12.tar.gz", "decode_error")
    assert {*problems} <= {"", ONE, TWO}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("whole") / "12.tar.gz", [*sequence(ONE, [1, 2]), *sequence(TWO, [5])]
    )


@given(st.data())
def test_damage_is_found_or_does_no_harm(whole, tmp_path_factory, data):
    content = bytearray(whole.read_bytes())
    compressed = data.draw(st.booleans())
    content = content if compressed else bytearray(gzip.decompress(content))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "12.tar.gz"
    path.write_bytes(content)
    found = [one for one in scan(path) if one]
    if any(one.path == "" for one in found):
        assert not [one for one in found if isinstance(one, Folder)]
    elif compressed:
        assert found == [one for one in scan(whole) if one]  # A header's time, or its name.


@given(st.data())
def test_a_plain_archive_is_whole_up_to_its_end_marker(whole, tmp_path_factory, data):
    content = gzip.decompress(whole.read_bytes())
    end = len(content.rstrip(b"\0"))
    marker = -(-end // 512) * 512 + 512
    size = data.draw(st.integers(1, len(content)))
    path = tmp_path_factory.mktemp("cut") / "12.tar"
    path.write_bytes(content[:size])
    folders, problems = look(path)
    assert folders == ({ONE: 2, TWO: 1} if size >= marker else {})
    assert ("" in problems) == (size < marker)


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{ONE}/1.png", png(1))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        (zipped(), "decode_error", "begins with b'PK"),
        (b"<html>" * 200, "decode_error", "begins with b'<html>"),
        (gzip.compress(b"<html>" * 200, mtime=0), "decode_error", "begins with b'<html>"),
        (lzma.compress(packed(sequence(ONE, [1]))), "decode_error", "begins with b'\\xfd7zXZ"),
        (gzip.compress(b"", mtime=0), "decode_error", "cut off"),
        (b"", "empty_file", "no bytes"),
        (packed([]), "no_frames", "no folder of pictures"),
        (gzip.compress(packed([]), mtime=0), "no_frames", "no folder of pictures"),
        (packed([entry("12", tarfile.DIRTYPE)]), "no_frames", "no folder of pictures"),
        (packed(sequence(ONE, [1])) * 2, "decode_error", "more after its end"),
        (gzip.compress(packed(sequence(ONE, [1])), mtime=0) + b"garbage", "decode_error", "damaged"),
    ],
    ids=[
        "zip",
        "html",
        "html_gz",
        "xz",
        "empty_gz",
        "empty",
        "no_member",
        "no_member_gz",
        "folder_only",
        "twice",
        "garbage",
    ],
)
def test_what_is_no_archive(tmp_path, content, reason, said):
    path = tmp_path / "12.tar.gz"
    path.write_bytes(content)
    if reason == "no_frames":
        assert look(path) == ({}, {"": reason})
        with pytest.raises(ClipError, match="missing"):
            read_folder(path, ONE)
    else:
        fails(path, reason, said)


def test_what_is_not_there(tmp_path, whole):
    with pytest.raises(ClipError, match=f"missing: {whole}: no pictures in 12/fake"):
        read_folder(whole, "12/fake")
    fails(tmp_path / "none.tar.gz", "missing", "no such file")


def test_plain_and_divided_archives_are_read_under_any_name(tmp_path):
    content = packed(sequence(ONE, [2, 1]))
    for name, data in (
        ("plain.tar.gz", content),
        ("gzip.tar", gzip.compress(content)),
        ("parts.tgz", gzip.compress(content[:700]) + gzip.compress(content[700:])),
    ):
        (tmp_path / name).write_bytes(data)
        assert look(tmp_path / name) == ({ONE: 2}, {})
        assert names(tmp_path / name) == ["1.png", "2.png"]


def test_a_large_member_is_left_out_with_signs_of_life(tmp_path):
    path = tmp_path / "12.tar.gz"
    rest = gzip.compress(packed(sequence(ONE, [1])))
    path.write_bytes(head(f"{ONE}/7.png", 65 * MIB) + zeros(65) + rest)
    assert look(path) == ({ONE: 1}, {f"{ONE}/7.png": "too_large"})
    assert sum(one is None for one in scan(path)) > 10
    assert names(path) == ["1.png"]


def test_a_bomb_costs_its_archive_and_no_memory(tmp_path):
    path = tmp_path / "12.tar.gz"
    path.write_bytes(gzip.compress(opened(sequence(ONE, [1]))) + head("7.png", 1 << 40) + zeros(300))
    tracemalloc.start()
    try:
        folders, problems = look(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert folders == {}
    assert problems == {"": "too_large", ONE: "too_large", "7.png": "too_large"}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_are_not_read_into_memory_whatever_they_claim(tmp_path, kind):
    path = tmp_path / "12.tar.gz"
    path.write_bytes(head("x", 100 * MIB, kind) + zeros(100) + gzip.compress(packed(sequence(ONE, [1]))))
    tracemalloc.start()
    try:
        fails(path, "too_large", "headers")
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_a_chain_of_headers_ends(tmp_path):
    one = entry("x", tarfile.XHDTYPE, size=512).tobuf(tarfile.GNU_FORMAT) + b"10 a=bcde\n".ljust(512, b"\0")
    path = tmp_path / "12.tar.gz"
    path.write_bytes(gzip.compress(one * 5000 + packed(sequence(ONE, [1]))))
    assert look(path)[0] == {}


@pytest.mark.parametrize("size", ["-1", "-512", "-1024", "9" * 30, "x"])
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE], ids=["extended", "global"])
def test_sizes_that_lie(tmp_path, size, kind):
    record = f" size={size}\n"
    record = f"{len(record) + 2}{record}"
    pax = entry("x", kind, size=len(record)).tobuf(tarfile.GNU_FORMAT) + record.encode().ljust(512, b"\0")
    path = tmp_path / "12.tar.gz"
    path.write_bytes(gzip.compress(pax + packed(sequence(ONE, [1]))))
    folders, problems = look(path)
    assert folders == {}
    assert problems


def test_limits_of_archives_and_folders(tmp_path, monkeypatch):
    path = write(tmp_path / "12.tar.gz", sequence(ONE, range(9)))
    with monkeypatch.context() as patch:
        patch.setattr(tar_stream, "MAX_MEMBERS", 8)
        fails(path, "too_large", "more than 8 members")
    monkeypatch.setattr(archive, "MAX_FOLDER", 3 * len(png(1)))
    assert look(path) == ({}, {ONE: "too_large"})
    with pytest.raises(ClipError, match="too_large"):
        read_folder(path, ONE)
