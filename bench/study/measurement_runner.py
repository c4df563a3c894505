"""Runs a study that measures in this process, one measurement after the other, each recorded as soon as it is made.

Safe to interrupt: the same command goes on with what is left, a finished study is shown again.
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
from bench.study.store_paths import StorePaths
from bench.trials.study_base import StudyBase

if TYPE_CHECKING:
    from bench.study.measurement_kind import MeasurementKind

S = TypeVar("S", bound=StudyBase)


def run_study(
    kind: "MeasurementKind[S]", spec: S, paths: StorePaths, *, on_event: OnEvent
) -> tuple[FindingsResult, Path]:
    """See `bench.study.kind.StudyKind.run`.

    Raises DataError where nothing can be measured at all: then nothing is on record, which would stand in the way of
    the mended data set.
    """
    check_tracking(paths.tracking_uri, write=True)
    tracker = MeasurementTracker(paths.tracking_uri, spec.name)
    with path_lock(Path.cwd() / f"{spec.name}.{kind.name}"):  # two at once would measure each other
        measuring = kind.measuring(spec, tracker, lambda done, text: on_event(Measuring(done, text)))
        measuring.look_first()
        with interruption.defer_interrupts():
            parent = tracker.open_study(spec, fingerprint(), kind.views)
        try:
            tracker.abandon()
            measuring.run(parent)
        except BaseException:
            tracker.abandon()
            tracker.close_study("KILLED")
            raise
        tracker.close_study("FINISHED")
    folder = paths.report_of(spec.name)
    with path_lock(folder):
        result, report = kind.write_report(tracker, folder)
        tracker.log_report(folder, result.short_text, headline=result.headline, metrics=result.findings.metrics)
    return result, report
