"""The figures of an optimizers study. In: a `StudyResult`; out: PNG files.

Never leaves a panel empty without a word.
"""

from bench.kinds.optimizers.report.figures.costs import cost
from bench.kinds.optimizers.report.figures.curves import learning_curves
from bench.kinds.optimizers.report.figures.scores import tuning_scores
from bench.kinds.optimizers.report.figures.tuning import best_so_far, divergence_map, lr_sensitivity

__all__ = ["best_so_far", "cost", "divergence_map", "learning_curves", "lr_sensitivity", "tuning_scores"]
