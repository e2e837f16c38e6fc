"""Running builders over units of work with Beam: the one graph that every stage shares.

`CreateUnits | GroupByKey | Build`: descriptors are shuffled, never pixels; a builder commits its
result with a sidecar, so that a unit that is run again (a retry, a duplicate, a rerun) changes nothing.
"""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import apache_beam as beam
import cv2
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipelines import logs, metrics, portable, publish, status_file, watchdog
from pipelines.lease import Lease, claim
from pipelines.observing import Observed
from pipelines.progress import progress
from pipelines.units import MOST, CreateUnits, Item, Units, handed_out
from schemas.errors import StoppedError, UsageError
from schemas.outcome import Outcome

# Bytes of the workers' own words that are shown when a run fails.
_WORDS = 8000
# What Beam adds to an exception's text.
_WHERE = re.compile(r" \[while running '[^']*'\]\s*\Z")


class Builder(Protocol):
    """What a stage does with the units of one key; must be picklable before `setup`."""

    def setup(self) -> None:
        """Called once a worker, before `build`."""

    def build(self, key: str, units: Sequence[Any], lease: Lease) -> Iterable[Outcome]:
        """Make and commit the result of a key; `lease.check` comes before every file that is put in place."""

    def teardown(self) -> None:
        """Called once a worker, after the last `build`."""


@dataclass(frozen=True)
class Work:
    """One unit.

    Attributes:
      key: result that the unit belongs to.
      digest: of all that the result depends on, as in its sidecar.
      unit: what `Builder.build` gets; small, and of an importable class.
      cost: of the unit, in any measure; keys with most cost start first.
    """

    key: str
    digest: str
    unit: Any
    cost: float = 1.0


class _BuildKey(beam.DoFn):
    def __init__(self, builder: Builder, lease: Lease):
        self._builder, self._lease = builder, lease

    def setup(self) -> None:
        cv2.setNumThreads(1)
        self._builder.setup()

    def process(self, element: tuple[str, Iterable[tuple[str, Any]]]) -> Iterator[Outcome]:
        key, members = element[0], list(element[1])
        self._lease.check()
        # A runner that lost a worker gives the same keys again, those that were finished among them.
        sidecar = publish.read_sidecar(self._lease.folder, key)
        if sidecar is not None and sidecar.digest == members[0][0]:
            outcomes: Iterable[Outcome] = sidecar.outcomes
        else:
            outcomes = self._builder.build(key, [unit for _, unit in members], self._lease)
        for outcome in outcomes:
            metrics.count(outcome)
            yield outcome

    def teardown(self) -> None:
        self._builder.teardown()


def _costs(work: Sequence[Work]) -> dict[str, float]:
    """Cost of each key."""
    costs: dict[str, float] = {}
    for item in work:
        costs[item.key] = costs.get(item.key, 0.0) + item.cost
    return costs


def longest_first(work: Sequence[Work]) -> Iterator[Item]:
    """What is shuffled: keys with most cost come first, so that no long one is left to the end."""
    cost = _costs(work)
    for item in sorted(work, key=lambda item: (-cost[item.key], item.key)):
        yield item.key, (item.digest, item.unit)


