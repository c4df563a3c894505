"""Run a study whose trials are in the ledger: plan -> ledger -> workers -> records -> report.

Safe to interrupt: the same command continues the study; a finished study is shown again.
"""

import importlib
import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from bench.engines import interruption
from bench.engines.checkpoint_places import place_anywhere
from bench.engines.checkpoints import check_checkpoints, forget_recorded
from bench.engines.cluster.settings import Cluster
from bench.engines.engine import Engine
from bench.engines.events import Event, MorePlanned, OnEvent, PhaseBegan, TrialEnded, WorkersChanged
from bench.engines.following import Following
from bench.engines.processes import crew
from bench.engines.worker_settings import WorkerSettings
from bench.ledger.foreign import refuse_foreign
from bench.ledger.reader import read_identities, read_study
from bench.ledger.store import Ledger
from bench.measure.gpus import Gpu
from bench.measure.machine import fingerprint, versions
from bench.records.growing import GrowingRecords
from bench.records.store_check import check_stores
from bench.records.waiting import remove_recorded
from bench.records.writer import Tracker
from bench.report.findings_result import FindingsResult
from bench.storage.locks import path_lock
from bench.storage.masking import masked
from bench.storage.patience import outages_ignored
from bench.study.longest_first import Pace, by_phase
from bench.study.node_data import NodeData
from bench.study.progress import mean_seconds
from bench.study.store_paths import StorePaths
from bench.trials.columns import rows_of
from bench.trials.progress import EndedTrial, recorded
from bench.trials.record import Record, Session, now_ms
from bench.trials.spec import Planned
from bench.trials.study_base import StudyBase, refuse_difference
from posemodel.errors import SettingsError

if TYPE_CHECKING:
    from bench.study.ledger_kind import LedgerKind

S = TypeVar("S", bound=StudyBase)
PLANNING_SHARE = 0.05
"""Share of a process's time that planning while others run takes at most, as long as enough trials wait."""
ENOUGH_WAITING = 100
"""Number of waiting trials with which planning can be put off."""
CLUSTER_CREW = "bench.engines.cluster.crew"
"""Module of the engine that imports Ray."""
SEVERAL = 2
"""Stands for the trials that run at once on a cluster without a bound."""
NOTE_EVERY_S = 1.0
"""Seconds between two updates of a session's last-seen time by its records."""
OnRecord = Callable[[Record], None]
"""Receives each new record of this process's trials."""


