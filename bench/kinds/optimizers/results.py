"""Put together the result of an optimizers study from its records: all that the report shows. Runs no trial."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bench.kinds.optimizers.analysis import StudyAnalysis, study_analysis, time_use
from bench.kinds.optimizers.analysis.sensitivity import RATES
from bench.kinds.optimizers.measure import measure_of
from bench.kinds.optimizers.paste_lines import paste_lines
from bench.kinds.optimizers.plan import nothing_scored, planned_trials, study_outcomes
from bench.kinds.optimizers.report.result import LeaderSamples, StudyResult
from bench.kinds.optimizers.spec import StudySpec
from bench.kinds.optimizers.study_score import margin_scale, measures_skill, score_of, scored, scored_curves
from bench.optimizers.space import from_document, log_ranges
from bench.records.reader import EVALUATION_METRICS, StudyRuns
from bench.report.unscored import all_trials_text, unscored_text
from bench.report.wording import enumerate_items
from bench.statistics.looks import level_after
from bench.study.rerun_command import options_of, rerun_command
from bench.trials.columns import rows_of
from bench.trials.needed_length import UNKNOWN, NeededLength, estimate_needed_length
from bench.trials.own_schedules import other_schedules
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.score_names import AP_SCORE, LOSS_SCORE
from bench.trials.score_scale import collapse_floor
from bench.trials.status import Status
from bench.workloads import POSE
from bench.workloads.of_study import workload_of
from bench.workloads.protocol import Samples
from posemodel.scoring.samples import as_jpeg, draw_samples


def load_result(tracker: StudyRuns, folder: Path | None = None) -> StudyResult:
    """Load the result of a study, finished or not, from MLflow alone; its command names the report's ``folder``."""
    spec = StudySpec.from_stored(tracker.study_document())
    records = tracker.records()
    names = [workload_of(spec).score.name if name == AP_SCORE else name for name in EVALUATION_METRICS]
    curves = tracker.curves(records, names)
    return analyse(
        *(spec, records, curves, tracker.sessions()),
        machine=tracker.machine(),
        samples_of=tracker.samples,
        folder=folder,
    )


def analyse(
    spec: StudySpec,
    records: pd.DataFrame,
    curves: pd.DataFrame,
    sessions: pd.DataFrame,
    *,
    machine: dict[str, str],
    samples_of: Callable[[str], Samples | None],
    folder: Path | None = None,
) -> StudyResult:
    """Analyse a study's records.

    Args:
        spec: The study.
        records: One row a trial.
        curves: One row an evaluation.
        sessions: One row a process that worked on the study, with its times.
        machine: What it ran on.
        samples_of: Returns the samples of an MLflow run.
        folder: The report's folder; None: the default one of the study's name.
    """
    outcomes = study_outcomes(spec, records)
    planned = planned_trials(spec, outcomes)
    score, measure = score_of(spec), measure_of(spec.score, workload_of(spec))
    needed_length = None
    if nothing_scored(spec, outcomes) and not (records["phase"] == CONFIRM).any():
        needed_length = _needed_length(spec, records)
    analysis = study_analysis(
        scored(spec, records),
        scored_curves(spec, curves, records),
        optimizers=spec.optimizers,
        lr_ranges=_lr_ranges(spec),
        tunings=spec.tunings,
        seeds=spec.seeds,
        target=None if spec.target is None else score.gain(spec.target),
        until_decided=spec.until_decided,
        level=level_after(len(spec.looks)),
        timed=spec.steps is None,
        floor=collapse_floor(score),
        scale=margin_scale(score),
        trials_left=max(0, planned - len(records)),
        unscored=_unscored(spec, records, needed_length),
        measure=measure,
        schedule=spec.schedule,
        other_schedules=other_schedules(spec),
    )
    leader_samples = _leader_samples(analysis, samples_of)
    return StudyResult(
        spec=spec,
        planned=planned,
        records=records,
        curves=curves,
        analysis=analysis,
        needed=needed_length,
        time_use=time_use(records, sessions),
        leader_samples=leader_samples,
        sheet=None if leader_samples is None else _sheet(spec, leader_samples.samples),
        lines=paste_lines(spec, analysis.ranking, records),
        machine=machine,
        command=rerun_command(
            spec.kind, spec.name, spec.preset, data=spec.data, options=options_of(records), folder=folder
        ),
    )


def _needed_length(spec: StudySpec, records: pd.DataFrame) -> NeededLength:
    """Return how long tune trials would have to be; the loss at which trials begin to score is only known for pose
    networks."""
    length, unit = spec.length(TUNE)
    if workload_of(spec).name != POSE and spec.score != LOSS_SCORE:
        return NeededLength(length, unit, why=UNKNOWN)
    return estimate_needed_length(records, TUNE, length=length, unit=unit)


def _unscored(spec: StudySpec, records: pd.DataFrame, needed_length: NeededLength | None) -> str:
    """Return the text for a study where nothing scored; empty if something did, or no trial completed."""
    if needed_length is None or not (records["status"] == Status.COMPLETE).any():
        return ""
    flags = "`--tune-steps` and `--steps`" if spec.steps is not None else "`--tune-seconds` and `--seconds`"
    ways = [f"more {flags}"]
    if workload_of(spec).name == POSE:
        ways += [] if spec.weights_digest else ["a trained network to begin from (`--weights`)"]
        ways += ["a smaller input (`--size`)"]
    if spec.score != LOSS_SCORE and measures_skill(workload_of(spec)):
        ways += ["for now `--score val_loss`, which compares by validation loss"]
    measure = measure_of(spec.score, workload_of(spec))
    return unscored_text(
        all_trials_text(len(records), "tune trial"),
        needed_length,
        not_done="nothing was confirmed",
        remedies=f"What may help, under another `--name`: {enumerate_items(ways, last='or')}.",
        batch=f" of batch {spec.batch_size}",
        score=f"{measure.worse} {measure.name} {measure.floor_text}",
    )


def _lr_ranges(spec: StudySpec) -> dict[str, tuple[float, float]]:
    """Return the range of learning rates searched by each optimizer; none where they are fixed or from a list."""
    spaces = {name: from_document(spec.spaces[name], f"spaces.{name}") for name in spec.optimizers}
    ranges = {name: log_ranges(space) for name, space in spaces.items()}
    searched = {name: [own[rate] for rate in RATES if rate in own] for name, own in ranges.items()}
    return {name: own[0] for name, own in searched.items() if own}


def _leader_samples(analysis: StudyAnalysis, samples_of: Callable[[str], Samples | None]) -> LeaderSamples | None:
    """Return the samples of the leader's first confirm trial that has samples, preferring trials that learned."""
    own = analysis.seeds[analysis.seeds["optimizer"] == analysis.leader]
    for trial in rows_of(own.sort_values("collapsed", kind="stable")):
        samples = samples_of(trial["run_id"]) if trial["status"] == Status.COMPLETE else None
        if samples is not None:
            return LeaderSamples(trial["optimizer"], trial["seed"], trial["ap"], trial["run_id"], samples)
    return None


def _sheet(spec: StudySpec, samples: Samples) -> bytes | None:
    """Return the sample images as JPEG, drawn on the data set's pictures; if these are gone, as the trial drew them."""
    if workload_of(spec).name != POSE:
        return samples.sheet
    drawn = draw_samples(samples.document, spec.data, exif=spec.exif)
    return samples.sheet if drawn is None else as_jpeg(drawn)
