"""The headline: which optimizer to use and how certain that is, for a reader who has one minute.

It is shorter than `verdict`, and never claims more: it only recommends optimizers that no claim beats.
"""

import math
from collections.abc import Sequence

import pandas as pd

from bench.kinds.optimizers.analysis.comparisons import Comparison
from bench.kinds.optimizers.analysis.losses import VAL_LOSS_MEAN
from bench.kinds.optimizers.analysis.verdict import budget_too_small, none_completed
from bench.kinds.optimizers.measure import Measure
from bench.report.wording import counted, enumerate_items, loss_text
from bench.trials.score_names import LOSS_SCORE

SCOPE = "These results hold only for this network, data and budget."
MOST_NAMED = 3
"""Number of optimizers that a sentence names if there are more than twice as many; the others are counted."""
NO_SPREAD = 1e-6
"""A detectable gap that exceeds the margin by less than this (relative) comes from tunings without spread, and means
nothing."""


def headline(summary: pd.DataFrame, compared: Comparison) -> str:
    """Say which optimizer to use, in Markdown.

    Args:
        summary: From `rankings.summarize`, with names escaped for Markdown.
        compared: From `comparisons.compare_procedures`, with the same names.
    """
    measure = compared.measure
    confirmed, tuned = summary[summary["n"] > 0], summary[summary["tunings"] > 0]
    if confirmed.empty:
        trials = int(summary["tune_trials"].sum())
        return f"Nothing to recommend yet: no confirm trial has finished ({counted(trials, 'tune trial')} so far)."
    if none_completed(confirmed):
        return f"Nothing to recommend: none of the {counted(int(confirmed['n'].sum()), 'confirm trial')} completed."
    if budget_too_small(confirmed, measure):
        low = int(
            (confirmed["completed_ap_mean"] < measure.too_low).sum()
        )  # an optimizer that never completed has no mean
        return (
            f"Nothing to recommend: the budget is too small. {low} of {counted(len(confirmed), 'optimizer')} stayed "
            f"{measure.worse} {measure.name} {measure.too_low_text}; train for more steps."
        )
    if tuned.empty:
        return "Nothing to recommend yet: no tuning is complete."
    if len(tuned) == 1:
        return (
            f"Only {_names(tuned)} has a complete tuning, {_scores(tuned, measure)}: there is nothing to compare it "
            "with."
        )
    if compared.tunings < 2:
        return (
            f"No choice can be made yet: the {measure.highest} score so far, {_scores(tuned[:1], measure)} of "
            f"{_names(tuned[:1])}, may be "
            "the luck of one tuning."
        )
    return " ".join([_best(tuned, compared), *_others(tuned, compared)])


def sureness(summary: pd.DataFrame, compared: Comparison, *, more: str = "") -> str:
    """Say how certain the headline is, and what limits the certainty, in Markdown; empty where it recommends nothing.

    Args:
        summary: As for `headline`.
        compared: As for `headline`.
        more: The command, in Markdown, that extends the study so that it finds more; empty: there is none.
    """
    confirmed, tuned = summary[summary["n"] > 0], summary[summary["tunings"] > 0]
    if confirmed.empty or none_completed(confirmed) or budget_too_small(confirmed, compared.measure):
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
    measure = compared.measure
    candidates = best_rows(tuned, compared)
    if len(compared.best) == len(tuned):
        equal = "No optimizer is shown to be better than another"
        if len(candidates) == 1:
            return (
                f"{equal}. Only {_names(candidates)}, {_scores(candidates, measure)}, had no run that collapsed or "
                "failed."
            )
        alone = (candidates["rank"] == candidates["rank"].min()).sum() == 1
        highest = (
            f"; {candidates['name'].iloc[0]} scored {measure.highest}{_of_these(candidates, tuned)}" if alone else ""
        )
        return f"{equal}: {_names(candidates, last='and')} reached {_scores(candidates, measure)}{highest}."
    if len(candidates) == 1:
        others = {*tuned["name"]} - {*candidates["name"]}
        more = "more" if measure.own.sign > 0 else "less"
        beats_all = _beaten_by(str(candidates["name"].iloc[0]), compared) == others
        reason = f"{more} than each of the others" if beats_all else "the only one that no other beats"
        return f"Use {_names(candidates)}: {_scores(candidates, measure)}, {reason}."
    return f"Use {_names(candidates)}: {_scores(candidates, measure)}, with no difference shown between them."


def _of_these(candidates: pd.DataFrame, tuned: pd.DataFrame) -> str:
    """Return the words that limit "the highest score" to the steady optimizers; empty where all are steady."""
    return " of these" if len(candidates) < len(tuned) else ""


def best_rows(tuned: pd.DataFrame, compared: Comparison) -> pd.DataFrame:
    """Return the optimizers that may be the best, without those that collapsed or failed (with them, if all did).

    Args:
        tuned: Rows of `rankings.summarize` with a complete tuning.
        compared: From `comparisons.compare_procedures`, with the same names.
    """
    best = tuned[tuned["name"].isin(compared.best)]
    steady = best[(best["collapsed"] == 0) & (best["confirm_failed"] == 0)]
    return steady if len(steady) else best


