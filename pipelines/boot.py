"""A worker process that a runner starts itself (`--environment_type=PROCESS`): no container, no pool.

Beam's own start program is part of its container images. This speaks the same protocol: `lae-worker --id=…
--provision_endpoint=…`, as runners call the command of `--environment_config`.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

from pipelines import leash

_ANSWER = 60.0  # seconds


def main(argv: Sequence[str] | None = None) -> None:
    """The command line: works until the runner ends, or ends this process."""
    leash.end_with_parent()
    parser = argparse.ArgumentParser("lae-worker", description=__doc__)
    parser.add_argument("--id", required=True, help="of the worker")
    parser.add_argument("--provision_endpoint", required=True, help="of the runner, which tells the others")
    arguments, _ = parser.parse_known_args(argv)
    with grpc.insecure_channel(arguments.provision_endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        info = service.GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(),
            metadata=[("worker_id", arguments.id)],
            timeout=_ANSWER,
            wait_for_ready=True,
        ).info
    os.environ |= {
        "WORKER_ID": arguments.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
