"""A joint study's answer: the picks in sentences, the table of what fresh seeds made of them, the lines to paste."""

import json
from typing import Any

import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.picks import BEST_AP, FASTEST, NEAR, NEAR_BEST, Confirmed, Pick, difference
from bench.kinds.joint.analysis.words import (
    ap_cell,
    ap_interval,
    configuration_text,
    link,
    loader_call,
    speed_interval,
    speed_text,
)
from bench.report.findings import Code, Part, Table
from bench.report.wording import ap_text, counted, enumerate_items
from bench.statistics.intervals import Interval
from bench.trials.status import Status

PICKS_FILE = "picks.csv"
ROLE_WORDS = {
    BEST_AP: "the highest AP",
    NEAR_BEST: f"the most images/s within {NEAR:.0%} of that AP".replace("%", " %"),
    FASTEST: "the most images/s of all",
}
POOR = 0.5
"""Share of the best AP under which the fastest configuration gets a warning."""
PICK_COLUMNS = (
    "pick",
    "configuration",
    "AP searched",
    "AP fresh [95 %]",
    "n",
    "AP reported [95 %]",
    "images/s searched",
    "images/s fresh [95 %]",
)
NO_COMPARISON = (
    "It cannot say that one optimizer is better than another; `posebench study optimizers` compares tuned "
    "configurations on equal terms. Claims cover this "
    "network, data, machine and budget only."
)


def answer(found: JointFound) -> str:
    """The verdict in sentences."""
    if not len(found.trials):
        return "No trial has ended yet: there is nothing to say."
    if not found.picks:
        return " ".join([_nothing(found), _searched(found), NO_COMPARISON])
    if found.all_confirmed and not found.holders:
        told = f"Nothing to recommend: no pick reached an AP above 0 with fresh seeds{_of_search(found)}."
        return " ".join([told, _searched(found), NO_COMPARISON])
    sentences = [*_roles(found), *_changes(found), *_trust(found), _searched(found), NO_COMPARISON]
    return " ".join(sentences)


def pick_parts(found: JointFound) -> list[Part]:
    """Right below the answer: the table of picks, and for each the two lines to paste."""
    if not found.picks:
        return []
    parts: list[Part] = [pick_table(found)]
    for place, pick in enumerate(found.picks):
        parts += [f"**{_title(found, place)}**", Code("python", "\n".join(lines_of(found, pick)))]
    if found.asked_to_pin and not found.pinned:
        parts.append("Without an accelerator `pin_memory` does nothing, so no line asks for it.")
    parts.append(
        f"*Searched*: one trial of {found.length}, AP on the select split, which chose it: the best of many, so "
        f"it flatters. *Fresh*: means over n other seeds on the same split, as long. *Reported*: the same networks on "
        "the report split, which chose nothing. A fresh trial that did not complete counts as AP 0. Unrounded: "
        f"{link(PICKS_FILE)}."
    )
    return parts


def pick_table(found: JointFound) -> Table:
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
    return Table(PICK_COLUMNS, rows)


def lines_of(found: JointFound, pick: Pick) -> tuple[str, str]:
    """The DataLoader call and the optimizer's line.

    Raises:
        KeyError: The caller gave no line for this pick.
    """
    lines = found.optimizer_lines
    return loader_call(pick, found.loader), lines[pick.key] if pick.key in lines else lines[pick.trial_id]


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
            "dataloader": lines_of(found, pick)[0],
            "optimizer": lines_of(found, pick)[1],
        }
        for pick, fresh in zip(found.picks, found.fresh, strict=True)
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
        call, line = lines_of(found, pick)
        documents.append(
            {
                "role": role,
                "settings": pick.settings,
                "trial_id": pick.trial_id,
                "confirmed": found.all_confirmed,
                "dataloader": call,
                "optimizer": line,
            }
        )
    return documents


def _title(found: JointFound, place: int) -> str:
    """The roles that a pick holds, and what it is."""
    named = configuration_text(found.picks[place].settings, found.names)
    held = _held(found, place)
    if held:
        return f"{_capital(enumerate_items([ROLE_WORDS[role] for role in held]))}: {named}"
    lost = enumerate_items([ROLE_WORDS[role] for role in found.picks[place].roles])
    return f"No longer {lost}: {named}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _ends(found: Interval) -> dict[str, float | None]:
    return {"mean": found.estimate, "low": found.low, "high": found.high}


def _nothing(found: JointFound) -> str:
    if not len(found.complete):
        return "There is nothing to recommend: no search trial completed."
    wanted = "an AP above 0" if found.single else "an AP above 0 and a speed"
    count = len(found.complete)
    none = f"none of the {count} complete search trials has" if count > 1 else "the only complete search trial lacks"
    return f"There is nothing to recommend: {none} {wanted}."


def _of_search(found: JointFound) -> str:
    return f", though the search saw {ap_text(found.picks[0].ap)}"


