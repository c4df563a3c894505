"""All claims of a joint study in sentences: the numbers of each pick, what fresh seeds changed, how much was tried."""

import pandas as pd

from bench.kinds.joint.analysis.picks import BEST_AP, FASTEST, Confirmed, difference
from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.words import (
    configuration_text,
    noise_sentence,
    role_words,
    speed_interval,
)
from bench.report.cells import speed_text
from bench.report.shown_score import ShownScore
from bench.report.text import literal
from bench.report.unscored import needed_text
from bench.report.wording import counted, enumerate_items
from bench.trials.needed_length import NeededLength
from bench.trials.phases import SECOND
from bench.trials.status import Status

POOR = 0.5
"""Share of the best score's gain over chance below which the fastest configuration gets a warning."""
NO_COMPARISON = (
    "This search cannot say which optimizer is better; `posebench study optimizers` compares tuned configurations "
    "on equal terms. Claims cover this network, data, machine and budget only."
)


def claims(results: JointResults) -> str:
    """Return all claims of the study as one text."""
    if not len(results.trials):
        return "No trial has ended yet, so there is no result."
    if not results.picks_by_role:
        return " ".join([nothing_sentence(results), searched_sentence(results), NO_COMPARISON])
    sentences = [
        *_roles(results),
        *_changes(results),
        *trust_sentences(results),
        searched_sentence(results),
        NO_COMPARISON,
    ]
    return " ".join(sentences)


def nothing_sentence(results: JointResults) -> str:
    """Say why nothing is recommended."""
    measure = results.measure
    floor = f"{measure.name} {measure.floor_text}, {measure.side_of_floor} which a run has learned nothing"
    if not len(results.complete):
        return "Nothing to recommend: no search trial completed."
    if results.all_confirmed and all(each.failed == each.n for each in results.fresh):
        return (
            f"Nothing to recommend: no run with fresh seeds completed; the search saw {measure.name} "
            f"{measure.text(results.picks[0].score)}."
        )
    if results.all_confirmed:
        return (
            f"Nothing to recommend: no pick reached {floor}, with fresh seeds; the search saw "
            f"{measure.text(results.picks[0].score)}."
        )
    if results.picks and any(each.n for each in results.fresh):
        return f"Nothing to recommend: no pick has reached {floor}, with the fresh seeds run so far."
    count = len(results.complete)
    speed = "" if results.single else " with a known speed"
    trials = f"none of the {count} complete search trials{speed}" if count > 1 else "the only complete search trial"
    if not results.single and not results.complete["images_per_s"].notna().any():
        return f"Nothing to recommend: the speed of {trials.replace(speed, '').replace('none', 'all', 1)} is not known."
    nothing = f"Nothing to recommend: {trials} {'reached' if count > 1 else 'did not reach'} {floor}."
    return nothing if results.needed is None else f"{nothing} {_longer(results.needed)}"


def _longer(needed: NeededLength) -> str:
    """Say that nothing was trained again, and about how long trials would have to be."""
    flag = "--seconds" if needed.unit == SECOND else "--images"
    return f"So nothing was trained again. {needed_text(needed)} Under another `--name`, give more `{flag}`."


def _roles(results: JointResults) -> list[str]:
    """Return a sentence with numbers for each pick that has a role."""
    sentences = []
    measure = results.measure
    best = results.pick_score(results.picks_by_role[BEST_AP])
    for index, roles in results.roles_by_pick.items():
        text = f"For {enumerate_items([role_words(role, measure) for role in roles])}, take {_figures(results, index)}."
        if FASTEST in roles and measure.above_chance(results.pick_score(index)) < POOR * measure.above_chance(best):
            half = (
                f"it is less than half of the {measure.best}"
                if measure.is_ap
                else f"over chance it gains less than half of what the {measure.best} gains"
            )
            text += f" That speed costs {measure.name}: {half}, {measure.text(best)}."
        sentences.append(text)
    return sentences


def _figures(results: JointResults, index: int) -> str:
    pick, fresh, measure = results.picks[index], results.fresh[index], results.measure
    named = literal(configuration_text(pick.settings, results.names))
    if not fresh.n:
        speed = "" if pd.isna(pick.images_per_s) else f" at {speed_text(pick.images_per_s)} {measure.speed}"
        return f"{named}: {measure.name} {measure.text(pick.score)}{speed} in one trial of the search"
    failed = f", {fresh.failed} of them without a result" if fresh.failed else ""
    return (
        f"{named}: over {counted(fresh.n, 'fresh seed')}{failed} {measure.name} "
        f"{measure.interval(fresh.score_select)} on the select split (the search saw {measure.text(pick.score)}) and "
        f"{measure.interval(fresh.score)} on the report split, at {speed_interval(fresh.images_per_s)} {measure.speed} "
        f"(the search saw {speed_text(pick.images_per_s)})"
    )


