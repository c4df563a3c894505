"""Result of running a trial: record, curve and samples."""

from typing import NamedTuple

from bench.trials.record import CurvePoint, Record
from bench.workloads.protocol import Samples


class Outcome(NamedTuple):
    """Record and curve of a trial and, for a completed confirm trial, its predictions on a few sample images."""

    record: Record
    curve: list[CurvePoint]
    samples: Samples | None = None