def _others(tuned: pd.DataFrame, compared: Comparison) -> list[str]:
    """Describe the remaining optimizers: those that a claim beats, then those that collapsed or failed."""
    beaten = tuned[~tuned["name"].isin(compared.best)]
    learned = beaten[beaten["ap_mean"].notna() & (beaten["confirm_failed"] < beaten["n"])]
    sentences = []
    if len(learned):
        qualifier = " where they learned" if learned["collapsed"].any() else ""
        sentences.append(f"{_names(learned, last='and')} reached {_scores(learned, compared.measure)}{qualifier}.")
    fates: dict[str, list[int]] = {}
    for position, (_, row) in enumerate(tuned.iterrows()):
        if not (row["collapsed"] or row["confirm_failed"]):
            continue
        unplaced = row["name"] in compared.best and row["name"] not in {*best_rows(tuned, compared)["name"]}
        doubt = ": too unstable to place" if unplaced else ""
        if row["collapsed"]:
            fate = f"collapsed in {row['collapsed']} of {counted(int(row['tunings']), 'tuning')}"
        else:
            fate = f"failed in {row['confirm_failed']} of {counted(int(row['n']), 'run')}"
        fates.setdefault(f"{fate}{doubt}", []).append(position)
    for fate, positions in fates.items():
        each = " each" if len(positions) > 1 else ""
        sentences.append(f"{_names(tuned.iloc[positions], last='and')}{each} {fate}.")
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
        pairs_of_best = compared.pairs[(compared.pairs["a"] == name) | (compared.pairs["b"] == name)]
        won = len(_beaten_by(name, compared))
        return f"{each}; {name} won {won} of its {counted(len(pairs_of_best), 'comparison')} ({level})."
    if not claims:
        return f"{each}; no difference is larger than chance may explain ({level})."
    return f"{each}; {claims} of {counted(len(compared.pairs), 'pair')} differ ({level})."


def _unseen(tuned: pd.DataFrame, compared: Comparison, more: str) -> list[str]:
    gap, steady = compared.detectable, int((tuned["collapsed"] == 0).sum())
    if gap != gap or steady < 2 or gap <= compared.margin * (1 + NO_SPREAD):
        return []
    between = "" if steady == len(tuned) else " between optimizers that never collapsed"
    more = f"; smaller gaps need more tunings: {more}" if more else ""
    if gap >= compared.measure.own.scale:
        return [f"Not even the largest gap{between} would be found reliably{more}."]
    gap_text = f"{compared.measure.gap_text(gap)} {compared.measure.unit}"
    return [f"Gaps of {gap_text}{between} are found 4 times in 5, smaller ones less often{more}."]


def _untuned(summary: pd.DataFrame) -> list[str]:
    """Name the optimizers without a complete tuning, which are not compared."""
    missing = summary[summary["tunings"] == 0]
    return [f"Not compared, because no tuning is complete: {_names(missing, last='and')}."] if len(missing) else []


def _reservations(tuned: pd.DataFrame, compared: Comparison) -> list[str]:
    measure = compared.measure
    sentences = []
    failed = tuned[(tuned["confirm_failed"] > 0) | (tuned["tune_failed"] > 0)]
    if len(failed):
        names = _names(failed, last="and")
        sentences.append(
            f"Trials of {names} failed; a failed confirm trial counts as {measure.name} {measure.failure_text}."
        )
    border = tuned[tuned["at_border"].map(len) > 0]
    if len(border):
        parameters = [f"{', '.join(map(str, row['at_border']))} of {row['name']}" for _, row in border.iterrows()]
        sentences.append(
            f"A chosen value lies at the border of its range, so a better one may lie outside: {'; '.join(parameters)}."
        )
    return sentences


def _names(rows: pd.DataFrame, *, last: str = "or") -> str:
    names = [str(name) for name in rows["name"]]
    if len(names) > 2 * MOST_NAMED:
        names = [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} others"]
    return enumerate_items(names, last=last)


def _scores(rows: pd.DataFrame, measure: Measure) -> str:
    """Return the range of scores: `AP 0.292`, `AP 0.15 to 0.24`, `AP 0`; `validation loss 3.12 (skill 0.42)`."""
    means = rows["ap_mean"].fillna(rows["score_mean"])
    worst, best = measure.text(means.min()), measure.text(means.max())
    scores = f"{measure.name} {_range(*((worst, best) if measure.own.sign > 0 else (best, worst)))}"
    if VAL_LOSS_MEAN not in rows:
        return scores
    losses = rows[VAL_LOSS_MEAN].dropna()
    if losses.empty:
        return scores
    return f"validation loss {_range(*map(loss_text, (losses.min(), losses.max())))} ({scores})"


def _range(low: str, high: str) -> str:
    return high if low == high else f"{low} to {high}"


def headline_metrics(summary: pd.DataFrame, compared: Comparison, best: Sequence[str]) -> dict[str, float]:
    """Return the headline in numbers: highest mean AP, how many optimizers may be the best, and the detectable gap.

    Judged by validation loss: the skill in place of AP, and the mean loss that it corresponds to.

    Empty where the headline recommends nothing, or optimizers have fewer than two tunings.
    """
    confirmed, tuned = summary[summary["n"] > 0], summary[summary["tunings"] > 0]
    if (
        tuned.empty
        or not best
        or none_completed(confirmed)
        or budget_too_small(confirmed, compared.measure)
        or compared.tunings < 2
    ):
        return {}
    winner = best_rows(tuned, compared).iloc[0]
    losses: dict[str, float] = {LOSS_SCORE: float(winner[VAL_LOSS_MEAN])} if compared.measure.is_loss else {}
    values: dict[str, float] = {
        compared.measure.name.lower(): float(compared.measure.shown(winner["ap_mean"])),
        **losses,
        "best_optimizers": float(len(best)),
        "detectable_gap": float(compared.detectable),
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}
