"""Runs a study of any kind, goes on with it, or shows a finished one again."""

import os
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from bench.cli.actions.stores import study_paths
from bench.cli.board import left_text
from bench.cli.data import make_default_data
from bench.cli.exit_codes import DONE_WITH_FAULTS
from bench.cli.live import shown_live
from bench.cli.output import log, log_opened, log_study_data, log_text, print_json, print_line
from bench.cli.print_shown import print_shown
from bench.engines.interruption import INTERRUPTED
from bench.kinds import refuse_variables, study_kind
from bench.ledger.foreign import refuse_foreign
from bench.ledger.reader import foreign_studies, identities, look
from bench.optimizers.spaces import parse_space
from bench.records.reader import studies
from bench.report.findings_result import FindingsResult
from bench.report.shown import Shown
from bench.study.budget import TimeBudget, within_budget
from bench.study.kind import StudyKind
from bench.study.machine_settings import preset_for_device
from bench.study.prepare import prepare
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.series import series_document
from bench.study.settings import Given
from bench.study.store_paths import StorePaths
from bench.workloads.protocol import OnOpen
from posemodel.errors import DataError, SettingsError

SMOKE = "smoke"
"""Over before an estimate would be worth its seconds."""


def run_study(
    name: str,
    typed: Mapping[str, Any],
    *,
    study: Path | None = None,
    preset: str | None = None,
    by_device: bool = False,
    own_report: Path | None = None,
    dry_run: bool = False,
    budget: str | None = None,
    as_json: bool = False,
    began: float | None = None,
) -> None:
    """Run what is asked for with live progress, and print what it found; exit code 3 where trials failed.

    Args:
        name: The kind.
        typed: Settings of the command line (None: not typed); spaces as `NAME:lr=log(A,B)`.
        study: A study file, over the preset.
        preset: None: the one for this machine.
        by_device: Take the preset's form for a GPU where one is used.
        own_report: Folder of the report; None: one of the study's name.
        dry_run: Print the plan and stop.
        budget: Time for the whole command, as typed: what nobody gave is chosen for it.
        as_json: One JSON document on stdout.
        began: When the command began, in seconds since the epoch; None: now.
    """
    began = time.time() if began is None else began
    refuse_variables(os.environ)
    kind = study_kind(name)
    if by_device and preset is not None:
        preset = preset_for_device(name, preset, typed["device"])
    spaces = {"spaces": typed_spaces(typed["spaces"])} if "spaces" in typed else {}
    given = Given({**typed, **spaces}, study, preset)
    log_data = said_of_data(kind)
    time_budget = None if budget is None else TimeBudget.parse(budget, began)
    measured: Measured | None = None
    if time_budget is not None:
        given, measured = _within(kind, given, time_budget)
    if dry_run:
        planned = replace(prepare(kind, given, None, log_data), measured=measured)
        say_warnings(kind, planned)
        if kind.estimates and measured is None:
            log("measuring ...")
        print_shown(kind.plan_shown(planned), as_json=as_json)
        return
    if kind.estimates and preset != SMOKE and time_budget is None:
        _say_estimate(kind, given)
    prepared = prepare(kind, given, make_default_data, log_data)
    say_warnings(kind, prepared)
    run_prepared(kind, prepared, own_report=own_report, as_json=as_json, began=began, budget=time_budget)


def run_prepared(
    kind: StudyKind[Any],
    prepared: Prepared[Any],
    *,
    own_report: Path | None,
    as_json: bool,
    began: float,
    budget: TimeBudget | None = None,
) -> None:
    """Run a study, or each of a series; arguments and exit codes as of `run_study`.

    ``budget``: whose end is theirs, too; 130 is the exit code where a study is not done by then.
    """
    found: list[FindingsResult] = []
    documents, cut = [], False
    for number, spec in enumerate(prepared.specs):
        since, data_s = (began, prepared.data_s) if number == 0 else (time.time(), 0.0)
        result, printed, cut = _run(kind, spec, study_paths(own_report), prepared, since, data_s, budget)
        found.append(result)
        documents.append(printed.document)
        if not as_json:
            print_shown(printed)
        if cut:
            break
    if as_json:
        print_json(series_document(prepared, documents) if prepared.is_series else documents[0])
    elif prepared.is_series and not cut:
        print_line(f"Compare two of them: posebench compare {prepared.specs[0].name} {prepared.specs[1].name}")
    if cut:
        raise SystemExit(INTERRUPTED)  # what to do has been said
    if any(result.nothing_found or result.has_faults for result in found):
        raise typer.Exit(DONE_WITH_FAULTS)


