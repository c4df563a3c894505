"""Lines to paste of each optimizer of a study: Python that builds it as it was tuned, and a command that repeats it."""

import json
from contextlib import suppress
from typing import Any

import pandas as pd

from bench.kinds.optimizers.plan import confirm_trials
from bench.kinds.optimizers.report.result import Lines
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers import optimizer_entry
from bench.optimizers.line import optimizer_line
from bench.optimizers.space import as_value
from bench.report.python_call import python_call
from bench.report.train_command import cpu_threads, repeat_note, train_command
from bench.trials.columns import rows_of
from bench.trials.phases import CONFIRM
from bench.trials.score_names import LOSS_SCORE
from bench.trials.status import Status


def lines_of(spec: StudySpec, summary: pd.DataFrame, records: pd.DataFrame) -> dict[str, Lines]:
    """The lines of each optimizer with a finalist; of one that cannot be built here, none.

    The command repeats the first confirm trial, by seed, that completed with the settings shown.

    Args:
        spec: The study.
        summary: From `rankings.summarize`.
        records: One row a trial.
    """
    found = {}
    for row in rows_of(summary[summary["settings_tuning"].notna()]):
        with suppress(Exception):  # whatever a class of somebody's own raises, or that it is gone
            given = {name: as_value(value) for name, value in json.loads(row["settings"]).items()}
            line = optimizer_line(optimizer_entry(row["name"]), given, spec.weight_decay)
            trials = confirm_trials(spec, row["name"], int(row["settings_tuning"]), given)
            ended = _completed(records, row["name"], int(row["settings_tuning"]))
            trial = next((each for each in trials if each.seed in ended), trials[0])
            record = ended.get(trial.seed, {})
            threads = cpu_threads(record.get("torch_threads"), record.get("device"))
            found[row["name"]] = Lines(
                python_call(line),
                train_command(trial, spec.data, threads=threads),
                repeat_note(trial, record.get("ap"), loss=record.get("val_loss") if spec.score == LOSS_SCORE else None),
                record.get("trial_id"),
            )
    return found


def _completed(records: pd.DataFrame, optimizer: str, tuning: int) -> dict[int, dict[str, Any]]:
    """The confirm trials of a tuning that completed, by seed."""
    own = records[
        (records["phase"] == CONFIRM)
        & (records["optimizer"] == optimizer)
        & (records["tuning"] == tuning)
        & (records["status"] == Status.COMPLETE)
    ]
    return {int(row["seed"]): row for row in rows_of(own.sort_values("seed"))}
