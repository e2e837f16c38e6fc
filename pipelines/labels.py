"""The label stage: what people, or an oracle, answered to label requests."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipelines.annotation import label_studio_export
from pipelines.annotation.drop import open_drop
from pipelines.annotation.ingest import ANNOTATIONS, DRAWN, LABELS, MASKS, Ingested, ingest
from pipelines.annotation.label_studio import LabelStudio
from pipelines.annotation.label_studio_client import connect
from pipelines.annotation.oracle import open_oracle
from pipelines.annotation.question import Requests, read_requests
from pipelines.annotation.source import Source
from schemas import files, program
from schemas.errors import UsageError
from schemas.label import Label
from schemas.params_file import read_params
from schemas.params_training import LabelParams
from schemas.paths import as_path, inside, is_url, local

# To be raised when the same input gives other labels.
VERSION = 2

_DESCRIPTION = """
Take the answers to label requests, check each, and write what trains.

Answers come from one of
  oracle:WORK/shards          the shards' own difference masks; --from repeats for more folders
  folder:DIR                  masks that people painted: DIR/REQUEST_ID.png or DIR/ANNOTATOR/REQUEST_ID.png,
                              white on black; all black means authentic
  label-studio:http://…       a Label Studio server; the first run makes the project and pushes crops and
                              proposals, every run pulls what is answered. Its token: $LABEL_STUDIO_API_KEY
  label-studio:EXPORT.json    its JSON export, offline; OUT/export.json is one
A bad answer is a row with its reason, never an error. Nothing waits for people: run it again for what is new.
"""
_EPILOG = """
Examples:
  python -m pipelines.labels --requests WORK/requests/r1 --out WORK/labels/r1 --from oracle:WORK/shards
  python -m pipelines.labels --requests WORK/requests/r1 --out WORK/labels/r1 --from label-studio:http://127.0.0.1:8080

