"""A study from beginning to end: plan -> ledger -> workers -> records -> analysis -> report. Safe to interrupt."""

import os
import shlex
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from bench.analysis import (
    at_border,
    best_settings,
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
from bench.execute import interruption
from bench.execute.events import OnEvent, PhaseBegan, nobody
from bench.execute.local import Crew, crew
from bench.execute.worker import WorkerSettings
from bench.ledger import Ledger
from bench.locks import alone_on
from bench.measure.machine import fingerprint
from bench.plan import Chosen, plan_confirm, plan_tune, total_trials
from bench.progress import recorded
from bench.record import Samples, Session, Status, now_ms
from bench.report.result import LeaderSamples, StudyResult
from bench.report.write import STUDY, short_text, write_pages, write_parts
from bench.space import from_document, log_ranges
from bench.spec import TUNE, StudySpec, TrialSpec
from bench.tracking import Tracker
from bench.tracking_view import EVALUATED, StudyRuns
from posemodel.data.synthetic import marker_of
from posemodel.errors import SettingsError


@dataclass(frozen=True)
class Places:
    """Where a study keeps its state and leaves its report."""

    storage_url: str
    tracking_uri: str
    reports: Path


def run_study(
    spec: StudySpec,
    places: Places,
    *,
    workers: int,
    on_event: OnEvent = nobody,
    began: float | None = None,
    data_s: float = 0.0,
) -> tuple[StudyResult, Path]:
    """Run a study, or go on with it, or (once finished) show it again; returns the result and the report's path.

    ``began``: when the command that works on the study began (seconds since the epoch; None: now), and ``data_s``: the
    seconds of it that made the data set. Both are kept with the study, which says where its time went.
    """
    began_ms = now_ms() if began is None else int(1000 * began)
    session = Session(began_ms, now_ms(), workers, data_s, socket.gethostname(), os.getpid())
    ledger = Ledger(places.storage_url, spec.name, spec.identity())
    with ledger.session(workers), ExitStack() as closing:
        with crew(workers, on_event) as hands:
            counts = ledger.counts()
            if counts.total() - counts["waiting"] - counts["running"] < total_trials(spec):
                hands.start()  # they load their libraries while this process opens MLflow's store
            tracker = Tracker(places.tracking_uri, spec.name)
            if tracker.finished():
                session = None  # it has ended before: what is done now is none of its time
            with interruption.held():  # a run that is open is closed, whatever comes
                parent = tracker.open_study(spec, fingerprint())
                closing.push(partial(_close, tracker, session))
            _run_phases(spec, places, ledger, tracker, hands, session, parent)
        _settled_records(ledger, tracker, places)
        tracker.abandon()
        folder = places.reports / spec.name
        result = load_result(tracker)
        with alone_on(folder):  # two processes that work on one study end at the same time
            write_parts(result, folder)
            _note(tracker, session)
            result = replace(result, time_use=time_use(result.records, tracker.sessions()))
            report = write_pages(result, folder)
            tracker.log_report(folder, short_text(result))
    return result, report


def _run_phases(
    spec: StudySpec,
    places: Places,
    ledger: Ledger,
    tracker: Tracker,
    hands: Crew,
    session: Session | None,
    parent: str,
) -> None:
    settings = WorkerSettings(places.storage_url, places.tracking_uri, spec.name, spec.identity(), parent, spec.data)

    def run_phase(plan: list[TrialSpec]) -> None:
        _note(tracker, session)
        new = ledger.enqueue(plan)
        done = recorded(tracker.records().to_dict(orient="records"))
        hands.on_event(PhaseBegan(plan[0].phase, new, len(plan), done))
        hands.work_off(settings)

    run_phase(plan_tune(spec))
    run_phase(plan_confirm(spec, choose(spec, _settled_records(ledger, tracker, places))))


def _note(tracker: Tracker, session: Session | None) -> None:
    """Keep that this session has lasted until now."""
    if session is not None:
        tracker.note_session(replace(session, heard_ms=now_ms()))


def _close(
    tracker: Tracker, session: Session | None, kind: type[BaseException] | None, *_error: BaseException | object
) -> None:
    """End the study's run, however the study has ended; one that had ended before stays finished."""
    if kind is not None:
        _note(tracker, session)
    tracker.close_study("FINISHED" if kind is None or session is None else "KILLED")


def choose(spec: StudySpec, records: pd.DataFrame) -> dict[str, Chosen]:
    """Each optimizer's best tune settings, flagged where they sit at the border of their range."""
    best = best_settings(records[records["phase"] == TUNE])
    return {
        name: Chosen(
            best[name], tuple(at_border(best[name], log_ranges(from_document(spec.spaces[name], f"spaces.{name}"))))
        )
        for name in spec.optimizers
    }


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


def _settled_records(ledger: Ledger, tracker: Tracker, places: Places) -> pd.DataFrame:
    """The records, one for each trial that the ledger has closed: their store may have been removed or changed."""
    counts = ledger.counts()  # first: another process may record a trial meanwhile, and never takes one away
    records = tracker.records()
    if len(records) < counts.total() - counts["waiting"] - counts["running"]:
        raise SettingsError(
            f"MLFLOW_TRACKING_URI {places.tracking_uri}: holds {len(records)} records of this study, the ledger at "
            f"{places.storage_url} has closed more trials. Bring the MLflow store back, or start anew with another "
            "--name."
        )
    return records
