"""The choice in one panel (configurations measured side by side): the cheapest within the margin of the fastest.

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
"""Number of OpenCV threads in the grid's processes, the default of `LoaderConfiguration`; PyTorch's loader has no such
setting."""
FASTEST, WITHIN, SLOWER, OPEN = "fastest", "within", "slower", "open"
"""Standings of a configuration: WITHIN is shown to be at most the margin slower than the fastest, SLOWER to be slower
than that; OPEN: neither is known."""


@dataclass(frozen=True)
class Choice:
    """The choice in a panel, from the blocks so far.

    Attributes:
        key: Key of the recommended configuration; of the best so far if the choice is not settled.
        settled: Whether that configuration is known to be the cheapest within the margin.
        fastest: Key of the configuration with the highest images/s.
        standings: The standing of each configuration, by key.
    """

    key: str
    settled: bool
    fastest: str
    standings: dict[str, str]


@dataclass(frozen=True)
class PanelState:
    """The decision of a look at a panel.

    Attributes:
        open: Keys of configurations that keep the panel from being settled, because their speed ratio to the reference
            is not yet known as narrowly as requested, or because the choice depends on them.
        next: Keys to be measured in the next blocks; none once the panel is settled. Configurations whose ratio is
            known narrowly enough and that are shown to be slower drop out; the reference and the fastest stay.
        settled: Whether nothing is open.
    """

    open: tuple[str, ...]
    next: tuple[str, ...]
    settled: bool


def choose(ratios: Ratios, by_cost: Sequence[str], margin: float) -> Choice:
    """Choose among the configurations ``by_cost``, cheapest first.

    Args:
        ratios: The panel's ratios of speeds.
        by_cost: Keys, cheapest first.
        margin: Share of speed that the choice may lose.
    """
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
    # Configurations that dropped out were measured in other blocks: their means cannot be compared.
    rivals = [key for key in order if standings[key] != SLOWER] or order
    fastest = min(rivals, key=lambda key: float(ratios.times.means[ratios.times.keys.index(key)]))
    first = next((key for key in by_cost if standings[key] != SLOWER), fastest)
    settled = standings[first] == WITHIN
    best = first if settled else next((key for key in by_cost if near[key] and standings[key] != SLOWER), fastest)
    return Choice(best, settled, fastest, standings)


def panel_state(ratios: Ratios, by_cost: Sequence[str], reference: str, plan: Comparison) -> PanelState:
    """Return the decision of a look (interim analysis) at a panel; ``ratios``: from the blocks up to that look."""
    if not by_cost:
        return PanelState((), (), settled=True)
    choice = choose(ratios, by_cost, plan.margin)
    known = {key for key in by_cost if _is_known(ratios, key, reference, plan.interval)}
    waiting = () if choice.settled else _undecided(ratios, choice, by_cost, plan.margin)
    open_keys = tuple(key for key in by_cost if key not in known or key in waiting)
    if not open_keys:
        return PanelState((), (), settled=True)
    stay = {reference, choice.fastest} | {key for key in by_cost if key not in known or choice.standings[key] != SLOWER}
    return PanelState(open_keys, tuple(key for key in by_cost if key in stay), settled=False)


def by_cost(frame: pd.DataFrame) -> list[str]:
    """Return the keys of configurations with a result, cheapest first; if two cost the same, the faster one first."""
    complete = _usable(frame)
    order = complete.assign(
        memory=complete["usual_memory_bytes"].fillna(math.inf),
        own=complete["own_loader"] != "",
        speed=-complete["images_per_s"],
    )
    return list(order.sort_values(["num_workers", "pin_memory", "own", "memory", "speed"], kind="stable")["key"])


def _usable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of configurations with a result and without a failed process."""
    usable: pd.DataFrame = frame[(frame["n"] > 0) & (frame["faults"] == 0)]
    return usable


def is_default(row: Any) -> bool:
    """Return whether a configuration is PyTorch's default apart from its batch size."""
    return (
        not row["own_loader"]
        and row["num_workers"] == 0
        and not row["pin_memory"]
        and row["cv2_threads"] == USUAL_CV2_THREADS
    )


def reference_of(frame: pd.DataFrame) -> str:
    """Return the key of a panel's reference: PyTorch's defaults or, if these have no result, the fewest workers without
    pinned memory; "" if nothing has a result."""
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
    ratio = ratios.between(key, reference)
    return ratio.high is not None and ratio.high <= ratio.value * (1 + interval)


def _undecided(ratios: Ratios, choice: Choice, by_cost: Sequence[str], margin: float) -> tuple[str, ...]:
    """Return the keys on which an unsettled choice depends: the cheapest open configuration, and those to which it may
    lose more than the margin."""
    first = next((key for key in by_cost if choice.standings[key] != SLOWER), choice.fastest)
    rivals = [key for key in by_cost if key != first and (ratios.between(first, key).low or 0.0) < 1 - margin]
    return (first, *rivals)
