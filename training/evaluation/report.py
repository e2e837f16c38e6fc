"""What an evaluation writes: metrics.json, evaluation.json, predictions.parquet, plots, one page."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from schemas import files
from schemas.run import Run
from training.evaluation import localisation, page, pictures, words
from training.evaluation.figures import LEAST, Figure, Part
from training.evaluation.found import Evaluation
from training.evaluation.pictures import Picture
from training.evaluation.plots import plot_methods, plot_reliability, plot_roc, plot_scores

_OVERALL = ("all", "seen", "unseen")
_SEED_FIGURES = {
    "AUC by frame": ("frame", "auc"),
    "AUC by clip": ("clip", "auc"),
    "balanced accuracy": ("frame", "balanced_accuracy"),
    "IoU": ("mask", "iou"),
    "pixel AUC": ("mask", "pixel_auc"),
    "outside": ("mask", "outside"),
}
# Figures of single methods and compressions in `metrics.json`; `evaluation.json` has all.
_SINGLE = ("auc", "iou", "outside")
_PREDICTIONS = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("key", "dataset", "group", "clip", "method", "compression", "label", "split")
        ),
        *((name, pa.int64()) for name in ("track", "frame")),
        *((name, pa.float32()) for name in ("real", "fake", "score")),
    ]
)


def flat(found: Evaluation) -> dict[str, float | int | None]:
    """Figures for `metrics.json`: `auc`, `auc_low`, `auc_group_low`, `clip_auc`, `iou_method_Deepfakes`."""
    frames = found.frames
    values: dict[str, float | int | None] = {
        "images": len(frames),
        "images_lost": found.lost,
        "images_fake": int(frames.is_fake.sum()),
        "clips": len(frames.drop_duplicates(["dataset", "clip", "track"])),
        "ece": found.calibration.ece if found.calibration else None,
        "brier": found.calibration.brier if found.calibration else None,
    }
    for part in found.parts:
        if part.level == "mask" and part.kind == "all":
            values |= {"masks": part.fake, "masks_unknown": part.unknown, "maps_blank": part.blank}
        prefix = "clip_" if part.level == "clip" else ""
        suffix = {"all": ""}.get(part.kind, f"_{part.kind}")
        suffix += f"_{part.name}" if part.kind in ("method", "compression", "dataset") else ""
        for name, figure in part.figures.items():
            key = f"{prefix}{name}{suffix}"
            if part.kind in (*_OVERALL, "real"):
                values |= {key: figure.value, f"{key}_low": figure.low, f"{key}_high": figure.high}
                values |= {f"{key}_group_low": figure.group_low, f"{key}_group_high": figure.group_high}
            elif name in _SINGLE:
                values[key] = figure.value
    return values


def details(found: Evaluation) -> dict[str, Any]:
    """Everything for `evaluation.json`."""
    calibration = found.calibration and {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(found.calibration).items()
    }
    return _plain(
        {
            "run": {"name": found.name, **_about(found.run)},
            "shards": list(found.shards),
            "split": found.split,
            "where": found.where,
            "digest": found.digest,
            "params": dataclasses.asdict(found.params),
            "seen": sorted(found.seen),
            "lost": found.lost,
            "parts": [dataclasses.asdict(part) for part in found.parts],
            "calibration": calibration,
            "seeds": {
                "runs": [{"name": name, **_about(run)} for name, run in found.runs],
                "figures": [
                    dict(zip(("level", "kind", "name", "figure"), key, strict=True)) | vars(seeds)
                    for key, seeds in found.seeds.items()
                ],
            },
        }
    )


def _about(run: Run) -> dict[str, Any]:
    names = (
        *("round", "stage", "where", "images", "requested", "labelled", "sources"),
        *("best_epoch", "model_sha256"),
    )
    return {name: getattr(run, name) for name in names} | {"seed": run.train.seed}


def _plain(value: Any) -> Any:
    """The same with None for nan, which JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def write(out: Path, found: Evaluation, galleries: Mapping[str, Sequence[Picture]]) -> None:
    """Write all files, the page last; the same bytes for the same findings."""
    table = pa.Table.from_pandas(found.frames[_PREDICTIONS.names], _PREDICTIONS, preserve_index=False)
    files.write_tables(out / "predictions.parquet", _PREDICTIONS, [table.replace_schema_metadata(None)])
    methods = [part.name for part in found.parts if (part.level, part.kind) == ("frame", "method")]
    plots = [
        plot_roc(found.frames, methods),
        plot_scores(found.frames, found.seen),
        plot_methods(found.parts, found.seen),
        plot_reliability(found.calibration),
    ]
    for plot in plots:
        with files.atomic_write(out / "plots" / f"{plot.name}.png") as file:
            file.write(plot.light)
    files.write_json(out / "evaluation.json", details(found))
    files.write_json(out / "metrics.json", flat(found))
    html = page.render(
        "evaluation.html.j2",
        found=found,
        headline=headline(found),
        rows=_rows(found),
        plots={plot.name: plot for plot in plots},
        galleries=galleries,
        methods=methods,
        shown=Shown(),
        outline="#{:02x}{:02x}{:02x}".format(*pictures.OUTLINE),
        seed_table=_seed_table(found),
        threshold_off=_threshold_off(found),
        fakes=found.frames.is_fake.mean(),
        least=LEAST,
        masks_by=words.masks_by(found.run.sources),
        groups=len(found.frames.drop_duplicates(["dataset", "group"])),
    )
    with files.atomic_write(out / "evaluation.html") as file:
        file.write(html)


