"""The audit's checks: do clips, plan, outcomes, index and shards tell one story?"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.clip import Clip
from schemas.finding import CheckName, Finding
from schemas.leak import Leak
from schemas.outcome import Outcome
from schemas.plan import PlannedClip
from transforms.audit.findings import Findings
from transforms.audit.verify import ShardEntry
from transforms.leaks import group_of, identities_of

QUALITY = ("score", "noise", "snr", "area", "official_iou", "temporal_iou", "residual")
CATEGORIES = ("dataset", "group", "clip", "label", "method", "compression", "split", "shard", "mask_from")
COLUMNS = (*CATEGORIES, "track", "frame", "mask_kind", "mask_quality")

TITLES: dict[CheckName, str] = {
    "balance": "Nothing vanished",
    "integrity": "Shards are whole",
    "leaks": "Splits do not leak",
    "counts": "Masks mean what they say",
}


@dataclass(frozen=True)
class Check:
    """A check and what came of it.

    Attributes:
      name: as in `schemas.Finding`.
      title: what it holds where it passed.
      passed: whether it did.
      said: one line with the numbers.
      remedy: what to do where it failed.
      findings: what is wrong.
    """

    name: CheckName
    title: str
    passed: bool
    said: str
    remedy: str
    findings: tuple[Finding, ...] = ()


def flatten_masks(index: pa.Table) -> pa.Table:
    """One row a mask (a frame), with plain columns, of an index of frames or of sequences.

    Args:
      index: `COLUMNS` of `index.parquet`; names are dictionary-encoded.

    Returns:
      Its `CATEGORIES`, `track`, `frame`, `mask_kind`, every figure of `QUALITY`, and `sample`: the row's
      position in `index`, and `place`: the frame's position in its sequence (0 for frames).
    """
    index = index.combine_chunks()
    sample = pa.array(np.arange(index.num_rows, dtype=np.int64))
    place = pa.array(np.zeros(index.num_rows, np.int32))
    frame, kind, quality = (_column(index, name) for name in ("frame", "mask_kind", "mask_quality"))
    plain = index.select([*CATEGORIES, "track"])
    if pa.types.is_list(frame.type):
        sample = pc.list_parent_indices(frame).cast(pa.int64())
        frame, kind, quality = (pc.list_flatten(column) for column in (frame, kind, quality))
        parents = sample.to_numpy()
        place = pa.array((np.arange(len(parents)) - np.searchsorted(parents, parents)).astype(np.int32))
        plain = plain.take(sample)
    if not pa.types.is_dictionary(kind.type):
        kind = kind.dictionary_encode()
    for name, values in (("sample", sample), ("place", place), ("frame", frame), ("mask_kind", kind)):
        plain = plain.append_column(name, values)
    for name in QUALITY:
        plain = plain.append_column(name, pc.struct_field(quality, name))
    return plain


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def check_balance(
    where: str,
    clips: Sequence[Clip],
    plan: Sequence[PlannedClip],
    outcomes: Iterable[Outcome],
    entries: Sequence[ShardEntry],
    index: pa.Table,
) -> Findings:
    """Every clip has one outcome in the shard stage, and the index holds what the outcomes say was made."""
    findings = Findings(where, "balance")
    sharded = [outcome for outcome in outcomes if outcome.stage == "shard"]
    told = Counter(outcome.unit for outcome in sharded)
    known, planned = {clip.clip for clip in clips}, Counter(row.clip for row in plan)
    for name in sorted(known | planned.keys()):
        if told[name] != 1:
            problem = "no_outcome" if not told[name] else "several_outcomes"
            findings.add(problem, name, f"{told[name]} outcomes of the shard stage, must be 1; run it again")
    for name in sorted(told.keys() - known):
        findings.add(
            "unknown_clip", name, "has an outcome, but is not in clips.parquet; run the shard stage again"
        )
    for name in sorted(planned.keys() - known):
        findings.add(
            "unknown_clip", name, "is planned, but is not in clips.parquet; run the shard stage again"
        )
    rows = _counts(index, ["clip"])
    made = {outcome.unit: outcome.made for outcome in sharded if outcome.status == "ok"}
    for name in sorted((known | made.keys()) - planned.keys()):
        findings.add("not_planned", name, "is not in plan.parquet; run the shard stage again")
    for name in sorted(made.keys() | {name for (name,) in rows}):
        if made.get(name, 0) != rows.get((name,), 0):
            detail = f"{made.get(name, 0)} samples made, {rows.get((name,), 0)} rows in index.parquet"
            findings.add("made", name, f"{detail}; run the shard stage again")
    shards = _counts(index, ["shard"])
    listed = {(entry.url,): entry.samples for entry in entries}
    for shard in sorted(listed.keys() | shards.keys()):
        if listed.get(shard, 0) != shards.get(shard, 0):
            detail = f"{listed.get(shard, 0)} samples in index.json, {shards.get(shard, 0)} in index.parquet"
            findings.add("shard_samples", shard[0], f"{detail}; run the shard stage again")
    elsewhere = {(row.clip, row.shard) for row in plan}
    for clip, shard in sorted(_counts(index, ["clip", "shard"]).keys() - elsewhere):
        if clip in planned:
            findings.add(
                "other_shard", clip, f"is in {shard}, planned for another; run the shard stage again"
            )
    return findings


def _counts(table: pa.Table, columns: list[str]) -> dict[tuple, int]:
    counted = table.group_by(columns).aggregate([([], "count_all")]).to_pydict()
    return dict(
        zip(zip(*(counted[name] for name in columns), strict=True), counted["count_all"], strict=True)
    )


def check_rows(where: str, index: pa.Table, rows: pa.Table) -> Findings:
    """The part of `index.parquet` that a shard has is what stands beside the shard."""
    findings = Findings(where, "balance")
    index, rows = index.select(rows.schema.names), rows.cast(index.select(rows.schema.names).schema)
    if index.num_rows != rows.num_rows:
        detail = f"{index.num_rows} rows in index.parquet, {rows.num_rows} beside the shard"
        findings.add("index_rows", "", f"{detail}; run the shard stage again")
    elif not index.equals(rows):
        names = [name for name in rows.schema.names if not index[name].equals(rows[name])]
        pairs = zip(index[names[0]].to_pylist(), rows[names[0]].to_pylist(), strict=True)
        keys = [key for key, (a, b) in zip(rows["key"].to_pylist(), pairs, strict=True) if a != b]
        detail = f"index.parquet and the rows beside the shard differ in {', '.join(names)}"
        findings.add("index_rows", keys[0], f"{detail}; run the shard stage again", len(keys))
    return findings


def check_keys(where: str, keys: pa.ChunkedArray) -> Findings:
    """Keys are unique over all shards of all datasets."""
    findings = Findings(where)
    if pc.count_distinct(keys).as_py() != len(keys):
        counted = pa.table({"key": keys}).group_by("key").aggregate([([], "count_all")])
        twice = counted.filter(pc.greater(counted["count_all"], 1)).sort_by("key")
        first = twice.slice(0, 1).to_pylist()[0]
        detail = (
            f"{first['count_all']} samples have this key; index one dataset under one name, and build again"
        )
        findings.add("duplicate_key", first["key"], detail, twice.num_rows)
    return findings


def check_counts(where: str, masks: pa.Table) -> Findings:
    """Real samples carry zeros, and fakes never do: a missing mask is unknown."""
    findings = Findings(where, "counts")
    real = pc.equal(masks["label"], "real")
    zeros = pc.equal(masks["mask_kind"], "all_zero")
    blank = pc.fill_null(
        pc.and_(pc.equal(masks["area"], 0.0), pc.not_equal(masks["mask_kind"], "unknown")), False
    )
    for problem, wrong, detail in (
        ("real_not_zero", pc.and_(real, pc.invert(zeros)), "a real sample whose mask is not all_zero"),
        (
            "fake_zero",
            pc.and_(pc.invert(real), pc.or_(zeros, blank)),
            "a fake whose mask is zeros, not unknown",
        ),
    ):
        count = pc.sum(wrong).as_py() or 0
        if count:
            row = masks.select(["clip", "frame", "mask_kind"]).filter(wrong).slice(0, 1).to_pylist()[0]
            text = f"frame {row['frame']}, kind {row['mask_kind']}: {detail}; a model would learn it as real"
            findings.add(problem, row["clip"], text, count)
    return findings


def count_touched(clips: Iterable[Clip], leaks: Sequence[Leak]) -> dict[str, tuple[int, int]]:
    """For each split, how many of its clips have a leaked identity or a group that looks like another one,
    and how many clips it has.
    """
    leaked = {leak.identity for leak in leaks if leak.kind == "identity"}
    alike = {group for leak in leaks if leak.kind == "lookalike" for group in leak.groups}
    counts: dict[str, tuple[int, int]] = {}
    for clip in clips:
        some, every = counts.get(clip.split, (0, 0))
        touched = not leaked.isdisjoint(identities_of(clip)) or group_of(clip) in alike
        counts[clip.split] = (some + touched, every + 1)
    return counts


def summarise(
    findings: Sequence[Finding],
    outcomes: Sequence[Outcome],
    shards: int,
    masks: pa.Table,
    leaks: Sequence[Leak],
    touched: dict[str, tuple[int, int]],
    max_leaks: int,
) -> list[Check]:
    """The four checks from what was found.

    Args:
      findings: of balance, integrity and counts.
      outcomes: of every stage.
      shards: number of shards that were read.
      masks: as `flatten_masks` makes them.
      leaks: what is on more than one side.
      touched: clips of each split that a leak touches, and all of them.
      max_leaks: most leaks that pass; -1 is no limit.
    """
    by_check = {name: tuple(f for f in findings if f.check == name) for name in TITLES}
    by_check["leaks"] = tuple(
        Finding(
            "leaks",
            "straddles" if leak.kind == "identity" else "looks_alike",
            " and ".join(leak.splits),
            leak.clips[-1],
            leak.identity or f"looks like {leak.clips[0]} ({leak.similarity:.2f})",
            sum(leak.counts),
        )
        for leak in leaks
    )
    status = Counter(outcome.status for outcome in outcomes if outcome.stage == "shard")
    fakes = masks.filter(pc.not_equal(masks["label"], "real"))
    unknown = pc.sum(pc.equal(fakes["mask_kind"], "unknown")).as_py() or 0
    bad = len({finding.where for finding in by_check["integrity"]})
    tested = touched.get("test", (0, 0))
    share = f"{tested[0]:,} of {tested[1]:,} test clips ({percent(*tested)})"
    over = max_leaks >= 0 and len(leaks) > max_leaks
    limit = "no limit is set" if max_leaks < 0 else f"audit.max_leaks is {max_leaks}"
    said: dict[CheckName, tuple[str, str]] = {
        "balance": (
            f"{status.total():,} clips: {status['ok']:,} ok, {status['skipped']:,} skipped, "
            f"{status['failed']:,} failed",
            "Run the shard stage again; it rebuilds what does not match its plan.",
        ),
        "integrity": (
            f"{shards:,} shards read, findings in {bad:,} place{'s' * (bad > 1)}"
            if bad
            else f"{shards:,} shards read to their end, nothing wrong",
            "Restore the shards (dvc checkout), or run the shard stage again, then audit again.",
        ),
        "leaks": (
            f"{_count_leaks(leaks)} on more than one side, touching {share}; {limit}"
            if leaks
            else "no identity and no picture is on more than one side",
            "Set datasets.<name>.split: repaired (all clips of one video on one side), or let --fix say what "
            "to move; then index again.",
        ),
        "counts": (
            f"{unknown:,} of {len(fakes):,} fake masks are unknown ({percent(unknown, len(fakes))})",
            "Do not train on these shards; report it with the example below.",
        ),
    }
    return [
        Check(name, title, not (over if name == "leaks" else by_check[name]), *said[name], by_check[name])
        for name, title in TITLES.items()
    ]


def _count_leaks(leaks: Sequence[Leak]) -> str:
    """Such as "7 identities and 1 lookalike"."""
    alike = sum(leak.kind == "lookalike" for leak in leaks)
    counts = {"identity": len(leaks) - alike, "lookalike": alike}
    plural = {"identity": "identities", "lookalike": "lookalikes"}
    said = [f"{count:,} {name if count == 1 else plural[name]}" for name, count in counts.items() if count]
    return " and ".join(said)


def percent(part: int, whole: int) -> str:
    """A share for people: "0%", "<0.1%", "3.4%", "57%"; "–" of nothing."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1%"
    return f"{share:.1f}%" if 0 < share < 10 else f"{share:.0f}%"
