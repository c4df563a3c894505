"""Analyse an optimizers study: the one entry from raw records and curves to rankings, tests and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd

from bench.kinds.optimizers.analysis.bands import curve_bands, run_curves
from bench.kinds.optimizers.analysis.comparisons import Comparison, compare_procedures
from bench.kinds.optimizers.analysis.controls import control_comparisons, control_sentence
from bench.kinds.optimizers.analysis.costs import costs, update_counts
from bench.kinds.optimizers.analysis.equal_budgets import budget_views
from bench.kinds.optimizers.analysis.headline import best_rows, headline, headline_metrics, sureness
from bench.kinds.optimizers.analysis.losses import MEASURED_AP_MEAN, loss_means
from bench.kinds.optimizers.analysis.rankings import summarize, unranked
from bench.kinds.optimizers.analysis.selection import leader
from bench.kinds.optimizers.analysis.sensitivity import lr_sensitivity, rate_ranges
from bench.kinds.optimizers.analysis.sources import chosen_rows, implementation_rows, seed_rows
from bench.kinds.optimizers.analysis.tunings import TunedScores, tuned_scores
from bench.kinds.optimizers.analysis.verdict import budget_too_small, none_completed, verdict
from bench.kinds.optimizers.measure import AP, AP_ABOVE_CHANCE, Measure
from bench.report.names import marked, short_names
from bench.report.no_result import OWN_REMEDIES, REMEDIES, no_result_text, trouble_sentences
from bench.report.text import literal
from bench.statistics.level import ALPHA
from bench.trials.columns import split_controls
from bench.trials.phases import CONFIRM
from bench.trials.score_scale import AP_FLOOR

EARLY = "A claim made before the end may not last: looking often finds differences by chance."
CURVE_VALUES = ("ap", "val_loss")


@dataclass(frozen=True)
class StudyAnalysis:
    """The analysis of a study's records. Trials of controls are in ``controls`` alone.

    Sentences and data of single tables and figures are computed when first read, and cached.
    """

    records: pd.DataFrame
    """The study's own trials, without those of controls."""
    control_records: pd.DataFrame
    curves: pd.DataFrame
    lr_ranges: Mapping[str, tuple[float, float]]
    names: dict[str, str]
    """Short name of each optimizer, from `short_names`, marked if its schedule is not the study's."""
    tuned: TunedScores
    """The confirm scores, from `tuned_scores`."""
    compared: Comparison
    """The compared pairs, from `compare_procedures`."""
    ranking: pd.DataFrame
    """One row an optimizer, from `summarize`; from `unranked` where the study is not comparable."""
    comparable: bool
    """False if the budget is too small to rank optimizers, or no confirm trial completed: then nothing is ranked, and
    ``comparisons`` holds no claim."""
    planned_tunings: int | None = None
    """Number of tunings of each optimizer that the study has, or begins with; None: unknown."""
    timed: bool = False
    """Whether trials had a budget in seconds of training."""
    trials_left: int = 0
    """Number of planned trials without a record."""
    unscored: str = ""
    """Text in place of an answer where nothing scored, so that nothing was confirmed; else empty."""
    schedule: str = ""
    """Learning rate schedule of the study."""
    other_schedules: Mapping[str, str] = field(default_factory=dict)
    """Schedules that differ from the study's, by optimizer."""

    @property
    def measure(self) -> Measure:
        """The measure by which the study compares."""
        return self.compared.measure

    @property
    def comparisons(self) -> pd.DataFrame:
        """One row for each pair, see `Comparison`."""
        return self.compared.pairs

    @property
    def best(self) -> tuple[str, ...]:
        """Optimizers that may be the best: no claimed pair beats them. Empty where nothing is comparable."""
        return self.compared.best if self.comparable else ()

    @property
    def recommended(self) -> tuple[str, ...]:
        """Those of ``best`` that the headline names, the highest mean first; empty before there are two tunings."""
        if not self.best or self.compared.tunings < 2:
            return ()
        return tuple(best_rows(self.ranking[self.ranking["tunings"] > 0], self.compared)["name"])

    @property
    def leader(self) -> str | None:
        """Optimizer with the highest mean score over its tunings; None before there is one."""
        return leader(self.ranking)

    @cached_property
    def verdict(self) -> str:
        """The verdict in short names; before it, why trials, or all trials of an optimizer, have no result."""
        text = self.unscored or verdict(
            *self._in_short_names(), planned=self.planned_tunings, alpha=self.compared.level
        )
        return " ".join([*self._trouble_sentences(), text, *self._measure_sentences()])

    @cached_property
    def headline(self) -> str:
        """The headline in short names; where nothing has a result, the reasons instead."""
        troubles = self._trouble_sentences()
        if troubles and none_completed(self.ranking):
            return " ".join(troubles)
        if self.unscored:
            return " ".join([*troubles, self.unscored, *self._measure_sentences()[:1]])
        return " ".join([*troubles, headline(*self._in_short_names()), *self._measure_sentences()[:1]])

    def _measure_sentences(self) -> list[str]:
        """Return the sentences on what the measure is and what it does not tell."""
        return [sentence for sentence in (self.measure.defined, self.limits) if sentence]

    @property
    def limits(self) -> str:
        """Limits of the measure, in sentences; for validation losses also whether AP is already above chance."""
        if not self.measure.is_loss:
            return self.measure.limits
        mean_aps = self.ranking[MEASURED_AP_MEAN]
        above_chance = len(mean_aps) > 0 and bool((mean_aps >= AP_FLOOR).all())
        return f"{self.measure.limits} {AP_ABOVE_CHANCE}" if above_chance else self.measure.limits

    def sureness(self, *, more: str = "") -> str:
        """Say how certain the headline is, in short names, after a warning if trials are still to come."""
        text = sureness(*self._in_short_names(), more=more)
        return f"{EARLY} {text}" if text and self.trials_left else text

    @property
    def headline_metrics(self) -> dict[str, float]:
        """The headline in numbers."""
        return headline_metrics(self.ranking, self.compared, self.best)

    def _in_short_names(self) -> tuple[pd.DataFrame, Comparison]:
        """Return ranking and comparison with short names, escaped for Markdown sentences."""
        names, pairs = {name: literal(short) for name, short in self.names.items()}, self.comparisons
        return self.ranking.assign(name=[names[name] for name in self.ranking["name"]]), replace(
            self.compared,
            pairs=pairs.assign(a=[names[name] for name in pairs["a"]], b=[names[name] for name in pairs["b"]]),
            best=tuple(names[name] for name in self.compared.best),
        )

    def _trouble_sentences(self) -> list[str]:
        named = self.records.assign(optimizer=[literal(self.names[name]) for name in self.records["optimizer"]])
        confirmed = named[named["phase"] == CONFIRM]
        trials_left = self.trials_left
        remedies = OWN_REMEDIES if self.measure.is_own else REMEDIES
        why = no_result_text(named, remaining=trials_left, remedies=remedies) or no_result_text(
            confirmed, noun="confirm trial", remaining=trials_left, remedies=remedies
        )
        return (
            [why]
            if why
            else trouble_sentences(
                named, remaining=trials_left, measure=f"{self.measure.name} of {self.measure.failure_text}"
            )
        )

    @cached_property
    def summary(self) -> pd.DataFrame:
        """``ranking`` with the columns of `costs`, `chosen_rows`, `rate_ranges` and `implementation_rows` beside it.

        Also those of `update_counts`, if updates are not gradient evaluations, and each optimizer's ``schedule``, if
        one has another than the study's.
        """
        frames = (
            costs(self.records),
            chosen_rows(self.records, self._shown_tunings()),
            rate_ranges(self.sensitivity, self.lr_ranges).rename(columns={"optimizer": "name"}),
            implementation_rows(self.records),
            *([self.updates] if self.updates_differ else []),
        )
        summary = self.ranking.astype({"name": object})
        for frame in frames:
            summary = summary.merge(frame.astype({"name": object}), on="name", how="left")  # no rows: no dtype either
        return self.with_schedules(summary, "name")

    def with_schedules(self, frame: pd.DataFrame, names: str) -> pd.DataFrame:
        """Return a table with the ``schedule`` of each row's optimizer, which the column ``names`` has; the same table
        if all follow the study's."""
        if not self.other_schedules:
            return frame
        return frame.assign(schedule=[self.other_schedules.get(str(name), self.schedule) for name in frame[names]])

    @cached_property
    def updates(self) -> pd.DataFrame:
        """Gradient evaluations and updates of each optimizer, from `update_counts`."""
        return update_counts(self.records)

    @property
    def updates_differ(self) -> bool:
        """Whether some optimizer takes fewer steps than it evaluates gradients."""
        return len(self.updates) > 0

    def _shown_tunings(self) -> dict[str, int]:
        with_finalist = self.ranking[self.ranking["settings_tuning"].notna()]
        return {
            name: int(tuning)
            for name, tuning in zip(with_finalist["name"], with_finalist["settings_tuning"], strict=True)
        }

    @cached_property
    def controls(self) -> pd.DataFrame:
        """Optimizers against their controls, from `control_comparisons`, with a ``sentence`` on each."""
        comparisons = control_comparisons(self.records, self.control_records, ends=self.tuned.ends)
        return comparisons.assign(
            sentence=[control_sentence(row, measure=self.measure) for _, row in comparisons.iterrows()]
        )

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """The confirm trials, from `seed_rows`."""
        return seed_rows(self.records, floor=self.tuned.floor)

    @cached_property
    def run_curves(self) -> dict[str, pd.DataFrame]:
        """Learning curves from `run_curves`, by value; x is in the budget's unit: steps, or seconds of training."""
        over = "train_seconds" if self.timed else "step"
        return {
            value: run_curves(self.records, self.curves, value=value, over=over, floor=self.tuned.floor)
            for value in CURVE_VALUES
        }

    @cached_property
    def bands(self) -> dict[str, pd.DataFrame]:
        """Median curves from `curve_bands`, by value."""
        return {value: curve_bands(runs) for value, runs in self.run_curves.items()}

    @cached_property
    def views(self) -> pd.DataFrame:
        """Scores at equal budgets, from `budget_views`; at equal time also where steps cost different gradients."""
        return budget_views(
            self.records,
            self.curves,
            self.tuned,
            timed=self.timed or self.updates_differ,
            start=self.measure.chance,
        )

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """Tune trials by rate, from `lr_sensitivity`."""
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
    trials_left: int = 0,
    unscored: str = "",
    measure: Measure = AP,
    schedule: str = "",
    other_schedules: Mapping[str, str] | None = None,
) -> StudyAnalysis:
    """Analyse the raw trials of an optimizers study, finished or not. The order of the rows changes nothing.

    Args:
        records: One row a trial, both phases and controls; the columns of `bench.trials.columns`.
        curves: One row an evaluation: trial_id, step, train_seconds, ap, val_loss.
        optimizers: The study's optimizers in its order, used where nothing is ranked; else those in the records.
        lr_ranges: Low and high of the rates searched, by optimizer.
        tunings: Tunings of each optimizer that the study has, or begins with.
        seeds: Number of confirm trials of each tuning; None: the maximum over the tunings.
        target: Score for the time to target, set before the study; None: there is none.
        until_decided: Whether the study goes on until it is decided: claims are then made at looks.
        level: Level of the claims otherwise: lower where the study was looked at before it was extended.
        timed: Whether trials had a budget in seconds of training.
        floor: Score under which a run has learned nothing.
        scale: Range of the score; that of a score with a margin of its own is 200 times the margin.
        trials_left: Number of planned trials without a record.
        unscored: Text in place of an answer where nothing scored, so that nothing was confirmed.
        measure: The measure that the scores are in; for skill the records and curves come from
            `bench.trials.scores.as_skill`.
        schedule: Learning rate schedule of the study.
        other_schedules: Schedules that differ from it, by optimizer.

    Raises:
        ValueError: The records or curves have rows but lack a column, or hold two confirm trials of one optimizer,
            tuning and seed.
    """
    records, control_records = split_controls(records)
    others = dict(other_schedules or {})
    names = marked(short_names([*optimizers, *sorted(records["optimizer"].astype(str).unique())]), others)
    tuned = tuned_scores(records, seeds=seeds, floor=floor, ends=measure.own.gains)
    compared = compare_procedures(tuned, alpha=level, until_decided=until_decided, scale=scale, measure=measure)
    ranking = summarize(records, curves, tuned, target=target, start=measure.chance)
    if measure.is_loss:
        ranking = ranking.merge(loss_means(records, tuned), on="name", how="left")
    confirmed = ranking[ranking["n"] > 0]
    comparable = len(confirmed) > 0 and not none_completed(confirmed) and not budget_too_small(confirmed, measure)
    if not comparable:
        ranking = unranked(ranking, list(names))
        compared = replace(compared, pairs=compared.pairs.assign(better=""))
    return StudyAnalysis(
        records=records,
        control_records=control_records,
        curves=curves,
        lr_ranges=lr_ranges or {},
        names=names,
        tuned=tuned,
        compared=compared,
        ranking=ranking,
        comparable=comparable,
        planned_tunings=tunings,
        timed=timed,
        trials_left=trials_left,
        unscored=unscored,
        schedule=schedule,
        other_schedules=others,
    )
