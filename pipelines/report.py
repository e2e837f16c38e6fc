"""Rendering of the audit: `metrics.json`, `plots/` and one self-contained `report.html`."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.corpus import Corpus
from pipelines.looks import Crop, show_leaks
from pipelines.pictures import Picture, example_pictures, worst_pictures
from pipelines.remedies import remedy
from pipelines.shard_folder import ShardFolder, image_member
from schemas import files
from schemas.errors import UsageError
from schemas.leak import Leak
from schemas.names import brace_form
from schemas.params import Params
from transforms.audit import plots, summary, tables
from transforms.audit.checks import TITLES, Check, percent
from transforms.audit.notes import count_notes
from transforms.audit.plots import Scheme
from transforms.audit.summary import Summary

_TEMPLATES = Path(__file__).parent / "templates"
_FINDINGS_SHOWN = 20
_SHARDS_SHOWN = 50


@dataclass(frozen=True)
class Plot:
    """A plot on light and on dark paper, with what it shows in words."""

    name: str
    alt: str
    light: bytes
    dark: bytes


def write_report(
    out: Path,
    corpus: Corpus,
    checks: Sequence[Check],
    leaked: Sequence[Leak],
    touched: dict[str, tuple[int, int]],
    params: Params,
    crops: Mapping[str, Crop],
) -> None:
    """Write everything but `leaks.parquet`; the same bytes for the same shards.

    Args:
      out: folder of the report.
      corpus: what the report is of.
      checks: what came of them.
      leaked: what is on more than one side.
      touched: clips of each split that a leak touches, and all of them.
      params: all parameters.
      crops: where the samples of lookalikes are, by their keys.
    """
    made = summary.summarise(corpus.samples, corpus.masks)
    figures = _figures(corpus, made, checks, leaked)
    drawn = _plots(corpus, made)
    examples = example_pictures(corpus, params.audit.gallery, params.mask)
    unknown, weak = worst_pictures(corpus, params.audit.gallery, params.mask)
    for plot in drawn:
        with files.atomic_write(out / "plots" / f"{plot.name}.png") as file:
            file.write(plot.light)
    for path in (out / "plots").glob("*.png"):
        if path.stem not in {plot.name for plot in drawn}:
            path.unlink()
    html = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=", ".join(dict.fromkeys(folder.dataset for folder in corpus.folders)),
            units=sorted({folder.unit for folder in corpus.folders}),
            checks=checks,
            failed=[check for check in checks if not check.passed],
            figures=figures,
            headline=_headline(figures),
            datasets=tables.mixture(summary.mix(corpus.samples)),
            balance=tables.balance(made.cells),
            sides=tables.sides(corpus.clips, made.cells, _entries(corpus)),
            quality=tables.quality(made),
            unknown=tables.unknown(made.kinds),
            agreements=tables.agreements(made),
            plots={plot.name: plot for plot in drawn},
            examples=_by_method(examples),
            unpictured=_unpictured(made, examples),
            worst_unknown=unknown,
            worst_known=weak,
            mask=params.mask,
            noted=count_notes(_outcomes(corpus)),
            fates=[(fate, remedy(fate.reason)) for fate in summary.fates(_outcomes(corpus))],
            **show_leaks(leaked, crops, params.audit.gallery),
            touched=touched,
            max_leaks=params.audit.max_leaks,
            shards=_shards(corpus),
            terms=[(folder.dataset, folder.terms) for folder in corpus.folders],
            reading=[(folder, *_reading(folder)) for folder in corpus.folders],
            findings_shown=_FINDINGS_SHOWN,
            light=plots.LIGHT,
            dark=plots.DARK,
        )
    )
    with files.atomic_write(out / "report.html") as file:
        file.write(html.encode("utf-8", "backslashreplace"))
    files.write_json(out / "metrics.json", figures)


def describe_report(out: Path) -> tuple[list[str], bool]:
    """The headline of a report that was written before, as lines for a terminal, and whether it passed.

    Raises:
      UsageError: if there is none.
    """
    path = out / "metrics.json"
    try:
        figures = json.loads(path.read_bytes())
        rows = _headline(figures)
        passed = {name: bool(figures[f"passed_{name}"]) for name in TITLES}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"--show {out}: no report in it; make it with --shards FOLDER --out {out}") from None
    lines = [f"{name:14} {value:>10}  {more}" for name, value, more in rows]
    lines += [f"{TITLES[name]:24} {'passed' if whole else 'FAILED'}" for name, whole in passed.items()]
    return [*lines, f"see {out / 'report.html'}"], all(passed.values())


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": human_bytes,
        "data_uri": _data_uri,
        "percent": lambda part: percent(*part),
    }
    return environment


def human_bytes(size: float) -> str:
    """A size for people, in powers of 1000: "12 kB", "3.4 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _data_uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"


