"""Turn a study's result into `Findings`: the first screen, the main page, the appendix."""

import json
from collections.abc import Callable

from bench.kinds.optimizers.report import figures
from bench.kinds.optimizers.report.file_names import finalist_with_file_names, with_file_names
from bench.kinds.optimizers.report.files import (
    COMPARISONS,
    CONTROLS,
    CURVES,
    FOREST_FIGURE,
    SAMPLES,
    SEEDS,
    SUMMARY,
    VIEWS,
)
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.sections import costs, origin, pairs, tuning
from bench.kinds.optimizers.report.sections import result as main
from bench.report.findings import Chart, Code, DataFile, Findings, Section, TextFile
from bench.report.study_info import StudyInfo
from bench.report.text import code
from bench.workloads.of_study import as_study_file

MORE_TUNINGS = 2
"""Tunings that the suggested `study extend` command adds."""
MOST_PASTED = 2
"""Maximum number of optimizers whose lines are on the first screen; the appendix has all."""


def optimizer_findings(result: StudyResult) -> Findings:
    """Return the findings of a study, finished or not."""
    analysis = result.analysis
    losses = figures.has_loss_curves, main.losses
    curves = losses if analysis.measure.is_loss else (figures.has_learning_curves, main.curves)
    return Findings(
        answer=analysis.headline,
        paste=_paste(result),
        sureness=analysis.sureness(more=_extend_command(result)),
        figure=_forest(result),
        sections=[
            main.table(result),
            *(main.equal_budgets(result) if analysis.updates_differ else ()),
            *main.losses_reached(result),
            *_drawn(figures.has_scores, main.runs, result),
            *_drawn(*curves, result),
            *_drawn(figures.has_rates, tuning.rates, result),
            *_drawn(figures.has_cost, costs.figure, result),
        ],
        appendix=[
            *main.details(result),
            *pairs.pairs(result),
            *pairs.controls(result),
            *(() if analysis.updates_differ else main.equal_budgets(result)),
            *(() if analysis.measure.is_loss else _drawn(*losses, result)),
            *tuning.settings(result),
            *costs.table(result),
            costs.time(result),
            *origin.samples(result),
            *origin.what_was_run(result),
            origin.sources(result),
        ],
        claims=analysis.verdict,
        document=result.document(),
        tables_csv=_tables(result),
        texts=_texts(result),
        metrics=analysis.headline_metrics,
        footnote="".join(result.schedule_note),
    )


def _extend_command(result: StudyResult) -> str:
    """Return the command that extends an ended study; empty where it can have no more tunings."""
    spec = result.spec
    tunings = spec.max_tunings if spec.until_decided else spec.tunings
    if result.analysis.trials_left or tunings >= spec.highest_tunings:
        return ""
    return code(f"posebench study extend {spec.name} --tunings {min(tunings + MORE_TUNINGS, spec.highest_tunings)}")


def study_info(result: StudyResult) -> StudyInfo:
    """Return the description of the study besides its findings."""
    spec = result.spec
    return StudyInfo(
        name=spec.name,
        kind=spec.kind,
        preset=spec.preset,
        status=result.status(),
        trials=result.trials(),
        spec=spec.identity(),
        settings=as_study_file(spec),
        machine=result.machine,
        command=result.command,
        records=result.records,
    )


def _drawn(
    has: Callable[[StudyResult], bool], section: Callable[[StudyResult], Section], result: StudyResult
) -> list[Section]:
    """Return a section with a figure, if there is something to show."""
    return [section(result)] if has(result) else []


def _forest(result: StudyResult) -> Chart | None:
    panel = figures.forest_panel(result)
    alt = f"Difference in mean {result.measure.name} of each optimizer to the best one, with 95 % intervals"
    return None if panel is None else Chart(FOREST_FIGURE, alt, [panel])


def _paste(result: StudyResult) -> list[Code]:
    """Return the lines of the recommended optimizers, the highest mean first."""
    analysis = result.analysis
    best = [name for name in analysis.recommended if name in result.lines][:MOST_PASTED]
    if not best:
        return []
    python = "\n".join(result.lines[name].python for name in best)
    commands = [each for name in best for each in result.lines[name].codes()]
    notes = " ".join(dict.fromkeys(filter(None, (result.lines[name].driving_note for name in best))))
    return [Code("python", python, notes), *commands]


def _tables(result: StudyResult) -> dict[str, DataFile]:
    analysis, measure = result.analysis, result.measure
    finalists = [
        json.dumps([finalist_with_file_names(finalist, measure) for finalist in row_finalists])
        for row_finalists in analysis.summary["finalists"]
    ]
    summary = with_file_names(analysis.summary.assign(finalists=finalists), measure)
    equal = f"{result.step_unit}, and at equal time" if analysis.updates_differ else "steps, or at equal time"
    tables = {
        CURVES: DataFile(result.curves, "a row for each evaluation of a trial"),
        SEEDS: DataFile(
            analysis.with_schedules(with_file_names(analysis.seeds, measure), "optimizer"),
            "a row for each confirm trial: the scores behind the means and the tests",
        ),
        SUMMARY: DataFile(summary, "a row for each optimizer: the tables of these pages, unrounded"),
        COMPARISONS: DataFile(
            with_file_names(analysis.comparisons, measure),
            "a row for each pair of optimizers: difference, interval, test",
        ),
        VIEWS: DataFile(
            analysis.with_schedules(with_file_names(analysis.views, measure), "optimizer"),
            f"a row for each optimizer: {measure.name} at equal {equal}",
        ),
    }
    if len(analysis.controls):
        tables[CONTROLS] = DataFile(with_file_names(analysis.controls, measure), "a row for each control")
    return tables


def _texts(result: StudyResult) -> dict[str, TextFile]:
    if result.leader_samples is None:
        return {}
    return {
        SAMPLES: TextFile(
            json.dumps(result.leader_samples.samples.document),
            "the annotated and predicted keypoints of the sample images"
            if result.is_pose
            else "results on a few samples",
        )
    }
