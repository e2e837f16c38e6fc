"""Beam's counters and distributions of every stage, for dashboards; outcome rows are the truth."""

import logging

from apache_beam.metrics import Metrics
from apache_beam.runners.runner import PipelineResult

from schemas.outcome import Outcome

logger = logging.getLogger(__name__)

NAMESPACE = "lae"


def count(outcome: Outcome) -> None:
    """Count an outcome by stage, status and reason: `shard.failed` and `shard.failed.decode_error`."""
    name = f"{outcome.stage}.{outcome.status}"
    Metrics.counter(NAMESPACE, name).inc()
    if outcome.reason:
        Metrics.counter(NAMESPACE, f"{name}.{outcome.reason}").inc()


def measure(name: str, value: float) -> None:
    """Add a value to a distribution, as a whole number; Beam has no others."""
    Metrics.distribution(NAMESPACE, name).update(round(value))


def read(result: PipelineResult) -> dict[str, int]:
    """All of ours by name; of a distribution `<name>.count`, `.sum`, `.min` and `.max`.

    Empty where a runner keeps none, or does not give them: a job that is whole stays whole.
    """
    try:
        found = result.metrics().query()
    except Exception as error:
        logger.warning("the runner gives no metrics: %s: %s", type(error).__name__, error)
        return {}
    values: dict[str, int] = {}
    for entry in [*found["counters"], *found["distributions"]]:
        name, value = entry.key.metric.name, entry.result
        if entry.key.metric.namespace != NAMESPACE or value is None:
            continue
        if isinstance(value, int):
            values[name] = value
        else:
            values |= {f"{name}.{part}": getattr(value, part) for part in ("count", "sum", "min", "max")}
    return dict(sorted(values.items()))
