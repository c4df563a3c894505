"""The report as Markdown: sections in order, paragraphs wrapped so that a terminal shows them well."""

import textwrap

import pandas as pd

from bench.record import FAULTS
from bench.report.result import LeaderSamples, StudyResult
from bench.report.tables import (
    COLUMNS,
    COST_COLUMNS,
    RUN_CHARACTERS,
    SETTINGS_COLUMNS,
    SOURCE_COLUMNS,
    TIME_COLUMNS,
    cost_rows,
    counted,
    markdown_table,
    optimizer_rows,
    settings_rows,
    source_rows,
    time_rows,
)

REPORT, RECORDS, CURVES, SEEDS, SUMMARY = "report.md", "records.csv", "curves.csv", "seeds.csv", "summary.csv"
STUDY, RESULT, SAMPLES = "study.toml", "result.json", "samples.json"
CURVES_FIGURE, SEEDS_FIGURE, LR_FIGURE = "learning-curves.png", "seeds.png", "learning-rate.png"
SHEET = "samples.jpg"

LINE = 110
"""Characters of a line of prose."""


def markdown(result: StudyResult, *, with_samples: bool) -> str:
    """The whole report; ``with_samples``: the sheet of sample images stands beside it."""
    parts = [f"# {result.spec.name}", *_answer(result), *_result(result), *_seeds(), *_curves()]
    parts += [*_tuning(result), *_costs(result), *_time(result)]
    if with_samples and result.leader_samples is not None:
        parts += _samples(result.leader_samples)
    parts += [*_what_was_run(result), *_sources(result), *_again(result)]
    return "\n\n".join(parts) + "\n"


def short_text(result: StudyResult) -> str:
    """Verdict and main table: what MLflow's page of the study begins with."""
    table = markdown_table(COLUMNS, optimizer_rows(result))
    return "\n\n".join([result.verdict, table, f"The whole report: artifact `report/{REPORT}` of the study's run."])


def _prose(text: str) -> str:
    return textwrap.fill(text, LINE, break_long_words=False, break_on_hyphens=False)


def _answer(result: StudyResult) -> list[str]:
    parts = []
    if result.status() != "complete":
        parts.append(f"**Unfinished: {len(result.records)} of {counted(result.planned, 'trial')}.**")
    return [*parts, textwrap.indent(_prose(result.verdict), "> ")]


def _result(result: StudyResult) -> list[str]:
    spec = result.spec
    if result.comparable:
        order = "Best first."
    else:
        why = "the budget is too small to compare" if (result.summary["n"] > 0).any() else "nothing to compare yet"
        order = f"In the study's order: {why}."
    target = result.summary["target_ap"].dropna() if len(result.summary) else []
    target_text = (
        f"*Time to target*: median training time to AP {target.iloc[0]:.3f} (0.9 x the median of the best), as fine as "
        f"the {counted(spec.evaluations, 'evaluation')} a trial; *reached*: trials that got there, from "
        f"[{CURVES}]({CURVES}). "
        if len(target) and result.comparable
        else ""
    )
    return [
        "## Result",
        markdown_table(COLUMNS, optimizer_rows(result)),
        _prose(
            f"{order} *AP*: COCO keypoint AP of the last checkpoint on the report split, mean over n seeds with its "
            f"95 % interval; *best AP*: of each seed's best checkpoint. {target_text}*Diverged* and *failed* count all "
            f"trials, tuning included; in a mean each of them counts as AP 0. Unrounded: [{SUMMARY}]({SUMMARY}), each "
            f"seed: [{SEEDS}]({SEEDS})."
        ),
    ]


def _seeds() -> list[str]:
    return [
        "## AP of each seed",
        f"![AP of each seed by optimizer, with means and intervals]({SEEDS_FIGURE})",
        _prose(
            "Grey lines join the trials of one seed: the same initial weights and the same order of the data. "
            f"Points: [{SEEDS}]({SEEDS})."
        ),
    ]


def _curves() -> list[str]:
    return [
        "## Learning curves",
        f"![AP and validation loss by steps and by seconds of training]({CURVES_FIGURE})",
        _prose(
            "Confirm trials. Lines: mean over the seeds; bands: from the lowest to the highest seed. Seconds are of "
            "training alone, seeds interpolated between evaluations. A trial that diverged or failed has AP 0 from "
            f"there on; a curve of the loss ends where the first of its seeds did. Points: [{CURVES}]({CURVES})."
        ),
    ]


def _tuning(result: StudyResult) -> list[str]:
    return [
        "## Settings and their learning rates",
        markdown_table(SETTINGS_COLUMNS, settings_rows(result)),
        _prose(
            "The settings that were confirmed, and the AP on the select split for which they were chosen. A star: the "
            "value sits at the border of its range, a better one may lie outside."
            if result.comparable
            else "The settings that were confirmed, and the AP on the select split for which they were chosen."
        ),
        f"![AP of the tune trials by learning rate, a panel for each optimizer]({LR_FIGURE})",
        _prose(
            f"{counted(result.spec.trials, 'tune trial')} an optimizer: each point has other settings too, so no line "
            f"joins them. Points: phase `tune` of [{RECORDS}]({RECORDS})."
        ),
    ]


