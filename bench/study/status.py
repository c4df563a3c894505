"""Read-only view of the studies of a working directory; nothing is written, locked or created.

The ledger holds the planned, waiting and running trials; MLflow holds the records. A study that is in only one of them
is shown from that one.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bench.ledger.reader import LOST, RUNNING, WAITING, LedgerView, read_identities, read_studies, read_study
from bench.records import reader
from bench.records.writer import Tracker
from bench.storage.masking import masked
from bench.study.kind import StudyKind
from bench.study.measurement_state import MeasurementState
from bench.study.progress import Progress, ProgressRow, StudySize, seconds_left
from bench.trials.columns import rows_of
from bench.trials.progress import MS, EndedTrial, RunningTrial, recorded
from bench.trials.status import Status
from posemodel.errors import SettingsError, did_you_mean

KindOf = Callable[[Mapping[str, Any]], StudyKind[Any]]
"""Returns the kind of a stored study; SettingsError if this version has no such kind."""


class StatusReader:
    """Reads the state of studies repeatedly; reads records from MLflow again only after a further trial has ended."""

    def __init__(self, storage_url: str, tracking_uri: str, kind_of: KindOf, *, known_errors: str = "") -> None:
        """Watch a ledger and an MLflow store, either of which may be missing.

        ``known_errors``: an error about the stores that the user has already seen.
        """
        self.kind_of = kind_of
        self.storage_url, self.tracking_uri = storage_url, tracking_uri
        self.known_errors = known_errors
        self.errors = ""
        """Reasons why results or studies could not be read last time, one per line; empty if all could."""
        self._results: dict[str, tuple[frozenset[str], dict[str, EndedTrial], float | None]] = {}

    def all(self) -> list[Progress]:
        """Return the progress of every study in a ledger, most recently active first."""
        self.errors = ""
        looks = read_studies(self.storage_url)
        documents = self._documents() | {name: in_ledger.identity for name, in_ledger in looks.items()}
        studies = []
        for name, document in documents.items():
            try:
                size = self._size(document, looks.get(name))
                studies += [] if size is None else [self._progress(size, looks.get(name))]
            except SettingsError as error:
                self.errors = "\n".join(filter(None, [self.errors, str(error)]))
        return sorted(studies, key=lambda progress: (-(progress.last_active or 0.0), progress.size.study))

    def one(self, name: str) -> Progress:
        """Return the progress of one study; SettingsError with the nearest names if there is none of that name."""
        self.errors = ""
        in_ledger = read_study(self.storage_url, name)
        document: Mapping[str, Any] | None = self._documents().get(name) if in_ledger is None else in_ledger.identity
        if document is None:
            names = all_study_names(self.storage_url, self.tracking_uri)
            raise SettingsError(_unknown(name, names, self.storage_url, self.tracking_uri))
        size = self._size(document, in_ledger)
        if size is None:
            raise SettingsError(f"study {name}: is of kind {document['kind']}.")
        return self._progress(size, in_ledger)

    def _size(self, document: Mapping[str, Any], in_ledger: LedgerView | None) -> StudySize | None:
        planned = Counter(entry.phase for entry in in_ledger.entries) if in_ledger is not None else {}
        return self.kind_of(document).size(document, planned)

    def measurement_states(self, name: str | None = None) -> list[MeasurementState]:
        """Return the state of every measurement study (or the one of this name), most recently active first."""
        states: list[MeasurementState] = []
        for study, document in self._documents().items():
            with suppress(SettingsError):  # from another version, or unreachable: `all` reports that
                kind = self.kind_of(document)
                if kind.spec.runner == "measurement" and name in (None, study):
                    states.append(kind.measurement_state(document, Tracker(self.tracking_uri, study, create=False)))
        return sorted(states, key=lambda each: (-(each.last_active or 0.0), each.study))

    def _documents(self) -> dict[str, dict[str, object]]:
        try:
            return reader.studies(self.tracking_uri)
        except SettingsError as error:
            self.errors = str(error)
            return {}

    def _progress(self, size: StudySize, in_ledger: LedgerView | None) -> Progress:
        entries = in_ledger.entries if in_ledger is not None else []
        ended = frozenset(entry.trial_id for entry in entries if entry.state not in (WAITING, RUNNING, LOST))
        done, last_record = self._recorded(size.study, ended, everything=in_ledger is None)
        done |= {
            entry.trial_id: EndedTrial(entry.trial_id, entry.phase, entry.optimizer, Status(entry.state))
            for entry in entries
            if entry.trial_id in ended and entry.trial_id not in done
        }
        running_trials = {
            entry.trial_id: RunningTrial(
                entry.trial_id,
                entry.phase,
                entry.optimizer,
                entry.seed,
                entry.steps,
                entry.since or 0.0,
                entry.host,
                entry.pid,
                seconds=entry.seconds,
            )
            for entry in entries
            if entry.state == RUNNING and entry.trial_id not in done
        }
        awaiting = [
            entry.awaiting_since
            for entry in entries
            if entry.awaiting_since is not None and entry.trial_id in running_trials
        ]
        times = [in_ledger.last_active if in_ledger is not None else None, last_record]
        return Progress(
            size=size.after_trials(done),
            done=done,
            running_trials=running_trials,
            lost=sum(entry.state == LOST and entry.trial_id not in done for entry in entries),
            waiting_records=len(awaiting),
            away_since=min(awaiting, default=None),
            active=in_ledger is not None and in_ledger.active,
            workers=in_ledger.workers if in_ledger is not None else 0,
            last_active=max((time for time in times if time is not None), default=None),
            all_planned=size.plan_is_known or self._finished(size.study),
        )

    def _finished(self, study: str) -> bool:
        """Return True if the study and its report are finished according to MLflow; False if MLflow is unreachable."""
        try:
            return Tracker(self.tracking_uri, study, create=False).finished()
        except SettingsError as error:
            self.errors = str(error)
            return False

    def _recorded(
        self, study: str, ended: frozenset[str], *, everything: bool
    ) -> tuple[dict[str, EndedTrial], float | None]:
        """Return the ended trials by id, and the time of the last record; cached until another trial has ended."""
        if not ended and not everything:
            return {}, None
        if study not in self._results or self._results[study][0] != ended:
            try:
                records = Tracker(self.tracking_uri, study, create=False).records()
            except SettingsError as error:
                self.errors = str(error)
                return {}, None
            rows = rows_of(records)
            self._results[study] = (ended, recorded(rows), max((row["ended_ms"] / MS for row in rows), default=None))
        _, done, last = self._results[study]
        return dict(done), last


def all_study_names(storage_url: str, tracking_uri: str) -> list[str]:
    """Return the names of all studies of any kind in the ledger and in MLflow, if that can be read."""
    names = {name for name, identity in read_identities(storage_url).items() if identity is not None}
    with suppress(SettingsError):
        names |= {*reader.studies(tracking_uri)}
    return sorted(names)


def open_records(storage_url: str, tracking_uri: str, name: str) -> Tracker:
    """Open a study's records in MLflow; SettingsError if there is no such study, or MLflow has nothing of it."""
    if name in reader.studies(tracking_uri):
        return Tracker(tracking_uri, name, create=False)
    names = all_study_names(storage_url, tracking_uri)
    if name in names:
        raise SettingsError(
            f"study {name}: is in the ledger at {masked(storage_url)}, but MLflow at {masked(tracking_uri)} holds "
            "no result of it. Restore that store, or set MLFLOW_TRACKING_URI to its address; if the study was stopped "
            "right after its start, run the same command again."
        )
    raise SettingsError(_unknown(name, names, storage_url, tracking_uri))


