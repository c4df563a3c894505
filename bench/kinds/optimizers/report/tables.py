"""The report's tables as cells of text, for Markdown and for the terminal alike: one row an optimizer."""

import json
from typing import Any

from bench.kinds.optimizers.analysis import TimeUse
from bench.kinds.optimizers.analysis.losses import MEASURED_AP_MEAN, VAL_LOSS_MEAN, losses_reached
from bench.kinds.optimizers.report.result import StudyResult
from bench.report.cells import interval_cell, known, number_cell, p_cell, run_cell, settings_text, speed_text
from bench.trials.columns import rows_of
from bench.trials.scores import AP_FLOOR

LOSS_COLUMNS = ("optimizer", "validation loss", "skill", "trials")
PAIR_COLUMNS = ("pair", "difference [95 %]", "tunings", "p", "wins", "better")
COST_COLUMNS = (
    "optimizer",
    "images/s",
    "step (ms)",
    "state (MB)",
    "training (s)",
    "evaluation (s)",
    "n",
    "share of time",
)
TIME_COLUMNS = ("part", "min", "share")
SOURCE_COLUMNS = ("optimizer", "tuned by", "confirmed by")


def loss_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of validation losses, in the study's order; none where no loss is known."""
    reached = losses_reached(result.records, result.spec.optimizers)
    return [
        [
            result.analysis.names[row["optimizer"]],
            number_cell(row["val_loss"], ".4g"),
            number_cell(row["skill"], ".2f"),
            str(row["trials"]),
        ]
        for row in rows_of(reached)
        if reached["trials"].any()
    ]


def main_columns(result: StudyResult) -> tuple[str, ...]:
    """Head of the main table."""
    return ("optimizer", *_score_columns(result), "collapsed", *_ap_columns(result), *_target(result), "images/s")


def _score_columns(result: StudyResult) -> tuple[str, ...]:
    score = f"{result.measure.name} [95 %]"
    return ("validation loss", score) if result.measure.is_loss else (score,)


def _ap_columns(result: StudyResult) -> tuple[str, ...]:
    """AP beside the skill, where it is above chance."""
    return ("AP",) if result.measure.is_loss and _has_ap(result) else ()


def _has_ap(result: StudyResult) -> bool:
    return bool((result.analysis.summary[MEASURED_AP_MEAN] >= AP_FLOOR).any())


def _target(result: StudyResult) -> tuple[str, ...]:
    """There is none of a validation loss."""
    return () if result.measure.is_loss else ("time to target",)


def _score_cells(result: StudyResult, row: dict[str, Any]) -> list[str]:
    score = interval_cell(row["ap_mean"], row["ap_low"], row["ap_high"])
    return [number_cell(row[VAL_LOSS_MEAN], ".4g"), score] if result.measure.is_loss else [score]


def main_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the main table, in the summary's order."""
    return [
        [
            _name(result, row),
            *_score_cells(result, row),
            f"{row['collapsed']} of {row['tunings']}" if row["tunings"] else "-",
            *(number_cell(row[MEASURED_AP_MEAN], ".3f") for _ in _ap_columns(result)),
            *(number_cell(row["time_to_target_s"], ".0f", " s") for _ in _target(result)),
            speed_text(row["images_per_s"]),
        ]
        for row in _rows(result)
    ]


def detail_columns(result: StudyResult) -> tuple[str, ...]:
    """Head of the table of all that is known of each optimizer."""
    target = ("time to target", "reached") if _target(result) else ()
    return ("optimizer", *_score_columns(result), "over all", "tunings", "collapsed", "n", *target, "failed")


def optimizer_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of all that is known of each optimizer, in the summary's order."""
    return [
        [
            _name(result, row),
            *_score_cells(result, row),
            number_cell(row["score_mean"], ".3f"),
            str(row["tunings"]),
            f"{row['collapsed']} of {row['tunings']}" if row["tunings"] else "-",
            str(row["n"]),
            *([] if result.measure.is_loss else _target_cells(row)),
            f"{row['confirm_failed']} + {row['tune_failed']}",
        ]
        for row in _rows(result)
    ]


def _target_cells(row: dict[str, Any]) -> list[str]:
    return [
        number_cell(row["time_to_target_s"], ".0f", " s"),
        f"{int(row['targets_reached'])} of {row['n']}" if known(row["targets_reached"]) and row["n"] else "-",
    ]


def settings_columns(result: StudyResult) -> tuple[str, ...]:
    """Head of the table of chosen settings."""
    return ("optimizer", "settings", f"{result.measure.name} when tuned")


def finalist_columns(result: StudyResult) -> tuple[str, ...]:
    """Head of the table of every tuning's finalist."""
    name = result.measure.name
    return ("optimizer", "tuning", "settings", f"{name} when tuned", f"{name} of its confirm trials")


def settings_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of chosen settings."""
    return [
        [
            _name(result, row),
            settings_text(row["settings"], row["at_border"]),
            number_cell(row["tune_ap"], ".3f"),
        ]
        for row in _rows(result)
    ]


def finalist_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of every tuning's finalist; the one whose settings are shown to be pasted is marked."""
    return [
        [
            _name(result, row),
            f"{each['tuning'] + 1}{' (shown)' if each['tuning'] == row['settings_tuning'] else ''}",
            settings_text(json.dumps(each["settings"]), each["at_border"]),
            number_cell(each["tune_score"], ".3f"),
            f"{' '.join(f'{score:.3f}' for score in each['scores'])}{' (collapsed)' if each['collapsed'] else ''}",
        ]
        for row in _rows(result)
        for each in row["finalists"]
    ]


