"""A study whose trials stand in the ledger, from beginning to end: plan -> ledger -> workers -> records -> report.

What the kinds have in common. Safe to interrupt: the same command goes on, a finished study is shown again.
"""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd

from bench.engines import interruption
from bench.engines.events import Event, OnEvent, PhaseBegan, TrialEnded, nobody
from bench.engines.processes import Crew, crew
from bench.engines.trial import TrialKind
from bench.engines.worker import WorkerSettings
from bench.ledger.foreign import refuse_foreign
from bench.ledger.reader import foreign_studies
from bench.ledger.store import Ledger
from bench.measure.machine import fingerprint
from bench.records.store_check import check_stores
from bench.records.writer import Tracker
from bench.storage.locks import alone_on
from bench.storage.masking import masked
from bench.trials.columns import rows_of
from bench.trials.progress import recorded
from bench.trials.record import Session, now_ms
from bench.trials.spec import Planned
from bench.trials.study_base import StudyBase
from posemodel.errors import SettingsError

R = TypeVar("R")

NoteSession = Callable[[], None]
"""Keeps that this session has lasted until now."""


@dataclass(frozen=True)
class Places:
    """Where a study keeps its state and leaves its report."""

    storage_url: str
    tracking_uri: str
    reports: Path


@dataclass(frozen=True)
class Course(Generic[R]):
    """What a study of some kind does."""

    spec: StudyBase
    phases: Sequence[Callable[[pd.DataFrame], Sequence[Planned]]]
    """Plans the trials of each phase, from the records of those before; none: the phase is left out."""
    least_trials: int
    """In all phases."""
    trials: TrialKind
    """How they are run."""
    report: Callable[[Tracker, Path, NoteSession], tuple[R, Path, str]]
    """Writes the report into a folder: the result, the report's path, and what MLflow's page begins with."""
    objectives: int = 1
    """Values that Optuna is told of a trial."""


def run_course(
    course: Course[R],
    places: Places,
    *,
    workers: int,
    on_event: OnEvent = nobody,
    began: float | None = None,
    data_s: float = 0.0,
) -> tuple[R, Path]:
    """Run a study, or go on with it, or (once finished) show it again; returns the result and the report's path.

    ``began``: when the command that works on the study began (seconds since the epoch; None: now), and ``data_s``: the
    seconds of it that made the data set. Both are kept with the study, which says where its time went.
    """
    spec = course.spec
    began_ms = now_ms() if began is None else int(1000 * began)
    session: Session | None = Session(began_ms, now_ms(), workers, data_s, socket.gethostname(), os.getpid())
    check_stores(places.storage_url, places.tracking_uri)
    refuse_foreign(foreign_studies(places.storage_url), places.storage_url, spec.name)  # opening changes the file
    ledger = Ledger(places.storage_url, spec.name, spec.identity(), objectives=course.objectives)
    with ledger.session(workers), ExitStack() as closing:
        heard: list[Callable[[], None]] = []

        def on_study_event(event: Event) -> None:
            if isinstance(event, TrialEnded):
                for note in heard:
                    note()
            on_event(event)

        with crew(workers, on_study_event) as hands:
            counts = ledger.counts()
            if counts.total() - counts["waiting"] - counts["running"] < course.least_trials:
                hands.start()  # they load their libraries while this process opens MLflow's store
            tracker = Tracker(places.tracking_uri, spec.name)
            if tracker.finished():
                session = None  # it has ended before: what is done now is none of its time
            with interruption.held():  # a run that is open is closed, whatever comes
                parent = tracker.open_study(spec, fingerprint())
                heard.append(partial(_note, tracker, session))
                closing.push(partial(_close, tracker, session))
            _run_phases(course, places, ledger, tracker, hands, session, parent)
        _settled_records(ledger, tracker, places)
        tracker.abandon()
        folder = places.reports / spec.name
        with alone_on(folder):  # two processes that work on one study end at the same time
            result, report, text = course.report(tracker, folder, partial(_note, tracker, session))
            tracker.log_report(folder, text)
    return result, report


def _run_phases(
    course: Course[R],
    places: Places,
    ledger: Ledger,
    tracker: Tracker,
    hands: Crew,
    session: Session | None,
    parent: str,
) -> None:
    spec = course.spec
    settings = WorkerSettings(
        places.storage_url,
        places.tracking_uri,
        spec.name,
        spec.identity(),
        parent,
        spec.data,
        course.trials,
        course.objectives,
    )
    for number, plan_phase in enumerate(course.phases):
        records = _settled_records(ledger, tracker, places) if number else pd.DataFrame()
        plan = plan_phase(records)
        _note(tracker, session)
        if not plan:
            continue
        new = ledger.enqueue(plan)
        done = recorded(rows_of(tracker.records()))
        hands.on_event(PhaseBegan(plan[0].phase, new, len(plan), done))
        hands.work_off(settings)


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


def _settled_records(ledger: Ledger, tracker: Tracker, places: Places) -> pd.DataFrame:
    """The records, one for each trial that the ledger has closed: their store may have been removed or changed."""
    counts = ledger.counts()  # first: another process may record a trial meanwhile, and never takes one away
    records = tracker.records()
    if len(records) < counts.total() - counts["waiting"] - counts["running"]:
        raise SettingsError(
            f"MLFLOW_TRACKING_URI {masked(places.tracking_uri)}: holds {len(records)} records of this study, the "
            f"ledger at {masked(places.storage_url)} has closed more trials. Bring the MLflow store back, or start "
            "anew with another --name."
        )
    return records
