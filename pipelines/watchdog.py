"""Worker processes of the embedded runner that end with their run, and a run that ends with its workers.

Left to itself, Beam's FnApiRunner waits for ever for a worker that was killed (as the kernel does for want of
memory), and a worker whose run was killed goes on writing.
"""

import contextlib
import queue
import shlex
import sys
import threading
import time
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from pipelines import leash
from schemas.errors import StoppedError

# Beam's name for the thread that waits for a worker process, and raises if that ends otherwise than well.
_WAITS_FOR_WORKER = "run_worker"
# Those that read from one, and raise when that is no longer there.
_READS_FROM_WORKER = ("beam_control_read", "read_grpc_client_inputs")
# Seconds in which the error of a graph is waited for after a worker ended.
_GRACE = 5.0


class _DiedError(RuntimeError):
    """A worker ended otherwise than well, and was not killed."""


def run(graph: beam.PTransform, options: PipelineOptions) -> PipelineResult:
    """Run a graph in worker processes; returns when it is done, with Beam's result.

    Args:
      graph: applied to a pipeline under its own label.
      options: Beam's; `direct_num_workers` is the number of processes, `direct_running_mode` must be
        "in_memory", since another mode would start Beam's own workers.

    Raises:
      StoppedError: if a worker process was killed. No worker is left then.
      Exception: what the graph raised, or that a worker died otherwise.
    """
    ended: queue.SimpleQueue[BaseException | PipelineResult] = queue.SimpleQueue()
    listener, name = leash.listen()
    with listener, _deaths(ended):
        command = f"exec {shlex.quote(sys.executable)} -m pipelines.worker {name}"
        runner = FnApiRunner(SubprocessSDKEnvironment.from_command_string(command))
        pipeline = beam.Pipeline(runner=runner, options=options)
        pipeline | graph

        def work() -> None:
            try:
                result = pipeline.run()
                result.wait_until_finish()
            except BaseException as error:
                ended.put(error)
            else:
                ended.put(result)

        # A daemon, because Beam does not return from `run` once a worker has died.
        threading.Thread(target=work, daemon=True).start()
        end = ended.get()
        if isinstance(end, _DiedError):
            # Most often the graph raised, and Beam is about to say so.
            with contextlib.suppress(queue.Empty):
                end = ended.get(timeout=_GRACE)
    if isinstance(end, BaseException):
        _hear_out()
        raise end
    return end


def _hear_out() -> None:
    """Let Beam's threads, whose workers have ended with the listener, say what they say to that."""
    until = time.monotonic() + _GRACE
    for thread in threading.enumerate():
        if thread.name in (_WAITS_FOR_WORKER, *_READS_FROM_WORKER):
            thread.join(max(0.0, until - time.monotonic()))


@contextlib.contextmanager
def _deaths(ended: "queue.SimpleQueue[BaseException | PipelineResult]") -> Iterator[None]:
    """Report the end of a worker process while the block runs."""
    usual = threading.excepthook

    def notice(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is not None and arguments.thread.name == _WAITS_FOR_WORKER:
            ended.put(_explain(arguments.exc_value))
        else:
            usual(arguments)

    threading.excepthook = notice
    try:
        yield
    finally:
        threading.excepthook = usual


def _explain(error: BaseException | None) -> Exception:
    """What to raise for the end of a worker: what others did to it, or what it did."""
    if str(error).endswith((" -9", " -15")):
        return StoppedError(
            "a worker process was killed, most often for want of memory; what is finished is kept: run "
            "again, with fewer workers if it comes again, such as --direct_num_workers=1"
        )
    return _DiedError(f"a worker process died; what is finished is kept, and a rerun continues: {error}")
