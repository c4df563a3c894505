"""Runs a study whose trials stand in the ledger: plan -> ledger -> workers -> records -> report.

Safe to interrupt: the same command goes on, a finished study is shown again.
"""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from bench.engines import interruption
from bench.engines.events import Event, OnEvent, PhaseBegan, TrialEnded
from bench.engines.processes import Crew, crew
from bench.engines.worker import WorkerSettings
from bench.ledger.foreign import refuse_foreign
from bench.ledger.reader import foreign_studies
from bench.ledger.store import Ledger
from bench.measure.machine import fingerprint
from bench.records.store_check import check_stores
from bench.records.writer import Tracker
from bench.storage.locks import path_lock
from bench.storage.masking import masked
from bench.study.store_paths import StorePaths
from bench.trials.columns import rows_of
from bench.trials.progress import recorded
from bench.trials.record import Session, now_ms
from bench.trials.study_base import StudyBase
from posemodel.errors import SettingsError

if TYPE_CHECKING:
    from bench.study.ledger_kind import LedgerKind

S = TypeVar("S", bound=StudyBase)


def run_study(
    kind: "LedgerKind[S, Any]",
    spec: S,
    paths: StorePaths,
    *,
    workers: int,
    on_event: OnEvent,
    began: float | None,
    data_s: float,
) -> tuple[Any, Path]:
    """See `bench.study.kind.StudyKind.run`."""
    objectives = kind.objectives(spec)
    began_ms = now_ms() if began is None else int(1000 * began)
    session: Session | None = Session(began_ms, now_ms(), workers, data_s, socket.gethostname(), os.getpid())
    check_stores(paths.storage_url, paths.tracking_uri)
    refuse_foreign(foreign_studies(paths.storage_url), paths.storage_url, spec.name)  # opening changes the file
    ledger = Ledger(paths.storage_url, spec.name, spec.identity(), objectives=objectives)
    with ledger.session(workers), ExitStack() as closing:
        heard: list[Callable[[], None]] = []

        def on_study_event(event: Event) -> None:
            if isinstance(event, TrialEnded):
                for note in heard:
                    note()
            on_event(event)

        with crew(workers, on_study_event) as workforce:
            counts = ledger.counts()
            if counts.total() - counts["waiting"] - counts["running"] < kind.least_trials(spec):
                workforce.start()  # they load their libraries while this process opens MLflow's store
            tracker = Tracker(paths.tracking_uri, spec.name)
            if tracker.finished():
                session = None  # the study has already finished: this session's time is not counted
            with interruption.defer_interrupts():  # a run that is open is closed, whatever comes
                parent = tracker.open_study(spec, fingerprint(), kind.views)
                heard.append(partial(_note, tracker, session))
                closing.push(partial(_close, tracker, session))
            settings = WorkerSettings(
                paths.storage_url,
                paths.tracking_uri,
                spec.name,
                spec.identity(),
                parent,
                spec.data,
                kind.trials,
                objectives,
            )
            _work_off(kind, spec, ledger, tracker, paths, workforce, settings, partial(_note, tracker, session))
        _settled_records(ledger, tracker, paths)
        tracker.abandon()
        folder = paths.report_of(spec.name)
        with path_lock(folder):  # two processes that work on one study end at the same time
            result, report = kind.write_report(tracker, folder, partial(_note, tracker, session))
            tracker.log_report(folder, kind.short_text(result))
    return result, report


def _work_off(
    kind: "LedgerKind[S, Any]",
    spec: S,
    ledger: Ledger,
    tracker: Tracker,
    paths: StorePaths,
    workforce: Crew,
    settings: WorkerSettings,
    note_session: Callable[[], None],
) -> None:
    """Plan, let the workers run what is planned, and plan again from the records, until nothing new is planned."""
    known: set[str] = set()
    while True:
        plan = kind.next_trials(spec, _settled_records(ledger, tracker, paths))
        note_session()
        new = [trial for trial in plan if trial.id not in known]
        if not new:
            return
        for phase in dict.fromkeys(trial.phase for trial in new):
            added = ledger.enqueue(trial for trial in new if trial.phase == phase)
            done = recorded(rows_of(tracker.records()))
            workforce.on_event(PhaseBegan(phase, added, sum(trial.phase == phase for trial in plan), done))
        workforce.work_off(settings)
        known |= {trial.id for trial in new}


def _note(tracker: Tracker, session: Session | None) -> None:
    """Update the session's last-seen time."""
    if session is not None:
        tracker.note_session(replace(session, heard_ms=now_ms()))


def _close(
    tracker: Tracker, session: Session | None, kind: type[BaseException] | None, *_error: BaseException | object
) -> None:
    """End the study's run, however the study has ended; one that had ended before stays finished."""
    if kind is not None:
        _note(tracker, session)
    tracker.close_study("FINISHED" if kind is None or session is None else "KILLED")


def _settled_records(ledger: Ledger, tracker: Tracker, paths: StorePaths) -> pd.DataFrame:
    """The records, one for each trial that the ledger has closed: their store may have been removed or changed."""
    counts = ledger.counts()  # first: another process may record a trial meanwhile, and never takes one away
    records = tracker.records()
    if len(records) < counts.total() - counts["waiting"] - counts["running"]:
        raise SettingsError(
            f"MLFLOW_TRACKING_URI {masked(paths.tracking_uri)}: holds {len(records)} records of this study, the "
            f"ledger at {masked(paths.storage_url)} has closed more trials. Bring the MLflow store back, or start "
            "anew with another --name."
        )
    return records
