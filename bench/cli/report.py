"""`posebench report`: make a study's report again from what MLflow holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.output import print_json
from bench.cli.study import DONE_WITH_FAULTS, show_result, study_places

if TYPE_CHECKING:
    from bench.kinds.loaders.report.result import LoaderResult
    from bench.kinds.optimizers.report.result import StudyResult
    from bench.records.reader import StudyRuns
    from bench.study.kind import PlannedResult


def report(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study, finished or not.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Analyse the records of a study again and write reports/STUDY/report.md.

    Exit code 3 where the study has ended without any result: the report says why.
    """
    from bench.records.store_check import check_tracking
    from bench.settings.shared import places_settings

    check_tracking(places_settings()["tracking_uri"].value, write=False)  # before seconds of imports
    from bench.kinds.loaders.spec import LOADERS
    from bench.kinds.names import PLANNED
    from bench.kinds.optimizers.report.sections.answer import unfinished
    from bench.kinds.optimizers.report.write import write_report
    from bench.kinds.optimizers.results import load_result
    from bench.storage.locks import alone_on
    from bench.study.status import results_of

    places = study_places()
    tracker = results_of(places.storage_url, places.tracking_uri, study)
    folder = places.reports / study
    kind = tracker.study_document()["kind"]
    if kind == LOADERS:
        _of_loaders(tracker, folder, as_json=as_json)
        return
    if kind in PLANNED:
        _of_planned(kind, tracker, folder, as_json=as_json)
        return
    result = load_result(tracker)
    with alone_on(folder):  # the study itself may be writing it
        path = write_report(result, folder)
    if as_json:
        print_json(result.document(path.as_posix()))
    else:
        if unfinished(result):
            print(unfinished(result))
        show_result(result, path)
    _exit(result)


def _exit(result: "StudyResult | LoaderResult | PlannedResult") -> None:
    """Exit code 3 where a study has ended and nothing was found out."""
    if result.nothing_found:
        raise typer.Exit(DONE_WITH_FAULTS)


def _of_loaders(tracker: "StudyRuns", folder: Path, *, as_json: bool) -> None:
    from bench.cli.loaders import show_loader_result
    from bench.kinds.loaders.report.write import write_loader_report
    from bench.kinds.loaders.results import load_loader_result
    from bench.storage.locks import alone_on

    result = load_loader_result(tracker)
    with alone_on(folder):
        path = write_loader_report(result, folder)
    if as_json:
        print_json(result.document(path.as_posix()))
    else:
        show_loader_result(result, path)
    _exit(result)


def _of_planned(kind: str, tracker: "StudyRuns", folder: Path, *, as_json: bool) -> None:
    from bench.cli.planned import show
    from bench.kinds import planned_kind
    from bench.report.findings_write import write_findings_report
    from bench.storage.locks import alone_on

    result = planned_kind(kind).load(tracker)
    with alone_on(folder):
        path = write_findings_report(result.findings, result.info, folder)
    show(result, path, as_json=as_json)
    _exit(result)
