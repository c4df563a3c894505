"""Action of `posebench study KIND`: run a study, go on with it, or show a finished one again."""

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

from bench.cli.actions.going_on import going_on
from bench.cli.actions.stores import study_paths
from bench.cli.data import make_default_data
from bench.cli.exit_codes import DONE_WITH_FAULTS
from bench.cli.live import live_display
from bench.cli.output import log, log_opened, log_study_data, log_text, log_wrapped, print_json, print_line
from bench.cli.print_output import print_output
from bench.cli.progress_table import left_text
from bench.engines.events import Event, OnEvent
from bench.engines.interruption import INTERRUPTED
from bench.kinds import refuse_variables, study_kind
from bench.ledger.foreign import refuse_foreign
from bench.ledger.reader import read_identities
from bench.optimizers.spaces import parse_space
from bench.records.reader import studies
from bench.report.command_output import CommandOutput
from bench.report.findings_result import FindingsResult
from bench.storage.masking import masked
from bench.study.budget import TimeBudget, choose_for_budget
from bench.study.idle_share import IdleShare
from bench.study.kind import StudyKind
from bench.study.machine_settings import preset_for_device
from bench.study.prepare import prepare
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.series import series_document
from bench.study.settings import StudyRequest
from bench.study.sharing import loader_warnings
from bench.study.store_paths import StorePaths
from bench.workloads.protocol import OnOpen
from posemodel.errors import DataError, SettingsError

SMOKE = "smoke"
"""Preset that gets no time estimate, because it ends too soon to need one."""


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
    """Run a study with live progress and print its result; exits 3 if trials failed.

    Args:
        name: Name of the kind.
        typed: Settings of the command line (None: not given); spaces as `NAME:lr=log(A,B)`.
        study: Study file, which overrides the preset.
        preset: Name of the preset; None: the one for this machine.
        by_device: Use the preset's GPU form if the device is a GPU.
        own_report: Folder of the report; None: named after the study.
        dry_run: Print the plan and run nothing.
        budget: Time for the whole command, e.g. `10m`; settings that are not given are chosen to fit it.
        as_json: Print one JSON document on stdout.
        began: Start of the command, in seconds since the epoch; None: now.
    """
    began = time.time() if began is None else began
    refuse_variables(os.environ)
    kind = study_kind(name)
    if by_device and preset is not None:
        preset = preset_for_device(name, preset, typed["device"])
    spaces = {"spaces": typed_spaces(typed["spaces"])} if "spaces" in typed else {}
    request = StudyRequest({**typed, **spaces}, study, preset)
    log_data = data_logger(kind)
    time_budget = None if budget is None else TimeBudget.parse(budget, began)
    measured: Measured | None = None
    if time_budget is not None:
        request, measured = _fit_to_budget(kind, request, time_budget)
    if dry_run:
        planned = replace(prepare(kind, request, None, log_data), measured=measured)
        log_warnings(kind, planned)
        if kind.estimates and measured is None:
            log("measuring ...")
        print_output(kind.plan_output(planned), as_json=as_json)
        return
    if kind.estimates and preset != SMOKE and time_budget is None:
        _log_estimate(kind, request)
    prepared = prepare(kind, request, make_default_data, log_data)
    log_warnings(kind, prepared)
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
    """Run a study, or each of a series; arguments and exit codes as for `run_study`.

    ``budget``: time limit of the studies; exits 130 if they are not complete by then.
    """
    results: list[FindingsResult] = []
    documents, out_of_time = [], False
    for number, spec in enumerate(prepared.specs):
        since, data_s = (began, prepared.data_s) if number == 0 else (time.time(), 0.0)
        result, printed, out_of_time = _run(kind, spec, study_paths(own_report), prepared, since, data_s, budget)
        results.append(result)
        documents.append(printed.document)
        if not as_json:
            print_output(printed)
        if out_of_time:
            break
    if as_json:
        print_json(series_document(prepared, documents) if prepared.is_series else documents[0])
    elif prepared.is_series and not out_of_time:
        print_line(f"Compare two of them: posebench compare {prepared.specs[0].name} {prepared.specs[1].name}")
    if out_of_time:
        raise SystemExit(INTERRUPTED)  # the command to go on has been printed
    if any(result.has_no_result or result.has_faults for result in results):
        raise typer.Exit(DONE_WITH_FAULTS)


