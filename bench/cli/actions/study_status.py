"""Actions of `posebench study list` and `posebench study status`: print the state of studies."""

import sys
import time
from datetime import datetime

from rich.console import Console
from rich.live import Live

from bench.cli.actions.stores import study_paths
from bench.cli.output import log, output_console, print_json, print_line, print_table
from bench.cli.progress_table import headline, progress_table
from bench.engines.interruption import INTERRUPTED
from bench.kinds import DEFAULT_KIND, kind_of, study_size
from bench.storage import streams
from bench.study.measurement_state import MeasurementState
from bench.study.progress import Progress
from bench.study.status import StatusReader, list_document, status_document
from posemodel.errors import SettingsError

LOOK_EVERY_S = 2.0
"""Seconds between two readings of a watched study's state; each costs the study about 50 ms of CPU time."""


def _print_standing(standing: MeasurementState, *, as_json: bool) -> None:
    if as_json:
        print_json(standing.document())
        return
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in standing.counts.items()) or "none"
    print_line(f"{standing.study} ({standing.kind}, {standing.preset}): {standing.status}; measurements: {counts}.")
    print_line(f"Its report so far: posebench report {standing.study}")


def show_all(errors: str, *, as_json: bool) -> None:
    """Print a line for each study; ``errors``: why MLflow's store cannot be read, already logged (empty: it can)."""
    watcher = _watcher(errors)
    progresses = watcher.all()
    _log_trouble(watcher)
    standings = watcher.records.measurement_states(kind_of)
    if as_json:
        document = list_document(progresses)
        document["studies"] += [each.document() for each in standings]
        print_json(document)
        return
    if not progresses and not standings:
        which = "studies here that this version can show" if watcher.errors else "studies here"
        log(f"no {which}; `posebench study {DEFAULT_KIND}` runs one")
        return
    rows = [
        [
            progress.size.study,
            progress.size.kind,
            progress.status,
            f"{len(progress.done)}/{progress.size.planned}",
            _moment(progress.last_active),
        ]
        for progress in progresses
    ]
    rows += [
        [each.study, each.kind, each.status, str(sum(each.counts.values())), _moment(each.last_active)]
        for each in standings
    ]
    print_table(("study", "kind", "status", "trials", "last active"), rows)


def show_one(name: str | None, errors: str, *, watch: bool, as_json: bool) -> None:
    """Print the state of a study (None: the last active), once or until no process works on it."""
    if watch and as_json:
        raise SettingsError(
            "--watch: cannot be combined with --json, which prints one document; repeat the command instead."
        )
    watcher = _watcher(errors)
    try:
        progress = _last_active(watcher) if name is None else watcher.in_ledger(name)
        if progress is None:
            standings = watcher.records.measurement_states(kind_of, name)
            if standings:
                _print_standing(standings[0], as_json=as_json)
                return
            if name is None:
                raise SettingsError("study: there is none in this folder; `posebench study optimizers` runs one.")
            progress = watcher.one(name)
    finally:
        _log_trouble(watcher)
    if as_json:
        print_json(status_document(progress, time.time()))
    elif not watch:
        _print(progress)
    else:
        try:
            _watch(watcher, progress)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # a watcher has nothing to go on with, so no message


def _last_active(watcher: StatusReader) -> Progress | None:
    return next(iter(watcher.all()), None)


def _watch(watcher: StatusReader, progress: Progress) -> None:
    """Redraw until no process works on the study; on a pipe, print a line for each change."""
    name = progress.size.study
    console = Console()
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        last_seen = None
        while True:
            seen = (progress.status, len(progress.done), frozenset(progress.running_trials))
            if seen != last_seen:
                last_seen = seen
                print_line(headline(progress, time.time()), flush=True)
            if not progress.active or streams.reader_is_gone(sys.stdout):
                return
            time.sleep(LOOK_EVERY_S)
            progress = watcher.one(name)
    with Live(progress_table(progress), console=console, auto_refresh=False) as live:
        while progress.active and not streams.reader_is_gone(sys.stdout):
            time.sleep(LOOK_EVERY_S)
            progress = watcher.one(name)
            live.update(progress_table(progress), refresh=True)


def _print(progress: Progress) -> None:
    output_console().print(progress_table(progress))


def _watcher(errors: str) -> StatusReader:
    paths = study_paths()
    return StatusReader(paths.storage_url, paths.tracking_uri, study_size, known_errors=errors)


def _log_trouble(watcher: StatusReader) -> None:
    for line in watcher.errors.splitlines():
        if line not in watcher.known_errors.splitlines():
            log(f"posebench: {line}")


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
