"""The picks of a joint study: what the search saw of each, what fresh seeds made of it, and the lines to paste."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from bench.kinds.joint.analysis.answer import optimizer_line, paste
from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.picks import BEST_AP, Pick
from bench.kinds.joint.analysis.words import (
    NOT_KNOWN,
    ROLE_WORDS,
    ap_cell,
    ap_interval,
    configuration_text,
    floor_text,
    loader_call,
    range_cell,
    rate_of,
    short_roles,
    speed_interval,
)
from bench.report.cells import speed_text
from bench.report.findings import Part, Section, Table
from bench.report.prose import linked
from bench.report.text import literal
from bench.report.wording import ap_text, enumerate_items, in_one_line, value_text
from bench.statistics.intervals import Interval

FILE = "picks.csv"
WIDE_COLUMNS = (
    "pick",
    "configuration",
    "AP searched",
    "AP fresh [95 %]",
    "n",
    "AP reported [95 %]",
    "images/s searched",
    "images/s fresh [95 %]",
)


def main_parts(found: JointFound) -> list[Part]:
    """The table of what is recommended, and how to read it."""
    if not found.held:
        return []
    fresh = "AP: mean over fresh seeds on the select split. " if found.all_confirmed else ""
    read = f"{fresh}In the search: one trial, on the same split. Unrounded: {linked(FILE)}.{_beginning(found)}"
    return [_main_table(found), read]


def _beginning(found: JointFound) -> str:
    """That all trials began from weights, where they did: such a result is about fine-tuning."""
    if not found.beginning:
        return ""
    return (
        f" Every trial began from {literal(found.beginning)}: a result about training from there, not from "
        "nothing; `posebench eval` tells what the file itself scores, and so whether training made it better."
    )


def other_sections(found: JointFound) -> list[Section]:
    """The lines to paste for each further recommendation."""
    best = found.holders.get(BEST_AP)
    return [
        Section(f"To paste: {short_roles(held)}", paste(found, place))
        for place, held in found.held.items()
        if place != best
    ]


def appendix_section(found: JointFound) -> Section:
    """All picks with all that is known of each, and the lines of those that are not recommended."""
    title = "The picks"
    if not found.picks:
        return Section(title, ["None: no search trial can be chosen."])
    parts: list[Part] = [_wide_table(found)]
    for place, pick in enumerate(found.picks):
        if place not in found.held:
            parts += [f"**{_not_recommended(found, place, pick)}**", *paste(found, place)]
    if found.asked_to_pin and not found.pinned:
        parts.append("Without an accelerator `pin_memory` does nothing, so no line asks for it.")
    parts.append(
        f"*Searched*: one trial of {found.length}, AP on the select split, which chose it: the best of many, so "
        f"it flatters. *Fresh*: means over n other seeds on the same split, as long. *Reported*: the same networks on "
        "the report split, which chose nothing. A fresh trial that did not complete counts as AP 0. Unrounded: "
        f"{linked(FILE)}."
    )
    return Section(title, parts)


def _main_table(found: JointFound) -> Table:
    """A column for each recommended configuration: narrow enough for terminals and telephones."""
    picks = [(found.picks[place], found.fresh[place]) for place in found.held]

    def row(name: str, cell: Callable[[Pick], str]) -> list[str]:
        return [name, *(cell(pick) for pick, _ in picks)]

    rows = [
        row("optimizer", lambda pick: found.names.get(pick.settings["optimizer"], pick.settings["optimizer"])),
        row("learning rate", lambda pick: NOT_KNOWN if (rate := rate_of(pick.settings)) is None else _rate(rate)),
        row("workers", lambda pick: str(pick.settings["num_workers"])),
        row("batch size", lambda pick: str(pick.settings["batch_size"])),
        *([row("pinned memory", lambda pick: "yes" if pick.pinned else "no")] if found.pinned else []),
    ]
    if found.all_confirmed:
        speeds = [fresh.images_per_s for _, fresh in picks]
        rows += [
            ["fresh seeds", *(str(fresh.n) for _, fresh in picks)],
            ["AP", *(ap_cell(fresh.ap_select.estimate) for _, fresh in picks)],
            *_range_row("AP, 95 %", [fresh.ap_select for _, fresh in picks], ap_text),
            ["AP, report split", *(ap_cell(fresh.ap.estimate) for _, fresh in picks)],
            ["images/s", *(speed_text(speed.estimate) for speed in speeds)],
            *_range_row("images/s, 95 %", speeds, speed_text),
        ]
    rows += [
        row("AP in the search", lambda pick: ap_text(pick.ap)),
        row("images/s there", lambda pick: speed_text(pick.images_per_s)),
    ]
    heads = [short_roles(held) for held in found.held.values()] if len(found.held) > 1 else ["recommended"]
    return Table(("setting", *heads), rows)


def _rate(rate: tuple[str, Any]) -> str:
    name, value = rate
    return value_text(value) if name == "lr" else f"{name} {value_text(value)}"


def _range_row(name: str, intervals: list[Interval], text: Callable[[float], str]) -> list[list[str]]:
    cells = [range_cell(each, text) for each in intervals]
    return [[name, *cells]] if any(cell != NOT_KNOWN for cell in cells) else []


def _not_recommended(found: JointFound, place: int, pick: Pick) -> str:
    named = literal(configuration_text(pick.settings, found.names))
    if place in found.unlearned:
        return f"Not recommended, it learned nothing (AP under {floor_text(found.floor)}): {named}"
    return f"No longer {enumerate_items([ROLE_WORDS[role] for role in pick.roles])}: {named}"


def _lines(found: JointFound, pick: Pick) -> dict[str, str]:
    return {
        "dataloader": loader_call(pick, found.loader),
        "optimizer": optimizer_line(found, pick),
        "train": found.train_commands.get(pick.key, ""),
        "train_command": in_one_line(found.train_commands.get(pick.key, "")),
    }


def _wide_table(found: JointFound) -> Table:
    """What the search saw of each pick, and what fresh seeds gave."""
    rows = [
        [
            enumerate_items(list(pick.roles)),
            configuration_text(pick.settings, found.names),
            ap_text(pick.ap),
            ap_interval(fresh.ap_select),
            str(fresh.n),
            ap_interval(fresh.ap),
            speed_text(pick.images_per_s),
            speed_interval(fresh.images_per_s),
        ]
        for pick, fresh in zip(found.picks, found.fresh, strict=True)
    ]
    return Table(WIDE_COLUMNS, rows)


def pick_documents(found: JointFound) -> list[dict[str, Any]]:
    """The picks for the JSON document: with what the search saw, and what fresh seeds gave."""
    return [
        {
            "roles": list(pick.roles),
            "settings": pick.settings,
            "trial_id": pick.trial_id,
            "run_id": pick.run_id,
            "searched": {"ap": pick.ap, "images_per_s": pick.images_per_s},
            "fresh": {
                "n": fresh.n,
                "failed": fresh.failed,
                "ap_select": _ends(fresh.ap_select),
                "ap": _ends(fresh.ap),
                "images_per_s": _ends(fresh.images_per_s),
            },
            "learned": place not in found.unlearned,
            **_lines(found, pick),
        }
        for place, (pick, fresh) in enumerate(zip(found.picks, found.fresh, strict=True))
    ]


def picks_frame(found: JointFound) -> pd.DataFrame:
    """The picks as a table: unrounded."""
    rows = []
    for pick, fresh in zip(found.picks, found.fresh, strict=True):
        row: dict[str, object] = {
            "roles": "; ".join(pick.roles),
            "trial_id": pick.trial_id,
            "settings": json.dumps(pick.settings),
        }
        row |= {
            "searched_ap": pick.ap,
            "searched_images_per_s": pick.images_per_s,
            "n": fresh.n,
            "failed": fresh.failed,
        }
        for name, each in (("ap_select", fresh.ap_select), ("ap", fresh.ap), ("images_per_s", fresh.images_per_s)):
            row |= {f"fresh_{name}": each.estimate, f"fresh_{name}_low": each.low, f"fresh_{name}_high": each.high}
        rows.append(row)
    return pd.DataFrame(rows)


def recommended_documents(found: JointFound) -> list[dict[str, Any]]:
    """What to take, for each role; by fresh seeds where ``confirmed`` says so."""
    documents = []
    for role, place in found.holders.items():
        pick = found.picks[place]
        documents.append(
            {
                "role": role,
                "settings": pick.settings,
                "trial_id": pick.trial_id,
                "confirmed": found.all_confirmed,
                **_lines(found, pick),
            }
        )
    return documents


def _ends(found: Interval) -> dict[str, float | None]:
    return {"mean": found.estimate, "low": found.low, "high": found.high}