def _unknown(name: str, names: list[str], storage_url: str, tracking_uri: str) -> str:
    where = f"in this folder ({masked(storage_url)}, {masked(tracking_uri)})"
    if not names:
        return f"study: there is no study {name!r}, nor any other, {where}."
    hint = did_you_mean(name, names, limit=3)
    return f"study: there is no study {name!r} {where}.{hint} `posebench study list` shows all."


def list_document(studies: list[Progress]) -> dict[str, Any]:
    """Return the JSON document of `posebench study list`."""
    return {
        "studies": [
            {
                **_head(progress),
                "done": len(progress.done),
                "running": len(progress.running_trials),
                "waiting": progress.waiting,
                "planned": progress.size.planned,
                "last_active": _iso(progress.last_active),
            }
            for progress in studies
        ]
    }


def status_document(progress: Progress, now: float) -> dict[str, Any]:
    """Return the JSON document of `posebench study status` (times ISO 8601, UTC); ``now``: seconds since the epoch."""
    running = sorted(progress.running_trials.values(), key=lambda trial: trial.since)
    return {
        **_head(progress),
        "trials": _counts(progress, None) | {"lost": progress.lost},
        "phases": {phase: _counts(progress, phase) for phase in progress.size.phases},
        "optimizers": [_row_document(progress, row) for row in progress.size.rows(progress)],
        "running": [
            {
                "trial_id": trial.trial_id,
                "phase": trial.phase,
                "optimizer": trial.optimizer,
                "seed": trial.seed,
                "since": _iso(trial.since),
                "seconds": max(now - trial.since, 0.0),
                "host": trial.host,
                "pid": trial.pid,
            }
            for trial in running
        ],
        "workers": progress.workers,
        "waiting_records": {"count": progress.waiting_records, "since": _iso(progress.away_since)},
        "seconds_left": seconds_left(progress, now),
        "last_active": _iso(progress.last_active),
    }


def _row_document(progress: Progress, row: ProgressRow) -> dict[str, Any]:
    """Return an optimizer's row, with the schedule of its trials if the study has one."""
    size = progress.size
    schedule = size.own_schedules.get(row.name, size.schedule)
    return asdict(row) | ({} if schedule is None else {"schedule": schedule})


def _head(progress: Progress) -> dict[str, Any]:
    size = progress.size
    return {"study": size.study, "kind": size.kind, "preset": size.preset, "status": progress.status}


def _counts(progress: Progress, phase: str | None) -> dict[str, int]:
    """Count the trials of a phase (None: of all phases) by status."""
    done = [trial for trial in progress.done.values() if phase is None or trial.phase == phase]
    running = sum(phase is None or trial.phase == phase for trial in progress.running_trials.values())
    planned = progress.size.planned if phase is None else progress.size.planned_of(phase)
    return {
        "done": len(done),
        **{str(status): sum(trial.status == status for trial in done) for status in Status},
        "running": running,
        "waiting": max(planned - len(done) - running, 0),
        "planned": planned,
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
