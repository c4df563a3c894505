"""Tables of a joint study's picks: results in the search and on fresh seeds, and the lines to paste."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from bench.kinds.joint.analysis.answer import optimizer_line, paste
from bench.kinds.joint.analysis.picks import BEST_AP, Pick
from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.words import (
    NOT_KNOWN,
    configuration_text,
    loader_call,
    range_cell,
    rate_of,
    role_name,
    role_words,
    short_roles,
    speed_interval,
)
from bench.report.cells import speed_text
from bench.report.findings import Part, Section, Table
from bench.report.prose import linked
from bench.report.text import literal
from bench.report.wording import enumerate_items, in_one_line, value_text
from bench.statistics.interval import Interval

FILE = "picks.csv"


def main_parts(results: JointResults) -> list[Part]:
    """Return the table of recommended configurations and how to read it."""
    if not results.roles_by_pick:
        return []
    fresh = f"{results.measure.title}: mean over fresh seeds on the select split. " if results.all_confirmed else ""
    read = f"{fresh}In the search: one trial, on the same split. Unrounded: {linked(FILE)}.{_beginning(results)}"
    return [_main_table(results), read, *results.speed_notes, *results.schedule_notes]


def _beginning(results: JointResults) -> str:
    """Say that all trials began from given weights, if they did: the result is then about fine-tuning."""
    if not results.beginning:
        return ""
    return (
        f" Every trial began from {literal(results.beginning)}, so the result is about training from these weights, "
        "not from scratch; `posebench eval` scores the file itself, which shows whether training improved it."
    )


def other_sections(results: JointResults) -> list[Section]:
    """Return a section with the lines to paste for each further recommendation."""
    best = results.picks_by_role.get(BEST_AP)
    return [
        Section(f"To paste: {short_roles(roles, results.measure)}", paste(results, index))
        for index, roles in results.roles_by_pick.items()
        if index != best
    ]


def appendix_section(results: JointResults) -> Section:
    """Return the table of all picks with all their numbers, and the lines to paste of those that are not
    recommended."""
    title = "The picks"
    if not results.picks:
        return Section(title, ["None: no search trial can be chosen."])
    parts: list[Part] = [_wide_table(results), *results.schedule_notes]
    for index, pick in enumerate(results.picks):
        if index not in results.roles_by_pick:
            parts += [f"**{_not_recommended(results, index, pick)}**", *paste(results, index)]
    if results.asked_to_pin and not results.pinned:
        parts.append("Without an accelerator `pin_memory` does nothing, so no line sets it.")
    parts.append(
        f"*Searched*: one trial of {results.length}; its {results.measure.name}, on the select split, is the best "
        "of many, so it is optimistic. *Fresh*: means over n other seeds, trained as long, on the same split. "
        "*Reported*: the same networks on the report split, which was not used to choose. A fresh trial that did not "
        "complete counts as "
        f"{results.measure.failure_text}. Unrounded: {linked(FILE)}."
    )
    return Section(title, parts)


def _main_table(results: JointResults) -> Table:
    """Return a table with a column for each recommendation: narrow enough for terminals and telephones."""
    picks = [(results.picks[index], results.fresh[index]) for index in results.roles_by_pick]

    measure = results.measure

    def row(name: str, cell: Callable[[Pick], str]) -> list[str]:
        return [name, *(cell(pick) for pick, _ in picks)]

    rows = [
        row("optimizer", lambda pick: results.names.get(pick.settings["optimizer"], pick.settings["optimizer"])),
        row("learning rate", lambda pick: NOT_KNOWN if (rate := rate_of(pick.settings)) is None else _rate(rate)),
        row("workers", lambda pick: str(pick.settings["num_workers"])),
        row("batch size", lambda pick: str(pick.settings["batch_size"])),
        *([row("pinned memory", lambda pick: "yes" if pick.pinned else "no")] if results.pinned else []),
    ]
    if results.all_confirmed:
        speeds = [fresh.images_per_s for _, fresh in picks]
        rows += [
            ["fresh seeds", *(str(fresh.n) for _, fresh in picks)],
            [measure.name, *(measure.cell(fresh.score_select.estimate) for _, fresh in picks)],
            *_range_row(f"{measure.name}, 95 %", [fresh.score_select for _, fresh in picks], measure.text),
            [f"{measure.name}, report split", *(measure.cell(fresh.score.estimate) for _, fresh in picks)],
            [measure.speed, *(speed_text(speed.estimate) for speed in speeds)],
            *_range_row(f"{measure.speed}, 95 %", speeds, speed_text),
        ]
    rows += [
        row(f"{measure.name} in the search", lambda pick: measure.text(pick.score)),
        row(f"{measure.speed} there", lambda pick: speed_text(pick.images_per_s)),
    ]
    heads = (
        [short_roles(roles, measure) for roles in results.roles_by_pick.values()]
        if len(results.roles_by_pick) > 1
        else ["recommended"]
    )
    return Table(("setting", *heads), rows)


def _rate(rate: tuple[str, Any]) -> str:
    name, value = rate
    return value_text(value) if name == "lr" else f"{name} {value_text(value)}"


def _range_row(name: str, intervals: list[Interval], text: Callable[[float], str]) -> list[list[str]]:
    cells = [range_cell(each, text) for each in intervals]
    return [[name, *cells]] if any(cell != NOT_KNOWN for cell in cells) else []


def _not_recommended(results: JointResults, index: int, pick: Pick) -> str:
    named = literal(configuration_text(pick.settings, results.names))
    if index in results.unlearned_picks:
        return f"Not recommended, it learned nothing ({results.measure.below_floor}): {named}"
    return f"No longer {enumerate_items([role_words(role, results.measure) for role in pick.roles])}: {named}"


def _lines(results: JointResults, pick: Pick) -> dict[str, str]:
    return {
        **results.schedule_fields(pick.settings["optimizer"]),
        "dataloader": loader_call(pick, results.loader),
        "optimizer": optimizer_line(results, pick),
        "train": results.train_commands.get(pick.key, ""),
        "train_command": in_one_line(results.train_commands.get(pick.key, "")),
    }


def _wide_table(results: JointResults) -> Table:
    """Return a table with a row for each pick: results in the search and on fresh seeds."""
    measure = results.measure
    columns = (
        "pick",
        "configuration",
        f"{measure.name} searched",
        f"{measure.name} fresh [95 %]",
        "n",
        f"{measure.name} reported [95 %]",
        f"{measure.speed} searched",
        f"{measure.speed} fresh [95 %]",
    )
    rows = [
        [
            enumerate_items([role_name(role, measure) for role in pick.roles]),
            configuration_text(pick.settings, results.names),
            measure.text(pick.score),
            measure.interval(fresh.score_select),
            str(fresh.n),
            measure.interval(fresh.score),
            speed_text(pick.images_per_s),
            speed_interval(fresh.images_per_s),
        ]
        for pick, fresh in zip(results.picks, results.fresh, strict=True)
    ]
    return Table(columns, rows)


def pick_documents(results: JointResults) -> list[dict[str, Any]]:
    """Return the picks for the JSON document, with results in the search and on fresh seeds."""
    return [
        {
            "roles": [role_name(role, results.measure) for role in pick.roles],
            "settings": pick.settings,
            "trial_id": pick.trial_id,
            "run_id": pick.run_id,
            "searched": {**score_fields(results, pick.score), "images_per_s": pick.images_per_s},
            "fresh": {
                "n": fresh.n,
                "failed": fresh.failed,
                **score_fields(results, _ends(fresh.score_select), "_select"),
                **score_fields(results, _ends(fresh.score)),
                "images_per_s": _ends(fresh.images_per_s),
            },
            "learned": index not in results.unlearned_picks,
            **_lines(results, pick),
        }
        for index, (pick, fresh) in enumerate(zip(results.picks, results.fresh, strict=True))
    ]


def score_fields(results: JointResults, value: Any, suffix: str = "") -> dict[str, Any]:
    """Return a value of the score for the JSON document: as `score` in every study, and as `ap`, None if it is none."""
    return {f"ap{suffix}": value if results.measure.is_ap else None, f"score{suffix}": value}


def picks_frame(results: JointResults) -> pd.DataFrame:
    """Return the picks as a table, unrounded."""
    rows, name = [], results.measure.column
    for pick, fresh in zip(results.picks, results.fresh, strict=True):
        row: dict[str, object] = {
            "roles": "; ".join(role_name(role, results.measure) for role in pick.roles),
            "trial_id": pick.trial_id,
            "settings": json.dumps(pick.settings),
            **results.schedule_fields(pick.settings["optimizer"]),
        }
        row |= {
            f"searched_{name}": pick.score,
            "searched_images_per_s": pick.images_per_s,
            "n": fresh.n,
            "failed": fresh.failed,
        }
        measured = {f"{name}_select": fresh.score_select, name: fresh.score, "images_per_s": fresh.images_per_s}
        for column, each in measured.items():
            row |= {
                f"fresh_{column}": each.estimate,
                f"fresh_{column}_low": each.low,
                f"fresh_{column}_high": each.high,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def recommended_documents(results: JointResults) -> list[dict[str, Any]]:
    """Return the recommended configuration of each role; ``confirmed`` if all picks have fresh seeds."""
    documents = []
    for role, index in results.picks_by_role.items():
        pick = results.picks[index]
        documents.append(
            {
                "role": role_name(role, results.measure),
                "settings": pick.settings,
                "trial_id": pick.trial_id,
                "confirmed": results.all_confirmed,
                **_lines(results, pick),
            }
        )
    return documents


def _ends(interval: Interval) -> dict[str, float | None]:
    return {"mean": interval.estimate, "low": interval.low, "high": interval.high}
