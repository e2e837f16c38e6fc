"""What a dry run says of the cost of what would be done."""

from collections.abc import Mapping, Sequence

from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

from pipelines.engine import pipeline_options
from transforms.cost import StageCost

# Beam's flags that tell how many workers there are to be, on runners other than the embedded one.
_WORKERS = ("parallelism", "num_workers", "max_num_workers")


def describe_cost(cost: StageCost, beam_args: Sequence[str], keys: int) -> str:
    """One line: bytes, core hours, and hours on the workers that Beam's flags ask for.

    Args:
      cost: of the stage.
      beam_args: Beam's flags.
      keys: results that would be built; more workers than that have nothing to do.
    """
    hours = cost.core_seconds / 3600
    parts = [f"would read {_number(cost.bytes_read / 1e9)} GB"]
    if cost.bytes_written:
        parts.append(f"write about {_number(cost.bytes_written / 1e9)} GB")
    said = f"{' and '.join(parts)}, in about {_number(hours)} core hours (start-up aside)"
    workers = min(count_workers(beam_args, keys), keys)
    return f"{said}: {_number(hours / workers)} hours on {workers} workers" if workers > 1 else said


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def count_workers(beam_args: Sequence[str], keys: int) -> int:
    """Workers that Beam's flags ask for; 0 where they do not tell."""
    options = pipeline_options(beam_args, keys)
    if options.view_as(StandardOptions).runner == "FnApiRunner":
        return int(options.view_as(DirectOptions).direct_num_workers)
    given: Mapping[str, object] = options.get_all_options()
    return max((value for name in _WORKERS if isinstance(value := given.get(name), int)), default=0)
