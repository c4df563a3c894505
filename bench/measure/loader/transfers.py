"""How fast a batch reaches a CUDA device from pinned and pageable memory, and whether copying hides behind work."""

import time
from dataclasses import dataclass

import torch

from bench.measure.loader.isolated import Progress

COPIES = 30
WARM_UP = 5
SIDE = 2048
"""Of the matrices whose product is the work that a copy may hide behind."""


@dataclass(frozen=True)
class Transfers:
    """Of batches of this size."""

    batch_bytes: int
    pinned_gb_per_s: float
    pageable_gb_per_s: float
    hidden_share: float
    """Of the shorter one of copying (pinned, on a stream of its own) and working: 1, wholly at the same time; 0, in
    turn."""


def measure_transfers(progress: Progress, batch_bytes: int) -> Transfers | None:
    """Copy and work on the current CUDA device; None where there is none."""
    progress(0)
    if not torch.cuda.is_available():
        return None
    target = torch.empty(batch_bytes, dtype=torch.uint8, device="cuda")
    sources = {pinned: torch.zeros(batch_bytes, dtype=torch.uint8, pin_memory=pinned) for pinned in (True, False)}
    speeds = {}
    for pinned, source in sources.items():
        _seconds(target, source, copies=WARM_UP, products=0)
        speeds[pinned] = COPIES * batch_bytes / _seconds(target, source, copies=COPIES, products=0) / 1e9
        progress(1 + pinned)
    one = _seconds(target, sources[True], copies=0, products=WARM_UP) / WARM_UP
    copying = _seconds(target, sources[True], copies=COPIES, products=0)
    products = max(1, round(copying / one))
    working = _seconds(target, sources[True], copies=0, products=products)
    both = _seconds(target, sources[True], copies=COPIES, products=products)
    hidden = (copying + working - both) / min(copying, working)
    return Transfers(batch_bytes, speeds[True], speeds[False], min(1.0, max(0.0, hidden)))


def _seconds(target: torch.Tensor, source: torch.Tensor, *, copies: int, products: int) -> float:
    """Wall time of so many copies on a stream of their own, and so many products on another."""
    matrix = torch.ones(SIDE, SIDE, device="cuda")
    copy_stream, work_stream = torch.cuda.Stream(), torch.cuda.Stream()
    torch.cuda.synchronize()
    began = time.perf_counter()
    with torch.cuda.stream(work_stream):
        for _ in range(products):
            matrix @ matrix
    with torch.cuda.stream(copy_stream):
        for _ in range(copies):
            target.copy_(source, non_blocking=True)
    torch.cuda.synchronize()
    return time.perf_counter() - began
