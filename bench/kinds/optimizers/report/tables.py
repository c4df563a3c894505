"""The report's tables as cells of text, for Markdown and the terminal alike: one row an optimizer."""

import json
from typing import Any

from bench.kinds.optimizers.analysis import TimeUse
from bench.kinds.optimizers.analysis.losses import MEASURED_AP_MEAN, VAL_LOSS_MEAN, losses_reached
from bench.kinds.optimizers.report.result import StudyResult
from bench.report.cells import known, number_cell, p_cell, run_cell, settings_text, speed_text
from bench.trials.columns import rows_of
from bench.trials.score_scale import AP_FLOOR

LOSS_COLUMNS = ("optimizer", "validation loss", "skill", "trials")
PAIR_COLUMNS = ("pair", "difference [95 %]", "tunings", "p", "wins", "better")
COST_COLUMNS = (
    "step (ms)",
    "state (MB)",
    "training (s)",
    "evaluation (s)",
    "n",
    "share of time",
)
UPDATE_COLUMNS = ("gradient evaluations", "updates")
TIME_COLUMNS = ("part", "min", "share")
SOURCE_COLUMNS = ("optimizer", "tuned by", "confirmed by")


def loss_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the table of validation losses, in the study's order; empty where no loss is known."""
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
    """Return the headings of the main table."""
    return (
        "optimizer",
        *_score_columns(result),
        "collapsed",
        *_ap_columns(result),
        *_target_columns(result),
        f"{result.measure.samples}/s",
    )


def _score_columns(result: StudyResult) -> tuple[str, ...]:
    score = f"{result.measure.name} [95 %]"
    return ("validation loss", score) if result.measure.is_loss else (score,)


def _ap_columns(result: StudyResult) -> tuple[str, ...]:
    """Return the heading of AP beside the skill, if AP is above chance."""
    return ("AP",) if result.measure.is_loss and _has_ap(result) else ()


def _has_ap(result: StudyResult) -> bool:
    return bool((result.analysis.summary[MEASURED_AP_MEAN] >= AP_FLOOR).any())


def _target_columns(result: StudyResult) -> tuple[str, ...]:
    """Return the heading of the time to target; a validation loss has none."""
    return () if result.measure.is_loss else ("time to target",)


def _score_cells(result: StudyResult, row: dict[str, Any]) -> list[str]:
    score = result.measure.interval(row["ap_mean"], row["ap_low"], row["ap_high"])
    return [number_cell(row[VAL_LOSS_MEAN], ".4g"), score] if result.measure.is_loss else [score]


def main_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the main table, in the summary's order."""
    return [
        [
            _name(result, row),
            *_score_cells(result, row),
            f"{row['collapsed']} of {row['tunings']}" if row["tunings"] else "-",
            *(number_cell(row[MEASURED_AP_MEAN], ".3f") for _ in _ap_columns(result)),
            *(number_cell(row["time_to_target_s"], ".0f", " s") for _ in _target_columns(result)),
            speed_text(row["images_per_s"]),
        ]
        for row in _rows(result)
    ]


def detail_columns(result: StudyResult) -> tuple[str, ...]:
    """Return the headings of the table with all details of each optimizer."""
    target = ("time to target", "reached") if _target_columns(result) else ()
    return ("optimizer", *_score_columns(result), "over all", "tunings", "collapsed", "n", *target, "failed")


