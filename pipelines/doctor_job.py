"""The doctor's checks as a Beam job: every worker that it meets reports into the shared folder."""

import dataclasses
import json
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.doctor_checks import Report, examine
from pipelines.doctor_folders import visit
from pipelines.doctor_packages import Check, Wanted

# Keys for each worker that is asked for: the more, the surer each gets one, however the runner spreads them.
_KEYS = 16
_EXAMINED = threading.Lock()
_done: set[str] = set()


class _Examine(beam.DoFn):
    def __init__(self, wanted: Wanted, folder: Path, token: str):
        self._wanted, self._folder, self._token = wanted, folder, token

    def process(self, element: tuple[str, Iterable[int]]) -> Iterator[str]:
        with _EXAMINED:
            if self._token not in _done:
                _done.add(self._token)
                report = examine(self._wanted, self._folder, self._token)
                name = f"{report.host}-{report.pid}.json"
                if self._folder.is_dir():
                    part = self._folder / f".{name}"
                    part.write_text(json.dumps(dataclasses.asdict(report)))
                    part.replace(self._folder / name)
        yield f"{socket.gethostname()} {os.getpid()}"


def examine_workers(wanted: Wanted, out: Path, options: PipelineOptions, workers: int) -> list[Report]:
    """Check the workers of a job; gives a report of each process that built something.

    Args:
      wanted: what this process has.
      out: shared folder; nothing is left in it.
      options: Beam's.
      workers: how many there should be.

    Raises:
      Exception: what the job raised.
    """
    with visit(out) as (folder, token):
        pipeline = beam.Pipeline(options=options)
        (
            pipeline
            | "CreateKeys" >> beam.Create([(str(n), n) for n in range(_KEYS * workers)], reshuffle=False)
            | "GroupByKey" >> beam.GroupByKey()
            | "Examine" >> beam.ParDo(_Examine(wanted, folder, token))
        )
        pipeline.run().wait_until_finish()
        return [_read(path) for path in sorted(folder.glob("*-*.json"))]


def _read(path: Path) -> Report:
    row = json.loads(path.read_bytes())
    return Report(**{**row, "checks": tuple(Check(**check) for check in row["checks"])})
