"""Everything that a study's records and curves say: the one entry from raw trials to rankings, tests and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from bench.kinds.optimizers.analysis.bands import curve_bands, run_curves
from bench.kinds.optimizers.analysis.comparisons import Comparison, compare_procedures
from bench.kinds.optimizers.analysis.controls import control_comparisons, control_sentence
from bench.kinds.optimizers.analysis.costs import costs
from bench.kinds.optimizers.analysis.headline import best_rows, headline, headline_metrics, sureness
from bench.kinds.optimizers.analysis.losses import MEASURED_AP_MEAN, loss_means
from bench.kinds.optimizers.analysis.measure import AP, AP_IS_THERE, Measure
from bench.kinds.optimizers.analysis.rankings import summarize, unranked
from bench.kinds.optimizers.analysis.selection import leader
from bench.kinds.optimizers.analysis.sensitivity import lr_sensitivity, rate_ranges
from bench.kinds.optimizers.analysis.sources import chosen_rows, implementation_rows, seed_rows
from bench.kinds.optimizers.analysis.tunings import TunedScores, tuned_scores
from bench.kinds.optimizers.analysis.verdict import budget_too_small, none_completed, verdict
from bench.kinds.optimizers.analysis.views import budget_views
from bench.report.names import short_names
from bench.report.no_result import nothing_found, troubled
from bench.report.text import literal
from bench.statistics.p_values import ALPHA
from bench.trials.columns import split_controls
from bench.trials.phases import CONFIRM
from bench.trials.scores import AP_FLOOR

EARLY = "A claim made before the end may turn: who looks often finds one by chance."
CURVE_VALUES = ("ap", "val_loss")


@dataclass(frozen=True)
class StudyAnalysis:
    """What a study's records say. Trials of controls are in ``controls`` alone.

    Sentences, and what only tables and figures show, are made when they are first read, and kept.
    """

    records: pd.DataFrame
    """The study's own trials, without those of controls."""
    control_records: pd.DataFrame
    curves: pd.DataFrame
    lr_ranges: Mapping[str, tuple[float, float]]
    names: dict[str, str]
    """The short name of each optimizer, from `short_names`."""
    tuned: TunedScores
    """From `tuned_scores`."""
    compared: Comparison
    """From `compare_procedures`."""
    ranking: pd.DataFrame
    """From `summarize`, or `unranked` where the study is not comparable."""
    comparable: bool
    """False where the budget is too small for an order, or no confirm trial completed: then nothing is ranked, and
    ``comparisons`` holds no claim."""
    planned_tunings: int | None = None
    """Tunings of each optimizer that the study has, or begins with; None: not known."""
    timed: bool = False
    """Whether trials had a budget in seconds of training."""
    left: int = 0
    """Trials without a record."""
    unscored: str = ""
    """Said in place of an answer where the study ended without a confirm phase, for nothing scored; else empty."""

    @property
    def measure(self) -> Measure:
        """What the study compares by."""
        return self.compared.measure

    @property
    def comparisons(self) -> pd.DataFrame:
        """The rows of `compare_procedures`, a pair each."""
        return self.compared.pairs

    @property
    def best(self) -> tuple[str, ...]:
        """Optimizers that may be the best: no claimed pair beats them. Empty where nothing is comparable."""
        return self.compared.best if self.comparable else ()

    @property
    def recommended(self) -> tuple[str, ...]:
        """Of ``best`` those that the headline names, the highest mean first; empty before there are two tunings."""
        if not self.best or self.compared.tunings < 2:
            return ()
        return tuple(best_rows(self.ranking[self.ranking["tunings"] > 0], self.compared)["name"])

    @property
    def leader(self) -> str | None:
        """The optimizer with the highest mean score over its tunings; None before there is one."""
        return leader(self.ranking)

    @cached_property
    def verdict(self) -> str:
        """From `verdict`, in short names; before it, why trials, or all of an optimizer, have no result."""
        said = self.unscored or verdict(
            *self._in_short_names(), planned=self.planned_tunings, alpha=self.compared.level
        )
        return " ".join([*self._troubles(), said, *self._measured()])

    @cached_property
    def headline(self) -> str:
        """From `headline`, in short names; before it, why nothing has a result."""
        troubles = self._troubles()
        if troubles and none_completed(self.ranking):
            return " ".join(troubles)
        if self.unscored:
            return " ".join([*troubles, self.unscored, *self._measured()[:1]])
        return " ".join([*troubles, headline(*self._in_short_names()), *self._measured()[:1]])

    def _measured(self) -> list[str]:
        """What the measure is, and what it does not tell."""
        return [said for said in (self.measure.defined, self.limits) if said]

    @property
    def limits(self) -> str:
        """What the measure does not tell; of validation losses also whether AP tells more by now."""
        if not self.measure.is_loss:
            return self.measure.limits
        aps = self.ranking[MEASURED_AP_MEAN]
        there = len(aps) > 0 and bool((aps >= AP_FLOOR).all())
        return f"{self.measure.limits} {AP_IS_THERE}" if there else self.measure.limits

    def sureness(self, *, more: str = "") -> str:
        """From `sureness`, in short names; before it, what a look before the end is worth."""
        said = sureness(*self._in_short_names(), more=more)
        return f"{EARLY} {said}" if said and self.left else said

    @property
    def headline_metrics(self) -> dict[str, float]:
        """From `headline_metrics`."""
        return headline_metrics(self.ranking, self.compared, self.best)

    def _in_short_names(self) -> tuple[pd.DataFrame, Comparison]:
        """Ranking and comparison, each name short and as a sentence in Markdown holds it."""
        names, pairs = {name: literal(short) for name, short in self.names.items()}, self.comparisons
        return self.ranking.assign(name=[names[name] for name in self.ranking["name"]]), replace(
            self.compared,
            pairs=pairs.assign(a=[names[name] for name in pairs["a"]], b=[names[name] for name in pairs["b"]]),
            best=tuple(names[name] for name in self.compared.best),
        )

    def _troubles(self) -> list[str]:
        named = self.records.assign(optimizer=[literal(self.names[name]) for name in self.records["optimizer"]])
        confirmed = named[named["phase"] == CONFIRM]
        left = self.left
        why = nothing_found(named, left=left) or nothing_found(confirmed, noun="confirm trial", left=left)
        return [why] if why else troubled(named, left=left, measure=self.measure.name)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """``ranking`` with the columns of `costs`, `chosen_rows`, `rate_ranges` and `implementation_rows` beside it."""
        beside = (
            costs(self.records),
            chosen_rows(self.records, self._shown_tunings()),
            rate_ranges(self.sensitivity, self.lr_ranges).rename(columns={"optimizer": "name"}),
            implementation_rows(self.records),
        )
        found = self.ranking.astype({"name": object})
        for frame in beside:
            found = found.merge(frame.astype({"name": object}), on="name", how="left")  # no rows: no dtype either
        return found

    def _shown_tunings(self) -> dict[str, int]:
        known = self.ranking[self.ranking["settings_tuning"].notna()]
        return {name: int(tuning) for name, tuning in zip(known["name"], known["settings_tuning"], strict=True)}

    @cached_property
    def controls(self) -> pd.DataFrame:
        """From `control_comparisons`, with what each says in ``sentence``."""
        found = control_comparisons(self.records, self.control_records)
        return found.assign(sentence=[control_sentence(row, measure=self.measure) for _, row in found.iterrows()])

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """From `seed_rows`."""
        return seed_rows(self.records, floor=self.tuned.floor)

    @cached_property
    def run_curves(self) -> dict[str, pd.DataFrame]:
        """From `run_curves`, by value; along what the budget is in: steps, or seconds of training."""
        over = "train_seconds" if self.timed else "step"
        return {
            value: run_curves(self.records, self.curves, value=value, over=over, floor=self.tuned.floor)
            for value in CURVE_VALUES
        }

    @cached_property
    def bands(self) -> dict[str, pd.DataFrame]:
        """From `curve_bands`, by value."""
        return {value: curve_bands(runs) for value, runs in self.run_curves.items()}

    @cached_property
    def views(self) -> pd.DataFrame:
        """From `budget_views`."""
        return budget_views(self.records, self.curves, self.tuned, timed=self.timed)

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """From `lr_sensitivity`."""
        return lr_sensitivity(self.records)


