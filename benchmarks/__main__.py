"""How fast the whole is: one table of ratios and a plot.

    python -m benchmarks --work FOLDER --out FOLDER [--quick] [--rounds N] [--scaling] [--memory] [--loader]

Films 720p clips (one real and four fakes a group, each raw, c23 and c40; kept in --work), runs index, track
and shard on them as a user does, and prints processor time beside the floor of decoding and encoding, part by
part; then Beam beside a plain loop over the same units. --scaling adds two workers beside
`multiprocessing.Pool(2)`, --memory peak memory at 10 s and 10 min of video, --loader the training loader
beside webdataset's own (needs torch). --quick takes short clips and fewer cases: no more than a check.
Everything is written to --out as figures.json and speed.png.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import speed_report
from benchmarks.engine_cost import ONE, WAYS, compare
from benchmarks.pipeline import CASES, GROUPS, Cost, measure_case, measure_memory
from benchmarks.pipeline_clips import make_corpus
from benchmarks.pipeline_runs import Stages

_QUICK_FRAMES, _QUICK_CASES, _QUICK_UNITS = 60, CASES[:1] + CASES[3:], 4
_UNITS = 12


def _measure_cases(options: argparse.Namespace, frames: int) -> dict[str, list[Cost]]:
    tree = make_corpus(options.work, frames, GROUPS)
    found: dict[str, list[Cost]] = {}
    for case in _QUICK_CASES if options.quick else [CASES[number - 1] for number in options.cases]:
        found[case.name] = [measure_case(options.work, tree, case) for _ in range(options.rounds)]
        title = f"{case.name}: {found[case.name][0].samples} samples of clips of {frames} frames"
        speed_report.show(title, speed_report.case_rows(found[case.name]))
    return found


def _measure_engine(options: argparse.Namespace, frames: int, units: int, ways: tuple[str, ...]) -> Any:
    tree, folder = make_corpus(options.work, frames, units), options.work / "engine"
    stages = Stages(folder, tree, ["c23"], 32)
    stages.index(1)
    stages.track(2)
    found = compare(folder, ways, options.rounds)
    speed_report.show("the engine, 32 even frames, c23 alone", speed_report.engine_rows(found))
    return found


def _measure_loader(options: argparse.Namespace) -> str:
    """What `benchmarks.loader` says of the shards of the last case."""
    shards = str(options.work / "case" / "shards")
    command = [sys.executable, "-m", "benchmarks.loader", "--shards", shards, "--workers", "1"]
    rounds = ["--rounds", str(1 if options.quick else 7)]
    said = subprocess.run([*command, *rounds], stdout=subprocess.PIPE, check=True, text=True).stdout
    print(f"\nthe training loader\n{said}", flush=True)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for clips and results")
    parser.add_argument("--out", type=Path, required=True, help="folder of figures.json and speed.png")
    parser.add_argument("--quick", action="store_true", help="small clips: about 5 minutes on two free cores")
    parser.add_argument("--frames", type=int, default=300, help="frames of each clip (default: %(default)s)")
    numbers = range(1, len(CASES) + 1)
    said = ", ".join(f"{number}: {case.name}" for number, case in zip(numbers, CASES, strict=True))
    parser.add_argument("--cases", type=int, nargs="+", choices=numbers, default=[*numbers], help=said)
    parser.add_argument("--rounds", type=int, default=1, help="times that each is measured")
    parser.add_argument("--scaling", action="store_true", help="two workers against a pool of two")
    parser.add_argument("--units", type=int, default=_UNITS, help="shards of the engine's runs, even")
    parser.add_argument("--memory", action="store_true", help="peak memory at 10 s and at 10 min of video")
    parser.add_argument("--loader", action="store_true", help="the training loader; needs torch")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    frames = _QUICK_FRAMES if options.quick else options.frames
    if options.quick:
        print(f"Small clips, of {frames} frames: a check that all is well, and no figures to quote.")
    cases = _measure_cases(options, frames)
    figures: dict[str, Any] = {
        "cases": {name: [dataclasses.asdict(cost) for cost in costs] for name, costs in cases.items()}
    }
    if options.loader:
        figures["loader"] = _measure_loader(options)
    units = _QUICK_UNITS if options.quick else options.units
    figures["engine"] = _measure_engine(options, frames, units, tuple(WAYS) if options.scaling else ONE)
    if options.memory:
        figures["memory"] = measure_memory(options.work)
        rows = [
            (name, ", ".join(f"{kind} {most:.0f}" for kind, most in peaks.items()))
            for name, peaks in figures["memory"].items()
        ]
        speed_report.show("peak memory, MiB", rows)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (options.out / "speed.png").write_bytes(speed_report.plot(cases))
    print(f"\n{options.out}: figures.json, speed.png; {(time.monotonic() - begin) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
