"""The figures of an optimizers study. In: a `StudyResult`; out: Matplotlib figures, or panels as data.

Each figure has a function `has_...` that says whether there is anything to show; if not, the page leaves it out. Never
computes a statistic.
"""

from bench.kinds.optimizers.report.figures.costs import cost, has_cost
from bench.kinds.optimizers.report.figures.curves import (
    has_learning_curves,
    has_loss_curves,
    learning_curves,
    loss_curves,
)
from bench.kinds.optimizers.report.figures.forest import forest_panel
from bench.kinds.optimizers.report.figures.rates import has_rates, rates
from bench.kinds.optimizers.report.figures.scores import has_scores, scores

__all__ = [
    "cost",
    "forest_panel",
    "has_cost",
    "has_learning_curves",
    "has_loss_curves",
    "has_rates",
    "has_scores",
    "learning_curves",
    "loss_curves",
    "rates",
    "scores",
]
