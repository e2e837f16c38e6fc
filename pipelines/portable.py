"""Running a graph through a job service (of Flink, Spark, Beam itself): its job ends with the command.

A job lives on its cluster: nothing there ends because this process does, and what its workers raise comes
home as text, in pages of traces of two languages.
"""

import contextlib
import re
import signal
import threading
from collections.abc import Iterator

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from pipelines import job_service
from pipelines.cancelling import cancel
from schemas.errors import StoppedError

# Characters of a cause that are shown.
_LONG = 400
# The line of a Python trace that says what was raised, and those of Java's.
_PYTHON = re.compile(r"^([\w.]*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b.*)", re.MULTILINE)
_JAVA = re.compile(r"^(?:Caused by: )?(?:[a-z]\w*\.)+([A-Z][\w$]*(?:: .*)?)$", re.MULTILINE)
# What Beam puts before all that a job service says.
_BEFORE = re.compile(r"^Pipeline \S+ failed in state \w+: ")
# Of Beam's job service, and of Flink's.
_CANCELLED = (f"failed in state {PipelineState.CANCELLED}", "JobCancellationException: Job was cancelled")


def run(graph: beam.PTransform, options: PipelineOptions) -> PipelineResult:
    """Run a graph as a job; returns when it is done, what there is to know of it.

    Raises:
      UsageError: if no job service answers at the endpoint.
      StoppedError: if the job was cancelled on its cluster.
      RuntimeError: if it failed; with all that was said.
      KeyboardInterrupt: at Ctrl-C or SIGTERM, after the job was cancelled.
    """
    job_service.check(options)
    pipeline = beam.Pipeline(options=options)
    pipeline | graph
    with _terminable():
        result = pipeline.run()
        try:
            result.wait_until_finish()
        except KeyboardInterrupt:
            cancel(result, options)
            raise
        except RuntimeError as error:
            if any(words in str(error) for words in _CANCELLED):
                raise StoppedError("the job was cancelled; what is finished is kept: run again") from None
            raise
    return result


@contextlib.contextmanager
def short_errors() -> Iterator[None]:
    """Make a job's failure that has no name of its own a `StoppedError` with its cause."""
    try:
        yield
    except RuntimeError as error:
        raise StoppedError(
            f"the job failed: {_cause(str(error))}; what is finished is kept: run again. The runner's own "
            "pages and logs have the rest"
        ) from None
    except grpc.RpcError as error:
        said = error.details() if isinstance(error, grpc.Call) else str(error)
        raise StoppedError(
            f"the job service went away ({said}); what is finished is kept: start it, see that the job has "
            "ended on its cluster, and run again"
        ) from None


def _cause(text: str) -> str:
    """What was raised first: by Python if it was, by Java if not."""
    text = _BEFORE.sub("", text)
    found = _PYTHON.findall(text) or _JAVA.findall(text)
    said = found[-1] if found else text.strip().splitlines()[-1]
    return said if len(said) <= _LONG else f"{said[:_LONG]} ..."


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM interrupt the block as Ctrl-C does, for it has a job to cancel."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
