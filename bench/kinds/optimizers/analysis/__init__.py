"""The analysis of an optimizers study (words such as tuning, confirm trial, finalist and look: docs/architecture.md).

In: records. Out: data frames, numbers and sentences. Pure functions: never reads or writes a disk, a clock or a
database.

``study_analysis`` is the entry point. ``tunings`` arranges the confirm trials, ``finalists`` collects each tuning's
settings; ``rankings``, ``comparisons`` and ``controls`` compute the results, ``headline`` and ``verdict`` say them in
words; ``bands``, ``views`` and ``sensitivity`` prepare figures and tables, ``costs`` the times. ``two_studies``
compares two studies. Only ``controls`` includes trials of controls. `bench.trials.scores` defines a trial's score,
`bench.statistics` holds intervals and tests.
"""

from bench.kinds.optimizers.analysis.bands import curve_bands, run_curves
from bench.kinds.optimizers.analysis.comparisons import Comparison, compare_procedures
from bench.kinds.optimizers.analysis.controls import control_comparisons, control_sentence
from bench.kinds.optimizers.analysis.costs import TimeUse, costs, time_use
from bench.kinds.optimizers.analysis.equal_budgets import budget_views
from bench.kinds.optimizers.analysis.finalists import Finalist, finalists_of, shown_finalist
from bench.kinds.optimizers.analysis.rankings import summarize
from bench.kinds.optimizers.analysis.selection import best_trials, leader
from bench.kinds.optimizers.analysis.sensitivity import lr_sensitivity, rate_ranges
from bench.kinds.optimizers.analysis.sources import chosen_rows, implementation_rows, seed_rows
from bench.kinds.optimizers.analysis.study import StudyAnalysis, study_analysis
from bench.kinds.optimizers.analysis.targets import time_to_target
from bench.kinds.optimizers.analysis.tunings import TunedScores, tuned_scores
from bench.kinds.optimizers.analysis.two_studies import NOT_PAIRED, compare_studies
from bench.kinds.optimizers.analysis.two_studies_verdict import comparison_verdict
from bench.kinds.optimizers.analysis.verdict import none_completed, verdict
from bench.report.names import short_names
from bench.statistics.interval import Interval
from bench.statistics.intervals import mean_interval, mean_intervals, paired_interval, unpaired_interval
from bench.statistics.json_safe import to_json_safe
from bench.statistics.level import ALPHA
from bench.statistics.p_values import holm, paired_t_p, welch_t_p
from bench.trials.columns import split_controls
from bench.trials.scores import score, score_table

__all__ = [
    "ALPHA",
    "NOT_PAIRED",
    "Comparison",
    "Finalist",
    "Interval",
    "StudyAnalysis",
    "TimeUse",
    "TunedScores",
    "best_trials",
    "budget_views",
    "chosen_rows",
    "compare_procedures",
    "compare_studies",
    "comparison_verdict",
    "control_comparisons",
    "control_sentence",
    "costs",
    "curve_bands",
    "finalists_of",
    "holm",
    "implementation_rows",
    "leader",
    "lr_sensitivity",
    "mean_interval",
    "mean_intervals",
    "none_completed",
    "paired_interval",
    "paired_t_p",
    "rate_ranges",
    "run_curves",
    "score",
    "score_table",
    "seed_rows",
    "short_names",
    "shown_finalist",
    "split_controls",
    "study_analysis",
    "summarize",
    "time_to_target",
    "time_use",
    "to_json_safe",
    "tuned_scores",
    "unpaired_interval",
    "verdict",
    "welch_t_p",
]
