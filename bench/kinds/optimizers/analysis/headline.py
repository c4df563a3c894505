"""The answer for somebody who has one minute: which optimizer to use, and how sure that is.

It says less than `verdict`, and never more: whom it names best are those that no claim beats.
"""

import math
from collections.abc import Sequence

import pandas as pd

from bench.kinds.optimizers.analysis.comparisons import Comparison
from bench.kinds.optimizers.analysis.losses import VAL_LOSS_MEAN
from bench.kinds.optimizers.analysis.verdict import TOO_LOW, budget_too_small, none_completed
from bench.report.wording import ap_text, counted, enumerate_items, loss_text
from bench.trials.score_names import LOSS_SCORE

SCOPE = "All of this holds for this network, data and budget only."
MOST_NAMED = 3
"""Of more optimizers their number is said."""
NO_SPREAD = 1e-6
"""A gap that is so little above the margin (relative) comes of tunings without any spread: it says nothing."""


def headline(summary: pd.DataFrame, compared: Comparison) -> str:
    """What to use, in Markdown.

    Args:
        summary: From `rankings.summarize`, with names as Markdown holds them.
        compared: From `comparisons.compare_procedures`, with the same names.
    """
    confirmed, tuned = summary[summary["n"] > 0], summary[summary["tunings"] > 0]
    if confirmed.empty:
        trials = int(summary["tune_trials"].sum())
        return f"Nothing to recommend yet: no confirm trial has finished ({counted(trials, 'tune trial')} so far)."
    if none_completed(confirmed):
        return f"Nothing to recommend: none of the {counted(int(confirmed['n'].sum()), 'confirm trial')} completed."
    if budget_too_small(confirmed):
        low = int((confirmed["completed_ap_mean"] < TOO_LOW).sum())  # one that never completed may be anywhere
        return (
            f"Nothing to recommend: the budget is too small. {low} of {counted(len(confirmed), 'optimizer')} stayed "
            f"under {compared.measure.name} {TOO_LOW:g}; train for more steps."
        )
    if tuned.empty:
        return "Nothing to recommend yet: no tuning is complete."
    if len(tuned) == 1:
        return f"Only {_names(tuned)} has a complete tuning, {_scores(tuned)}: there is nothing to compare it with."
    if compared.tunings < 2:
        return (
            f"No choice can be made yet: the highest score so far, {_scores(tuned[:1])} of {_names(tuned[:1])}, may be "
            "the luck of one tuning."
        )
    return " ".join([_best(tuned, compared), *_others(tuned, compared)])


def sureness(summary: pd.DataFrame, compared: Comparison, *, more: str = "") -> str:
    """How sure the headline is, and why not surer, in Markdown; empty where it recommends nothing.

    ``more``: the command with which the study would find more, in Markdown; empty: there is none.
    """
    confirmed, tuned = summary[summary["n"] > 0], summary[summary["tunings"] > 0]
    if confirmed.empty or none_completed(confirmed) or budget_too_small(confirmed):
        return ""
    if compared.tunings < 2 or len(tuned) < 2:
        return ""
    sentences = [
        _evidence(tuned, compared),
        *_unseen(tuned, compared, more),
        *_untuned(summary),
        *_reservations(tuned, compared),
    ]
    return " ".join([*sentences, SCOPE])


def _best(tuned: pd.DataFrame, compared: Comparison) -> str:
    shown = best_rows(tuned, compared)
    if len(compared.best) == len(tuned):
        equal = "No optimizer is shown to be better than another"
        if len(shown) == 1:
            return f"{equal}. Only {_names(shown)}, {_scores(shown)}, had no run that collapsed or failed."
        alone = (shown["rank"] == shown["rank"].min()).sum() == 1
        highest = f"; {shown['name'].iloc[0]} scored highest{_of_these(shown, tuned)}" if alone else ""
        return f"{equal}: {_names(shown, last='and')} reached {_scores(shown)}{highest}."
    if len(shown) == 1:
        others = {*tuned["name"]} - {*shown["name"]}
        won = "more than each of the others" if _beaten_by(str(shown["name"].iloc[0]), compared) == others else ""
        return f"Use {_names(shown)}: {_scores(shown)}, {won or 'the only one that no other beats'}."
    return f"Use {_names(shown)}: {_scores(shown)}, not to be told apart."


def _of_these(shown: pd.DataFrame, tuned: pd.DataFrame) -> str:
    """Where others, too unstable to place, may have scored higher."""
    return " of these" if len(shown) < len(tuned) else ""


def best_rows(tuned: pd.DataFrame, compared: Comparison) -> pd.DataFrame:
    """Those that may be the best, without the ones that collapsed or failed where there are others.

    ``tuned``: rows of `rankings.summarize` with a complete tuning, by the names that ``compared`` has.
    """
    best = tuned[tuned["name"].isin(compared.best)]
    steady = best[(best["collapsed"] == 0) & (best["confirm_failed"] == 0)]
    return steady if len(steady) else best


