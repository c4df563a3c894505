"""What stands behind the figures: what was run, on what, in which MLflow runs, and how to get it again."""

import pandas as pd

from bench.kinds.optimizers.report.result import LeaderSamples, StudyResult
from bench.kinds.optimizers.report.tables import RUN_CHARACTERS, SOURCE_COLUMNS, optimizer_name_rows, source_rows
from bench.report.cells import markdown_table
from bench.report.evidence import evidence_lines
from bench.report.files import (
    BEST_SO_FAR,
    COMPARISONS,
    CONTROLS,
    CURVES,
    RECORDS,
    RESULT,
    SAMPLES,
    SEEDS,
    SHEET,
    STUDY,
    SUMMARY,
    VIEWS,
)
from bench.report.prose import linked, prose
from bench.report.wording import counted
from bench.trials.columns import rows_of
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.status import FAULTS
from bench.workloads.of_study import trained_text


def samples(found: LeaderSamples, name: str) -> list[str]:
    """The sheet of sample images, found by the optimizer called ``name``."""
    return [
        "## Sample images",
        f"![True and predicted skeletons on sample images]({SHEET})",
        prose(
            f"Found by {name}, which leads the table above, with seed {found.seed} (AP {found.ap:.3f}, "
            f"MLflow run `{found.run_id[:RUN_CHARACTERS]}`), in images spread evenly over the labelled ones of the "
            "report split. White lines: true; on a colour where they were found, on black where they were missed. "
            "Colours: predicted; blue left, vermilion right, yellow between neck and nose. Predicted people of one or "
            f"two points are not drawn. Points: [{SAMPLES}]({SAMPLES})."
        ),
    ]


def what_was_run(result: StudyResult) -> list[str]:
    """Plan, settings, optimizers by their full names, and the trials that failed."""
    spec = result.spec
    faults = [
        f"- `{row['trial_id']}` {row['phase']} {row['optimizer']}: {row['status']}. {row['error'] or 'No message.'}"
        for row in rows_of(result.records)
        if row["status"] in FAULTS
    ]
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in result.trials().items() if count)
    parts = [
        "## What was run",
        prose(
            f"{counted(len(spec.optimizers), 'optimizer')}, each tuned {counted(spec.tunings, 'time')} by itself: "
            f"{counted(spec.trials, 'tune trial')} of up to {spec.length_text(TUNE)}, judged on the select split; then "
            f"{counted(spec.seeds, 'fresh confirm seed')} of {spec.length_text(CONFIRM)} for each tuning, the same "
            f"seeds for all, reported on the report split. Network {trained_text(spec)}, batch "
            f"{spec.batch_size}, {spec.data_text}, on {spec.device} in "
            f"{spec.precision}. Schedule {spec.schedule}, weight decay {spec.weight_decay:g}, foreground weight "
            f"{spec.foreground_weight:g}, {'augmented' if spec.augment else 'not augmented'}, no gradient clipping: "
            f"equal for all.{_at_once(result)}"
        ),
        *_optimizers(result),
        *_left_out(result),
        *map(prose, evidence_lines(result.records)),
        f"Trials: {counts}.",
    ]
    return [*parts, "### Trials that failed", "\n".join(faults)] if faults else parts


def _optimizers(result: StudyResult) -> list[str]:
    """Full names and implementations, where either says more than the tables above."""
    columns, rows = optimizer_name_rows(result)
    return [markdown_table(columns, rows)] if len(columns) > 1 else []


def _at_once(result: StudyResult) -> str:
    """Whether trials shared the machine: then their speeds did too."""
    most = result.records["concurrent_trials"].max() if "concurrent_trials" in result.records else None
    if pd.isna(most) or most < 2:
        return ""
    threads = result.records["torch_threads"].max()
    shared = f" Up to {int(most)} trials ran at once, with {counted(int(threads), 'thread')} each"
    return f"{shared}: speeds are of a shared machine."


def _left_out(result: StudyResult) -> list[str]:
    """What ``--skip-bad`` left out, as the trials counted it; nothing without the flag."""
    if not result.spec.skip_bad:
        return []
    columns = ["phase", "skipped_images", "skipped_annotations"]
    rows = result.records.reindex(columns=columns).dropna().drop_duplicates()
    found = [
        f"{counted(int(images), 'image')} and {counted(int(annotations), 'annotation')} in the splits of {phase} trials"
        for phase, images, annotations in rows.itertuples(index=False)
    ]
    return [prose(f"Bad data was left out (`--skip-bad`): {'; '.join(found) or 'no trial has counted it yet'}.")]


def sources(result: StudyResult) -> list[str]:
    """MLflow runs and files behind each number."""
    return [
        "## Where each number comes from",
        markdown_table(SOURCE_COLUMNS, source_rows(result)),
        prose(
            "Beginnings of MLflow run ids: the best tune trial of the tuning whose settings are shown, and the confirm "
            f"trials by tuning and seed; whole, and for every trial, in the column `run_id` of {linked(RECORDS)}. "
            f"MLflow's experiment is called `{result.spec.name}`."
        ),
        "\n".join(
            f"- {linked(name)}: {what}"
            for name, what in (
                (RECORDS, "a row for each trial, failed ones included"),
                (SEEDS, "a row for each confirm trial: what the means and the tests are made of"),
                (SUMMARY, "a row for each optimizer: the tables of this page, unrounded"),
                (COMPARISONS, "a row for each pair of optimizers: difference, intervals, tests"),
                *([(CONTROLS, "a row for each control")] if len(result.analysis.controls) else []),
                (VIEWS, "a row for each optimizer: AP at equal steps, or at equal time"),
                (BEST_SO_FAR, "the best AP after each number of tune trials of a tuning"),
                (CURVES, "a row for each evaluation of a trial"),
                (STUDY, "all settings of the study"),
                (RESULT, "the result as JSON"),
            )
        ),
    ]


def again(result: StudyResult) -> list[str]:
    """The machine, and the command that makes the study again."""
    return [
        "## What it ran on",
        markdown_table(("", "value"), [[key, value] for key, value in result.machine.items()]),
        "## Again",
        f"```\n{result.command}\n```",
    ]
