"""Records in, frames and sentences out: pure functions that no disk, clock or database touches.

``scores`` turns records into one number a trial, ``selection`` picks what the confirm phase runs, ``rankings`` and
``comparisons`` say what it found, ``verdict`` says it in words. Statistics stand in ``intervals`` and ``p_values``.
"""

from bench.analysis.comparisons import minimal_detectable_difference, paired_comparisons
from bench.analysis.intervals import Interval, mean_interval, mean_intervals, paired_interval
from bench.analysis.json_safe import to_json_safe
from bench.analysis.p_values import holm, paired_t_p, signed_rank_p
from bench.analysis.rankings import summarize
from bench.analysis.scores import score, score_table
from bench.analysis.selection import at_border, best_settings
from bench.analysis.targets import default_target, time_to_target
from bench.analysis.verdict import verdict

__all__ = [
    "Interval",
    "at_border",
    "best_settings",
    "default_target",
    "holm",
    "mean_interval",
    "mean_intervals",
    "minimal_detectable_difference",
    "paired_comparisons",
    "paired_interval",
    "paired_t_p",
    "score",
    "score_table",
    "signed_rank_p",
    "summarize",
    "time_to_target",
    "to_json_safe",
    "verdict",
]
