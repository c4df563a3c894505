"""Records in, frames and sentences out: pure functions that no disk, clock or database touches.

``scores`` turns records into one number a trial, ``selection`` picks what the confirm phase runs, ``rankings`` and
``comparisons`` say what it found, ``verdict`` says it in words; ``bands`` and ``sensitivity`` are what figures draw,
``costs`` what it took. Statistics stand in ``intervals`` and ``p_values``.
"""

from bench.analysis.bands import curve_bands
from bench.analysis.comparisons import minimal_detectable_difference, paired_comparisons
from bench.analysis.costs import TimeUse, costs, time_use
from bench.analysis.intervals import Interval, mean_interval, mean_intervals, paired_interval
from bench.analysis.json_safe import to_json_safe
from bench.analysis.p_values import holm, paired_t_p, signed_rank_p
from bench.analysis.rankings import summarize
from bench.analysis.scores import score, score_table
from bench.analysis.selection import at_border, best_settings, leader
from bench.analysis.sensitivity import lr_sensitivity
from bench.analysis.sources import chosen_rows, seed_rows
from bench.analysis.targets import default_target, time_to_target
from bench.analysis.verdict import verdict

__all__ = [
    "Interval",
    "TimeUse",
    "at_border",
    "best_settings",
    "chosen_rows",
    "costs",
    "curve_bands",
    "default_target",
    "holm",
    "leader",
    "lr_sensitivity",
    "mean_interval",
    "mean_intervals",
    "minimal_detectable_difference",
    "paired_comparisons",
    "paired_interval",
    "paired_t_p",
    "score",
    "score_table",
    "seed_rows",
    "signed_rank_p",
    "summarize",
    "time_to_target",
    "time_use",
    "to_json_safe",
    "verdict",
]
