"""Lines to paste for each optimizer: Python that builds it with its tuned settings, and a command that trains it."""

import json
from contextlib import suppress
from typing import Any

import pandas as pd

from bench.kinds.optimizers.plan import confirm_trials
from bench.kinds.optimizers.report.result import PasteLines
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers import optimizer_entry
from bench.optimizers.line import optimizer_line
from bench.optimizers.space import as_value
from bench.report.driving_note import driving_note, driving_of
from bench.report.python_call import python_call
from bench.report.train_command import cpu_threads, repeat_note, train_command
from bench.trials.columns import rows_of
from bench.trials.phases import CONFIRM
from bench.trials.score_names import LOSS_SCORE
from bench.trials.status import Status


def paste_lines(spec: StudySpec, summary: pd.DataFrame, records: pd.DataFrame) -> dict[str, PasteLines]:
    """Return the lines of each optimizer with a finalist; one that cannot be built here has none.

    The command repeats the first confirm trial, by seed, that completed with the settings shown.

    Args:
        spec: The study.
        summary: From `rankings.summarize`.
        records: One row a trial.
    """
    lines_by_optimizer = {}
    for row in rows_of(summary[summary["settings_tuning"].notna()]):
        with suppress(Exception):  # a user's class may raise anything, or be gone
            settings = {name: as_value(value) for name, value in json.loads(row["settings"]).items()}
            built = optimizer_line(optimizer_entry(row["name"]), settings, spec.weight_decay, steps=spec.steps)
            trials = confirm_trials(spec, row["name"], int(row["settings_tuning"]), settings)
            completed = _completed(records, row["name"], int(row["settings_tuning"]))
            trial = next((candidate for candidate in trials if candidate.seed in completed), trials[0])
            record = completed.get(trial.seed, {})
            threads = cpu_threads(record.get("torch_threads"), record.get("device"))
            lines_by_optimizer[row["name"]] = PasteLines(
                python_call(built),
                train_command(trial, spec.data, threads=threads),
                repeat_note(trial, record.get("ap"), loss=record.get("val_loss") if spec.score == LOSS_SCORE else None),
                record.get("trial_id"),
                driving_note(built, driving_of(records, row["name"])),
            )
    return lines_by_optimizer


def _completed(records: pd.DataFrame, optimizer: str, tuning: int) -> dict[int, dict[str, Any]]:
    """Return a tuning's completed confirm trials, by seed."""
    own = records[
        (records["phase"] == CONFIRM)
        & (records["optimizer"] == optimizer)
        & (records["tuning"] == tuning)
        & (records["status"] == Status.COMPLETE)
    ]
    return {int(row["seed"]): row for row in rows_of(own.sort_values("seed"))}
