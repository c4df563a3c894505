"""Run the speed comparisons by name, or all of them, and make the document that `posebench speed` prints."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import torch

from bench.measure.machine import fingerprint
from bench.optimizers import OPTIMIZERS
from bench.speed import command, cuda, decode, evaluation, index, optimizers, sample, train
from bench.speed.compare import Row

NO_CUDA = "skipped: no CUDA device"
ON_GPU = "train on the GPU: FLOP utilisation, channels_last, compile, loader headroom"


@dataclass(frozen=True)
class Speed:
    """The results of a run of `posebench speed`."""

    name: str
    rows: list[Row]
    skipped: dict[str, str]
    """Comparison -> why it could not be measured here."""
    failed: dict[str, str]
    """Comparison -> the error that it ended with."""
    machine: dict[str, str]

    def as_document(self) -> dict[str, Any]:
        """Return the JSON document of `posebench speed`: the numbers of the first row, then all rows."""
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
    """The keyword argument of each comparison for the number of repeats."""

    repeats: int


@dataclass(frozen=True)
class Request:
    """Where and how often to measure. ``data``: folder of the user's data set (None: synthetic images)."""

    data: Path | None
    device: torch.device
    repeats: int | None
    """None: the default of each comparison."""
    parts: int | None = None
    """Number of parts of a generated skeleton that `sample`, `decode` and `index` measure too, or instead."""
    network: str | None = None
    """Network whose training is timed, at its own size; None: the default of each comparison."""
    optimizers: tuple[str, ...] | None = None
    """Names or paths of the optimizers that are timed; None: those of the registry."""

    def options(self) -> Repeats:
        """Return the keyword argument ``repeats``; empty if no number was requested."""
        return {} if self.repeats is None else {"repeats": self.repeats}


def _train(request: Request) -> list[Row]:
    rows = train.measure(request.device, network=request.network, **request.options())
    if request.device.type == "cuda":
        rows += cuda.measure(request.device, request.data, network=request.network or cuda.NETWORK, **request.options())
    return rows


def _optimizers(request: Request) -> list[Row]:
    names = OPTIMIZERS if request.optimizers is None else request.optimizers
    return optimizers.measure(request.device, names=tuple(names), **request.options())


COMPARISONS: dict[str, Callable[[Request], list[Row]]] = {
    "sample": lambda request: sample.measure(request.data, parts=request.parts, **request.options()),
    "decode": lambda request: decode.measure(request.data, parts=request.parts, **request.options()),
    "train": _train,
    "optimizers": _optimizers,
    "eval": lambda request: evaluation.measure(**request.options()),
    "index": lambda request: index.measure(parts=request.parts, **request.options()),
    "startup": lambda request: command.measure(**request.options()),
}


def measure(name: str, request: Request, on_start: Callable[[str], object] = lambda _: None) -> Speed:
    """Run one comparison, or `all` of them; ``on_start`` is called with each name before it begins.

    With `all`, an error of one comparison is stored and the others still run.
    """
    names: Sequence[str] = list(COMPARISONS) if name == "all" else [name]
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    if request.optimizers is not None:
        trainable, skipped = optimizers.trainable(request.optimizers)
        request = replace(request, optimizers=tuple(trainable))
    for each in names:
        on_start(each)
        try:
            rows += COMPARISONS[each](request)
        except Exception as error:
            if len(names) == 1:
                raise
            failed[each] = f"{type(error).__name__}: {error}"  # keep the results of the others, which took minutes
    if "train" in names and request.device.type != "cuda":
        skipped[ON_GPU] = f"skipped: --device {request.device.type}" if torch.cuda.is_available() else NO_CUDA
    return Speed(name, rows, skipped, failed, fingerprint())