def pair_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of pairs, each with its better mean first, in the ranking's order."""
    names, order = result.analysis.names, {row["name"]: place for place, row in enumerate(_rows(result))}
    found = []
    for row in rows_of(result.analysis.comparisons):
        turned = order[row["b"]] < order[row["a"]]
        first, second = (row["b"], row["a"]) if turned else (row["a"], row["b"])
        sign = -1 if turned else 1
        low, high = sorted((sign * row["low"], sign * row["high"]))
        wins = 1 - row["probability_of_improvement"] if turned else row["probability_of_improvement"]
        cells = [
            f"{names[first]} - {names[second]}",
            interval_cell(sign * row["mean_difference"], low, high, "+.3f"),
            str(row["n"]),
            p_cell(row["t_p_adjusted"]),
            number_cell(wins, ".2f"),
            names[row[row["better"]]] if row["better"] else "-",
        ]
        found.append((order[first], order[second], cells))
    return [cells for _, _, cells in sorted(found)]


def control_columns(result: StudyResult) -> tuple[str, ...]:
    """Head of the table of controls."""
    name = result.measure.name
    return ("optimizer", f"{name} [95 %]", f"{name} of its untuned limit [95 %]", "difference [95 %]", "n", "p")


def control_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of controls."""
    return [
        [
            result.analysis.names.get(row["control_of"], row["control_of"]),
            interval_cell(row["of_ap_mean"], row["of_ap_low"], row["of_ap_high"]),
            interval_cell(row["ap_mean"], row["ap_low"], row["ap_high"]),
            interval_cell(row["difference"], row["low"], row["high"], "+.3f"),
            str(row["n"]),
            p_cell(row["t_p"]),
        ]
        for row in rows_of(result.analysis.controls)
    ]


def view_columns(result: StudyResult) -> tuple[str, ...]:
    """Head of the table of AP at equal budgets, with these budgets."""
    views = result.analysis.views
    name = result.measure.name
    columns = ["optimizer", f"{name} at {number_cell(views['equal_steps'].max(), '.0f')} steps [95 %]"]
    if "equal_seconds" in views:
        seconds = views["equal_seconds"].max()
        columns.append(f"{name} at {number_cell(seconds, '.3g' if seconds < 100 else '.0f')} s of training [95 %]")
    return tuple(columns)


def view_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of AP at equal budgets, in the summary's order."""
    views = {row["optimizer"]: row for row in rows_of(result.analysis.views)}
    columns = [name for name in ("ap_at_equal_steps", "ap_at_equal_seconds") if name in result.analysis.views]
    return [
        [_name(result, row)]
        + [
            interval_cell(*(views[row["name"]][f"{column}{end}"] for end in ("", "_low", "_high")))
            for column in columns
        ]
        for row in _rows(result)
        if row["name"] in views
    ]


def optimizer_name_rows(result: StudyResult) -> tuple[tuple[str, ...], list[list[str]]]:
    """Head and cells of the table that says what each optimizer is: its full name and implementation, where known."""
    names, rows = result.analysis.names, _rows(result)
    full = any(names[row["name"]] != row["name"] for row in rows)
    told = any(row["implementation"] for row in rows)
    columns = ["optimizer", *(["full name"] if full else []), *(["implementation"] if told else [])]
    cells = [
        [_name(result, row), *([row["name"]] if full else []), *([row["implementation"] or "-"] if told else [])]
        for row in rows
    ]
    return tuple(columns), cells


def cost_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the cost table."""
    return [
        [
            _name(result, row),
            number_cell(row["images_per_s"], ".1f"),
            number_cell(row["optimizer_step_ms"], ".2f"),
            number_cell(row["optimizer_state_bytes"], ".1f", scale=1e-6),
            number_cell(row["train_s"], ".1f"),
            number_cell(row["eval_s"], ".1f"),
            str(row["timed_trials"]),
            number_cell(row["time_share"], ".1f", " %", scale=100),
        ]
        for row in _rows(result)
    ]


def time_rows(use: TimeUse) -> list[list[str]]:
    """Cells of the table of what the study's wall time went to."""
    parts = (
        ("training", use.train_s, use.train_share),
        ("evaluation", use.eval_s, use.eval_share),
        ("generating data", use.data_s, use.data_share),
        ("the rest", use.other_s, use.overhead_share),
        ("all", use.wall_s, 1.0),
    )
    return [[name, f"{seconds / 60:.1f}", f"{100 * share:.1f} %"] for name, seconds, share in parts]


def source_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of MLflow runs behind each optimizer's figures: the beginnings of their ids."""
    runs = {str(name): list(own["run_id"]) for name, own in result.analysis.seeds.groupby("optimizer")}
    return [
        [
            _name(result, row),
            run_cell(row["tune_run_id"]),
            " ".join(map(run_cell, runs.get(row["name"], ()))) or "-",
        ]
        for row in _rows(result)
    ]


def _rows(result: StudyResult) -> list[dict[str, Any]]:
    return rows_of(result.analysis.summary)


def _name(result: StudyResult, row: dict[str, Any]) -> str:
    return result.analysis.names[row["name"]]