class Shown:
    """How figures are written out."""

    def value(self, figure: Figure | None) -> str:
        """The value, or a dash."""
        return "–" if figure is None or figure.value is None else f"{figure.value:.3f}"

    def range(self, figure: Figure | None) -> str:
        """Its interval over clips; why there is none."""
        return "" if figure is None else _span(figure.low, figure.high, figure.reason)

    def groups(self, figure: Figure | None) -> str:
        """Its interval over source groups; why there is none."""
        return "" if figure is None else _span(figure.group_low, figure.group_high, figure.group_reason)


def _span(low: float | None, high: float | None, reason: str) -> str:
    return reason if low is None or high is None else f"{low:.3f} to {high:.3f}"


def headline(found: Evaluation) -> list[tuple[str, str, str]]:
    """Name, value and interval over source groups of each headline number."""
    wanted = [
        ("AUC by frame", "frame", "all", "auc"),
        ("AUC by clip", "clip", "all", "auc"),
        ("AUC, seen methods", "frame", "seen", "auc"),
        ("AUC, unseen methods", "frame", "unseen", "auc"),
        ("Balanced accuracy", "frame", "all", "balanced_accuracy"),
        ("Equal error rate", "frame", "all", "eer"),
        ("Attention IoU", "mask", "all", "iou"),
        ("Attention outside", "mask", "all", "outside"),
    ]
    lines, shown = [], Shown()
    for title, level, kind, name in wanted:
        part = found.part(level, kind)
        figure = part.figures[name] if part else None
        lines.append((title, shown.value(figure), shown.groups(figure)))
    return lines


def _rows(found: Evaluation) -> dict[str, list[dict[str, Any]]]:
    """Rows of the page's tables: a part by frame, and the same by clip; and the localisation's."""
    rows: dict[str, list[dict[str, Any]]] = {"detection": [], "other": [], "mask": []}
    for part in found.parts:
        seen = ("seen" if part.name in found.seen else "unseen") if part.kind == "method" else ""
        row = {"part": part, "seen": seen, "clip": found.part("clip", part.kind, part.name)}
        if part.level == "mask":
            rows["mask"].append(row)
        elif part.level == "frame":
            rows["other" if part.kind in ("compression", "dataset") else "detection"].append(row)
    return rows


def _seed_table(found: Evaluation) -> dict[str, Any]:
    """The page's table over seeds: a row for some fakes, a column for a figure."""
    rows = []
    for row in _rows(found)["detection"]:
        kind, name = row["part"].kind, row["part"].name
        cells = [found.seeds.get((level, kind, name, figure)) for level, figure in _SEED_FIGURES.values()]
        rows.append((f"{name} methods" if kind in _OVERALL else name, cells))
    return {"titles": list(_SEED_FIGURES), "rows": rows}


def _threshold_off(found: Evaluation) -> tuple[float, float] | None:
    """Balanced accuracy at equal errors, and with the rule, where that is worse by a tenth or more."""
    part = found.part("frame", "all")
    eer, balanced = (part.figures[name].value if part else None for name in ("eer", "balanced_accuracy"))
    if eer is None or balanced is None or 1 - eer - balanced < 0.1:
        return None
    return 1 - eer, balanced


def lines(found: Evaluation) -> list[str]:
    """A short table for a terminal."""
    shown = Shown()
    interval = f"{100 * found.params.confidence:g}% interval of the AUC over source groups"
    text = [f"{'':24} {'AUC':>6} {'EER':>6} {'bACC':>6} {'ACC':>6} {'clips':>6}   {interval}"]
    for row in _rows(found)["detection"]:
        part: Part = row["part"]
        name = f"{part.name[:17]} {row['seen']}".strip()
        values = (
            shown.value(part.figures[figure]) for figure in ("auc", "eer", "balanced_accuracy", "accuracy")
        )
        text.append(
            f"{name:24} {' '.join(f'{value:>6}' for value in values)} {part.clips:>6,}   "
            f"{shown.groups(part.figures['auc'])}"
        )
    mask = found.part("mask", "all")
    if mask:
        values = (f"{name} {shown.value(mask.figures[name])}" for name in localisation.FIGURES)
        text.append(f"attention of {mask.fake:,} fakes with a known mask: {', '.join(values)}")
        if mask.blank:
            text.append(f"  {mask.blank:,} of them have no attention anywhere, and count as without a clue")
    return text
