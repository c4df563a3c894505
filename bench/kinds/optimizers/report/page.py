"""What an optimizers study found, as the page has it: the first screen, the main page, the appendix."""

import json
from collections.abc import Callable

from bench.kinds.optimizers.report import figures
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
from bench.kinds.optimizers.report.in_skill import named, named_finalist
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.sections import costs, origin, pairs, tuning
from bench.kinds.optimizers.report.sections import result as main
from bench.report.findings import Chart, Code, DataFile, Findings, Section, TextFile
from bench.report.study_info import StudyInfo
from bench.report.text import code
from bench.workloads.of_study import as_study_file

MORE_TUNINGS = 2
"""What a study is extended by where its page says how."""
MOST_PASTED = 2
"""Optimizers whose lines stand on the first screen; those of all are in the appendix."""


def optimizer_findings(result: StudyResult) -> Findings:
    """What the study found, finished or not."""
    found = result.analysis
    losses = figures.has_loss_curves, main.losses
    curves = losses if found.measure.is_loss else (figures.has_learning_curves, main.curves)
    return Findings(
        answer=found.headline,
        paste=_paste(result),
        sureness=found.sureness(more=_more(result)),
        figure=_forest(result),
        sections=[
            main.table(result),
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
            *main.equal_budgets(result),
            *(() if found.measure.is_loss else _drawn(*losses, result)),
            *tuning.settings(result),
            *costs.table(result),
            costs.time(result),
            *origin.samples(result),
            *origin.what_was_run(result),
            origin.sources(result),
        ],
        claims=found.verdict,
        document=result.document(),
        tables_csv=_tables(result),
        texts=_texts(result),
        metrics=found.headline_metrics,
    )


def _more(result: StudyResult) -> str:
    """The command that makes a study larger that has ended; empty where it can have no more tunings."""
    spec = result.spec
    have = spec.max_tunings if spec.until_decided else spec.tunings
    if result.analysis.left or have >= spec.highest_tunings:
        return ""
    return code(f"posebench study extend {spec.name} --tunings {min(have + MORE_TUNINGS, spec.highest_tunings)}")


def study_info(result: StudyResult) -> StudyInfo:
    """The study besides its findings."""
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
    """A section with a figure, where there is something to show."""
    return [section(result)] if has(result) else []


def _forest(result: StudyResult) -> Chart | None:
    panel = figures.forest_panel(result)
    alt = f"Difference in mean {result.measure.name} of each optimizer to the best one, with 95 % intervals"
    return None if panel is None else Chart(FOREST_FIGURE, alt, [panel])


def _paste(result: StudyResult) -> list[Code]:
    """Lines of those that the answer names, the highest mean first."""
    found = result.analysis
    best = [name for name in found.recommended if name in result.lines][:MOST_PASTED]
    if not best:
        return []
    python = "\n".join(result.lines[name].python for name in best)
    commands = [code for name in best for code in result.lines[name].codes()]
    return [Code("python", python), *commands]


def _tables(result: StudyResult) -> dict[str, DataFile]:
    found, measure = result.analysis, result.measure
    finalists = [json.dumps([named_finalist(each, measure) for each in own]) for own in found.summary["finalists"]]
    summary = named(found.summary.assign(finalists=finalists), measure)
    tables = {
        CURVES: DataFile(result.curves, "a row for each evaluation of a trial"),
        SEEDS: DataFile(
            named(found.seeds, measure), "a row for each confirm trial: what the means and the tests are made of"
        ),
        SUMMARY: DataFile(summary, "a row for each optimizer: the tables of these pages, unrounded"),
        COMPARISONS: DataFile(found.comparisons, "a row for each pair of optimizers: difference, interval, test"),
        VIEWS: DataFile(
            named(found.views, measure), f"a row for each optimizer: {measure.name} at equal steps, or at equal time"
        ),
    }
    if len(found.controls):
        tables[CONTROLS] = DataFile(named(found.controls, measure), "a row for each control")
    return tables


def _texts(result: StudyResult) -> dict[str, TextFile]:
    if result.leader_samples is None:
        return {}
    return {SAMPLES: TextFile(json.dumps(result.leader_samples.samples.document), "the points of the sample images")}
