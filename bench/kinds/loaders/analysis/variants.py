"""Variants of the picked configuration, each with one setting changed, and which of them is worth using.

A variant means an additional setting for the user, and there are many variants: one is recommended only if it is shown
to be faster than the picked configuration by more than the margin, in the blocks in which both were measured. If
several are, the first is recommended, unless another one is shown to be faster than that by more than the margin.
"""

import pandas as pd

from bench.kinds.loaders.analysis.configurations import Compared
from bench.kinds.loaders.analysis.findings import Ratio, Variant
from bench.trials.loader_settings import SETTINGS, plain_value

FASTER, EQUAL, SLOWER, OPEN = "faster", "equal", "slower", "open"
"""Standings of a variant."""


def variants(around: Compared, base: pd.Series, *, margin: float) -> tuple[Variant, ...]:
    """Return every variant of ``base`` that has a result in the panel of its variants."""
    results = []
    for _, row in around.frame[around.frame["n"] > 0].iterrows():
        changed = [name for name in SETTINGS if plain_value(row[name]) != plain_value(base[name])]
        if len(changed) == 1 and changed[0] != "num_workers" and row["own_loader"] == base["own_loader"]:
            ratio = around.ratios.between(row["key"], base["key"])
            value, key = plain_value(row[changed[0]]), str(row["key"])
            standing = _standing(ratio, margin)
            results.append(Variant(changed[0], value, key, ratio, standing, row["epoch_gap_s"], base["epoch_gap_s"]))
    return tuple(results)


def best_variant(around: Compared, tried: tuple[Variant, ...], *, margin: float) -> Variant | None:
    """Return the recommended variant; None if none is shown to be worth using."""
    best: Variant | None = None
    disturbed = set(around.frame.loc[around.frame["disturbed"], "key"])
    for each in tried:
        if each.standing != FASTER or each.key in disturbed:
            continue
        if best is None or (around.ratios.between(each.key, best.key).low or 0.0) > 1 + margin:
            best = each
    return best


def _standing(ratio: Ratio, margin: float) -> str:
    if ratio.low is None or ratio.high is None:
        return OPEN
    if ratio.low > 1 + margin:
        return FASTER
    if ratio.low >= 1 - margin and ratio.high <= 1 / (1 - margin):
        return EQUAL
    return SLOWER if ratio.high < 1 else OPEN