def run_study(
    kind: "LedgerKind[S]",
    spec: S,
    paths: StorePaths,
    *,
    workers: int,
    gpus: Sequence[Gpu] = (),
    checkpoints: str | None = None,
    cluster: Cluster | None = None,
    on_event: OnEvent,
    began: float | None,
    data_s: float,
    until: float | None = None,
) -> tuple[FindingsResult, Path]:
    """Run a study of a ledger kind; see `bench.study.kind.StudyKind.run`."""
    objectives = kind.objectives(spec)
    began_ms = now_ms() if began is None else int(1000 * began)
    runs_trials = bool(workers) or cluster is not None
    session: SessionHere | None = None
    if runs_trials:
        engine = None if cluster is None else "ray"
        session = SessionHere(session_here(began_ms, workers or 1, data_s, engine=engine))
    check_stores(paths.storage_url, paths.tracking_uri)
    check_checkpoints(checkpoints)
    known_studies = read_identities(paths.storage_url)  # read before the ledger is opened: opening changes the file
    refuse_foreign([name for name, identity in known_studies.items() if identity is None], paths.storage_url, spec.name)
    begun = known_studies.get(spec.name)
    if begun is not None:
        spec = kind.with_stored_settings(spec, begun)
        refuse_difference(spec.name, begun, spec.identity(), kind.difference_remedy(spec, begun))
    ledger = Ledger(paths.storage_url, spec.name, spec.identity(), objectives=objectives)
    deadline = interruption.Deadline(until)
    with ledger.session(workers), ExitStack() as closing:
        on_record: list[OnRecord] = []
        on_study_event = with_records(on_event, on_record)
        if cluster is not None:
            on_study_event = with_workers(on_study_event, ledger, session)
        with ignore_interrupt_of(deadline), engine_of(kind, spec, workers, gpus, cluster, on_study_event) as workforce:
            counts = ledger.counts()
            if counts.total() - counts["waiting"] - counts["running"] < kind.minimum_trials(spec):
                workforce.start()  # workers load their libraries while this process opens MLflow's store
            tracker = Tracker(paths.tracking_uri, spec.name)
            earlier = ledger.earlier_identities()
            shown_again = tracker.finished() and not tracker.was_extended(spec, earlier)
            if shown_again:
                session = None  # the study has already finished: this session's time is not counted
            # With no workers, the first that joins describes its machine, and on a cluster the first node.
            machine = fingerprint(spec.optimizer_modules, gpus) if workers else versions(spec.optimizer_modules)
            with interruption.defer_interrupts():  # an opened run must also get its closing callback
                parent = tracker.open_study(spec, machine, kind.views_of(spec), earlier)
                closing.push(partial(_close, tracker, session, shown_again=shown_again))
            if workers and not shown_again:
                tracker.describe_machine(machine)
            settings = worker_settings(kind, spec, paths, parent, checkpoints)
            at_once = workers if cluster is None else cluster.most or SEVERAL
            planner = Planner(kind, spec, ledger, tracker, paths, on_event, workers=at_once)
            with deadline:
                work_off(planner, workforce, settings, on_record, session)
        records = _settled_records(ledger, tracker, paths)
        tracker.abandon()
        remove_recorded(spec.name, parent, {*records["trial_id"]}.__contains__)
        forget_recorded(checkpoints, spec.name, set(records["trial_id"]))
        folder = paths.report_of(spec.name)
        with path_lock(folder):  # processes that work on the same study finish at the same time
            result, report = kind.write_report(tracker, folder, partial(_note, tracker, session))
            tracker.log_report(folder, result.short_text, headline=result.headline, metrics=result.findings.metrics)
        if deadline.passed and result.info.status != "complete":
            closing.pop_all()  # the study is unfinished and can be continued later
            _note(tracker, session)
            tracker.close_study("KILLED")
    return result, report


def session_here(
    began_ms: int, workers: int, data_s: float, *, joined: bool = False, engine: str | None = None
) -> Session:
    """Return the session of this process, which began at ``began_ms``; arguments as for `Session`."""
    return Session(began_ms, now_ms(), workers, data_s, socket.gethostname(), os.getpid(), joined, engine)


@dataclass
class SessionHere:
    """This process's session, as last known."""

    session: Session
    noted: float = -math.inf
    """Time (``time.monotonic``) at which its last-seen time was last updated."""

    def note(self, tracker: Tracker) -> None:
        """Update the session's last-seen time."""
        self.noted = time.monotonic()
        tracker.update_session(replace(self.session, heard_ms=now_ms()))

    def note_workers(self, workers: int) -> None:
        """Take note of the number of trials that can run at once now; the largest counts."""
        self.session = replace(self.session, workers=max(self.session.workers, workers))


def engine_of(
    kind: "LedgerKind[S]",
    spec: S,
    workers: int,
    gpus: Sequence[Gpu],
    cluster: Cluster | None,
    on_event: OnEvent,
) -> AbstractContextManager[Engine]:
    """Return what runs a study's trials; its processes end with the block."""
    if cluster is not None:
        module = importlib.import_module(CLUSTER_CREW)  # imports Ray, an extra
        on_nodes = module.ClusterCrew(
            cluster,
            on_event,
            locate=NodeData(kind, spec),
            data=spec.data,
            modules=tuple(spec.optimizer_modules),
            fresh=getattr(spec, "device", "cpu") != "cpu",
        )
        nodes: AbstractContextManager[Engine] = module.cluster_crew(on_nodes)
        return nodes
    return crew(workers, on_event, gpus=gpus) if workers else nullcontext(Following(on_event))


def worker_settings(
    kind: "LedgerKind[S]", spec: S, paths: StorePaths, parent: str, checkpoints: str | None
) -> WorkerSettings:
    """Return what workers need to run the trials of a study; ``parent``: id of the study's own run."""
    return WorkerSettings(
        paths.storage_url,
        paths.tracking_uri,
        spec.name,
        spec.identity(),
        parent,
        spec.data,
        kind.trials,
        kind.objectives(spec),
        file_paths=spec.file_paths,
        checkpoints=None if checkpoints is None else place_anywhere(checkpoints),
    )


