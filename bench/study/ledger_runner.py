"""Runs a study whose trials stand in the ledger: plan -> ledger -> workers -> records -> report.

Safe to interrupt: the same command goes on, a finished study is shown again.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from bench.engines import interruption
from bench.engines.events import Event, MorePlanned, OnEvent, PhaseBegan, TrialEnded
from bench.engines.processes import Crew, crew
from bench.engines.worker import WorkerSettings
from bench.ledger.foreign import refuse_foreign
from bench.ledger.reader import identities, look
from bench.ledger.store import Ledger
from bench.measure.machine import fingerprint
from bench.records.store_check import check_stores
from bench.records.writer import Tracker
from bench.report.findings_result import FindingsResult
from bench.storage.locks import path_lock
from bench.storage.masking import masked
from bench.study.store_paths import StorePaths
from bench.trials.columns import rows_of
from bench.trials.progress import recorded
from bench.trials.record import Record, Session, now_ms
from bench.trials.spec import Planned
from bench.trials.study_base import StudyBase, refuse_difference
from posemodel.errors import SettingsError

if TYPE_CHECKING:
    from bench.study.ledger_kind import LedgerKind

S = TypeVar("S", bound=StudyBase)


def run_study(
    kind: "LedgerKind[S]",
    spec: S,
    paths: StorePaths,
    *,
    workers: int,
    on_event: OnEvent,
    began: float | None,
    data_s: float,
    until: float | None = None,
) -> tuple[FindingsResult, Path]:
    """See `bench.study.kind.StudyKind.run`."""
    objectives = kind.objectives(spec)
    began_ms = now_ms() if began is None else int(1000 * began)
    session: Session | None = Session(began_ms, now_ms(), workers, data_s, socket.gethostname(), os.getpid())
    check_stores(paths.storage_url, paths.tracking_uri)
    known = identities(paths.storage_url)  # opening changes the file
    refuse_foreign([name for name, identity in known.items() if identity is None], paths.storage_url, spec.name)
    begun = known.get(spec.name)
    if begun is not None:
        spec = kind.as_begun(spec, begun)
        refuse_difference(spec.name, begun, spec.identity(), kind.go_on_text(spec, begun))
    ledger = Ledger(paths.storage_url, spec.name, spec.identity(), objectives=objectives)
    deadline = interruption.Deadline(until)
    with ledger.session(workers), ExitStack() as closing:
        heard: list[Callable[[Record], None]] = []

        def on_study_event(event: Event) -> None:
            if isinstance(event, TrialEnded):
                for note in heard:
                    note(event.record)
            on_event(event)

        with _forgiven(deadline), crew(workers, on_study_event) as workforce:
            counts = ledger.counts()
            if counts.total() - counts["waiting"] - counts["running"] < kind.least_trials(spec):
                workforce.start()  # they load their libraries while this process opens MLflow's store
            tracker = Tracker(paths.tracking_uri, spec.name)
            earlier = ledger.earlier()
            if tracker.finished() and not tracker.was_extended(spec, earlier):
                session = None  # the study has already finished: this session's time is not counted
            with interruption.defer_interrupts():  # a run that is open is closed, whatever comes
                parent = tracker.open_study(spec, fingerprint(), kind.views, earlier)
                note_session = partial(_note, tracker, session)
                heard.append(lambda _record: note_session())
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
                places=spec.places,
            )
            planner = _Planner(kind, spec, ledger, tracker, paths, on_event)
            if kind.plans_ahead:
                heard.append(planner.hear)
            with deadline:
                _work_off(planner, workforce, settings, note_session)
        _settled_records(ledger, tracker, paths)
        tracker.abandon()
        folder = paths.report_of(spec.name)
        with path_lock(folder):  # two processes that work on one study end at the same time
            result, report = kind.write_report(tracker, folder, partial(_note, tracker, session))
            tracker.log_report(folder, result.short_text, headline=result.headline, metrics=result.findings.metrics)
        if deadline.passed and result.info.status != "complete":
            closing.pop_all()  # it has not ended, and goes on another time
            _note(tracker, session)
            tracker.close_study("KILLED")
    return result, report


@contextmanager
def _forgiven(deadline: interruption.Deadline) -> Iterator[None]:
    """Whatever the block has in hand is given back at a deadline, and what follows goes on."""
    try:
        yield
    except KeyboardInterrupt:
        if not deadline.caught():
            raise


def extend_study(kind: "LedgerKind[S]", begun: S, extended: S, paths: StorePaths) -> None:
    """Make a begun study a larger one, which keeps its records: from then on `run_study` runs that.

    SettingsError while a process works on it.
    """
    found = look(paths.storage_url).get(begun.name)
    if found is not None and found.active:
        raise SettingsError(
            f"study {begun.name}: a process works on it (`posebench study status {begun.name}`): wait for its end, or "
            "stop it with Ctrl-C."
        )
    if found is None or found.identity != json.loads(json.dumps(begun.identity())):
        raise SettingsError(f"study {begun.name}: another process has extended it meanwhile: look at it again.")
    ledger = Ledger(paths.storage_url, begun.name, begun.identity(), objectives=kind.objectives(begun))
    ledger.extend(extended.identity())


class _Planner:
    """Plans what can be planned, and puts it into the ledger."""

    def __init__(
        self,
        kind: "LedgerKind[S]",
        spec: S,
        ledger: Ledger,
        tracker: Tracker,
        paths: StorePaths,
        on_event: OnEvent,
    ) -> None:
        """Of one study."""
        self.kind, self.spec = kind, spec
        self.ledger, self.tracker, self.paths = ledger, tracker, paths
        self.on_event = on_event
        self._known: set[str] = set()
        self._rows: dict[str, dict[str, Any]] = {}

    def look(self) -> tuple[pd.DataFrame, list[Planned], list[Planned]]:
        """Read all records: these, all trials that can be planned from them, and those of these that are new here."""
        records = _settled_records(self.ledger, self.tracker, self.paths)
        self._rows = {row["trial_id"]: row for row in rows_of(records)}
        return records, *self._plan(records)

    def hear(self, record: Record) -> None:
        """Plan what a record makes possible, while other trials run."""
        if self.ledger.others():  # whose records only their store tells
            _, plan, new = self.look()
        else:
            self._rows[record.trial_id] = record.as_row()
            plan, new = self._plan(pd.DataFrame(list(self._rows.values())))
        if new:
            self.ledger.enqueue(new)
        for phase in dict.fromkeys(trial.phase for trial in new):
            self.on_event(MorePlanned(phase, sum(trial.phase == phase for trial in plan)))

    def _plan(self, records: pd.DataFrame) -> tuple[list[Planned], list[Planned]]:
        plan = list(self.kind.next_trials(self.spec, records))
        new = [trial for trial in plan if trial.id not in self._known]
        self._known |= {trial.id for trial in new}
        return plan, new


def _work_off(planner: _Planner, workforce: Crew, settings: WorkerSettings, note_session: Callable[[], None]) -> None:
    """Plan, let the workers run what is planned, and plan again from the records, until nothing new is planned."""
    begun: set[str] = set()
    while True:
        records, plan, new = planner.look()
        note_session()
        if not new and not planner.ledger.counts()["waiting"]:  # some may wait that the last record made possible
            return
        done = recorded(rows_of(records))
        for phase in dict.fromkeys(trial.phase for trial in new):
            added = planner.ledger.enqueue(trial for trial in new if trial.phase == phase)
            if phase not in begun or not planner.kind.plans_ahead:
                ours = {trial.id for trial in plan if trial.phase == phase}
                ours |= {trial_id for trial_id, each in done.items() if each.phase == phase}  # those no longer planned
                workforce.on_event(PhaseBegan(phase, added, len(ours), done))
            begun.add(phase)
        workforce.work_off(settings)


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
