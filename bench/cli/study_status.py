"""`posebench study list` and `posebench study status`: look at studies from another terminal, and change nothing."""

import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.output import log, print_json, print_table
from bench.engines.interruption import INTERRUPTED
from bench.storage import streams

if TYPE_CHECKING:
    from bench.kinds.loaders.status import Standing
    from bench.study.progress import Progress
    from bench.study.status import Watcher

LOOK_EVERY_S = 2.0
"""A look costs some 50 ms of a core, which the study could use."""


def _loader_studies(watcher: "Watcher", name: str | None = None) -> "list[Standing]":
    """The loader studies of the store; none where it is out of reach, which the watcher tells."""
    from bench.kinds.loaders.status import standings
    from posemodel.errors import SettingsError

    try:
        return standings(watcher.tracking_uri, name)
    except SettingsError:
        return []


def _show_loaders(found: "Standing", *, as_json: bool) -> None:
    if as_json:
        print_json(found.document())
        return
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.counts.items()) or "none"
    print(f"{found.study} (loaders, {found.preset}): {found.status}; measurements: {counts}.")
    print(f"Its report so far: posebench report {found.study}")


def list_studies(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the studies of this folder, running ones included; the one active last comes first."""
    watcher = _watcher()
    from bench.study.status import list_document

    found = watcher.all()
    _tell_trouble(watcher)
    others = _loader_studies(watcher)
    if as_json:
        document = list_document(found)
        document["studies"] += [each.document() for each in others]
        print_json(document)
        return
    if not found and not others:
        log("no studies here; `posebench study optimizers` runs one")
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
        [each.study, "loaders", each.status, str(sum(each.counts.values())), _moment(each.last_active)]
        for each in others
    ]
    print_table(("study", "kind", "status", "trials", "last active"), rows)


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A study of this folder (default: the one active last).")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Draw it again and again until nobody works on it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show where a study stands: what is done, running, waiting and failed, and how long the rest will take."""
    from posemodel.errors import SettingsError

    if watch and as_json:
        raise SettingsError("--watch: with --json there is one document; ask again instead.")
    watcher = _watcher()
    from bench.study.status import status_document

    others = _loader_studies(watcher, name)
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
        _show_loaders(own, as_json=as_json)
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


def _watch(watcher: "Watcher", progress: "Progress") -> None:
    """Draw until nobody works on the study; on a pipe, a line for each change."""
    from rich.console import Console
    from rich.live import Live

    from bench.cli.board import board, headline

    name = progress.size.study
    console = Console()
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        known = None
        while True:
            seen = (progress.status, len(progress.done), frozenset(progress.in_hand))
            if seen != known:
                known = seen
                print(headline(progress, time.time()), flush=True)
            if not progress.active or streams.is_gone(sys.stdout):
                return
            time.sleep(LOOK_EVERY_S)
            progress = watcher.one(name)
    with Live(board(progress), console=console, auto_refresh=False) as live:
        while progress.active and not streams.is_gone(sys.stdout):
            time.sleep(LOOK_EVERY_S)
            progress = watcher.one(name)
            live.update(board(progress), refresh=True)


def _print(progress: "Progress") -> None:
    from rich.console import Console

    from bench.cli.board import board

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=max(console.width, 160), highlight=False)
    console.print(board(progress))


def _watcher() -> "Watcher":
    from bench.records.store_check import check_tracking
    from bench.settings.shared import places_settings
    from bench.storage.addresses import refuse_one_database
    from posemodel.errors import SettingsError

    places = places_settings()
    storage, tracking = places["storage"].value, places["tracking_uri"].value
    refuse_one_database(storage, tracking)
    told = ""
    try:
        check_tracking(tracking, write=False)  # before seconds of imports: a dead server takes its own seconds
    except SettingsError as error:
        told = str(error)
        log(f"posebench: {told}")
    from bench.kinds.study_size import size_of
    from bench.study.status import Watcher

    return Watcher(storage, tracking, size_of, told=told)


def _tell_trouble(watcher: "Watcher") -> None:
    if watcher.trouble not in ("", watcher.told):
        log(f"posebench: {watcher.trouble}")


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
