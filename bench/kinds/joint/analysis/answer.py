"""A joint study's first screen in words: which configuration to take, the lines to paste, how sure that is."""

from bench.kinds.joint.analysis.claims import nothing_sentence
from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.picks import BEST_AP, FASTEST, NEAR, NEAR_BEST, Pick
from bench.kinds.joint.analysis.words import (
    ap_interval,
    configuration_words,
    floor_text,
    loader_call,
    noise_sentence,
    share_text,
)
from bench.report.cells import speed_text
from bench.report.findings import Code
from bench.report.python_call import python_call
from bench.report.text import literal
from bench.report.wording import ap_text, counted, enumerate_items

NO_COMPARISON = (
    "This search cannot say that one optimizer is better than another, which it tried unequally: `posebench study "
    "optimizers` can."
)


def answer(found: JointFound) -> str:
    """What to use, in one to three sentences."""
    if not len(found.trials):
        return "No trial has ended yet: there is nothing to say."
    if not found.holders:
        return nothing_sentence(found)
    best = found.holders[BEST_AP]
    first = f"Use {_with_figures(found, best)}."
    return " ".join([first, *_others(found, best)])


def paste(found: JointFound, place: int) -> list[Code]:
    """The optimizer, the loader and the command that trains with both."""
    pick = found.picks[place]
    command = found.train_commands.get(pick.key, "")
    lines = f"{python_call(optimizer_line(found, pick))}\n{python_call(loader_call(pick, found.loader))}"
    return [Code("python", lines), *([Code("", command, found.train_notes.get(pick.key, ""))] if command else [])]


def optimizer_line(found: JointFound, pick: Pick) -> str:
    """The line of Python that builds a pick's optimizer.

    Raises:
        KeyError: The caller gave no line for this pick.
    """
    lines = found.optimizer_lines
    return lines[pick.key] if pick.key in lines else lines[pick.trial_id]


def sureness(found: JointFound) -> str:
    """How sure the answer is, and why it is not surer."""
    if not found.holders:
        return ""
    told = [*_confirmed(found), *_nothing_learned(found), *_speed(found), NO_COMPARISON, *_untried(found)]
    return " ".join(told)


def metrics(found: JointFound) -> dict[str, float]:
    """The recommended configuration in numbers, by fresh seeds where it has some."""
    named: dict[str, float | None] = {"speed_noise_share": None if found.speed is None else found.speed.share}
    if found.holders:
        place = found.holders[BEST_AP]
        pick, fresh = found.picks[place], found.fresh[place]
        speed = fresh.images_per_s.estimate if found.all_confirmed else None
        named |= {
            "ap": found.level(place),
            "ap_report": fresh.ap.estimate if found.all_confirmed else None,
            "images_per_s": pick.images_per_s if speed is None else speed,
            "fresh_seeds": float(fresh.n if found.all_confirmed else 0),
        }
    return {name: value for name, value in named.items() if value is not None and value == value}  # NaN is no number


def _with_figures(found: JointFound, place: int) -> str:
    """`adam at lr 0.0031 with 2 workers and batches of 8: AP 0.312 on 3 fresh seeds at 118 images/s`."""
    pick, fresh = found.picks[place], found.fresh[place]
    seeds = counted(fresh.n, "fresh seed") if found.all_confirmed else "one seed of the search"
    speed = fresh.images_per_s.estimate if found.all_confirmed else pick.images_per_s
    rate = speed_text(speed)
    at = f" at {rate} images/s" if rate != "-" and not found.speed_is_noise else ""
    return f"{configuration_words(pick.settings, found.names)}: AP {ap_text(found.level(place))} on {seeds}{at}"


def _others(found: JointFound, best: int) -> list[str]:
    """The picks that are faster at a price in AP; none where speeds are mostly noise."""
    others = [place for place in found.held if place != best]
    if not others:
        return []
    if found.speed_is_noise:
        return ["Which setting is faster cannot be told here: speeds are too noisy."]
    told = []
    for place in others:
        near = f"Faster, with an AP within {share_text(NEAR)} of it, is"
        why = near if NEAR_BEST in found.held[place] else "If speed matters more, take"
        told.append(f"{why} {_with_figures(found, place)}.")
    return told


def _nothing_learned(found: JointFound) -> list[str]:
    """That the search's fastest setting is no use, where that is so."""
    none = [found.picks[place] for place in found.unlearned]
    if not none:
        return []
    if any(FASTEST in pick.roles for pick in none):
        return [f"The fastest setting of the search learned nothing (AP under {floor_text(found.floor)})."]
    return [f"The search's choice for {enumerate_items(list(none[0].roles))} learned nothing with fresh seeds."]


def _confirmed(found: JointFound) -> list[str]:
    """What the AP of the answer rests on."""
    place = found.holders[BEST_AP]
    pick, fresh = found.picks[place], found.fresh[place]
    trials = counted(len(found.complete), "complete trial")
    if not found.all_confirmed:
        return [
            f"Not confirmed with fresh seeds yet: AP {ap_text(pick.ap)} is the best of {trials}, and flatters.",
        ]
    sides = "" if fresh.ap_select.low is None else f" {ap_interval(fresh.ap_select)}"
    single = ", whose spread is not known" if fresh.n == 1 else ""
    failed = f", {fresh.failed} of them without a result (AP 0)" if fresh.failed else ""
    planned = f" of {found.seeds}" if fresh.n < found.seeds else ""
    what = (
        f"AP{sides} is a mean over {fresh.n}{planned} fresh seeds{failed}" if fresh.n > 1 else "AP is of one fresh seed"
    )
    flattered = ", which flatters" if pick.ap > found.level(place) else ""
    return [
        f"{what}{single}, on the images that the search chose by; on the report split, which chose nothing, it is "
        f"{ap_interval(fresh.ap)}.",
        *([f"The search saw {ap_text(pick.ap)}, the best of {trials}{flattered}."] if flattered else []),
    ]


def _untried(found: JointFound) -> list[str]:
    """Optimizers of the study that the search has not tried, where it has ended."""
    tried = {*found.trials["optimizer"]}
    never = [literal(found.names[name]) for name in found.optimizers if name not in tried]
    ended = len(found.trials) >= found.search_trials
    return [f"Never tried: {enumerate_items(never)}."] if never and ended else []


def _speed(found: JointFound) -> list[str]:
    """What images/s can bear."""
    if found.hosts > 1:
        return [f"Trials ran on {found.hosts} machines: do not compare their images/s."]
    shared = (
        [f"Up to {found.most_at_once} trials shared the machine, which slows each."] if found.shared_machine else []
    )
    noise = [noise_sentence(found)] if found.speed_is_noise and not found.single else []
    return [*shared, *noise]
