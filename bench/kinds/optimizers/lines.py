"""Lines to paste of each optimizer of a study: Python that builds it as it was tuned, and a command that trains so."""

import json
from contextlib import suppress

import pandas as pd

from bench.kinds.optimizers.plan import confirm_trial
from bench.kinds.optimizers.report.result import Lines
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers import optimizer_entry
from bench.optimizers.line import optimizer_line
from bench.optimizers.space import as_value
from bench.report.python_call import python_call
from bench.report.train_command import train_command
from bench.trials.columns import rows_of


def lines_of(spec: StudySpec, summary: pd.DataFrame) -> dict[str, Lines]:
    """The lines of each optimizer with a finalist; of one that cannot be built here, none.

    Args:
        spec: The study.
        summary: From `rankings.summarize`.
    """
    found = {}
    for row in rows_of(summary[summary["settings_tuning"].notna()]):
        with suppress(Exception):  # whatever a class of somebody's own raises, or that it is gone
            given = {name: as_value(value) for name, value in json.loads(row["settings"]).items()}
            line = optimizer_line(optimizer_entry(row["name"]), given, spec.weight_decay)
            command = train_command(confirm_trial(spec, row["name"], given), spec.data)
            found[row["name"]] = Lines(python_call(line), command)
    return found