def _outcomes(corpus: Corpus) -> list:
    return [outcome for folder in corpus.folders for outcome in folder.outcomes]


def _entries(corpus: Corpus) -> list:
    return [entry for folder in corpus.folders for entry in folder.entries]


def _figures(
    corpus: Corpus, made: Summary, checks: Sequence[Check], leaked: Sequence[Leak]
) -> dict[str, int | float]:
    clips = list(corpus.clips)
    passed = {f"passed_{check.name}": int(check.passed) for check in checks}
    return passed | summary.metrics(
        corpus.samples,
        corpus.masks,
        made.cells,
        groups=len({(clip.dataset, clip.group) for clip in clips}),
        identities=len({identity for clip in clips for identity in clip.identities}),
        leaks=leaked,
        outcomes=_outcomes(corpus),
        entries=_entries(corpus),
        findings={c.name: sum(f.count for f in c.findings) for c in checks if c.name != "leaks"},
    )


def _headline(figures: dict[str, int | float]) -> list[tuple[str, str, str]]:
    """Name, value and one word more of each headline number."""
    failed = sum(int(figures[f"{stage}_failed"]) for stage in ("index", "track", "shard"))
    count = {name: f"{value:,}" for name, value in figures.items() if isinstance(value, int)}
    straddling = int(figures["leaks"] - figures["lookalikes"])
    images = "" if figures["images"] == figures["samples"] else f"{count['images']} images"
    return [
        (
            "Samples",
            count["samples"],
            images or f"{count['samples_real']} real, {count['samples_fake']} fake",
        ),
        ("Clips", count["clips"], "with at least one sample"),
        ("Groups", count["groups"], "a real clip with its forgeries"),
        ("Identities", count["identities"], f"{straddling:,} on several sides"),
        ("Shards", count["shards"], f"largest is {figures['shard_imbalance']:.2f} × the mean in bytes"),
        ("Size", human_bytes(figures["bytes"]), "of tars"),
        (
            "Unknown masks",
            count["unknown_masks"],
            f"{percent(int(figures['unknown_masks']), int(figures['masks']))} of fakes",
        ),
        ("Failures", f"{failed:,}", "in index, track and shard"),
    ]


def _both(name: str, alt: str, draw: Any, *arguments: Any) -> Plot:
    def on(scheme: Scheme) -> bytes:
        return draw(*arguments, scheme)

    return Plot(name, alt, on(plots.LIGHT), on(plots.DARK))


def _plots(corpus: Corpus, made: Summary) -> list[Plot]:
    entries = _entries(corpus)
    drawn = [
        _both("balance", "Samples of each method, stacked by split", plots.plot_balance, made.cells),
        _both(
            "mask_kinds", "Share of each mask kind by method and compression", plots.plot_kinds, made.kinds
        ),
        _both(
            "shard_sizes", "Sizes of the shards, largest first, and their mean", plots.plot_shards, entries
        ),
    ]
    for figure in summary.FIGURES:
        alt = f"{plots.TITLES[figure]}: median, middle half and 5% to 95%, by method and compression"
        drawn.append(_both(f"mask_{figure}", alt, plots.plot_spread, made.spreads, figure))
    return drawn


def _by_method(pictures: Sequence[Picture]) -> dict[str, list[Picture]]:
    found: dict[str, list[Picture]] = {}
    for picture in pictures:
        found.setdefault(picture.method, []).append(picture)
    return found


def _unpictured(made: Summary, pictures: Sequence[Picture]) -> list[str]:
    """Methods and compressions that no picture shows: the galleries are bounded."""
    shown = {(picture.method, picture.compression) for picture in pictures}
    every = [(row.method, row.compression) for row in made.kinds]
    return [f"{method} {compression}" for method, compression in every if (method, compression) not in shown]


def _shards(corpus: Corpus) -> dict[str, Any]:
    entries = [(folder.dataset, entry) for folder in corpus.folders for entry in folder.entries]
    entries.sort(key=lambda item: (-item[1].bytes, item[0], item[1].url))
    sizes = [entry.bytes for _, entry in entries]
    return {
        "largest": entries[:_SHARDS_SHOWN],
        "left": max(0, len(entries) - _SHARDS_SHOWN),
        "mean": sum(sizes) / len(sizes) if sizes else 0,
        "max": max(sizes, default=0),
        "imbalance": summary.imbalance(sizes),
        "imbalance_samples": summary.imbalance([entry.samples for _, entry in entries]),
    }


def _reading(folder: ShardFolder) -> tuple[str, str]:
    """A brace pattern of the first split's shards, and the name of a sample's (first) image."""
    urls = [entry.url for entry in folder.entries] or ["train/example-000000.tar"]
    first = min(map(_split_of, urls))
    return brace_form(url for url in urls if _split_of(url) == first), image_member(folder)


def _split_of(url: str) -> int:
    return summary.split_rank(url.split("/")[0])