def _roles(found: JointFound) -> list[str]:
    """A sentence for each pick that holds a role, with its figures."""
    told = []
    best = found.holders[BEST_AP]
    for place in dict.fromkeys(found.holders.values()):
        held = _held(found, place)
        text = f"For {enumerate_items([ROLE_WORDS[role] for role in held])} take {_figures(found, place)}."
        if FASTEST in held and _level(found, place) < POOR * _level(found, best):
            text += f" That speed costs AP: it has less than half of the {ap_text(_level(found, best))}."
        told.append(text)
    return told


def _held(found: JointFound, place: int) -> list[str]:
    return [role for role, holder in found.holders.items() if holder == place]


def _level(found: JointFound, place: int) -> float:
    """A pick's AP on the select split, by fresh seeds where all picks have some."""
    fresh = found.fresh[place].ap_select.estimate
    return fresh if found.all_confirmed and fresh is not None else found.picks[place].ap


def _figures(found: JointFound, place: int) -> str:
    pick, fresh = found.picks[place], found.fresh[place]
    named = configuration_text(pick.settings, found.names)
    if not fresh.n:
        speed = "" if pd.isna(pick.images_per_s) else f" at {speed_text(pick.images_per_s)} images/s"
        return f"{named}: AP {ap_text(pick.ap)}{speed} in one trial of the search"
    failed = f", {fresh.failed} of them without a result" if fresh.failed else ""
    return (
        f"{named}: over {counted(fresh.n, 'fresh seed')}{failed} AP {ap_interval(fresh.ap_select)} on the select split "
        f"(the search saw {ap_text(pick.ap)}) and {ap_interval(fresh.ap)} on the report split, at "
        f"{speed_interval(fresh.images_per_s)} images/s (the search saw {speed_text(pick.images_per_s)})"
    )


def _changes(found: JointFound) -> list[str]:
    """Where fresh seeds took a role from the search's choice."""
    told = []
    for place, pick in enumerate(found.picks):
        lost: dict[int, list[str]] = {}
        for role in pick.roles:
            if found.holders[role] != place:
                lost.setdefault(found.holders[role], []).append(ROLE_WORDS[role])
        fresh = found.fresh[place]
        for winner, roles in lost.items():
            if fresh.ap_select.estimate == 0:
                told.append(
                    f"The search's choice for {enumerate_items(roles)} is none: "
                    f"{configuration_text(pick.settings, found.names)} does {speed_text(fresh.images_per_s.estimate)} "
                    "images/s, but learned nothing with fresh seeds (AP 0)."
                )
                continue
            told.append(
                f"The search's choice for {enumerate_items(roles)} did not hold with fresh seeds: "
                f"{configuration_text(pick.settings, found.names)} had AP {ap_text(pick.ap)} in the search and "
                f"{ap_cell(found.fresh[place].ap_select.estimate)} since, at "
                f"{speed_text(found.fresh[place].images_per_s.estimate)} images/s"
                f"{_compared(found.fresh[winner], found.fresh[place])}."
            )
    return told


def _compared(winner: Confirmed, loser: Confirmed) -> str:
    gap = difference(winner, loser)
    if gap.estimate is None:
        return ""
    ends = "" if gap.low is None or gap.high is None else f" [{gap.low:+.3f}, {gap.high:+.3f}]"
    unsure = ", which may be chance" if gap.low is None or gap.high is None or gap.low <= 0 <= gap.high else ""
    return f"; what takes its place has {gap.estimate:+.3f}{ends} AP against it{unsure}"


def _trust(found: JointFound) -> list[str]:
    told = []
    if not found.all_confirmed:
        whole = "Not all of this is" if any(each.n for each in found.fresh) else "None of this is"
        told.append(f"{whole} confirmed with fresh seeds yet: what the search saw is the best of many, and flatters.")
    unfinished = min((each.n for each in found.fresh), default=0)
    if found.all_confirmed and unfinished < found.seeds:
        told.append(f"So far {unfinished} of {counted(found.seeds, 'fresh seed')} are there.")
    if found.hosts > 1:
        told.append(
            f"Trials ran on {found.hosts} machines, whose images/s cannot be compared: trust AP, not what is fastest."
        )
    elif found.shared_machine:
        told.append("Images/s are of a shared machine: compare them with each other only.")
    return told


def _searched(found: JointFound) -> str:
    """How many trials were searched, and how those without a result ended."""
    counts = found.trials["status"].astype(str).value_counts()
    broken = {str(name): int(count) for name, count in counts.items() if name != Status.COMPLETE}
    named = [f"{count} {name.replace('_', ' ')}" for name, count in sorted(broken.items())]
    without = f", {sum(broken.values())} of them without a result ({', '.join(named)})" if broken else ""
    so_far = "" if len(found.trials) >= found.search_trials else f"{len(found.trials)} of "
    return f"Searched: {so_far}{counted(max(len(found.trials), found.search_trials), 'trial')}{without}."
