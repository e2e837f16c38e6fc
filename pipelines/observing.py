"""A builder that is watched: log lines and metrics of every key that it builds."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipelines import logs, metrics, publish
from pipelines.lease import Lease
from schemas.outcome import Outcome

if TYPE_CHECKING:
    from pipelines.engine import Builder

logger = logging.getLogger(__name__)


class Observed:
    """Builds what another builder builds, and tells of it.

    Args:
      builder: that does the work.
      step: what log lines and metrics call it.
      settings: how the worker is to log.
    """

    def __init__(self, builder: "Builder", step: str, settings: logs.LogSettings):
        self._builder, self._step, self._settings = builder, step, settings

    def setup(self) -> None:
        """Log as the driver asked for."""
        logs.use(self._settings)
        self._builder.setup()

    def teardown(self) -> None:
        """End the other builder."""
        self._builder.teardown()

    def build(self, key: str, units: Sequence[Any], lease: Lease) -> Iterable[Outcome]:
        """Build a key; its result must be committed when that returns."""
        fields = {"stage": self._step, "key": key}
        logger.info("%s %s: begins", self._step, key, extra={"fields": {**fields, "units": len(units)}})
        begun = time.monotonic()
        try:
            outcomes = list(self._builder.build(key, units, lease))
        except Exception as error:
            # The run ends with it, and tells.
            logger.info("%s %s: ends with %r", self._step, key, error, extra={"fields": fields})
            raise
        seconds = time.monotonic() - begun
        sidecar = publish.read_sidecar(lease.folder, key)
        samples = sidecar.samples if sidecar else 0
        size = sum(file.bytes for file in sidecar.files) if sidecar else 0
        metrics.measure(f"{self._step}.key_ms", 1000 * seconds)
        metrics.measure(f"{self._step}.key_samples", samples)
        metrics.measure(f"{self._step}.key_bytes", size)
        for outcome in outcomes:
            if outcome.status != "ok":
                _warn(outcome, key)
        logger.info(
            "%s %s: done in %.1f s, %d samples, %d bytes",
            *(self._step, key, seconds, samples, size),
            extra={"fields": {**fields, "seconds": round(seconds, 3), "samples": samples, "bytes": size}},
        )
        return outcomes


def _warn(outcome: Outcome, key: str) -> None:
    fields = {
        "stage": outcome.stage,
        "key": key,
        "dataset": outcome.dataset,
        "group": outcome.group,
        "clip": outcome.unit,
        "status": outcome.status,
        "reason": outcome.reason,
    }
    logger.warning(
        "%s %s: %s %s: %s (group %s, in %s)",
        *(outcome.stage, outcome.unit, outcome.status, outcome.reason, outcome.detail, outcome.group, key),
        extra={"fields": fields},
    )
