"""The graph that any of Beam's runners gets: nothing but what all of them do alike."""

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.portability.common_urns import primitives
from apache_beam.runners.portability.portable_runner import PortableRunner

from pipelines.engine import BuildAll, pipeline_options
from pipelines.lease import Lease
from pipelines.units import Units
from pipelines.verification import VerifyBuilder

FLAGS = {
    "FlinkRunner": ["--flink_master=host:8081", "--parallelism=64", "--flink_submit_uber_jar"],
    "SparkRunner": ["--spark_master_url=spark://host:7077", "--environment_type=PROCESS"],
    "DataflowRunner": ["--project=p", "--region=europe-west4", "--temp_location=gs://b/t"],
    "PrismRunner": ["--environment_type=LOOPBACK"],
}
ALLOWED = {primitives.IMPULSE.urn, primitives.PAR_DO.urn, primitives.GROUP_BY_KEY.urn}


@pytest.mark.parametrize("runner", FLAGS)
@pytest.mark.parametrize(
    "units",
    [Units(tuple((f"key{n}", ("digest", n)) for n in range(100)), ()), Units((), ("first", "second"))],
    ids=["in the graph", "in files"],
)
def test_the_graph_holds_nothing_that_a_runner_may_lack(runner, units):
    options = pipeline_options([f"--runner={runner}", *FLAGS[runner]], 100)
    assert options.view_as(StandardOptions).runner == runner
    pipeline, out = beam.Pipeline(runner="FnApiRunner"), Path("/out")
    pipeline | "shard" >> BuildAll(units, VerifyBuilder(out), Lease(out, "run"))
    graph = PortableRunner.get_proto_pipeline(pipeline, options)
    leaves, kinds = set(graph.components.pcollections), set()
    for transform in graph.components.transforms.values():
        leaves -= set(transform.inputs.values())
        if not transform.subtransforms:
            kinds.add(transform.spec.urn)
        if transform.spec.urn == primitives.PAR_DO.urn:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            assert not payload.state_specs
            assert not payload.timer_family_specs
            assert not payload.side_inputs
            assert not payload.requests_finalization
            assert len(transform.outputs) == 1
    assert kinds == ALLOWED
    assert len(leaves) == 1
