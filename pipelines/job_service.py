"""What a job service says of itself before it gets a job: that it answers, and which flags are its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from schemas.errors import UsageError

_ANSWER = 10.0  # seconds


@contextmanager
def _open(endpoint: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(_ANSWER)
        except grpc.FutureTimeoutError:
            raise UsageError(
                f"--job_endpoint={endpoint}: no job service answers there within {_ANSWER:.0f} s; start it, "
                "or give its host and port"
            ) from None
        yield channel


def check(options: PipelineOptions) -> None:
    """Return if the job service of some options answers, or they have none; Beam would wait for minutes.

    Raises:
      UsageError: if it does not.
    """
    endpoint = options.view_as(PortableOptions).job_endpoint
    if endpoint and endpoint != "embed":
        with _open(endpoint):
            pass


def refused(endpoint: str, flags: Sequence[str]) -> list[str]:
    """Those of some flags, which Beam's Python knows nothing of, that the job service does not know either.

    Raises:
      UsageError: if no job service answers.
    """
    with _open(endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        request = beam_job_api_pb2.DescribePipelineOptionsRequest()
        names: set[str] = set()
        with suppress(grpc.RpcError):  # Not every job service tells.
            answer = service.DescribePipelineOptions(request, timeout=_ANSWER)
            names = {option.name for option in answer.options}
    left, known = [], False
    for flag in flags:
        if flag.startswith("--"):
            known = flag.removeprefix("--").partition("=")[0] in names
        if not known:
            left.append(flag)
    return left