def optimizer_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the table with all details of each optimizer, in the summary's order."""
    return [
        [
            _name(result, row),
            *_score_cells(result, row),
            result.measure.text(row["score_mean"]),
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
    """Return the headings of the table of chosen settings."""
    return ("optimizer", "settings", f"{result.measure.name} when tuned")


def finalist_columns(result: StudyResult) -> tuple[str, ...]:
    """Return the headings of the table of every tuning's finalist."""
    name = result.measure.name
    return ("optimizer", "tuning", "settings", f"{name} when tuned", f"{name} of its confirm trials")


def settings_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the table of chosen settings."""
    return [
        [
            _name(result, row),
            settings_text(row["settings"], row["at_border"]),
            result.measure.text(row["tune_ap"]),
        ]
        for row in _rows(result)
    ]


def finalist_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the table of every tuning's finalist; the one whose settings are shown is marked."""
    return [
        [
            _name(result, row),
            f"{each['tuning'] + 1}{' (shown)' if each['tuning'] == row['settings_tuning'] else ''}",
            settings_text(json.dumps(each["settings"]), each["at_border"]),
            result.measure.text(each["tune_score"]),
            f"{' '.join(map(result.measure.text, each['scores']))}{' (collapsed)' if each['collapsed'] else ''}",
        ]
        for row in _rows(result)
        for each in row["finalists"]
    ]


def pair_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the table of pairs, each with its better mean first, in the ranking's order."""
    names, order = result.analysis.names, {row["name"]: position for position, row in enumerate(_rows(result))}
    ordered = []
    for row in rows_of(result.analysis.comparisons):
        is_swapped = order[row["b"]] < order[row["a"]]
        first, second = (row["b"], row["a"]) if is_swapped else (row["a"], row["b"])
        sign = -1 if is_swapped else 1
        low, high = sorted((sign * row["low"], sign * row["high"]))
        wins = 1 - row["probability_of_improvement"] if is_swapped else row["probability_of_improvement"]
        cells = [
            f"{names[first]} - {names[second]}",
            result.measure.difference(sign * row["mean_difference"], low, high),
            str(row["n"]),
            p_cell(row["t_p_adjusted"]),
            number_cell(wins, ".2f"),
            names[row[row["better"]]] if row["better"] else "-",
        ]
        ordered.append((order[first], order[second], cells))
    return [cells for _, _, cells in sorted(ordered)]


def control_columns(result: StudyResult) -> tuple[str, ...]:
    """Return the headings of the table of controls."""
    name = result.measure.name
    return ("optimizer", f"{name} [95 %]", f"{name} of its untuned limit [95 %]", "difference [95 %]", "n", "p")


def control_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the table of controls."""
    return [
        [
            result.analysis.names.get(row["control_of"], row["control_of"]),
            result.measure.interval(row["of_ap_mean"], row["of_ap_low"], row["of_ap_high"]),
            result.measure.interval(row["ap_mean"], row["ap_low"], row["ap_high"]),
            result.measure.difference(row["difference"], row["low"], row["high"]),
            str(row["n"]),
            p_cell(row["t_p"]),
        ]
        for row in rows_of(result.analysis.controls)
    ]


def view_columns(result: StudyResult) -> tuple[str, ...]:
    """Return the headings of the table of scores at equal budgets, with these budgets."""
    views = result.analysis.views
    name = result.measure.name
    steps = number_cell(views["equal_steps"].max(), ".0f")
    columns = ["optimizer", f"{name} at {steps} {result.step_unit} [95 %]"]
    if "equal_seconds" in views:
        seconds = views["equal_seconds"].max()
        columns.append(f"{name} at {number_cell(seconds, '.3g' if seconds < 100 else '.0f')} s of training [95 %]")
    return tuple(columns)


def view_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the table of scores at equal budgets, in the summary's order."""
    views = {row["optimizer"]: row for row in rows_of(result.analysis.views)}
    columns = [name for name in ("ap_at_equal_steps", "ap_at_equal_seconds") if name in result.analysis.views]
    return [
        [_name(result, row)]
        + [
            result.measure.interval(*(views[row["name"]][f"{column}{end}"] for end in ("", "_low", "_high")))
            for column in columns
        ]
        for row in _rows(result)
        if row["name"] in views
    ]


def optimizer_name_rows(result: StudyResult) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return headings and cells of the table of each optimizer's full name and implementation, where known."""
    names, rows = result.analysis.names, _rows(result)
    has_full_names = any(names[row["name"]] != row["name"] for row in rows)
    has_implementations = any(row["implementation"] for row in rows)
    columns = [
        "optimizer",
        *(["full name"] if has_full_names else []),
        *(["implementation"] if has_implementations else []),
    ]
    cells = [
        [
            _name(result, row),
            *([row["name"]] if has_full_names else []),
            *([row["implementation"] or "-"] if has_implementations else []),
        ]
        for row in rows
    ]
    return tuple(columns), cells


def cost_columns(result: StudyResult) -> tuple[str, ...]:
    """Return the headings of the cost table."""
    counts = UPDATE_COLUMNS if result.analysis.updates_differ else ()
    return ("optimizer", f"{result.measure.samples}/s", *counts, *COST_COLUMNS)


def cost_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the cost table."""
    return [
        [
            _name(result, row),
            number_cell(row["images_per_s"], ".1f"),
            *(number_cell(row[name], ".0f") for name in _update_counts(result)),
            number_cell(row["optimizer_step_ms"], ".2f"),
            number_cell(row["optimizer_state_bytes"], ".1f", scale=1e-6),
            number_cell(row["train_s"], ".1f"),
            number_cell(row["eval_s"], ".1f"),
            str(row["timed_trials"]),
            number_cell(row["time_share"], ".1f", " %", scale=100),
        ]
        for row in _rows(result)
    ]


def _update_counts(result: StudyResult) -> tuple[str, ...]:
    return ("gradient_evaluations", "updates") if result.analysis.updates_differ else ()


def time_rows(use: TimeUse) -> list[list[str]]:
    """Return the cells of the table of where the study's wall time went."""
    parts = (
        ("training", use.train_s, use.train_share),
        ("evaluation", use.eval_s, use.eval_share),
        ("generating data", use.data_s, use.data_share),
        ("the rest", use.other_s, use.overhead_share),
        ("all", use.wall_s, 1.0),
    )
    return [[name, f"{seconds / 60:.1f}", f"{100 * share:.1f} %"] for name, seconds, share in parts]


def source_rows(result: StudyResult) -> list[list[str]]:
    """Return the cells of the table of MLflow runs behind each optimizer's numbers: the beginnings of their ids."""
    runs = {str(name): list(trials["run_id"]) for name, trials in result.analysis.seeds.groupby("optimizer")}
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
