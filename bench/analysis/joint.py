"""A joint study's answer: which optimizer and loader settings together, what fresh seeds say of them, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.findings import Findings
from bench.analysis.joint_picks import (
    AP_AND_SPEED,
    AP_AT_TIME,
    BEST_AP,
    FASTEST,
    NEAR_BEST,
    SEARCH,
    Pick,
    configuration_key,
    picks,
    settings_of,
)

__all__ = [
    "AP_AND_SPEED",
    "AP_AT_TIME",
    "BEST_AP",
    "FASTEST",
    "NEAR_BEST",
    "SEARCH",
    "Pick",
    "configuration_key",
    "joint_findings",
    "picks",
    "settings_of",
]


def joint_findings(
    records: pd.DataFrame,
    *,
    objective: str,
    importances: pd.DataFrame,
    optimizers: Sequence[str],
    optimizer_lines: Mapping[str, str],
    fixed: int,
    search_trials: int,
    seeds: int,
    search_length: str,
    confirm_length: str,
    data: str,
    loader: Mapping[str, Any] | None = None,
    hosts: int = 1,
) -> Findings:
    """What a joint study's records say, finished or not.

    Args:
        records: A row for each trial: the columns of `bench.record.Record`, its metrics, and `run_id`. ``phase`` is
            `search` or `confirm`; ``index`` the order in which search trials were asked.
        objective: `AP_AND_SPEED` or `AP_AT_TIME`.
        importances: As `bench.importances` makes them: objective, scope, parameter, importance, n, why.
        optimizers: In the study's order, which gives each its colour.
        optimizer_lines: The line of Python that builds each pick's optimizer, by `Pick.key` or `Pick.trial_id`.
        fixed: How many of the first trials were given, before the sampler chose.
        search_trials: How many the search is to have.
        seeds: Fresh seeds of each pick.
        search_length: How long a search trial trains, e.g. `400 steps` or `60 s`.
        confirm_length: How long a confirm trial trains.
        data: What was trained on, e.g. "data `coco-mini`".
        loader: Other loader settings of all trials, by PyTorch's names (prefetch_factor, persistent_workers,
            start_method); what differs from PyTorch's defaults is in the call to paste.
        hosts: Machines that the trials ran on.

    Returns:
        With the keys objective, front, picks, recommended, hypervolume and importances in its document.
    """
    raise NotImplementedError