def with_records(on_event: OnEvent, on_record: Sequence[OnRecord]) -> OnEvent:
    """Return a function that calls ``on_record`` with the record of each trial that ends, then ``on_event``."""

    def on_study_event(event: Event) -> None:
        if isinstance(event, TrialEnded):
            for callback in on_record:
                callback(event.record)
        on_event(event)

    return on_study_event


def with_workers(on_event: OnEvent, ledger: Ledger, session: SessionHere | None) -> OnEvent:
    """Return a function that notes how many trials a cluster can run at once, in ledger and session, then calls
    ``on_event``."""

    def on_study_event(event: Event) -> None:
        if isinstance(event, WorkersChanged):
            with outages_ignored():  # it is only shown
                ledger.note_workers(event.workers)
            if session is not None:
                session.note_workers(event.workers)
        on_event(event)

    return on_study_event


@contextmanager
def ignore_interrupt_of(deadline: interruption.Deadline) -> Iterator[None]:
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
    current = read_study(paths.storage_url, begun.name)
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


class Planner:
    """Plans the trials of one study from its records, and enqueues new ones while others run."""

    def __init__(
        self,
        kind: "LedgerKind[S]",
        spec: S,
        ledger: Ledger,
        tracker: Tracker,
        paths: StorePaths,
        on_event: OnEvent,
        *,
        workers: int,
    ) -> None:
        """``workers``: trials that this process runs at once; 0: others run them, and plan from their records."""
        self.kind, self.spec, self.workers = kind, spec, workers
        self.ledger, self.tracker, self.paths = ledger, tracker, paths
        self.on_event = on_event
        self._known: set[str] = set()
        self._records = GrowingRecords(tracker)
        self._plan_at = 0.0
        """Time (``time.monotonic``) before which the next planning can be put off."""

    def look(self) -> tuple[pd.DataFrame, list[Planned], list[Planned]]:
        """Read all records; return them, the trials planned from them, and the newly planned among these."""
        records = _settled_records(self.ledger, self.tracker, self.paths)
        self._records.replace(rows_of(records))
        return records, *self._plan(records)

    def plan_from(self, record: Record) -> None:
        """Enqueue the trials that a new record makes possible, while other trials run.

        Planning a study of 10,000 trials takes more than a second: it is put off while enough trials wait, so that its
        share of the time stays small.
        """
        self._records.add(record.as_row())
        if time.monotonic() < self._plan_at and self.ledger.counts()["waiting"] >= ENOUGH_WAITING:
            return
        began = time.monotonic()
        others = self.ledger.has_other_processes()  # their records are only in MLflow
        plan, new = self._look_at_new() if others else self._plan_from_rows()
        if new:
            self.ledger.enqueue(self.in_order(new))
        for phase in dict.fromkeys(trial.phase for trial in new):
            self.on_event(MorePlanned(phase, sum(trial.phase == phase for trial in plan)))
        ended = time.monotonic()
        self._plan_at = ended + (ended - began) / PLANNING_SHARE

    def in_order(self, trials: Sequence[Planned]) -> list[Planned]:
        """Return new trials in the order in which they are enqueued: with one worker alone as planned, else within
        each phase the longest first."""
        if len(trials) < 2 or (self.workers == 1 and not self.ledger.has_other_processes()):
            return list(trials)
        return by_phase(trials, Pace(self._records.rows.values()).seconds_of)

    def _look_at_new(self) -> tuple[list[Planned], list[Planned]]:
        """Do what `look` does, at the cost of the records that came since."""
        self._records.catch_up(self.ledger.ended_trials())
        return self._plan_from_rows()

    def _plan_from_rows(self) -> tuple[list[Planned], list[Planned]]:
        return self._plan(pd.DataFrame(list(self._records.rows.values())))

    def _plan(self, records: pd.DataFrame) -> tuple[list[Planned], list[Planned]]:
        plan = list(self.kind.next_trials(self.spec, records))
        new = [trial for trial in plan if trial.id not in self._known]
        self._known |= {trial.id for trial in new}
        return plan, new