def _changes(results: JointResults) -> list[str]:
    """Say where fresh seeds gave a role (such as the fastest) to another configuration than the search's choice."""
    sentences, measure = [], results.measure
    for index, pick in enumerate(results.picks):
        lost: dict[int, list[str]] = {}
        for role in pick.roles:
            if results.picks_by_role[role] != index:
                lost.setdefault(results.picks_by_role[role], []).append(role_words(role, measure))
        for winner, roles in lost.items():
            named = literal(configuration_text(pick.settings, results.names))
            if index in results.unlearned_picks:
                sentences.append(
                    f"The search's own choice for {enumerate_items(roles)} is not recommended: {named} "
                    f"{_unlearned(results, index)}."
                )
            else:
                sentences.append(
                    f"The search's choice for {enumerate_items(roles)} did not hold up with fresh seeds: {named} had "
                    f"{measure.name} {measure.text(pick.score)} in the search and "
                    f"{measure.cell(results.fresh[index].score_select.estimate)} with fresh seeds, at "
                    f"{speed_text(results.fresh[index].images_per_s.estimate)} "
                    f"{measure.speed}{_compared(results.fresh[winner], results.fresh[index], measure)}."
                )
    return sentences


def _unlearned(results: JointResults, index: int) -> str:
    """`does 136 images/s, but learned nothing with fresh seeds (AP 0.000, under 0.02)`."""
    pick, fresh, measure = results.picks[index], results.fresh[index], results.measure
    speed = pick.images_per_s if fresh.images_per_s.estimate is None else fresh.images_per_s.estimate
    reached = pick.score if fresh.score_select.estimate is None else fresh.score_select.estimate
    where = "in the search" if fresh.score_select.estimate is None else "with fresh seeds"
    return (
        f"does {speed_text(speed)} {measure.speed}, but learned nothing {where} "
        f"({measure.name} {measure.text(reached)}, {measure.side_of_floor} {measure.floor_text})"
    )


def _compared(winner: Confirmed, loser: Confirmed, measure: ShownScore) -> str:
    gap = difference(winner, loser)
    if gap.estimate is None:
        return ""
    ends = (
        ""
        if gap.low is None or gap.high is None
        else f" [{measure.difference(gap.low)}, {measure.difference(gap.high)}]"
    )
    unsure = ", which may be chance" if gap.low is None or gap.high is None or gap.low <= 0 <= gap.high else ""
    return f"; its replacement differs by {measure.difference(gap.estimate)}{ends} {measure.name}{unsure}"


def trust_sentences(results: JointResults) -> list[str]:
    """Say what makes the numbers less certain than they look."""
    sentences = []
    if not results.all_confirmed:
        subject = "Not all of this is" if any(each.n for each in results.fresh) else "None of this is"
        sentences.append(
            f"{subject} confirmed with fresh seeds yet: what the search saw is the best of many trials, so it is "
            "optimistic."
        )
    unfinished = min((each.n for each in results.fresh), default=0)
    if results.all_confirmed and unfinished < results.seeds:
        sentences.append(f"So far, {unfinished} of {counted(results.seeds, 'fresh seed')} have finished.")
    if results.hosts > 1:
        sentences.append(
            f"Trials ran on {results.hosts} machines, whose {results.measure.speed} cannot be compared: rely on "
            f"{results.measure.name}, not on speed."
        )
    elif results.shared_machine:
        sentences.append(
            f"{results.measure.speed_subject} are those of a shared machine: compare them only with each other."
        )
    if results.speed_is_noise and not results.single:
        sentences.append(noise_sentence(results))
    return sentences


def searched_sentence(results: JointResults) -> str:
    """Say how many trials the search had, and how those without a result ended."""
    counts = results.trials["status"].astype(str).value_counts()
    broken = {str(name): int(count) for name, count in counts.items() if name != Status.COMPLETE}
    named = [f"{count} {name.replace('_', ' ')}" for name, count in sorted(broken.items())]
    without = f", {sum(broken.values())} of them without a result ({', '.join(named)})" if broken else ""
    so_far = "" if len(results.trials) >= results.search_trials else f"{len(results.trials)} of "
    return f"Searched: {so_far}{counted(max(len(results.trials), results.search_trials), 'trial')}{without}."
