"""A study from beginning to end: plan -> ledger -> workers -> records -> analysis -> report. Safe to interrupt."""

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from bench.analysis import at_border, best_settings, time_use
from bench.execute import interruption
from bench.execute.events import OnEvent, PhaseBegan, nobody
from bench.execute.local import Crew, crew
from bench.execute.worker import WorkerSettings
from bench.ledger import Ledger
from bench.locks import alone_on
from bench.measure.machine import fingerprint
from bench.plan import Chosen, plan_confirm, plan_tune, total_trials
from bench.progress import recorded
from bench.record import Session, now_ms
from bench.report.result import StudyResult
from bench.report.write import short_text, write_pages, write_parts
from bench.results import load_result
from bench.space import from_document, log_ranges
from bench.spec import TUNE, StudySpec, TrialSpec
from bench.tracking import Tracker
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
