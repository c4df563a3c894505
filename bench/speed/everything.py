"""The comparisons by name, run one after the other, and their document."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch

from bench.measure.machine import fingerprint
from bench.speed import command, cuda, decode, evaluation, index, optimizers, sample, train
from bench.speed.compare import Row

NO_CUDA = "skipped: no CUDA device"
ON_GPU = "train on the GPU: FLOP utilisation, channels_last, compile, loader headroom"


@dataclass(frozen=True)
class Speed:
    """What was measured, on what."""

    name: str
    rows: list[Row]
    skipped: dict[str, str]
    """What could not be measured here, and why."""
    failed: dict[str, str]
    """What ended in an error, and in which."""
    machine: dict[str, str]

    def as_document(self) -> dict[str, Any]:
        """The JSON contract of `posebench speed`: the first row's figures, then all rows."""
        first = self.rows[0].as_row() if self.name != "all" else {}
        rows = [row.as_row() for row in self.rows]
        return {
            **first,
            "name": self.name,
            "results": rows,
            "skipped": self.skipped,
            "failed": self.failed,
            "machine": self.machine,
        }


class Repeats(TypedDict, total=False):
    """The argument of each comparison that says how often it measures."""

    repeats: int


@dataclass(frozen=True)
class Request:
    """Where and how to measure. ``data``: the user's images (None: synthetic ones)."""

    data: Path | None
    device: torch.device
    repeats: int | None
    """None: as many as each comparison takes by itself."""

    def options(self) -> Repeats:
        """The number of repeats as an argument, where one was asked for."""
        return {} if self.repeats is None else {"repeats": self.repeats}


def _train(request: Request) -> list[Row]:
    rows = train.measure(request.device, **request.options())
    if request.device.type == "cuda":
        rows += cuda.measure(request.device, request.data, **request.options())
    return rows


COMPARISONS: dict[str, Callable[[Request], list[Row]]] = {
    "sample": lambda request: sample.measure(request.data, **request.options()),
    "decode": lambda request: decode.measure(request.data, **request.options()),
    "train": _train,
    "optimizers": lambda request: optimizers.measure(request.device, **request.options()),
    "eval": lambda request: evaluation.measure(**request.options()),
    "index": lambda request: index.measure(**request.options()),
    "startup": lambda request: command.measure(**request.options()),
}


def measure(name: str, request: Request, on_start: Callable[[str], object] = lambda _: None) -> Speed:
    """Run one comparison, or `all`. ``on_start`` hears the name of each before it begins."""
    names: Sequence[str] = list(COMPARISONS) if name == "all" else [name]
    rows, skipped, failed = [], {}, {}
    for each in names:
        on_start(each)
        try:
            rows += COMPARISONS[each](request)
        except Exception as error:
            if len(names) == 1:
                raise
            failed[each] = f"{type(error).__name__}: {error}"  # the others have taken minutes
    if "train" in names and request.device.type != "cuda":
        skipped[ON_GPU] = f"skipped: --device {request.device.type}" if torch.cuda.is_available() else NO_CUDA
    return Speed(name, rows, skipped, failed, fingerprint())