def study_analysis(
    records: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    optimizers: Sequence[str] = (),
    lr_ranges: Mapping[str, tuple[float, float]] | None = None,
    tunings: int | None = None,
    seeds: int | None = None,
    target: float | None = None,
    until_decided: bool = False,
    level: float = ALPHA,
    timed: bool = False,
    floor: float = AP_FLOOR,
    scale: float = 1.0,
    left: int = 0,
    unscored: str = "",
    measure: Measure = AP,
) -> StudyAnalysis:
    """Analyse the raw trials of an optimizers study, finished or not. The order of the rows changes nothing.

    Args:
        records: One row a trial, both phases and controls; the columns of `bench.trials.columns`.
        curves: One row an evaluation: trial_id, step, train_seconds, ap, val_loss.
        optimizers: The study's optimizers in its order, for where nothing is ranked; those in the records otherwise.
        lr_ranges: Low and high of the rates searched, by optimizer.
        tunings: Tunings of each optimizer that the study has, or begins with.
        seeds: Confirm trials of each tuning; None: the most that any has.
        target: AP for the time to target, given beforehand; None: there is none.
        until_decided: Whether the study goes on until it is decided: claims are then made at looks.
        level: Of the claims of a study that does not: lower where it was looked at before it was extended.
        timed: Whether trials had a budget in seconds of training.
        floor: Score under which a run has learned nothing.
        scale: Range of the score.
        left: Trials that are planned and have no record.
        unscored: What to say where the study ended without a confirm phase, for nothing scored.
        measure: What the scores are; of skill the records and curves come from `bench.trials.scores.as_skill`.

    Raises:
        ValueError: The records or curves have rows but lack a column, or hold two confirm trials of one optimizer,
            tuning and seed.
    """
    records, of_controls = split_controls(records)
    names = short_names([*optimizers, *sorted(records["optimizer"].astype(str).unique())])
    tuned = tuned_scores(records, seeds=seeds, floor=floor)
    compared = compare_procedures(tuned, alpha=level, until_decided=until_decided, scale=scale, measure=measure)
    ranking = summarize(records, curves, tuned, target=target)
    if measure.is_loss:
        ranking = ranking.merge(loss_means(records, tuned), on="name", how="left")
    confirmed = ranking[ranking["n"] > 0]
    comparable = len(confirmed) > 0 and not none_completed(confirmed) and not budget_too_small(confirmed)
    if not comparable:
        ranking = unranked(ranking, list(names))
        compared = replace(compared, pairs=compared.pairs.assign(better=""))
    return StudyAnalysis(
        records=records,
        control_records=of_controls,
        curves=curves,
        lr_ranges=lr_ranges or {},
        names=names,
        tuned=tuned,
        compared=compared,
        ranking=ranking,
        comparable=comparable,
        planned_tunings=tunings,
        timed=timed,
        left=left,
        unscored=unscored,
    )
