"""Every claim of a joint study in sentences: each pick with its figures, what fresh seeds changed, what was tried."""

import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.picks import BEST_AP, FASTEST, Confirmed, difference
from bench.kinds.joint.analysis.words import (
    ROLE_WORDS,
    ap_cell,
    ap_interval,
    configuration_text,
    floor_text,
    noise_sentence,
    speed_interval,
)
from bench.report.cells import speed_text
from bench.report.text import literal
from bench.report.unscored import needed_text
from bench.report.wording import ap_text, counted, enumerate_items
from bench.trials.needed import Needed
from bench.trials.phases import SECOND
from bench.trials.status import Status

POOR = 0.5
"""Share of the best AP under which the fastest configuration gets a warning."""
NO_COMPARISON = (
    "It cannot say that one optimizer is better than another; `posebench study optimizers` compares tuned "
    "configurations on equal terms. Claims cover this network, data, machine and budget only."
)


def claims(found: JointFound) -> str:
    """The whole verdict."""
    if not len(found.trials):
        return "No trial has ended yet: there is nothing to say."
    if not found.holders:
        return " ".join([nothing_sentence(found), searched_sentence(found), NO_COMPARISON])
    sentences = [*_roles(found), *_changes(found), *trust_sentences(found), searched_sentence(found), NO_COMPARISON]
    return " ".join(sentences)


def nothing_sentence(found: JointFound) -> str:
    """Why nothing is recommended."""
    floor = f"AP {floor_text(found.floor)}, under which a run has learned nothing"
    if not len(found.complete):
        return "Nothing to recommend: no search trial completed."
    if found.all_confirmed and all(each.failed == each.n for each in found.fresh):
        return (
            f"Nothing to recommend: no run with fresh seeds completed; the search saw AP {ap_text(found.picks[0].ap)}."
        )
    if found.all_confirmed:
        return (
            f"Nothing to recommend: no pick reached {floor}, with fresh seeds; the search saw "
            f"{ap_text(found.picks[0].ap)}."
        )
    if found.picks and any(each.n for each in found.fresh):
        return f"Nothing to recommend: no pick reached {floor}, as far as fresh seeds have tried them."
    count = len(found.complete)
    speed = "" if found.single else " with a known speed"
    trials = f"none of the {count} complete search trials{speed}" if count > 1 else "the only complete search trial"
    if not found.single and not found.complete["images_per_s"].notna().any():
        return f"Nothing to recommend: the speed of {trials.replace(speed, '').replace('none', 'all', 1)} is not known."
    nothing = f"Nothing to recommend: {trials} {'reached' if count > 1 else 'did not reach'} {floor}."
    return nothing if found.needed is None else f"{nothing} {_longer(found.needed)}"


def _longer(longer: Needed) -> str:
    """That nothing is trained again, and about how long trials would have to be."""
    flag = "--seconds" if longer.unit == SECOND else "--images"
    return f"So nothing was trained again. {needed_text(longer)} Under another `--name`, give more `{flag}`."


def _roles(found: JointFound) -> list[str]:
    """A sentence for each pick that holds a role, with its figures."""
    told = []
    best = found.level(found.holders[BEST_AP])
    for place, held in found.held.items():
        text = f"For {enumerate_items([ROLE_WORDS[role] for role in held])} take {_figures(found, place)}."
        if FASTEST in held and found.level(place) < POOR * best:
            text += f" That speed costs AP: it has less than half of the {ap_text(best)}."
        told.append(text)
    return told


def _figures(found: JointFound, place: int) -> str:
    pick, fresh = found.picks[place], found.fresh[place]
    named = literal(configuration_text(pick.settings, found.names))
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
        for winner, roles in lost.items():
            named = literal(configuration_text(pick.settings, found.names))
            if place in found.unlearned:
                told.append(
                    f"The search's choice for {enumerate_items(roles)} is none: {named} {_unlearned(found, place)}."
                )
                continue
            told.append(
                f"The search's choice for {enumerate_items(roles)} did not hold with fresh seeds: "
                f"{named} had AP {ap_text(pick.ap)} in the search and "
                f"{ap_cell(found.fresh[place].ap_select.estimate)} since, at "
                f"{speed_text(found.fresh[place].images_per_s.estimate)} images/s"
                f"{_compared(found.fresh[winner], found.fresh[place])}."
            )
    return told


def _unlearned(found: JointFound, place: int) -> str:
    """`does 136 images/s, but learned nothing with fresh seeds (AP 0.000, under 0.02)`."""
    pick, fresh = found.picks[place], found.fresh[place]
    speed = pick.images_per_s if fresh.images_per_s.estimate is None else fresh.images_per_s.estimate
    reached = pick.ap if fresh.ap_select.estimate is None else fresh.ap_select.estimate
    where = "in the search" if fresh.ap_select.estimate is None else "with fresh seeds"
    return (
        f"does {speed_text(speed)} images/s, but learned nothing {where} (AP {ap_text(reached)}, under "
        f"{floor_text(found.floor)})"
    )


def _compared(winner: Confirmed, loser: Confirmed) -> str:
    gap = difference(winner, loser)
    if gap.estimate is None:
        return ""
    ends = "" if gap.low is None or gap.high is None else f" [{gap.low:+.3f}, {gap.high:+.3f}]"
    unsure = ", which may be chance" if gap.low is None or gap.high is None or gap.low <= 0 <= gap.high else ""
    return f"; what takes its place has {gap.estimate:+.3f}{ends} AP against it{unsure}"


def trust_sentences(found: JointFound) -> list[str]:
    """What makes the figures less sure than they look."""
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
    if found.speed_is_noise and not found.single:
        told.append(noise_sentence(found))
    return told


def searched_sentence(found: JointFound) -> str:
    """How many trials were searched, and how those without a result ended."""
    counts = found.trials["status"].astype(str).value_counts()
    broken = {str(name): int(count) for name, count in counts.items() if name != Status.COMPLETE}
    named = [f"{count} {name.replace('_', ' ')}" for name, count in sorted(broken.items())]
    without = f", {sum(broken.values())} of them without a result ({', '.join(named)})" if broken else ""
    so_far = "" if len(found.trials) >= found.search_trials else f"{len(found.trials)} of "
    return f"Searched: {so_far}{counted(max(len(found.trials), found.search_trials), 'trial')}{without}."
