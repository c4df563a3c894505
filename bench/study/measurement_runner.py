"""Run a measurement study in this process, one measurement at a time, recording each as soon as it is made.

Safe to interrupt: the same command continues with the rest; a finished study is shown again.
"""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench.engines import interruption
from bench.engines.events import Measuring, OnEvent
from bench.measure.machine import fingerprint
from bench.records.measurements import MeasurementTracker
from bench.records.store_check import check_tracking
from bench.report.findings_result import FindingsResult
from bench.storage.locks import path_lock
from bench.storage.patience import outages_ignored
from bench.study.store_paths import StorePaths
from bench.trials.study_base import StudyBase

if TYPE_CHECKING:
    from bench.study.measurement_kind import MeasurementKind

S = TypeVar("S", bound=StudyBase)


def run_study(
    kind: "MeasurementKind[S]", spec: S, paths: StorePaths, *, on_event: OnEvent
) -> tuple[FindingsResult, Path]:
    """Run a study of a measurement kind; see `bench.study.kind.StudyKind.run`.

    Raises DataError if nothing can be measured. Nothing is recorded then, so that the study can start once the data
    set is repaired.
    """
    check_tracking(paths.tracking_uri, write=True)
    tracker = MeasurementTracker(paths.tracking_uri, spec.name)
    with path_lock(Path.cwd() / f"{spec.name}.{kind.name}"):  # two at once would disturb each other's measurements
        measuring = kind.measurements_of(spec, tracker, lambda done, text: on_event(Measuring(done, text)))
        measuring.check_data()
        with interruption.defer_interrupts():
            parent = tracker.open_study(spec, fingerprint(), kind.views)
        try:
            tracker.abandon()
            measuring.run(parent)
        except BaseException:
            with outages_ignored():  # runs of a server that is away stay open until the study goes on
                tracker.abandon()
                tracker.close_study("KILLED")
            raise
        tracker.close_study("FINISHED")
    folder = paths.report_of(spec.name)
    with path_lock(folder):
        result, report = kind.write_report(tracker, folder)
        tracker.log_report(folder, result.short_text, headline=result.headline, metrics=result.findings.metrics)
    return result, report
