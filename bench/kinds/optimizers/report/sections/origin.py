"""Sections on the origin of the numbers: sample images, what was run, and the MLflow runs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.kinds.optimizers.report.files import SAMPLES, SHEET
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import SOURCE_COLUMNS, optimizer_name_rows, source_rows
from bench.report.cells import run_cell
from bench.report.driving_note import driving_remarks
from bench.report.files import RECORDS
from bench.report.findings import Bullets, Part, Picture, Section, Table
from bench.report.names import MARK
from bench.report.prose import linked
from bench.report.text import code, literal
from bench.report.wording import counted
from bench.trials.columns import rows_of
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.status import FAULTS
from bench.workloads import NAME
from bench.workloads.of_study import name_of, trained_text


def samples(result: StudyResult) -> list[Section]:
    """Return the leader's sample images; empty before there are any."""
    leader, sheet = result.leader_samples, result.sheet
    if leader is None or sheet is None:
        return []
    if not result.is_pose:
        text = (
            f"Results of {literal(result.analysis.names[leader.optimizer])} with seed {leader.seed} "
            f"({result.measure.name} {result.measure.text(leader.gain)}, MLflow run `{run_cell(leader.run_id)}`). "
            f"As data: {linked(SAMPLES)}."
        )
        return [Section("Samples", [Picture(SHEET, "Results on a few samples", sheet), text])]
    text = (
        f"Predicted by {literal(result.analysis.names[leader.optimizer])} with seed {leader.seed} "
        f"({result.measure.name} {result.measure.text(leader.gain)}, MLflow run `{run_cell(leader.run_id)}`), on "
        "images spread evenly "
        "over the labelled ones of the report split. White lines: annotated people, rimmed in a colour if found and "
        f"in black if missed. {_colours(leader.samples.document)} Points: {linked(SAMPLES)}."
    )
    return [Section("Sample images", [Picture(SHEET, "True and predicted skeletons on sample images", sheet), text])]


def _colours(document: Mapping[str, Any]) -> str:
    """Explain the colours of predicted people, or of other objects."""
    if "skeleton" not in document:
        return (
            "Coloured lines: predicted people; left side blue, right side vermilion, neck to nose yellow. Predicted "
            "people of one or two points are not drawn."
        )
    sides = "left side blue, right side vermilion, all else yellow" if document["skeleton"]["mirror"] else "yellow"
    return f"Coloured lines: predicted objects; {sides}."


def what_was_run(result: StudyResult) -> list[Section]:
    """Return the plan, the settings, the optimizers' full names, and the trials that failed."""
    spec = result.spec
    data_text = spec.data_text if result.is_pose else f"data digest {spec.data_digest}"
    parts: list[Part] = [
        f"{counted(len(spec.optimizers), 'optimizer')}, each tuned {counted(spec.tunings, 'time')} independently: "
        f"{counted(spec.trials, 'tune trial')} of up to {result.length_text(TUNE)}, scored on the select split; then "
        f"{counted(spec.seeds, 'fresh confirm seed')} of {result.length_text(CONFIRM)} for each tuning, the same seeds "
        f"for all optimizers, scored on the report split. {_trained_text(result)}, batch "
        f"{spec.batch_size}, {literal(data_text)}, on {spec.device} in {spec.precision}. Schedule "
        f"{spec.schedule}{f' (but {MARK})' if result.schedule_note else ''}, weight decay "
        f"{_decay_text(result)}{_pose_text(result)}: equal for "
        f"all.{_sharing_text(result)}",
        *result.schedule_note,
        *result.updates_note,
        *driving_remarks(
            result.records,
            spec.optimizers,
            [result.analysis.names[name] for name in spec.optimizers],
            of_pose=result.is_pose,
        ),
        *_name_table(result),
        *_skipped_text(result),
    ]
    faults = [
        f"`{row['trial_id']}` {row['phase']} {literal(row['optimizer'])}: {row['status']}. "
        f"{code(row['error']) or 'No message.'}"
        for row in rows_of(result.records)
        if row["status"] in FAULTS
    ]
    failed = [Section("Trials that failed", [Bullets(faults)])] if faults else []
    return [Section("What was run", parts), *failed]


def _trained_text(result: StudyResult) -> str:
    """Name what was trained: a network, or somebody's workload with its settings."""
    spec = result.spec
    if result.is_pose:
        return f"Network {literal(trained_text(spec))}"
    own = ", ".join(f"{name} {value}" for name, value in spec.workload.items() if name != NAME)
    return f"Workload {literal(name_of(spec.workload))}{f' ({literal(own)})' if own else ''}"


def _pose_text(result: StudyResult) -> str:
    """Return the settings that only the training of pose networks has; otherwise empty."""
    if not result.is_pose:
        return ""
    augmented = "augmented" if result.spec.augment else "not augmented"
    return f", foreground weight {result.spec.foreground_weight:g}, {augmented}, no gradient clipping"


def _decay_text(result: StudyResult) -> str:
    decay = result.spec.weight_decay
    return f"{decay:g}" if isinstance(decay, (int, float)) else f"tuned within {decay}"


def _name_table(result: StudyResult) -> list[Table]:
    """Return full names and implementations, where either adds to the tables above."""
    columns, rows = optimizer_name_rows(result)
    return [Table(columns, rows)] if len(columns) > 1 else []


def _sharing_text(result: StudyResult) -> str:
    """Say that trials shared the machine, which lowers their speeds; empty if they did not."""
    most = result.records["concurrent_trials"].max() if "concurrent_trials" in result.records else None
    if pd.isna(most) or most < 2:
        return ""
    threads = result.records["torch_threads"].max()
    shared = f" Up to {int(most)} trials ran at once, with {counted(int(threads), 'thread')} each"
    return f"{shared}, so speeds are those of a shared machine."


def _skipped_text(result: StudyResult) -> list[str]:
    """Say how many images and annotations ``--skip-bad`` left out; empty without the flag."""
    if not result.spec.skip_bad:
        return []
    columns = ["phase", "skipped_images", "skipped_annotations"]
    rows = result.records.reindex(columns=columns).dropna().drop_duplicates()
    counts = [
        f"{counted(int(images), 'image')} and {counted(int(annotations), 'annotation')} in the splits of {phase} trials"
        for phase, images, annotations in rows.itertuples(index=False)
    ]
    return [f"Bad data was left out (`--skip-bad`): {'; '.join(counts) or 'no trial has counted it yet'}."]


def sources(result: StudyResult) -> Section:
    """Return the table of the MLflow runs behind each number."""
    text = (
        "Shortened MLflow run ids: of the best tune trial of the tuning whose settings are shown, and of the "
        f"confirm trials by tuning and seed. Full ids of all trials: column `run_id` of {linked(RECORDS)}."
    )
    return Section("Where each number comes from", [Table(SOURCE_COLUMNS, source_rows(result)), text])