def _others(tuned: pd.DataFrame, compared: Comparison) -> list[str]:
    """What became of the rest: those that a claim beats, then those that collapsed."""
    beaten = tuned[~tuned["name"].isin(compared.best)]
    learned = beaten[beaten["ap_mean"].notna() & (beaten["confirm_failed"] < beaten["n"])]
    sentences = []
    if len(learned):
        some = " where they learned" if learned["collapsed"].any() else ""
        sentences.append(f"{_names(learned, last='and')} reached {_scores(learned)}{some}.")
    fates: dict[str, list[int]] = {}
    for place, (_, row) in enumerate(tuned.iterrows()):
        if not (row["collapsed"] or row["confirm_failed"]):
            continue
        unplaced = row["name"] in compared.best and row["name"] not in {*best_rows(tuned, compared)["name"]}
        doubt = ": too unstable to place" if unplaced else ""
        if row["collapsed"]:
            fate = f"collapsed in {row['collapsed']} of {counted(int(row['tunings']), 'tuning')}"
        else:
            fate = f"failed in {row['confirm_failed']} of {counted(int(row['n']), 'run')}"
        fates.setdefault(f"{fate}{doubt}", []).append(place)
    for fate, places in fates.items():
        each = " each" if len(places) > 1 else ""
        sentences.append(f"{_names(tuned.iloc[places], last='and')}{each} {fate}.")
    return sentences


def _beaten_by(name: str, compared: Comparison) -> set[str]:
    pairs = compared.pairs
    return {*pairs["b"][(pairs["better"] == "a") & (pairs["a"] == name)]} | {
        *pairs["a"][(pairs["better"] == "b") & (pairs["b"] == name)]
    }


def _evidence(tuned: pd.DataFrame, compared: Comparison) -> str:
    claims = int((compared.pairs["better"] != "").sum())
    fewest, most = int(tuned["tunings"].min()), int(tuned["tunings"].max())
    times = counted(most, "time") if fewest == most else f"{fewest} to {most} times"
    each = f"Each optimizer was tuned {times} independently, then trained with fresh seeds"
    level = f"{100 * compared.level:.3g} % level over all pairs"
    if len(compared.best) == 1:
        name = compared.best[0]
        own = compared.pairs[(compared.pairs["a"] == name) | (compared.pairs["b"] == name)]
        won = len(_beaten_by(name, compared))
        return f"{each}; {name} won {won} of its {counted(len(own), 'comparison')} ({level})."
    if not claims:
        return f"{each}; no difference is more than chance may give ({level})."
    return f"{each}; {claims} of {counted(len(compared.pairs), 'pair')} differ ({level})."


def _unseen(tuned: pd.DataFrame, compared: Comparison, more: str) -> list[str]:
    gap, steady = compared.detectable, int((tuned["collapsed"] == 0).sum())
    if gap != gap or steady < 2 or gap <= compared.margin * (1 + NO_SPREAD):
        return []
    between = "" if steady == len(tuned) else " between optimizers that never collapsed"
    more = f"; {more} finds more" if more else ""
    if gap >= 1:
        return [f"No gap at all{between} would be found reliably{more}."]
    seen = f"{ap_text(gap)} {compared.measure.unit}"
    return [f"A gap of {seen}{between} is found 4 times in 5, a smaller one less often{more}."]


def _untuned(summary: pd.DataFrame) -> list[str]:
    """Those of which nothing is said, for they have no complete tuning."""
    missing = summary[summary["tunings"] == 0]
    return [f"Not compared, without a complete tuning: {_names(missing, last='and')}."] if len(missing) else []


def _reservations(tuned: pd.DataFrame, compared: Comparison) -> list[str]:
    sentences = []
    failed = tuned[(tuned["confirm_failed"] > 0) | (tuned["tune_failed"] > 0)]
    if len(failed):
        those = _names(failed, last="and")
        sentences.append(f"Trials of {those} failed; a failed confirm trial counts as {compared.measure.name} 0.")
    border = tuned[tuned["at_border"].map(len) > 0]
    if len(border):
        named = [f"{', '.join(map(str, row['at_border']))} of {row['name']}" for _, row in border.iterrows()]
        sentences.append(f"At the border of its range, so that a better value may lie outside: {'; '.join(named)}.")
    return sentences


def _names(rows: pd.DataFrame, *, last: str = "or") -> str:
    names = [str(name) for name in rows["name"]]
    if len(names) > 2 * MOST_NAMED:
        names = [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} others"]
    return enumerate_items(names, last=last)


def _scores(rows: pd.DataFrame) -> str:
    """`AP 0.292`, `AP 0.15 to 0.24`, `AP 0`; `validation loss 3.12 (skill 0.42)`."""
    means = rows["ap_mean"].fillna(rows["score_mean"])
    if VAL_LOSS_MEAN not in rows:
        return f"AP {_range(*map(ap_text, (means.min(), means.max())))}"
    skill = f"skill {_range(*map(ap_text, (means.min(), means.max())))}"
    losses = rows[VAL_LOSS_MEAN].dropna()
    if losses.empty:
        return skill
    return f"validation loss {_range(*map(loss_text, (losses.min(), losses.max())))} ({skill})"


def _range(low: str, high: str) -> str:
    return high if low == high else f"{low} to {high}"


def headline_metrics(summary: pd.DataFrame, compared: Comparison, best: Sequence[str]) -> dict[str, float]:
    """The answer in numbers: its highest mean AP, how many may be the best, and the gap that would have been seen.

    Of a study that is judged by validation loss the skill in place of AP, and the mean loss that it stands for.

    Empty where the headline recommends nothing, or two tunings of each do not stand behind it.
    """
    confirmed, tuned = summary[summary["n"] > 0], summary[summary["tunings"] > 0]
    if tuned.empty or not best or none_completed(confirmed) or budget_too_small(confirmed) or compared.tunings < 2:
        return {}
    first = best_rows(tuned, compared).iloc[0]
    losses: dict[str, float] = {LOSS_SCORE: float(first[VAL_LOSS_MEAN])} if compared.measure.is_loss else {}
    values: dict[str, float] = {
        compared.measure.name.lower(): float(first["ap_mean"]),
        **losses,
        "best_optimizers": float(len(best)),
        "detectable_gap": float(compared.detectable),
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}
