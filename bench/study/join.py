"""Join a begun study by its name, from any process anywhere: plan as its driver does, run trials, write no report."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from bench.engines import interruption
from bench.engines.checkpoints import check_checkpoints
from bench.engines.events import OnEvent
from bench.engines.processes import crew
from bench.engines.stint import Stint
from bench.ledger.reader import read_identities
from bench.ledger.store import Ledger
from bench.measure.gpus import Gpu
from bench.measure.machine import distributions_of
from bench.records.reader import studies
from bench.records.store_check import check_stores
from bench.records.waiting import remove_recorded
from bench.records.writer import Tracker
from bench.settings.layers import Setting
from bench.storage.masking import masked
from bench.storage.patience import outages_ignored
from bench.study.begun_study import VERSIONS, BegunStudy, read_begun_study, with_data
from bench.study.ledger_kind import LedgerKind
from bench.study.ledger_runner import (
    OnRecord,
    Planner,
    SessionHere,
    ignore_interrupt_of,
    note_at_once,
    session_here,
    with_records,
    work_off,
    worker_settings,
)
from bench.study.machine_settings import device_here
from bench.study.recorded_studies import KindOf
from bench.study.store_paths import StorePaths
from bench.trials.study_base import StudyBase, differences, refuse_difference
from bench.workloads.protocol import MakeData, OnOpen
from posemodel.errors import DataError, SettingsError, did_you_mean

S = TypeVar("S", bound=StudyBase)
DESCRIBED_S = 60.0
"""Seconds to wait for the description of a study that another process has just begun: the ledger has it first."""
POLL_S = 0.5


class Ending(StrEnum):
    """Why a worker has left its study."""

    COMPLETE = "complete"
    """All trials of the study have ended."""
    TRIALS = "trials"
    """It has run the number of trials that it was to run."""
    TIME = "time"
    """Its time is over, or too short for another trial."""


@dataclass(frozen=True)
class Limits:
    """What a worker takes of a study at most."""

    trials: int | None = None
    until: float | None = None
    """Time at which it leaves, in seconds since the epoch; a trial that runs then is given back."""


def read_study_to_join(name: str, paths: StorePaths, kind_of: KindOf, say: Callable[[str], object]) -> BegunStudy[Any]:
    """Read a begun study whose trials any process may run.

    ``say``: gets a line if this has to wait for the process that begins the study.

    Raises SettingsError, with the names of the stores' studies if there is none of that name, or if it is a study about
    one machine.
    """
    check_stores(paths.storage_url, paths.tracking_uri)
    in_ledger = {each for each, identity in read_identities(paths.storage_url).items() if identity is not None}
    if name not in in_ledger:
        described = studies(paths.tracking_uri)
        if name in described and kind_of(described[name]).spec.runner == "measurement":
            raise SettingsError(
                f"study {name}: measures one machine, the one that began it, so no worker can join it. "
                f"There, `posebench study resume {name}` goes on with it."
            )
        names = sorted(in_ledger)
        there = f" There are: {', '.join(names)}.{did_you_mean(name, names)}" if names else " There is none at all."
        raise SettingsError(
            f"study: there is no study {name!r} in the ledger {masked(paths.storage_url)} (POSEBENCH_STORAGE).{there}"
        )
    deadline = time.monotonic() + DESCRIBED_S
    waiting = False
    while name not in studies(paths.tracking_uri) and time.monotonic() < deadline:
        if not waiting:
            say(f"study {name}: another process begins it; waiting for its description in MLflow ...")
            waiting = True
        interruption.check()
        time.sleep(POLL_S)
    return read_begun_study(name, paths, kind_of)


def refuse_missing_device(study: BegunStudy[Any]) -> None:
    """Raise SettingsError if this machine lacks the device on which the study trains."""
    name, device = study.spec.name, getattr(study.spec, "device", None)
    if device is not None:
        try:
            device_here({"device": Setting(device, f"study {name}")})
        except SettingsError as error:
            raise SettingsError(
                f"study {name}: trains on the device {device}, which this machine does not have. Start the worker on a "
                "machine that has one."
            ) from error


def located(study: BegunStudy[S], folder: Path | None, make_data: MakeData, on_open: OnOpen | None) -> tuple[S, float]:
    """Return the specification with its data on this machine, and the seconds spent on making these.

    Args:
        study: The study.
        folder: Folder of the data set; None: the folder with which the study was last run, or the study's synthetic
            set, which is made here where it is missing.
        make_data: Makes a synthetic set.
        on_open: Called with the opened splits.

    Raises SettingsError if this machine lacks the data or another file of the study.
    """
    recorded = study.spec.data
    data_s = 0.0

    def timed(*arguments: Any) -> None:
        nonlocal data_s
        began = time.perf_counter()
        make_data(*arguments)
        data_s = time.perf_counter() - began

    try:
        return with_data(study, folder, on_open, timed), data_s
    except DataError as error:
        if folder is not None or recorded.exists():
            raise
        raise SettingsError(
            f"study {study.spec.name}: its data set {recorded} is not here. Give its folder here with --data."
        ) from error


def version_differences(study: BegunStudy[Any], here: dict[str, str]) -> list[str]:
    """Return the versions of libraries in which this machine differs from the one that began the study.

    A machine without CUDA has no version of it that could differ.

    ``here``: the fingerprint of this machine.
    """
    names = (*VERSIONS, *distributions_of(study.spec.optimizer_modules))
    both = [name for name in names if name in study.machine and name in here]
    then = {name: study.machine[name] for name in both if "none" not in (study.machine[name], here[name])}
    return differences(then, {name: here[name] for name in then})


def join_study(
    kind: LedgerKind[S],
    spec: S,
    paths: StorePaths,
    *,
    workers: int,
    gpus: Sequence[Gpu] = (),
    checkpoints: str | None = None,
    limits: Limits,
    machine: Mapping[str, str],
    on_event: OnEvent,
    began: float,
    data_s: float,
) -> Ending:
    """Run trials of a begun study in worker processes until it has ended or the limits are reached.

    The study's own run and its report are left to the command that began it; an interruption gives the trials back.

    Args:
        kind: The study's kind.
        spec: The study, with its data on this machine.
        paths: Its stores.
        workers: Trials that run at once.
        gpus: The GPU of each worker; empty: the device as it is.
        checkpoints: Shared folder or URL where interrupted trials keep their state; None: nowhere.
        limits: What is taken at most.
        machine: Fingerprint of this machine, which becomes the study's if that was begun by a command without workers.
        on_event: Called with each event.
        began: Start of the command, in seconds since the epoch.
        data_s: Seconds of the command spent on making the data set.
    """
    assert workers >= 1, "a worker runs trials"
    check_checkpoints(checkpoints)
    stored = read_identities(paths.storage_url)[spec.name]
    assert stored is not None, "a study that posebench did not make is refused before"
    spec = kind.with_stored_settings(spec, stored)
    refuse_difference(spec.name, stored, spec.identity(), kind.difference_remedy(spec, stored))
    ledger = Ledger(paths.storage_url, spec.name, spec.identity(), objectives=kind.objectives(spec))
    deadline = interruption.Deadline(limits.until)
    on_record: list[OnRecord] = []
    with tempfile.TemporaryDirectory(prefix="posebench-worker-") as folder, ledger.session(workers):
        stint = Stint(Path(folder), limits.trials, limits.until, can_go_on=checkpoints is not None)
        with (
            ignore_interrupt_of(deadline),
            crew(workers, with_records(on_event, on_record), gpus=gpus, inline=False) as workforce,
        ):
            workforce.start()  # workers load their libraries meanwhile
            tracker = Tracker(paths.tracking_uri, spec.name)
            settings = worker_settings(kind, spec, paths, tracker.own_run(), checkpoints)
            planner = Planner(kind, spec, ledger, tracker, paths, on_event, workers=workers)
            session = None
            if not tracker.finished():
                session = SessionHere(session_here(int(1000 * began), workers, data_s, joined=True))
                tracker.describe_machine(machine)
            with deadline:
                work_off(planner, workforce, replace(settings, stint=stint), on_record, session)
        note_at_once(tracker, session)
        with outages_ignored():
            remove_recorded(spec.name, settings.parent_run, lambda trial_id: tracker.recorded(trial_id) is not None)
        if not (deadline.passed or stint.is_over()) or _has_ended(planner):
            return Ending.COMPLETE
        return Ending.TIME if deadline.passed or not stint.has_taken_all() else Ending.TRIALS


def _has_ended(planner: Planner) -> bool:
    """Return True if all trials of a study have ended, which a worker that its limits end has not looked for.

    False if MLflow's server is away, which is not waited for.
    """
    if planner.ledger.is_unfinished():
        return False
    with outages_ignored():
        planner.tracker = planner.tracker.at_once
        records, plan, _ = planner.look()
        return {trial.id for trial in plan} <= {*records["trial_id"]}
    return False
