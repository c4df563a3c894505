"""Speed of copying batches to a CUDA device from pinned and pageable memory, and its overlap with computing."""

import time
from dataclasses import dataclass

import torch

from bench.measure.loader.isolated import Progress

COPIES = 30
"""Timed copies of a batch."""
WARM_UP = 5
"""Number of copies and products before the timing begins."""
SIDE = 2048
"""Side of the matrices whose product is the computation that a copy may overlap with."""


@dataclass(frozen=True)
class Transfers:
    """Measured copies of batches of one size."""

    batch_bytes: int
    pinned_gb_per_s: float
    pageable_gb_per_s: float
    hidden_share: float
    """How much of copying (pinned, on its own stream) and matrix products overlapped, relative to the shorter of the
    two: 1 completely, 0 one after the other. This is what the machine can do; a step that copies on its computing
    stream does not overlap them."""


def measure_transfers(progress: Progress, batch_bytes: int) -> Transfers | None:
    """Measure copies to the current CUDA device; None if there is none."""
    progress(0)
    if not torch.cuda.is_available():
        return None
    device = _Device(batch_bytes)
    sources = {pinned: torch.zeros(batch_bytes, dtype=torch.uint8, pin_memory=pinned) for pinned in (True, False)}
    speeds = {}
    for pinned, source in sources.items():
        device.seconds(source, copies=WARM_UP, products=WARM_UP)
        speeds[pinned] = COPIES * batch_bytes / device.seconds(source, copies=COPIES) / 1e9
        progress(1 + pinned)
    one = device.seconds(sources[True], products=COPIES) / COPIES
    copying = device.seconds(sources[True], copies=COPIES)
    products = max(1, round(copying / one))
    working = device.seconds(sources[True], products=products)
    both = device.seconds(sources[True], copies=COPIES, products=products)
    hidden = (copying + working - both) / min(copying, working)
    return Transfers(batch_bytes, speeds[True], speeds[False], min(1.0, max(0.0, hidden)))


class _Device:
    """A buffer to copy to and matrices to multiply, each on its own stream; all memory is allocated beforehand."""

    def __init__(self, batch_bytes: int) -> None:
        self.target = torch.empty(batch_bytes, dtype=torch.uint8, device="cuda")
        self.matrix = torch.ones(SIDE, SIDE, device="cuda")
        self.product = torch.empty_like(self.matrix)
        self.copying, self.working = torch.cuda.Stream(), torch.cuda.Stream()

    def seconds(self, source: torch.Tensor, *, copies: int = 0, products: int = 0) -> float:
        """Wall time of ``copies`` on the one stream and ``products`` on the other."""
        torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.cuda.stream(self.working):
            for _ in range(products):
                torch.mm(self.matrix, self.matrix, out=self.product)
        with torch.cuda.stream(self.copying):
            for _ in range(copies):
                self.target.copy_(source, non_blocking=True)
        torch.cuda.synchronize()
        return time.perf_counter() - began