def _run(
    kind: StudyKind[Any],
    spec: Any,
    paths: StorePaths,
    prepared: Prepared[Any],
    began: float,
    data_s: float,
    budget: TimeBudget | None,
) -> tuple[FindingsResult, Shown, bool]:
    """Run one study to its end, or to that of the budget: whether it was that; Ctrl-C ends the command."""
    log(f"study {spec.name}: {kind.size_text(spec)}")
    workers = prepared.workers
    until = None if budget is None else budget.end
    with shown_live(kind.progress(spec, workers)) as display:
        try:
            result, report = kind.run(
                spec, paths, workers=workers, on_event=display.on_event, began=began, data_s=data_s, until=until
            )
        except KeyboardInterrupt:
            said, go_on = display.recorded_text(), go_on_text(spec.name, prepared, paths)
            display.say(f"posebench: interrupted; {said}. {go_on}")
            raise SystemExit(INTERRUPTED) from None
    cut = budget is not None and result.info.status != "complete" and time.time() >= budget.end
    if budget is not None and cut:
        left = "" if display.progress is None else f"; left: {left_text(display.progress, time.time())}"
        log(f"posebench: --budget {budget.text}: the time is over; {display.recorded_text()}{left}.")
        log_text(go_on_text(spec.name, prepared, paths))
    return result, result.shown(report.as_posix()), cut


def go_on_text(name: str, prepared: Prepared[Any], paths: StorePaths) -> str:
    """The command that goes on with a study that was interrupted; of a series, and before anything is kept, the same.

    ``name``: of the study that was interrupted.
    """
    begun: list[str] = []  # those that MLflow knows, which is told after the ledger
    with suppress(SettingsError):
        begun = [*studies(paths.tracking_uri)]
    if prepared.is_series or paths.own_report is not None or name not in begun:
        return f"The same command goes on:\n  {shlex.join(['posebench', *sys.argv[1:]])}"
    return f"Go on with it:\n  posebench study resume {name}"


def _within(kind: StudyKind[Any], given: Given, budget: TimeBudget) -> tuple[Given, Measured | None]:
    """What is asked for, with what a budget chooses; what was measured for it, of a study that has not begun."""
    url = study_paths().storage_url
    found = within_budget(kind, given, budget, identities(url), log)
    log(found.text)
    return found.given, found.measured


def said_of_data(kind: StudyKind[Any]) -> OnOpen:
    """Says what a study's splits hold, once they are opened."""
    return log_study_data if kind.spec.runner == "ledger" else log_opened


def say_warnings(kind: StudyKind[Any], prepared: Prepared[Any]) -> None:
    """Say what is probably not meant so, once for all studies of a series."""
    for text in dict.fromkeys(text for spec in prepared.specs for text in kind.warnings(spec)):
        log(f"warning: {text}")


def _say_estimate(kind: StudyKind[Any], given: Given) -> None:
    """Say how long a study will take that has not begun."""
    paths = study_paths()
    with suppress(DataError):  # the default set may need mending; the error of any other is told when it is opened
        planned: Prepared[Any] = prepare(kind, given, None)
        begun, foreign = look(paths.storage_url), foreign_studies(paths.storage_url)
        for spec in planned.specs:
            refuse_foreign(foreign, paths.storage_url, spec.name)
        if all(spec.name not in begun for spec in planned.specs):
            log("measuring how long this will take ...")
            log(kind.estimate_text(planned))


def typed_spaces(texts: list[str] | None) -> dict[str, Any] | None:
    """Spaces by optimizer, as in a study file."""
    spaces: dict[str, Any] = {}
    for text in texts or ():
        name, space = parse_space(text)
        if name in spaces:
            raise SettingsError(f"--space {text!r}: {name} has a space already: put all of it into one --space.")
        spaces[name] = space
    return spaces or None