def _run(
    kind: StudyKind[Any],
    spec: Any,
    paths: StorePaths,
    prepared: Prepared[Any],
    began: float,
    data_s: float,
    budget: TimeBudget | None,
) -> tuple[FindingsResult, CommandOutput, bool]:
    """Run one study; returns its result, what to print, and whether the budget ended it. Ctrl-C ends the command."""
    log_wrapped(f"study {spec.name}: {kind.size_text(spec)}")
    workers, idle = prepared.workers, IdleShare(prepared.workers)
    if not workers and prepared.cluster is None:
        log_text(f"This command runs no trial. On each machine that is to run some: posebench worker {spec.name}")
    until = None if budget is None else budget.end
    with live_display(kind.progress(spec, workers)) as display:
        try:
            result, report = kind.run(
                spec,
                paths,
                workers=workers,
                gpus=prepared.gpus,
                checkpoints=prepared.checkpoints,
                cluster=prepared.cluster,
                on_event=both(idle.on_event, display.on_event),
                began=began,
                data_s=data_s,
                until=until,
            )
        except KeyboardInterrupt:
            recorded, how_to_go_on = display.recorded_text(), go_on_text(spec.name, prepared, paths)
            display.say(f"posebench: interrupted; {recorded}. {how_to_go_on}")
            raise SystemExit(INTERRUPTED) from None
    out_of_time = budget is not None and result.info.status != "complete" and time.time() >= budget.end
    if budget is not None and out_of_time:
        left = "" if display.progress is None else f"; left: {left_text(display.progress, time.time())}"
        log(f"posebench: --budget {budget.text}: the time is over; {display.recorded_text()}{left}.")
        log_text(go_on_text(spec.name, prepared, paths))
    if idle.text():
        log(f"posebench: {idle.text()}")
    return result, with_idle_share(result.output(report.as_posix()), idle), out_of_time


def both(*listeners: OnEvent) -> OnEvent:
    """Return a function that calls each of the listeners with an event."""

    def on_event(event: Event) -> None:
        for each in listeners:
            each(event)

    return on_event


def with_idle_share(printed: CommandOutput, idle: IdleShare) -> CommandOutput:
    """Add `idle_share` to the JSON document of a command that ran several trials at once."""
    if idle.workers < 2 or idle.share is None:
        return printed
    return replace(printed, document={**printed.document, "idle_share": round(idle.share, 4)})


def go_on_text(name: str, prepared: Prepared[Any], paths: StorePaths) -> str:
    """Return the text that tells how to go on with the interrupted study ``name``.

    That is `posebench study resume`, or for a series, or before the study is recorded, the same command again.
    """
    recorded: list[str] = []  # studies that MLflow knows; it gets them after the ledger
    with suppress(SettingsError):
        recorded = [*studies(paths.tracking_uri)]
    if prepared.is_series or paths.own_report is not None or name not in recorded:
        typed = shlex.join(["posebench", *sys.argv[1:]])
        shown = masked(typed)
        return f"The same command goes on{'' if shown == typed else ' (its password is not shown)'}:\n  {shown}"
    command, remark = going_on(["posebench", "study", "resume", name, *_places(prepared)], prepared.checkpoints)
    return f"Go on with it{remark}:\n  {command}"


def _places(prepared: Prepared[Any]) -> tuple[str, ...]:
    """Return the options that say where the trials of a study run, if not in processes of this machine."""
    if prepared.cluster is None:
        return () if prepared.workers else ("--workers", "0")
    address, most = prepared.cluster.address, prepared.cluster.most
    return (
        *("--engine", "ray"),
        *(() if address is None else ("--ray-address", address)),
        *(() if most is None else ("--workers", str(most))),
    )


def _fit_to_budget(
    kind: StudyKind[Any], request: StudyRequest, budget: TimeBudget
) -> tuple[StudyRequest, Measured | None]:
    """Return the settings with what a budget chooses, and what was measured for it (None for a study already begun)."""
    url = study_paths().storage_url
    budgeted = choose_for_budget(kind, request, budget, read_identities(url), log)
    log_wrapped(budgeted.text)
    return budgeted.request, budgeted.measured


def data_logger(kind: StudyKind[Any]) -> OnOpen:
    """Return the function that logs what a study's splits hold, once they are opened."""
    return log_study_data if kind.spec.runner == "ledger" else log_opened


def log_warnings(kind: StudyKind[Any], prepared: Prepared[Any]) -> None:
    """Log warnings about settings that are probably a mistake, once for all studies of a series."""
    texts = (
        text for spec in prepared.specs for text in (*kind.warnings(spec), *loader_warnings(spec, prepared.workers))
    )
    for text in dict.fromkeys(texts):
        log_wrapped(f"warning: {text}")


def _log_estimate(kind: StudyKind[Any], request: StudyRequest) -> None:
    """Log the estimated time of a study that has not begun."""
    paths = study_paths()
    with suppress(DataError):  # the default set may be incomplete; errors of any other are raised when it is opened
        planned: Prepared[Any] = prepare(kind, request, None)
        known = read_identities(paths.storage_url)
        foreign = [study for study, identity in known.items() if identity is None]
        for spec in planned.specs:
            refuse_foreign(foreign, paths.storage_url, spec.name)
        if planned.workers and all(spec.name not in known for spec in planned.specs):
            log("measuring how long this will take ...")
            log_wrapped(kind.estimate_text(planned))


def typed_spaces(texts: list[str] | None) -> dict[str, Any] | None:
    """Parse `--space` options into spaces by optimizer, as in a study file; None if there are none."""
    spaces: dict[str, Any] = {}
    for text in texts or ():
        name, space = parse_space(text)
        if name in spaces:
            raise SettingsError(
                f"--space {text!r}: {name} already has a space: put all its parameters into one --space."
            )
        spaces[name] = space
    return spaces or None
