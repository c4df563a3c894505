"""What a trial leaves."""

from typing import NamedTuple

from bench.trials.record import CurvePoint, Record
from bench.workloads.protocol import Samples


class Outcome(NamedTuple):
    """What a trial left: its row, its curve and (a confirm trial that completed) people found in a few images."""

    record: Record
    curve: list[CurvePoint]
    samples: Samples | None = None
