"""Action of `posebench worker`: join a begun study, run trials of it, and say why this worker leaves."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from bench.cli.actions.going_on import GoingOn, going_on
from bench.cli.actions.stores import study_paths
from bench.cli.actions.study import both, data_logger
from bench.cli.actions.study_continue import places_of
from bench.cli.data import make_default_data
from bench.cli.live import live_display
from bench.cli.output import log, log_text, log_wrapped, print_json
from bench.engines.events import Event, TrialEnded
from bench.engines.interruption import INTERRUPTED
from bench.kinds import kind_of, refuse_variables
from bench.measure.machine import fingerprint
from bench.records.writer import Tracker
from bench.report.wording import counted
from bench.settings.layers import DEFAULT, Setting
from bench.storage.durations import parse_duration
from bench.storage.patience import outages_ignored
from bench.study.idle_share import IdleShare
from bench.study.join import (
    Ending,
    Limits,
    join_study,
    located,
    read_study_to_join,
    refuse_missing_device,
    version_differences,
)
from bench.study.ledger_kind import LedgerKind
from bench.study.sharing import loader_warnings
from bench.trials.status import Status
from posemodel.errors import SettingsError


def join(
    name: str,
    *,
    data: Path | None,
    trials: int | None,
    time_limit: str | None,
    places: Mapping[str, str | None],
    as_json: bool,
) -> None:
    """Run trials of a begun study until it has ended or a limit is reached; exits 130 if interrupted.

    Args:
        name: Name of the study.
        data: Folder of its data set; None: as the study has it.
        trials: Number of trials to run at most.
        time_limit: Time until this worker leaves, e.g. `3h30m`.
        places: Texts typed for the settings of where and how many trials run; None: not typed.
        as_json: Print one JSON document on stdout.
    """
    began = time.time()
    refuse_variables(os.environ)
    until = None if time_limit is None else began + parse_duration(time_limit, "--time-limit")
    paths = study_paths()
    study = read_study_to_join(name, paths, kind_of, log)
    assert isinstance(study.kind, LedgerKind), "other kinds are refused when the study is read"
    refuse_missing_device(study)
    on_machine = places_of(study, places, Setting("auto", DEFAULT))
    workers = on_machine["workers"].value
    if not workers:
        origin = on_machine["workers"].origin
        raise SettingsError(f"workers: a worker runs trials; give --workers 1 or more (got 0, from: {origin}).")
    spec, data_s = located(study, data, make_default_data, data_logger(study.kind))
    for text in loader_warnings(spec, workers):
        log_wrapped(f"warning: {text}")
    machine = fingerprint(spec.optimizer_modules, on_machine["gpus"].value)
    others = version_differences(study, machine)
    if others:
        log_wrapped(
            f"warning: study {name} was begun with other versions ({'; '.join(others)}); the last digits of scores "
            "and speeds may differ from those of its other trials."
        )
    command, remark = again = going_on(["posebench", "worker", name], on_machine["checkpoints"].value)
    idle, statuses = IdleShare(workers), Counter[str]()

    def count(event: Event) -> None:
        if isinstance(event, TrialEnded):
            statuses[str(event.record.status)] += 1

    log_wrapped(f"study {name}: {study.kind.size_text(spec)}")
    with live_display(study.kind.progress(spec, workers)) as display:
        try:
            ending = join_study(
                study.kind,
                spec,
                paths,
                workers=workers,
                gpus=on_machine["gpus"].value,
                checkpoints=on_machine["checkpoints"].value,
                limits=Limits(trials, until),
                machine=machine,
                on_event=both(idle.on_event, count, display.on_event),
                began=began,
                data_s=data_s,
            )
        except KeyboardInterrupt:
            display.say(
                f"posebench: interrupted; {counted(statuses.total(), 'trial')} of {name} recorded here, and those that "
                f"ran are given back. To go on{remark}: {command}"
            )
            if as_json:
                print_json(_document(name, study.kind.name, "interrupted", statuses, idle))
            raise SystemExit(INTERRUPTED) from None
    log(f"posebench: {counted(statuses.total(), 'trial')} of {name} recorded here.")
    if idle.text():
        log(f"posebench: {idle.text()}")
    if as_json:
        print_json(_document(name, study.kind.name, ending, statuses, idle))
    log_text(why_it_leaves(ending, name, again, partial(is_finished, paths.tracking_uri, name)))


def is_finished(tracking_uri: str, name: str) -> bool:
    """Return True if a study and its report are finished; False if MLflow's server is away, which is not waited for."""
    with suppress(SettingsError), outages_ignored():
        return Tracker(tracking_uri, name, create=False).finished()
    return False


def why_it_leaves(ending: Ending, name: str, again: GoingOn, finished: Callable[[], bool]) -> str:
    """Return why a worker leaves, with what to do next; ``finished``: asked only if all trials have ended."""
    if ending == Ending.TRIALS:
        return f"This worker has run all trials that it was to run (--trials); more{again.remark}: {again.command}"
    if ending == Ending.TIME:
        why = "This worker's time (--time-limit) is over, or too short for another trial"
        return f"{why}; more{again.remark}: {again.command}"
    if finished():
        return f"All trials of {name} have ended, and its report is written: posebench report {name} shows it."
    return (
        f"All trials of {name} have ended. The command that began it writes the report; if that one has been stopped: "
        f"posebench study resume {name}"
    )


def _document(name: str, kind: str, ending: str, statuses: Mapping[str, int], idle: IdleShare) -> dict[str, Any]:
    """Return the JSON document of a worker."""
    share = idle.share
    return {
        "study": name,
        "kind": kind,
        "left": str(ending),
        "trials": {str(status): statuses.get(str(status), 0) for status in Status}
        | {"recorded": sum(statuses.values())},
        "workers": idle.workers,
        "idle_share": None if share is None else round(share, 4),
    }