Exit codes: 0 done, however many are answered; 1 stopped (a full disk, a server that failed): run again; 2 bad
usage, a server that cannot be reached or does not take the token.
"""
_FORMS = "oracle:FOLDER, folder:DIR, label-studio:http://HOST:PORT or label-studio:EXPORT.json"


def open_source(
    given: Sequence[str], requests: Requests, annotators: int | None
) -> tuple[Source, list[Path]]:
    """The source that was named, and the folders that it reads.

    Raises:
      UsageError: if it is not one, or cannot be used.
    """
    kinds = {text.partition(":")[0] for text in given}
    places = list(dict.fromkeys(text.partition(":")[2] for text in given))
    kind = next(iter(kinds))
    if len(kinds) > 1 or kind not in ("oracle", "folder", "label-studio") or not all(places):
        raise UsageError(f"--from {' --from '.join(given)}: give one kind of {_FORMS}")
    if len(places) > 1 and kind != "oracle":
        raise UsageError(f"--from {kind}: {len(places)} times; only oracle: may be given for several folders")
    if annotators is not None and (kind != "label-studio" or annotators < 1):
        raise UsageError(f"--annotators {annotators}: at least 1, and for a Label Studio server alone")
    if kind == "oracle":
        folders = [_path(place, kind) for place in places]
        return open_oracle(folders, requests), folders
    if kind == "folder":
        folder = _path(places[0], kind)
        return open_drop(folder, requests), [folder]
    if places[0].startswith(("http://", "https://")):
        return LabelStudio(connect(places[0].rstrip("/")), requests, annotators), []
    return label_studio_export.open_export(_path(places[0], kind), requests), []


def _path(place: str, kind: str) -> Path:
    if kind == "oracle" and is_url(place):
        return as_path(place)
    # A shell leaves ~ alone where it does not begin a word.
    try:
        return local(place).expanduser()
    except RuntimeError:
        raise UsageError(f"--from {kind}:{place}: there is no such user; write the path in full") from None


def _check_params(params: LabelParams) -> None:
    for name, value in (("agreement", params.agreement), ("outside", params.outside)):
        if not 0 <= value <= 1:
            raise UsageError(
                f"labels.{name} is {value:g}; it is a share, 0 to 1 (0.6 for 60%): correct the parameters"
            )


def _check_out(out: Path, folders: Sequence[Path], requests: Requests, source: Source) -> None:
    """Refuse a folder where somebody's work would be overwritten."""
    for folder in (requests.folder, *folders):
        if inside(out, folder):
            raise UsageError(f"--out {out}: inside {folder}, which is read; give another folder")
        for name in (DRAWN, MASKS):
            if inside(folder, out / name):
                raise UsageError(
                    f"--out {out}: {folder}, which is read, lies in its {name}/, which is written; give "
                    "another folder"
                )
    # Every mask of ours is made of something drawn.
    if any((out / MASKS).glob("*.png")) and not (out / DRAWN).exists():
        raise UsageError(f"--out {out}: its {MASKS}/ is not of this stage; give another folder")
    export = out / label_studio_export.NAME
    if export.exists() and not isinstance(source, LabelStudio | label_studio_export.Export):
        raise UsageError(f"{export}: answers of people are kept there; give another --out")
    table = out / LABELS
    before: list[Label] = files.read_rows(table, Label) if table.exists() else []
    others = {label.source for label in before if label.annotations} - {source.by}
    if others:
        raise UsageError(
            f"{table}: holds labels of source {others.pop()!r}, these are {source.by!r}; give another --out"
        )
    if before and not any(label.request_id in requests.by_id for label in before):
        raise UsageError(
            f"{table}: holds labels of other requests than {requests.folder}; give another --out"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = program.make_parser("pipelines.labels", _DESCRIPTION, _EPILOG)
    parser.add_argument(
        "--requests",
        type=local,
        required=True,
        metavar="FOLDER",
        help="folder that training.request made",
    )
    parser.add_argument(
        "--from",
        dest="given",
        action="append",
        required=True,
        metavar="SOURCE",
        help=f"where answers are: {_FORMS}",
    )
    parser.add_argument("--out", type=local, required=True, metavar="FOLDER", help="folder of the labels")
    parser.add_argument(
        "--annotators",
        type=int,
        metavar="N",
        help="how many people Label Studio asks about each crop (default: 1)",
    )
    arguments = parser.parse_args(argv)
    params = read_params(arguments.params).labels
    _check_params(params)
    requests = read_requests(arguments.requests)
    source, folders = open_source(arguments.given, requests, arguments.annotators)
    _check_out(arguments.out, folders, requests, source)
    with files.exclusive(arguments.out):
        files.remove_parts(arguments.out)
        found = ingest(source.answers(arguments.out), requests, source.by, arguments.out, params)
    _say(found, source, arguments.out)
    return program.WHOLE


def _say(found: Ingested, source: Source, out: Path) -> None:
    states = Counter(label.state for label in found.labels)
    said = ", ".join(
        f"{states[state]} {state}" for state in ("labelled", "skipped", "rejected", "disputed", "waiting")
    )
    print(f"{out}: {len(found.labels)} requests: {said}")
    counts = Counter(row.status for row in found.annotations)
    said = ", ".join(f"{counts[status]} {status}" for status in ("accepted", "rejected", "superseded"))
    print(f"{len(found.annotations)} answers: {said}")
    bad = [row for row in found.annotations if row.status == "rejected"]
    for reason, count in sorted(Counter(row.reason for row in bad).items()):
        example = next(row for row in bad if row.reason == reason)
        print(
            f"  {reason}: {count}, such as request {example.request_id} by {example.annotator}: "
            f"{example.detail}"
        )
    _say_proposals(found, out / label_studio_export.NAME)
    print(f"see {out / LABELS} and {out / ANNOTATIONS}")
    for note in source.notes(states["waiting"]):
        print(note)


def _say_proposals(found: Ingested, export: Path) -> None:
    if not export.exists():
        return
    shown = label_studio_export.proposals(label_studio_export.read_export(export))
    counted = [row for row in found.annotations if row.status == "accepted" and row.request_id in shown]
    counts = Counter(shown[row.request_id] for row in counted)
    if not counts:
        return
    untouched = sum(row.origin == "prediction" for row in counted)
    print(
        f"  the model's proposal was shown to {counts['shown']} accepted answers ({untouched} are it, "
        f"untouched), hidden from {counts['hidden']}, empty for {counts['empty']}"
    )


if __name__ == "__main__":
    program.run_main("pipelines.labels")
