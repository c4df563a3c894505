"""The choice in one panel: the cheapest configuration that is known to lose at most the margin to every other.

Cost is the number of workers, then pinned memory (which the system cannot swap out), then memory.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.findings import Comparison
from bench.kinds.loaders.analysis.ratios import Ratios

USUAL_CV2_THREADS = 1
"""OpenCV's threads in the grid's processes, as `LoaderConfiguration` has them: PyTorch has no default for them."""
FASTEST, WITHIN, SLOWER, OPEN = "fastest", "within", "slower", "open"
"""Standings: within loses at most the margin, slower loses more (both shown); of open ones neither is known."""


@dataclass(frozen=True)
class Choice:
    """What the blocks so far say of a panel.

    Attributes:
        key: The configuration to take; the best so far where the choice is not settled.
        settled: Whether it is known to be the cheapest within the margin.
        fastest: The one with the most images/s.
        standings: Of each configuration.
    """

    key: str
    settled: bool
    fastest: str
    standings: dict[str, str]


@dataclass(frozen=True)
class PanelState:
    """What a look at a panel decides.

    Attributes:
        open: Keys that keep the panel from being settled: their ratio to the reference is not known to the interval,
            or the choice waits for them.
        next: Keys to be measured in the next blocks; none once the panel is settled. Configurations that are known to
            the interval and shown to be slower drop out; the reference and the fastest stay.
        settled: Whether nothing is open.
    """

    open: tuple[str, ...]
    next: tuple[str, ...]
    settled: bool


def choose(ratios: Ratios, by_cost: Sequence[str], margin: float) -> Choice:
    """The choice among the configurations ``by_cost``, cheapest first."""
    least = 1 - margin
    order = [key for key in ratios.times.keys if key in by_cost]
    standings, near = {}, {}
    for key in order:
        others = [ratios.between(key, other) for other in order if other != key]
        near[key] = all(each.value >= least for each in others)
        if all(each.low is not None and each.low >= least for each in others):
            standings[key] = WITHIN
        elif any(each.high is not None and each.high < least for each in others):
            standings[key] = SLOWER
        else:
            standings[key] = OPEN
    # What has dropped out was measured in other blocks: its mean is no rival.
    rivals = [key for key in order if standings[key] != SLOWER] or order
    fastest = min(rivals, key=lambda key: float(ratios.times.means[ratios.times.keys.index(key)]))
    first = next((key for key in by_cost if standings[key] != SLOWER), fastest)
    settled = standings[first] == WITHIN
    best = first if settled else next((key for key in by_cost if near[key] and standings[key] != SLOWER), fastest)
    return Choice(best, settled, fastest, standings)


def panel_state(ratios: Ratios, by_cost: Sequence[str], reference: str, plan: Comparison) -> PanelState:
    """What a look at a panel decides; ``ratios``: of the blocks up to that look."""
    if not by_cost:
        return PanelState((), (), settled=True)
    found = choose(ratios, by_cost, plan.margin)
    known = {key for key in by_cost if _is_known(ratios, key, reference, plan.interval)}
    waiting = () if found.settled else _undecided(ratios, found, by_cost, plan.margin)
    opened = tuple(key for key in by_cost if key not in known or key in waiting)
    if not opened:
        return PanelState((), (), settled=True)
    stay = {reference, found.fastest} | {key for key in by_cost if key not in known or found.standings[key] != SLOWER}
    return PanelState(opened, tuple(key for key in by_cost if key in stay), settled=False)


def by_cost(frame: pd.DataFrame) -> list[str]:
    """Keys of the configurations with a result of a summary's rows, cheapest first, the faster one of equals."""
    complete = _usable(frame)
    order = complete.assign(
        memory=complete["usual_memory_bytes"].fillna(math.inf),
        own=complete["own_loader"] != "",
        speed=-complete["images_per_s"],
    )
    return list(order.sort_values(["num_workers", "pin_memory", "own", "memory", "speed"], kind="stable")["key"])


def _usable(frame: pd.DataFrame) -> pd.DataFrame:
    """With a result, and none of their processes failed."""
    found: pd.DataFrame = frame[(frame["n"] > 0) & (frame["faults"] == 0)]
    return found


def is_default(row: Any) -> bool:
    """Whether a configuration is PyTorch's default but for its batch size."""
    return (
        not row["own_loader"]
        and row["num_workers"] == 0
        and not row["pin_memory"]
        and row["cv2_threads"] == USUAL_CV2_THREADS
    )


def reference_of(frame: pd.DataFrame) -> str:
    """Key of a panel's reference: PyTorch's defaults, else the fewest workers, unpinned; "" without a result."""
    complete = _usable(frame)
    if complete.empty:
        return ""
    plain = [key for key, (_, row) in zip(complete["key"], complete.iterrows(), strict=True) if is_default(row)]
    order = complete.assign(own=complete["own_loader"] != "").sort_values(
        ["own", "num_workers", "pin_memory"], kind="stable"
    )
    return str(plain[0] if plain else order["key"].iloc[0])


def _is_known(ratios: Ratios, key: str, reference: str, interval: float) -> bool:
    if key == reference:
        return True
    found = ratios.between(key, reference)
    return found.high is not None and found.high <= found.value * (1 + interval)


def _undecided(ratios: Ratios, found: Choice, by_cost: Sequence[str], margin: float) -> tuple[str, ...]:
    """What an unsettled choice waits for: the cheapest that is open, and whatever it is not known to keep up with."""
    first = next((key for key in by_cost if found.standings[key] != SLOWER), found.fastest)
    rivals = [key for key in by_cost if key != first and (ratios.between(first, key).low or 0.0) < 1 - margin]
    return (first, *rivals)