def work_off(
    planner: Planner,
    workforce: Engine,
    settings: WorkerSettings,
    on_record: list[OnRecord],
    session: SessionHere | None,
) -> None:
    """Plan, let the workers run what is planned, and plan again from the records, until nothing new is planned or the
    settings' stint is over.

    Args:
        planner: Plans the study's trials.
        workforce: Runs them.
        settings: What the workers need.
        on_record: Gets what is to be called with each new record.
        session: This process's time on the study, whose end is kept up to date; None: it is not recorded.
    """
    note_session = partial(note_at_once, planner.tracker, session)
    on_record.append(lambda _record: note_session(NOTE_EVERY_S))
    if planner.kind.plans_ahead and planner.workers:  # who records a trial plans from it
        on_record.append(planner.plan_from)
    begun: set[str] = set()
    while True:
        records, plan, new = planner.look()
        note_session()
        if not new and not planner.ledger.counts()["waiting"]:  # the last record may have made some possible
            return
        done = recorded(rows_of(records))
        for phase in dict.fromkeys(trial.phase for trial in new):
            added = planner.ledger.enqueue(planner.in_order([trial for trial in new if trial.phase == phase]))
            if phase not in begun or not planner.kind.plans_ahead:
                phase_trials = {trial.id for trial in plan if trial.phase == phase}
                # Recorded trials count even if they are no longer planned.
                phase_trials |= {trial_id for trial_id, each in done.items() if each.phase == phase}
                workforce.on_event(PhaseBegan(phase, added, len(phase_trials), done))
            begun.add(phase)
        if settings.stint is not None:
            settings = replace(settings, stint=replace(settings.stint, mean_s=_mean_seconds(done)))
        planner.ledger.release()
        workforce.work_off(settings)
        if settings.stint is not None and settings.stint.is_over():
            return


def _mean_seconds(done: Mapping[str, EndedTrial]) -> dict[str, float]:
    """Return the mean seconds of the ended trials of each phase."""
    phases = {trial.phase: mean_seconds([*done.values()], trial.phase) for trial in done.values()}
    return {phase: seconds for phase, seconds in phases.items() if seconds is not None}


def _note(tracker: Tracker, session: SessionHere | None) -> None:
    """Update the session's last-seen time."""
    if session is not None:
        session.note(tracker)


def note_at_once(tracker: Tracker, session: SessionHere | None, every_s: float = 0.0) -> None:
    """Do so unless the server is away, or it was done in the last ``every_s`` seconds: the next record, or the end,
    does it again."""
    if session is not None and time.monotonic() < session.noted + every_s:
        return
    with outages_ignored():
        _note(tracker.at_once, session)


def _close(
    tracker: Tracker,
    session: SessionHere | None,
    kind: type[BaseException] | None,
    *_error: BaseException | object,
    shown_again: bool,
) -> None:
    """Close the study's MLflow run when the command ends; ``shown_again``: it had finished before, and stays so.

    A command that an error or an interruption ends does not wait for a server that is away: the study's run then stays
    open, as after a kill, until the study goes on.
    """
    if kind is None:
        tracker.close_study("FINISHED")
        return
    with outages_ignored():
        _note(tracker.at_once, session)
        tracker.at_once.close_study("FINISHED" if shown_again else "KILLED")


def _settled_records(ledger: Ledger, tracker: Tracker, paths: StorePaths) -> pd.DataFrame:
    """Return all records; SettingsError if the ledger has closed more trials, as when the MLflow store was replaced."""
    closed = _closed(ledger)  # before the records: another process may add a record meanwhile, but never removes one
    records = tracker.records()
    if len(records) < closed:
        raise SettingsError(
            f"MLFLOW_TRACKING_URI {masked(paths.tracking_uri)}: holds {len(records)} records of this study, but the "
            f"ledger at {masked(paths.storage_url)} has closed more trials. Restore the MLflow store, or start "
            "a new study with another --name."
        )
    return records


def _closed(ledger: Ledger) -> int:
    """Return the number of trials that have ended."""
    counts = ledger.counts()
    return counts.total() - counts["waiting"] - counts["running"]