@dataclass
class BuildAll(beam.PTransform):
    """Build the results of all keys; gives the outcomes."""

    units: Units
    builder: Builder
    lease: Lease

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Apply to the pipeline itself."""
        return (
            pipeline
            | "CreateUnits" >> CreateUnits(self.units, self.lease)
            | "GroupByKey" >> beam.GroupByKey()
            | "Build" >> beam.ParDo(_BuildKey(self.builder, self.lease))
        )


def pipeline_options(beam_args: Sequence[str], keys: int) -> PipelineOptions:
    """Beam's options; without `--runner`, the embedded runner with a process a core.

    The runner is always named: a bare `DirectRunner` would try to download another one.
    """
    options = PipelineOptions(list(beam_args))
    standard, direct = options.view_as(StandardOptions), options.view_as(DirectOptions)
    if standard.runner is None:
        standard.runner = "FnApiRunner"
        if not any(flag.startswith(("--direct_running_mode", "--direct_num_workers")) for flag in beam_args):
            direct.direct_num_workers = 0
        if direct.direct_num_workers == 0:
            direct.direct_num_workers = max(1, min(len(os.sched_getaffinity(0)), keys))
        if direct.direct_num_workers > 1 and direct.direct_running_mode == "in_memory":
            direct.direct_running_mode = "multi_processing"
    return options


def run(work: Sequence[Work], builder: Builder, beam_args: Sequence[str], label: str, folder: Path) -> None:
    """Build the results of all keys; returns when all are committed or have failed.

    A result that is committed with its digest already is not built again.

    Args:
      work: the units; nothing is run where there are none.
      builder: what to do with them.
      beam_args: Beam's flags.
      label: what the progress line says.
      folder: of the results. Progress looks at them, so that it is right on every runner.

    Raises:
      StoppedError: if a worker process of the embedded runner died, a job of another runner failed, or
        another run claimed the folder.
      OSError: if a worker could not write.
      UsageError: as raised by a worker.
    """
    if not work:
        return
    costs = _costs(work)
    options = pipeline_options(beam_args, len(costs))
    embedded = options.view_as(StandardOptions).runner == "FnApiRunner"
    status = status_file.current()
    processes = embedded and options.view_as(DirectOptions).direct_running_mode == "multi_processing"
    with (
        claim(folder) as lease,
        _captured_stderr() as log,
        logs.said_to(log),
        progress(costs, label, folder, log, status.step(label) if status else None),
        contextlib.nullcontext() if embedded else portable.short_errors(),
        _named_errors(),
        handed_out(longest_first(work), lease, MOST) as units,
        logs.relayed() if processes else contextlib.nullcontext(logs.current()) as settings,
    ):
        graph = label >> BuildAll(units, Observed(builder, label, settings), lease)
        if processes:
            options.view_as(DirectOptions).direct_running_mode = "in_memory"
            result = watchdog.run(graph, options)
        elif not embedded:
            result = portable.run(graph, options)
        else:
            pipeline = beam.Pipeline(options=options)
            pipeline | graph
            result = pipeline.run()
            result.wait_until_finish()
        if status:
            status.add_metrics(metrics.read(result))


@contextlib.contextmanager
def _named_errors() -> Iterator[None]:
    """Make what a worker raised again: Beam adds to its text, or brings home no more than that.

    An `OSError` gets its number back; a `UsageError` and a `StoppedError` are their messages alone.
    """
    try:
        yield
    except (UsageError, StoppedError) as error:
        raise type(error)(_WHERE.sub("", str(error))) from None
    except RuntimeError as error:
        for kind in (UsageError, StoppedError):
            _, found, said = str(error).rpartition(f"{kind.__module__}.{kind.__name__}: ")
            if found:
                raise kind(_WHERE.sub("", said)) from None
        numbers = re.findall(r"Error: \[Errno (\d+)\]", str(error))
        if not numbers:
            raise
        number = int(numbers[-1])
        raise OSError(number, os.strerror(number)) from error


@contextlib.contextmanager
def _captured_stderr() -> Iterator[TextIO]:
    """Keep what Beam's workers say for the case that the run fails; gives the real stderr."""
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as captured, os.fdopen(real, "w") as log:
        os.dup2(captured.fileno(), 2)
        restore = True
        try:
            yield log
        except KeyboardInterrupt:
            restore = False  # Interrupted workers and their threads print pages of tracebacks.
            raise
        except (StoppedError, UsageError, OSError):
            raise  # They say it all.
        except BaseException:
            captured.seek(max(0, captured.seek(0, os.SEEK_END) - _WORDS))
            log.write(captured.read().decode("utf-8", "replace"))
            raise
        finally:
            sys.stderr.flush()
            if restore:
                os.dup2(real, 2)
