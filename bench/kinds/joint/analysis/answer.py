"""First screen of a joint study in words: the recommended configuration, its lines to paste, and how certain it is."""

from bench.kinds.joint.analysis.claims import nothing_sentence
from bench.kinds.joint.analysis.picks import BEST_AP, FASTEST, NEAR_BEST, Pick
from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.words import (
    configuration_words,
    loader_call,
    near_text,
    noise_sentence,
    role_name,
)
from bench.report.cells import speed_text
from bench.report.driving_note import driving_note, driving_of
from bench.report.findings import Code
from bench.report.python_call import python_call
from bench.report.text import literal
from bench.report.wording import counted, enumerate_items

NO_COMPARISON = (
    "This search tried optimizers unequally, so it cannot say which is better: `posebench study optimizers` can."
)


def answer(results: JointResults) -> str:
    """Say which configuration to use, in one to three sentences."""
    if not len(results.trials):
        return "No trial has ended yet, so there is no result."
    if not results.picks_by_role:
        return nothing_sentence(results)
    best = results.picks_by_role[BEST_AP]
    first = f"Use {_with_figures(results, best)}."
    return " ".join([first, *_others(results, best)])


def paste(results: JointResults, index: int) -> list[Code]:
    """Return the lines to paste for a pick: optimizer, loader, and the command that trains with both."""
    pick = results.picks[index]
    command = results.train_commands.get(pick.key, "")
    lines = f"{python_call(optimizer_line(results, pick))}\n{python_call(loader_call(pick, results.loader))}"
    note = driving_note(optimizer_line(results, pick), driving_of(results.records, pick.settings["optimizer"]))
    return [
        Code("python", lines, note),
        *([Code("", command, results.train_notes.get(pick.key, ""))] if command else []),
    ]


def optimizer_line(results: JointResults, pick: Pick) -> str:
    """Return the line of Python that builds a pick's optimizer.

    Raises:
        KeyError: There is no line for this pick in ``optimizer_lines``.
    """
    lines = results.optimizer_lines
    return lines[pick.key] if pick.key in lines else lines[pick.trial_id]


def sureness(results: JointResults) -> str:
    """Say how certain the answer is, and what limits the certainty."""
    if not results.picks_by_role:
        return ""
    sentences = [*_confirmed(results), *_nothing_learned(results), *_speed(results), NO_COMPARISON, *_untried(results)]
    return " ".join(sentences)


def metrics(results: JointResults) -> dict[str, float]:
    """Return the recommended configuration in numbers, from fresh seeds if all picks have some."""
    named: dict[str, float | None] = {"speed_noise_share": None if results.speed is None else results.speed.share}
    if results.picks_by_role:
        index = results.picks_by_role[BEST_AP]
        pick, fresh = results.picks[index], results.fresh[index]
        speed = fresh.images_per_s.estimate if results.all_confirmed else None
        named |= {
            results.measure.column: results.pick_score(index),
            f"{results.measure.column}_report": fresh.score.estimate if results.all_confirmed else None,
            "images_per_s": pick.images_per_s if speed is None else speed,
            "fresh_seeds": float(fresh.n if results.all_confirmed else 0),
        }
    return {name: value for name, value in named.items() if value is not None and value == value}  # NaN is no number


def _with_figures(results: JointResults, index: int) -> str:
    """`adam at lr 0.0031 with 2 workers and batches of 8: AP 0.312 on 3 fresh seeds at 118 images/s`."""
    pick, fresh = results.picks[index], results.fresh[index]
    seeds = counted(fresh.n, "fresh seed") if results.all_confirmed else "one seed of the search"
    speed = fresh.images_per_s.estimate if results.all_confirmed else pick.images_per_s
    rate = speed_text(speed)
    measure = results.measure
    at = f" at {rate} {measure.speed}" if rate != "-" and not results.speed_is_noise else ""
    score = f"{measure.name} {measure.text(results.pick_score(index))}"
    return f"{configuration_words(pick.settings, results.names)}: {score} on {seeds}{at}"


def _others(results: JointResults, best: int) -> list[str]:
    """Describe the picks that are faster at a price in score; none if speeds are mostly noise."""
    others = [index for index in results.roles_by_pick if index != best]
    if not others:
        return []
    if results.speed_is_noise:
        return ["Speeds are too noisy here to say which setting is faster."]
    sentences = []
    for index in others:
        article = "an" if results.measure.name[0] in "aeiouA" else "a"
        near = f"Faster, with {article} {results.measure.name} within {near_text(results.measure)} it, is"
        why = near if NEAR_BEST in results.roles_by_pick[index] else "If speed matters more, take"
        sentences.append(f"{why} {_with_figures(results, index)}.")
    return sentences


def _nothing_learned(results: JointResults) -> list[str]:
    """Say which of the search's picks learned nothing; if the fastest is one of them, only that."""
    none = [results.picks[index] for index in results.unlearned_picks]
    if not none:
        return []
    if any(FASTEST in pick.roles for pick in none):
        return [f"The fastest setting of the search learned nothing ({results.measure.below_floor})."]
    roles = [role_name(role, results.measure) for role in none[0].roles]
    return [f"The search's choice for {enumerate_items(roles)} learned nothing with fresh seeds."]


def _confirmed(results: JointResults) -> list[str]:
    """Say which trials the score of the answer comes from."""
    measure = results.measure
    index = results.picks_by_role[BEST_AP]
    pick, fresh = results.picks[index], results.fresh[index]
    trials = counted(len(results.complete), "complete trial")
    if not results.all_confirmed:
        return [
            f"Not confirmed with fresh seeds yet: {measure.name} {measure.text(pick.score)} is the best of {trials}, "
            "so it is optimistic.",
        ]
    sides = "" if fresh.score_select.low is None else f" {measure.interval(fresh.score_select)}"
    single = " (spread unknown)" if fresh.n == 1 else ""
    failed = f", {fresh.failed} of them without a result ({measure.failure_text})" if fresh.failed else ""
    planned = f" of {results.seeds}" if fresh.n < results.seeds else ""
    what = (
        f"{measure.title}{sides} is a mean over {fresh.n}{planned} fresh seeds{failed}"
        if fresh.n > 1
        else f"{measure.title} is of one fresh seed"
    )
    was_better = measure.above_chance(pick.score) > measure.above_chance(results.pick_score(index))
    flattered = ", so it was optimistic" if was_better else ""
    return [
        f"{what}{single}, on the select split, by which the search chose. On the report split, not used to choose, "
        f"it is {measure.interval(fresh.score)}.",
        *([f"The search saw {measure.text(pick.score)}, the best of {trials}{flattered}."] if flattered else []),
    ]


def _untried(results: JointResults) -> list[str]:
    """Name the optimizers that a finished search never tried."""
    tried = {*results.trials["optimizer"]}
    never = [literal(results.names[name]) for name in results.optimizers if name not in tried]
    ended = len(results.trials) >= results.search_trials
    return [f"Never tried: {enumerate_items(never)}."] if never and ended else []


def _speed(results: JointResults) -> list[str]:
    """Say how reliable the measured speeds are."""
    if results.hosts > 1:
        return [f"Trials ran on {results.hosts} machines: do not compare their {results.measure.speed}."]
    shared = (
        [f"Up to {results.most_at_once} trials shared the machine, which slows each."] if results.shared_machine else []
    )
    noise = [noise_sentence(results)] if results.speed_is_noise and not results.single else []
    return [*shared, *noise]
