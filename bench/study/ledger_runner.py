"""Run a study whose trials are in the ledger: plan -> ledger -> workers -> records -> report.

Safe to interrupt: the same command continues the study; a finished study is shown again.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
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
from bench.ledger.reader import read_identities, read_studies
from bench.ledger.store import Ledger
from bench.measure.gpus import Gpu
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
    gpus: Sequence[Gpu] = (),
    checkpoints: str | None = None,
    on_event: OnEvent,
    began: float | None,
    data_s: float,
    until: float | None = None,
) -> tuple[FindingsResult, Path]:
    """Run a study of a ledger kind; see `bench.study.kind.StudyKind.run`."""
    objectives = kind.objectives(spec)
    began_ms = now_ms() if began is None else int(1000 * began)
    session: Session | None = Session(began_ms, now_ms(), workers, data_s, socket.gethostname(), os.getpid())
    check_stores(paths.storage_url, paths.tracking_uri)
    known_studies = read_identities(paths.storage_url)  # read before the ledger is opened: opening changes the file
    refuse_foreign([name for name, identity in known_studies.items() if identity is None], paths.storage_url, spec.name)
    begun = known_studies.get(spec.name)
    if begun is not None:
        spec = kind.with_stored_settings(spec, begun)
        refuse_difference(spec.name, begun, spec.identity(), kind.difference_remedy(spec, begun))
    ledger = Ledger(paths.storage_url, spec.name, spec.identity(), objectives=objectives)
    deadline = interruption.Deadline(until)
    with ledger.session(workers), ExitStack() as closing:
        on_record: list[Callable[[Record], None]] = []

        def on_study_event(event: Event) -> None:
            if isinstance(event, TrialEnded):
                for callback in on_record:
                    callback(event.record)
            on_event(event)

        with _ignore_interrupt_of(deadline), crew(workers, on_study_event, gpus=gpus) as workforce:
            counts = ledger.counts()
            if counts.total() - counts["waiting"] - counts["running"] < kind.minimum_trials(spec):
                workforce.start()  # workers load their libraries while this process opens MLflow's store
            tracker = Tracker(paths.tracking_uri, spec.name)
            earlier = ledger.earlier_identities()
            if tracker.finished() and not tracker.was_extended(spec, earlier):
                session = None  # the study has already finished: this session's time is not counted
            with interruption.defer_interrupts():  # an opened run must also get its closing callback
                parent = tracker.open_study(
                    spec, fingerprint(spec.optimizer_modules, gpus), kind.views_of(spec), earlier
                )
                note_session = partial(_note, tracker, session)
                on_record.append(lambda _record: note_session())
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
                file_paths=spec.file_paths,
                checkpoints=checkpoints,
            )
            planner = _Planner(kind, spec, ledger, tracker, paths, on_event)
            if kind.plans_ahead:
                on_record.append(planner.plan_from)
            with deadline:
                _work_off(planner, workforce, settings, note_session)
        _settled_records(ledger, tracker, paths)
        tracker.abandon()
        folder = paths.report_of(spec.name)
        with path_lock(folder):  # processes that work on the same study finish at the same time
            result, report = kind.write_report(tracker, folder, partial(_note, tracker, session))
            tracker.log_report(folder, result.short_text, headline=result.headline, metrics=result.findings.metrics)
        if deadline.passed and result.info.status != "complete":
            closing.pop_all()  # the study is unfinished and can be continued later
            _note(tracker, session)
            tracker.close_study("KILLED")
    return result, report


@contextmanager
def _ignore_interrupt_of(deadline: interruption.Deadline) -> Iterator[None]:
    """Suppress the interruption that the deadline itself causes; by then the block has given its trials back to the
    ledger."""
    try:
        yield
    except KeyboardInterrupt:
        if not deadline.absorb_interrupt():
            raise


def extend_study(kind: "LedgerKind[S]", begun: S, extended: S, paths: StorePaths) -> None:
    """Replace a begun study by a larger one that keeps its records; `run_study` then continues the larger one.

    Raises SettingsError while a process works on the study.
    """
    current = read_studies(paths.storage_url).get(begun.name)
    if current is not None and current.active:
        raise SettingsError(
            f"study {begun.name}: a process is working on it (`posebench study status {begun.name}`). Wait until it "
            "ends, or stop it with Ctrl-C."
        )
    if current is None or current.identity != json.loads(json.dumps(begun.identity())):
        raise SettingsError(
            f"study {begun.name}: another process has extended it meanwhile. Check its status before you try again."
        )
    ledger = Ledger(paths.storage_url, begun.name, begun.identity(), objectives=kind.objectives(begun))
    ledger.extend(extended.identity())


class _Planner:
    """Plans the trials of one study from its records, and enqueues new ones while others run."""

    def __init__(
        self,
        kind: "LedgerKind[S]",
        spec: S,
        ledger: Ledger,
        tracker: Tracker,
        paths: StorePaths,
        on_event: OnEvent,
    ) -> None:
        self.kind, self.spec = kind, spec
        self.ledger, self.tracker, self.paths = ledger, tracker, paths
        self.on_event = on_event
        self._known: set[str] = set()
        self._rows: dict[str, dict[str, Any]] = {}

    def look(self) -> tuple[pd.DataFrame, list[Planned], list[Planned]]:
        """Read all records; return them, the trials planned from them, and the newly planned among these."""
        records = _settled_records(self.ledger, self.tracker, self.paths)
        self._rows = {row["trial_id"]: row for row in rows_of(records)}
        return records, *self._plan(records)

    def plan_from(self, record: Record) -> None:
        """Enqueue the trials that a new record makes possible, while other trials run."""
        if self.ledger.has_other_processes():  # other processes' records are only in MLflow
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
        if not new and not planner.ledger.counts()["waiting"]:  # the last record may have made some possible
            return
        done = recorded(rows_of(records))
        for phase in dict.fromkeys(trial.phase for trial in new):
            added = planner.ledger.enqueue(trial for trial in new if trial.phase == phase)
            if phase not in begun or not planner.kind.plans_ahead:
                phase_trials = {trial.id for trial in plan if trial.phase == phase}
                # Recorded trials count even if they are no longer planned.
                phase_trials |= {trial_id for trial_id, each in done.items() if each.phase == phase}
                workforce.on_event(PhaseBegan(phase, added, len(phase_trials), done))
            begun.add(phase)
        workforce.work_off(settings)


def _note(tracker: Tracker, session: Session | None) -> None:
    """Update the session's last-seen time."""
    if session is not None:
        tracker.update_session(replace(session, heard_ms=now_ms()))


def _close(
    tracker: Tracker, session: Session | None, kind: type[BaseException] | None, *_error: BaseException | object
) -> None:
    """Close the study's MLflow run when the command ends; a study that had finished before stays finished."""
    if kind is not None:
        _note(tracker, session)
    tracker.close_study("FINISHED" if kind is None or session is None else "KILLED")


def _settled_records(ledger: Ledger, tracker: Tracker, paths: StorePaths) -> pd.DataFrame:
    """Return all records; SettingsError if the ledger has closed more trials, as when the MLflow store was replaced."""
    counts = ledger.counts()  # before the records: another process may add a record meanwhile, but never removes one
    records = tracker.records()
    if len(records) < counts.total() - counts["waiting"] - counts["running"]:
        raise SettingsError(
            f"MLFLOW_TRACKING_URI {masked(paths.tracking_uri)}: holds {len(records)} records of this study, but the "
            f"ledger at {masked(paths.storage_url)} has closed more trials. Restore the MLflow store, or start "
            "a new study with another --name."
        )
    return records