def _costs(result: StudyResult) -> list[str]:
    return [
        "## Cost",
        markdown_table(COST_COLUMNS, cost_rows(result)),
        _prose(
            "*Step* and *state*: the optimizer's own time and memory. *Training* and *evaluation*: seconds a trial. "
            "Medians over the n complete confirm trials (complete tune trials before there are any). *Share of time*: "
            f"of all trials' wall time, tuning and failures included. From [{RECORDS}]({RECORDS})."
        ),
    ]


def _time(result: StudyResult) -> list[str]:
    """Where the study's time went, and how that was measured."""
    use = result.time_use
    if use is None:
        return [
            "## Where the time went",
            "Not known: no session of the study was recorded, or not all were (an earlier version ran them), or "
            "several processes worked on it at the same time.",
        ]
    at_once = f", divided by the {use.workers:.3g} trials that ran at once" if use.workers > 1 else ""
    commands = "the command" if use.sessions == 1 else f"{use.sessions} commands"
    return [
        "## Where the time went",
        markdown_table(TIME_COLUMNS, time_rows(use)),
        _prose(
            f"*All*: wall time of {commands} that reached the first trial or a later one, from the begin to where it "
            "was last heard of: its end (when the tables and figures of a report were written), or, of a killed one, "
            f"the last trial that it recorded. *Training* and *evaluation*: sums over the trials{at_once}. *The rest*: "
            "loading libraries, the time estimate, opening data, building networks, records, sample images, idle "
            "workers at the end of a phase, analysis and figures; and trials that failed or were given back. Writing "
            "this page and attaching the report to its MLflow run come after."
        ),
    ]


def _samples(found: LeaderSamples) -> list[str]:
    return [
        "## Sample images",
        f"![True and predicted skeletons on sample images]({SHEET})",
        _prose(
            f"Found by {found.optimizer}, which has the highest mean AP, with seed {found.seed} (AP {found.ap:.3f}, "
            f"MLflow run `{found.run_id[:RUN_CHARACTERS]}`), in images spread evenly over the labelled ones of the "
            "report split. White lines: true; on a colour where they were found, on black where they were missed. "
            "Colours: predicted; blue left, vermilion right, yellow between neck and nose. Predicted people of one or "
            f"two points are not drawn. Points: [{SAMPLES}]({SAMPLES})."
        ),
    ]


def _what_was_run(result: StudyResult) -> list[str]:
    spec = result.spec
    faults = [
        f"- `{row.trial_id}` {row.phase} {row.optimizer}: {row.status}. {row.error or 'No message.'}"
        for row in result.records.itertuples()
        if row.status in FAULTS
    ]
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in result.trials().items() if count)
    parts = [
        "## What was run",
        _prose(
            f"{counted(len(spec.optimizers), 'optimizer')}, each with "
            f"{counted(spec.trials, 'quasi-random tune point')} of {counted(spec.tune_steps, 'step')}, chosen by AP on "
            f"the select split, and {counted(spec.seeds, 'fresh confirm seed')} of {counted(spec.steps, 'step')}, the "
            f"same seeds for all, reported on the report split. Network {spec.network} at {spec.size} px, batch "
            f"{spec.batch_size}, data `{spec.data.name}` (annotations {spec.data_digest}), on {spec.device} in "
            f"{spec.precision}. Schedule {spec.schedule}, weight decay {spec.weight_decay:g}, foreground weight "
            f"{spec.foreground_weight:g}, {'augmented' if spec.augment else 'not augmented'}, no gradient clipping: "
            f"equal for all.{_at_once(result)}"
        ),
        *_left_out(result),
        f"Trials: {counts}.",
    ]
    return [*parts, "### Trials that failed", "\n".join(faults)] if faults else parts


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
    return [_prose(f"Bad data was left out (`--skip-bad`): {'; '.join(found) or 'no trial has counted it yet'}.")]


def _sources(result: StudyResult) -> list[str]:
    return [
        "## Where each number comes from",
        markdown_table(SOURCE_COLUMNS, source_rows(result)),
        _prose(
            f"Beginnings of MLflow run ids, the confirmed ones by seed; whole, and for every trial, in the column "
            f"`run_id` of [{RECORDS}]({RECORDS}). MLflow's experiment is called `{result.spec.name}`."
        ),
        "\n".join(
            f"- [{name}]({name}): {what}"
            for name, what in (
                (RECORDS, "a row for each trial, failed ones included"),
                (SEEDS, "a row for each confirm trial: what the means and the tests are made of"),
                (SUMMARY, "a row for each optimizer: the tables of this page, unrounded"),
                (CURVES, "a row for each evaluation of a trial"),
                (STUDY, "all settings of the study"),
                (RESULT, "the result as JSON"),
            )
        ),
    ]


def _again(result: StudyResult) -> list[str]:
    return [
        "## What it ran on",
        markdown_table(("", "value"), [[key, value] for key, value in result.machine.items()]),
        "## Again",
        f"```\n{result.command}\n```",
    ]
