"""A study's result from its records: every analysis that the report shows, put together. Runs nothing."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bench.analysis import (
    chosen_rows,
    costs,
    curve_bands,
    leader,
    lr_sensitivity,
    paired_comparisons,
    score_table,
    seed_rows,
    summarize,
    time_use,
    verdict,
)
from bench.analysis.verdict import budget_too_small
from bench.plan import total_trials
from bench.record import Samples, Status
from bench.report.result import LeaderSamples, StudyResult
from bench.report.write import STUDY
from bench.spec import StudySpec
from bench.tracking_view import EVALUATED, StudyRuns
from posemodel.data.synthetic import marker_of


def load_result(tracker: StudyRuns) -> StudyResult:
    """The result of a study, finished or not, from MLflow alone."""
    spec = StudySpec.model_validate(tracker.study_document())
    records = tracker.records()
    curves = tracker.curves(records, EVALUATED)
    return analyse(spec, records, curves, tracker.sessions(), machine=tracker.machine(), samples_of=tracker.samples)


def analyse(
    spec: StudySpec,
    records: pd.DataFrame,
    curves: pd.DataFrame,
    sessions: pd.DataFrame,
    *,
    machine: dict[str, str],
    samples_of: Callable[[str], Samples | None],
) -> StudyResult:
    """What a study's records say. ``sessions``: who worked on it when; ``samples_of``: the samples of an MLflow run."""
    scores = score_table(records)
    summary = summarize(records, curves[curves["ap"].notna()])
    confirmed = summary[summary["n"] > 0]
    comparable = len(confirmed) > 0 and not budget_too_small(confirmed)
    if not comparable:
        summary = _unranked(summary, spec)
    spent = costs(records)
    spent = spent.drop(columns=[column for column in spent.columns if column in summary and column != "name"])
    return StudyResult(
        spec=spec,
        planned=total_trials(spec),
        records=records,
        curves=curves,
        summary=summary.merge(spent, on="name", how="left").merge(chosen_rows(records), on="name", how="left"),
        seeds=seed_rows(records),
        scores=scores,
        bands={
            (value, over): curve_bands(records, curves, value=value, over=over)
            for value in EVALUATED
            for over in ("step", "train_seconds")
        },
        sensitivity=lr_sensitivity(records),
        time_use=time_use(records, sessions),
        leader_samples=_leader_samples(summary, records, samples_of),
        verdict=verdict(summary, paired_comparisons(scores)),
        comparable=comparable,
        machine=machine,
        command=again(spec, _at_once(records)),
    )


def _leader_samples(
    summary: pd.DataFrame, records: pd.DataFrame, samples_of: Callable[[str], Samples | None]
) -> LeaderSamples | None:
    """The samples of the optimizer with the best mean AP: of its first confirm seed that left any."""
    seeds = seed_rows(records)
    for trial in seeds[seeds["optimizer"] == leader(summary)].itertuples():
        samples = samples_of(trial.run_id) if trial.status == Status.COMPLETE else None
        if samples is not None:
            return LeaderSamples(trial.optimizer, trial.seed, trial.ap, trial.run_id, samples)
    return None


def _unranked(summary: pd.DataFrame, spec: StudySpec) -> pd.DataFrame:
    """The summary in the study's order, without ranks, times to a target and borders: noise says nothing."""
    place = {name: number for number, name in enumerate(spec.optimizers)}
    ordered = summary.sort_values("name", key=lambda names: names.map(place), ignore_index=True)
    empty = ("rank", "target_ap", "time_to_target_s", "steps_to_target", "targets_reached")
    no_borders = [[] for _ in range(len(ordered))]
    return ordered.assign(**dict.fromkeys(empty, float("nan")), at_border=no_borders)


def _at_once(records: pd.DataFrame) -> int | None:
    """How many trials ran at once, as they recorded it; None before there is one."""
    most = records["concurrent_trials"].max() if "concurrent_trials" in records else None
    return None if most is None or pd.isna(most) or most < 1 else int(most)


def again(spec: StudySpec, workers: int | None = None) -> str:
    """The commands that make the study again under another name, from the study file beside the report.

    Run where it was run first; a synthetic data set is made again if it is gone.
    """
    here = Path.cwd()
    data = spec.data.relative_to(here) if spec.data.is_relative_to(here) else spec.data
    at_once = [] if workers is None else ["--workers", str(workers)]
    study_file = Path("reports") / spec.name / STUDY
    words = ["posebench", "study", "optimizers", "--preset", spec.preset, "--study", str(study_file)]
    command = " \\\n    ".join(
        map(shlex.join, (words, ["--data", str(data), "--name", f"{spec.name}-again", *at_once]))
    )
    made = marker_of(spec.data)
    if made is None:
        return command
    synth = ["posebench", "data", "synth", str(data), "--images", str(made["images"]), "--seed", str(made["seed"])]
    return f"{shlex.join(synth)}\n{command}"
