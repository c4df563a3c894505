"""Write a study's report: report.md with its figure, the records as CSV, the study file and the result as JSON."""

import json
from pathlib import Path

import tomli_w

from bench.record import FAULTS
from bench.report.figures import learning_curves
from bench.report.result import StudyResult
from bench.report.tables import COLUMNS, markdown_table, optimizer_rows

REPORT, FIGURE, RECORDS, CURVES, STUDY, RESULT = (
    "report.md",
    "learning-curves.png",
    "records.csv",
    "curves.csv",
    "study.toml",
    "result.json",
)


def write_report(result: StudyResult, folder: Path) -> Path:
    """Write all files of the report; returns the path of report.md, which is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    result.records.to_csv(folder / RECORDS, index=False)
    result.curves.to_csv(folder / CURVES, index=False)
    (folder / STUDY).write_text(study_file(result))
    learning_curves(result, folder / FIGURE)
    report = folder / REPORT
    document = result.document(report.as_posix())
    (folder / RESULT).write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    temporary = folder / f"{REPORT}.part"
    temporary.write_text(markdown(result))
    temporary.replace(report)
    return report


def study_file(result: StudyResult) -> str:
    """The study as a study file: every setting, nothing left to a preset or a default."""
    values = result.spec.model_dump(mode="json", exclude={"name", "preset", "data", "data_digest"}, exclude_none=True)
    return f"# The settings of the study {result.spec.name}, resolved.\n" + tomli_w.dumps(values)


def markdown(result: StudyResult) -> str:
    """The report as Markdown."""
    spec, trials = result.spec, result.trials()
    unfinished = "" if result.status() == "complete" else f"{len(result.records)} of {result.planned} trials. "
    order = "Best first." if result.comparable else "No order: the budget is too small to compare."
    target = result.summary["target_ap"].dropna() if len(result.summary) else []
    target_text = (
        f"Target AP {target.iloc[0]:.3f} (0.9 x the median of the best); times are training only, as fine as the "
        f"{spec.evaluations} evaluations a trial. "
        if len(target) and result.comparable
        else ""
    )
    faults = [
        f"- `{row.trial_id}` {row.phase} {row.optimizer}: {row.status}. {row.error or 'No message.'}"
        for row in result.records.itertuples()
        if row.status in FAULTS
    ]
    parts = [
        f"# {spec.name}",
        f"**{unfinished}{result.verdict}**",
        f"## {len(result.summary)} optimizers",
        markdown_table(COLUMNS, optimizer_rows(result)),
        f"{order} AP: COCO keypoint AP of the last checkpoint on the report split, mean over n seeds, with its 95 % "
        f"interval. {target_text}Settings with a star sit at the border of their range: the best may lie outside. "
        "Diverged and failed count all trials, tuning included. Step and state: the optimizer's own time and memory.",
        "## Learning curves",
        f"![AP by steps, AP by seconds, validation loss by steps]({FIGURE})",
        "Confirm trials: thin lines are seeds, thick lines their mean.",
        "## What was run",
        f"{spec.network} at {spec.size} px, batch {spec.batch_size}, on `{spec.data.name}` "
        f"(annotations {spec.data_digest}). Tuning: {spec.trials} quasi-random points an optimizer, {spec.tune_steps} "
        f"steps each, chosen by AP on the select split. Confirming: {spec.seeds} fresh seeds, the same for all, "
        f"{spec.steps} steps, reported on the report split. Schedule {spec.schedule}, weight decay "
        f"{spec.weight_decay:g}, foreground weight {spec.foreground_weight:g}, no gradient clipping, equal for all.",
        f"Trials: {', '.join(f'{count} {name}' for name, count in trials.items() if count)}.",
    ]
    if faults:
        parts += ["### Trials that failed", "\n".join(faults)]
    parts += [
        "## What it ran on",
        markdown_table(("", "value"), [[key, value] for key, value in result.machine.items()]),
        "## Again",
        f"```\n{result.command}\n```",
        f"Every row behind these numbers: [{RECORDS}]({RECORDS}) (with MLflow run ids), points of the curves: "
        f"[{CURVES}]({CURVES}), all settings: [{STUDY}]({STUDY}), this page as JSON: [{RESULT}]({RESULT}).",
    ]
    return "\n\n".join(parts) + "\n"
