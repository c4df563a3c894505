"""An optimizers study: tune, choose, confirm, report. Safe to interrupt."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.engines.events import OnEvent, nobody
from bench.kinds.optimizers.analysis import at_border, best_settings, time_use
from bench.kinds.optimizers.plan import Chosen, plan_confirm, plan_tune, total_trials
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.write import short_text, write_pages, write_parts
from bench.kinds.optimizers.results import load_result
from bench.kinds.optimizers.spec import StudySpec
from bench.kinds.optimizers.trial import TRIALS
from bench.optimizers.space import from_document, log_ranges
from bench.records.writer import Tracker
from bench.study.run import Course, NoteSession, Places, run_course
from bench.trials.spec import TUNE


def run_study(
    spec: StudySpec,
    places: Places,
    *,
    workers: int,
    on_event: OnEvent = nobody,
    began: float | None = None,
    data_s: float = 0.0,
) -> tuple[StudyResult, Path]:
    """Run a study, or go on with it, or show it again: see `bench.study.run.run_course`."""
    course = Course(
        spec=spec,
        phases=(lambda _none: plan_tune(spec), lambda records: plan_confirm(spec, choose(spec, records))),
        least_trials=total_trials(spec),
        trials=TRIALS,
        report=_report,
    )
    return run_course(course, places, workers=workers, on_event=on_event, began=began, data_s=data_s)


def _report(tracker: Tracker, folder: Path, note_session: NoteSession) -> tuple[StudyResult, Path, str]:
    """Its pages say where the time went, until they were begun."""
    result = load_result(tracker)
    write_parts(result, folder)
    note_session()
    result = replace(result, time_use=time_use(result.records, tracker.sessions()))
    return result, write_pages(result, folder), short_text(result)


def choose(spec: StudySpec, records: pd.DataFrame) -> dict[str, Chosen]:
    """Each optimizer's best tune settings, flagged where they sit at the border of their range."""
    best = best_settings(records[records["phase"] == TUNE])
    return {
        name: Chosen(
            best[name], tuple(at_border(best[name], log_ranges(from_document(spec.spaces[name], f"spaces.{name}"))))
        )
        for name in spec.optimizers
    }
