"""Verification of shards with Beam: each is read to its end once, and again when it has changed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipelines import publish, resume
from pipelines.engine import Work, run
from pipelines.lease import Lease
from pipelines.shard_folder import ShardFolder, read_shard_rows
from schemas import files, stores
from schemas.digest import digest
from schemas.errors import StoppedError, UsageError
from schemas.finding import Finding
from schemas.outcome import Outcome
from schemas.paths import as_path, is_url
from schemas.sidecar import Sidecar
from transforms.audit.findings import Findings
from transforms.audit.verify import ShardEntry, verify_shard
from transforms.lookalikes import SCHEMA, Looks

# Raise it when verification looks at more: every shard is then read again.
VERSION = 3

# In the report's folder: what was found in each shard.
FOLDER = ".verified"
_BESIDE = (".tar", ".idx", ".parquet", ".json")
_FOUND, LOOKS = ".parquet", ".looks"


@dataclass(frozen=True)
class Unit:
    """A shard to verify."""

    folder: str
    dataset: str
    entry: ShardEntry
    digest: str


class VerifyBuilder:
    """Reads one shard at a time to its end, and commits what is wrong with it, and the looks of its crops."""

    def __init__(self, out: Path):
        self._out = out

    def setup(self) -> None:
        """Nothing to prepare."""

    def teardown(self) -> None:
        """Nothing to end."""

    def build(self, key: str, units: Sequence[Unit], lease: Lease) -> Iterable[Outcome]:
        """Verify a shard."""
        unit = units[0]
        findings, samples, looks = verify_one(as_path(unit.folder), unit.entry)
        found, made = list(findings), []
        path, seen = self._out / f"{key}{_FOUND}", self._out / f"{key}{LOOKS}"
        path.unlink(missing_ok=True)
        seen.unlink(missing_ok=True)
        if looks.num_rows:
            files.write_tables(seen, looks.schema, [looks], check=lease.check)
            made.append(publish.describe(seen))
        if found:
            files.write_rows(path, Finding, found, check=lease.check)
            made.append(publish.describe(path))
        outcome = Outcome(
            "audit",
            unit.dataset,
            unit.entry.url,
            "",
            "failed" if found else "ok",
            "damaged" if found else "",
            "; ".join(f"{finding.problem}: {finding.detail}" for finding in found[:3]),
            samples,
        )
        publish.commit(self._out, key, Sidecar(unit.digest, (outcome,), tuple(made), samples), lease.check)
        yield outcome


def verify_one(folder: Path, entry: ShardEntry) -> tuple[Findings, int, pa.Table]:
    """What is wrong with a shard and what stands beside it, how many samples it has, and their looks."""
    path = folder / entry.url
    findings, samples, looks = Findings(entry.url), 0, SCHEMA.empty_table()
    try:
        rows = read_shard_rows(path.with_suffix(".parquet"), entry.unit)
        with files.open_read(path) as file:
            seen = Looks(rows, entry.unit)
            findings, samples = verify_shard(file, entry, rows, seen.see)
            looks = seen.table()
    except ValueError as error:
        findings.add("rows", "", f"{error}; build the shard again")
    except OSError as error:
        findings.add("missing", "", f"{error.strerror or error}; restore it (dvc checkout) or build it again")
    except (StoppedError, UsageError):
        raise  # The store does not answer.
    except Exception as error:  # Whatever a damaged shard does to a reader, it is a finding.
        findings.add("unreadable", "", f"{type(error).__name__}: {error}; build the shard again")
    sidecar = publish.read_sidecar(folder, entry.url.removesuffix(".tar"))
    vouched = {file.name: file.sha256 for file in sidecar.files} if sidecar else {}
    if not list(findings) and vouched.get(path.name) != entry.sha256:
        findings.add("sidecar", "", "the sidecar does not vouch for this tar; run the shard stage again")
    index = path.with_suffix(".idx").name
    if index in vouched and publish.describe(path.with_name(index)).sha256 != vouched[index]:
        findings.add("index", "", f"{index}: its bytes changed; run the shard stage again without it")
    return findings, samples, looks


def plan(folders: Sequence[ShardFolder]) -> dict[str, Unit]:
    """The shards to verify, by key; a digest changes with anything that is beside the shard."""
    units = {}
    for folder in folders:
        look, full = _look(folder.path), str(folder.path.resolve())
        where = digest(full)[:12]
        for entry in folder.entries:
            stem = entry.url.removesuffix(".tar")
            stats = [look(f"{stem}{suffix}") for suffix in _BESIDE]
            units[f"{where}/{stem}"] = Unit(full, folder.dataset, entry, digest(VERSION, entry, stats))
    return units


def _look(folder: Path) -> Callable[[str], Sequence[int | str]]:
    """What tells of a file in a folder that it has changed; nothing of one that is not there."""
    if is_url(folder):
        listed = stores.list_files(folder)
        return lambda name: astuple(listed[name]) if name in listed else ()

    def stat(name: str) -> Sequence[int]:
        try:
            found = (folder / name).stat()
        except OSError:
            return ()
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino

    return stat


def find_pending(units: dict[str, Unit], out: Path, retry_failed: bool, reverify: bool) -> list[str]:
    """Shards to read: those that changed since they were read, or that had findings, or all."""
    if reverify:
        return list(units)
    wanted = {key: unit.digest for key, unit in units.items()}
    return resume.find_pending(out / FOLDER, wanted, retry_failed)


def verify_all(
    units: dict[str, Unit], out: Path, pending: Sequence[str], beam_args: Sequence[str]
) -> list[Finding]:
    """Verify the shards that are pending; returns what is wrong with any of them."""
    folder, found = out.absolute() / FOLDER, []
    resume.discard(folder, list(pending))
    work = [Work(key, units[key].digest, units[key], units[key].entry.bytes) for key in pending]
    run(work, VerifyBuilder(folder), beam_args, "audit", folder)
    wanted = {key: unit.digest for key, unit in units.items()}
    for key, sidecar in resume.seal(folder, wanted, (_FOUND, LOOKS)).items():
        unit = units[key]
        if sidecar is None or sidecar.digest != unit.digest:
            lost = Findings(unit.entry.url)
            lost.add("not_verified", "", "was not read since it changed; audit again")
            rows: Iterable[Finding] = lost
        else:
            path = folder / f"{key}{_FOUND}"
            there = any(file.name == path.name for file in sidecar.files)
            rows = files.read_rows(path, Finding) if there else ()
        found += [replace(finding, where=f"{unit.dataset}/{finding.where}") for finding in rows]
    return found
