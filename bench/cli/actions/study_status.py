"""Prints where studies stand, looked at from another terminal."""

import sys
import time
from datetime import datetime

from rich.console import Console
from rich.live import Live

from bench.cli.actions.stores import study_paths
from bench.cli.board import board, headline
from bench.cli.output import log, print_json, print_line, print_table
from bench.engines.interruption import INTERRUPTED
from bench.kinds import DEFAULT_KIND, kind_of
from bench.storage import streams
from bench.study.progress import Progress
from bench.study.standing import Standing
from bench.study.status import Watcher, list_document, status_document
from posemodel.errors import SettingsError

LOOK_EVERY_S = 2.0
"""A look costs some 50 ms of a core, which the study could use."""


def _show_standing(found: Standing, *, as_json: bool) -> None:
    if as_json:
        print_json(found.document())
        return
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.counts.items()) or "none"
    print_line(f"{found.study} ({found.kind}, {found.preset}): {found.status}; measurements: {counts}.")
    print_line(f"Its report so far: posebench report {found.study}")


def show_all(trouble: str, *, as_json: bool) -> None:
    """Print a line for each study; ``trouble``: with MLflow's store, said already."""
    watcher = _watcher(trouble)
    found = watcher.all()
    _tell_trouble(watcher)
    others = watcher.standings()
    if as_json:
        document = list_document(found)
        document["studies"] += [each.document() for each in others]
        print_json(document)
        return
    if not found and not others:
        which = "studies here that this version can show" if watcher.trouble else "studies here"
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
        for progress in found
    ]
    rows += [
        [each.study, each.kind, each.status, str(sum(each.counts.values())), _moment(each.last_active)]
        for each in others
    ]
    print_table(("study", "kind", "status", "trials", "last active"), rows)


def show_one(name: str | None, trouble: str, *, watch: bool, as_json: bool) -> None:
    """Print where a study stands (None: the one active last), once or until nobody works on it."""
    if watch and as_json:
        raise SettingsError("--watch: with --json there is one document; ask again instead.")
    watcher = _watcher(trouble)
    others = watcher.standings(name)
    if name is None:
        found = watcher.all()
        if not found and others:
            name = others[0].study
        elif not found:
            _tell_trouble(watcher)
            raise SettingsError("study: there is none in this folder; `posebench study optimizers` runs one.")
        else:
            name = found[0].size.study
    own = next((each for each in others if each.study == name), None)
    if own is not None:
        _show_standing(own, as_json=as_json)
        return
    try:
        progress = watcher.one(name)
    finally:
        _tell_trouble(watcher)
    if as_json:
        print_json(status_document(progress, time.time()))
    elif not watch:
        _print(progress)
    else:
        try:
            _watch(watcher, progress)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # whoever looks has nothing to be told


def _watch(watcher: Watcher, progress: Progress) -> None:
    """Draw until nobody works on the study; on a pipe, a line for each change."""
    name = progress.size.study
    console = Console()
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        known = None
        while True:
            seen = (progress.status, len(progress.done), frozenset(progress.running_trials))
            if seen != known:
                known = seen
                print_line(headline(progress, time.time()), flush=True)
            if not progress.active or streams.is_gone(sys.stdout):
                return
            time.sleep(LOOK_EVERY_S)
            progress = watcher.one(name)
    with Live(board(progress), console=console, auto_refresh=False) as live:
        while progress.active and not streams.is_gone(sys.stdout):
            time.sleep(LOOK_EVERY_S)
            progress = watcher.one(name)
            live.update(board(progress), refresh=True)


def _print(progress: Progress) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=max(console.width, 160), highlight=False)
    console.print(board(progress))


def _watcher(trouble: str) -> Watcher:
    paths = study_paths()
    return Watcher(paths.storage_url, paths.tracking_uri, kind_of, known_trouble=trouble)


def _tell_trouble(watcher: Watcher) -> None:
    for line in watcher.trouble.splitlines():
        if line not in watcher.known_trouble.splitlines():
            log(f"posebench: {line}")


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
