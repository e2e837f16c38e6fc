"""Bytes, time and memory of the audit's report on a large data set, made of copies of a small one.

    python -m benchmarks.report_size --shards WORK/shards --groups 1000 --chromium chromium

Rows of clips, samples and outcomes are copied under new names until there are as many groups. The tars have
a header for every member, but hold the bytes of those samples only that the report shows; the rest are holes,
so that a data set of 12 GB takes little disk. Shards are not verified, since holes would be found: times are
of everything else that the audit does. Time to open is that of a screenshot, less that of an empty page; the
least of five.
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import audit, pictures
from pipelines.corpus import load_corpus
from pipelines.report import human_bytes
from pipelines.shard_folder import read_folder
from schemas import Clip, Outcome, PlannedClip, encode_name, files
from schemas.params import Params

_BLOCK = tarfile.BLOCKSIZE
_TURNS = 5
Member = tuple[str, int]


class Copies:
    """Copies of a folder of shards under new names.

    Args:
      source: folder of the shard stage.
      out: folder to write.
      groups: least number of groups.
      together: copies of one shard that are put into one tar.
    """

    def __init__(self, source: Path, out: Path, groups: int, together: int):
        self._source, self._out, self._together = read_folder(source), out, together
        self._count = -(-groups // len({clip.group for clip in self._source.clips}))
        self._members = {entry.url: _members(source / entry.url) for entry in self._source.entries}

    def write(self) -> None:
        """Write the tables and the tars, all holes."""
        shardlist, tables = [], []
        for entry in self._source.entries:
            rows = pq.read_table(self._source.path / entry.url.replace(".tar", ".parquet"))
            for start in range(0, self._count, self._together):
                copies = range(start, min(start + self._together, self._count))
                url = self._url(entry.url, start)
                part = pa.concat_tables([self._rows(rows, copy, url) for copy in copies])
                size = self._tar(self._out / url, self._members[entry.url], copies)
                pq.write_table(part, (self._out / url).with_suffix(".parquet"))
                tables.append(part)
                shardlist.append({"url": url, "nsamples": len(part), "filesize": size, "sha256": "0" * 64})
        index = json.loads((self._source.path / "index.json").read_bytes())
        files.write_json(self._out / "index.json", index | {"shardlist": shardlist})
        pq.write_table(pa.concat_tables(tables), self._out / "index.parquet")
        files.write_rows(self._out / "clips.parquet", Clip, self._each(self._source.clips))
        files.write_rows(self._out / "plan.parquet", PlannedClip, self._each(self._source.plan))
        for stage, name in (("index", "clips."), ("track", "tracks."), ("shard", "")):
            mine = [outcome for outcome in self._source.outcomes if outcome.stage == stage]
            files.write_rows(self._out / f"{name}outcomes.parquet", Outcome, self._each(mine))

    def fill(self, path: Path, keys: set[str]) -> None:
        """Write the bytes of some samples of a shard."""
        origin = f"{path.parent.name}/{path.stem[:-7]}.tar"
        with (
            tarfile.open(path) as tar,
            tarfile.open(self._source.path / origin) as source,
            path.open("r+b") as file,
        ):
            for info in tar:
                if info.name.partition(".")[0] in keys:
                    dataset, _, rest = info.name.partition("/")
                    data = source.extractfile(f"{dataset}/{rest.partition('/')[2]}")
                    file.seek(info.offset_data)
                    file.write(data.read() if data else b"")

    def _url(self, url: str, copy: int) -> str:
        return f"{url.removesuffix('.tar')}-{copy:06d}.tar"

    def _each(self, records: Any) -> Iterator[Any]:
        for copy in range(self._count):
            for record in records:
                yield self._renamed(record, copy)

    def _renamed(self, record: Any, copy: int) -> Any:
        named: dict[str, Any] = {
            name: f"copy{copy:04d}/{getattr(record, name)}"
            for name in ("clip", "group", "unit")
            if hasattr(record, name)
        }
        if isinstance(record, Clip):
            named["identities"] = tuple(f"{identity}-{copy}" for identity in record.identities)
        if isinstance(record, PlannedClip):
            named["shard"] = self._url(record.shard, copy // self._together * self._together)
        return dataclasses.replace(record, **named)

    def _rows(self, rows: pa.Table, copy: int, url: str) -> pa.Table:
        dataset = encode_name(self._source.dataset)
        changed = {
            name: pc.binary_join_element_wise(f"copy{copy:04d}", rows[name], "/")
            for name in ("clip", "group")
        }
        changed["key"] = pc.replace_substring(
            rows["key"], f"{dataset}/", f"{dataset}/copy{copy:04d}/", max_replacements=1
        )
        changed["shard"] = pa.array([url] * len(rows))
        for name, column in changed.items():
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, rows.schema.field(place), column)
        return rows

    def _tar(self, path: Path, members: list[Member], copies: range) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for copy in copies:
                for name, size in members:
                    dataset, _, rest = name.partition("/")
                    info = tarfile.TarInfo(f"{dataset}/copy{copy:04d}/{rest}")
                    info.size = size
                    file.write(info.tobuf(tarfile.PAX_FORMAT))
                    file.seek(-(-size // _BLOCK) * _BLOCK, 1)
            file.truncate(file.tell() + 2 * _BLOCK)
            return file.seek(0, 2)


def _members(path: Path) -> list[Member]:
    with tarfile.open(path) as tar:
        return [(info.name, info.size) for info in tar]


def make(source: Path, out: Path, groups: int, together: int) -> None:
    """Write a large folder of shards, with the bytes of the samples that the report shows."""
    copies = Copies(source, out, groups, together)
    copies.write()
    corpus, params = load_corpus([read_folder(out)]), Params({})

    def fill(path: Path, keys: set[str]) -> dict:
        copies.fill(path, keys)
        return {}

    with mock.patch.object(pictures, "read_members", fill):
        pictures.example_pictures(corpus, params.audit.gallery, params.mask)
        pictures.worst_pictures(corpus, params.audit.gallery, params.mask)


def report(shards: Path, out: Path) -> None:
    """Write the report, and print what it took."""
    started = time.monotonic()
    with mock.patch.object(audit, "verify_all", return_value=[]):
        checks = audit.run_stage([read_folder(shards)], out, Params({}))
    took = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = json.loads((out / "metrics.json").read_bytes())
    html = (out / "report.html").read_bytes()
    print(
        f"{figures['groups']:,} groups, {figures['clips']:,} clips, {figures['samples']:,} samples in "
        f"{figures['shards']:,} shards of {human_bytes(figures['bytes'])}; "
        f"{sum(check.passed for check in checks)} of {len(checks)} checks passed"
    )
    print(f"report.html {human_bytes(len(html))}, {html.count(b'data:image/jpeg')} pictures")
    print(
        f"written in {took:.0f} s ({used.ru_utime + used.ru_stime:.0f} s of one core), "
        f"{human_bytes(used.ru_maxrss * 1024)} of memory at most"
    )


def open_page(chromium: str, url: str, width: int) -> float:
    """Seconds until Chromium has made a screenshot of the top of a page."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        flags += ["--no-first-run", f"--user-data-dir={folder}", f"--screenshot={folder}/page.png"]
        started = time.monotonic()
        subprocess.run(
            [chromium, *flags, f"--window-size={width},900", url],
            check=True,
            timeout=300,
            stderr=subprocess.DEVNULL,
        )
        return time.monotonic() - started


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="folder of the shard stage")
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--together", type=int, default=3, help="copies of a shard that make one tar")
    parser.add_argument("--chromium", help="program; without it nothing is opened")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.report:
        report(arguments.shards, arguments.report)
        return
    with tempfile.TemporaryDirectory() as folder:
        large, out = Path(folder, "shards"), Path(folder, "report")
        make(arguments.shards, large, arguments.groups, arguments.together)
        # A process of its own, so that its peak memory is the report's.
        command = [sys.executable, "-m", "benchmarks.report_size", "--shards", str(large)]
        subprocess.run([*command, "--report", str(out)], check=True)
        for width in (1280, 390) if arguments.chromium else ():
            pages = "about:blank", (out / "report.html").as_uri()
            turns = [[open_page(arguments.chromium, page, width) for page in pages] for _ in range(_TURNS)]
            empty, full = (min(times) for times in zip(*turns, strict=True))
            print(f"opened at {width} px in {full - empty:.1f} s (and {empty:.1f} s for an empty page)")


if __name__ == "__main__":
    main()
