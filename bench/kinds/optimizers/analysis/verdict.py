"""The study's answer in plain sentences, with its uncertainty: what one tuned configuration of each optimizer showed.

A repeated study tunes again and may turn the order of the optimizers round, so every claim is about configurations.
"""

import pandas as pd

from bench.kinds.optimizers.analysis.comparisons import MIN_TRUSTED_SPREAD_N, minimal_detectable_difference
from bench.report.wording import ap_text, enumerate_items, p_text, scored_text
from bench.statistics.p_values import ALPHA

TOO_LOW_AP = 0.05
"""A mean AP below this says that training has hardly begun: an order among such scores is noise."""

UNLIKE = 5
"""How many times as much the widest pair spreads as the narrowest before one detectable difference would mislead."""

MOST_NAMED = 3
"""Claims that a sentence names one by one."""

SCOPE = "Claims cover this network, this data and this budget only."


def verdict(summary: pd.DataFrame, comparisons: pd.DataFrame, *, alpha: float = ALPHA) -> str:
    """Say which configurations beat which, which cannot be told apart, and what the study was too small to see.

    A configuration is what one tuning chose for an optimizer. How well it chose is luck that no interval shows, so that
    nothing is said of the optimizers themselves.

    Args:
        summary: From `rankings.summarize`.
        comparisons: From `comparisons.paired_comparisons`; its ``better`` decides every claim.
        alpha: The level that ``comparisons`` was made with.

    Returns:
        One paragraph that ends in `SCOPE`.
    """
    confirmed = summary[summary["n"] > 0]
    if confirmed.empty:
        return f"No confirm trial has finished yet{_tune_progress(summary)}: no claim is possible. {SCOPE}"
    if none_completed(confirmed):
        sentences = [f"None of the {confirmed['n'].sum()} confirm trials completed: there is nothing to compare."]
    elif budget_too_small(confirmed):
        sentences = [_budget_sentence(confirmed)]
    elif len(confirmed) == 1:
        sentences = [f"Only {_scored(confirmed.iloc[0])} has confirm trials: there is nothing to compare it with."]
    elif comparisons.empty or comparisons["n"].max() < 2:
        sentences = [_one_seed_sentence(confirmed)]
    else:
        lead = _lead_sentence(confirmed, comparisons, alpha)
        sentences = [
            lead,
            *_claim_sentences(confirmed, comparisons, lead),
            *_wilcoxon_sentences(comparisons, alpha),
            *_sensitivity_sentences(comparisons, alpha),
        ]
    return " ".join([*sentences, *_caveats(summary), *_tuning_luck(confirmed), SCOPE])


def none_completed(confirmed: pd.DataFrame) -> bool:
    """Whether no confirm trial (of a `summarize` frame) ran to its end."""
    return bool((confirmed["confirm_unfinished"] == confirmed["n"]).all())


def budget_too_small(confirmed: pd.DataFrame) -> bool:
    """Whether at least two thirds of the optimizers (of a `summarize` frame) stay under `TOO_LOW_AP`.

    By the trials that completed, and of the optimizers that have any: one that diverged has not trained too little.
    """
    trained = _completed_means(confirmed).dropna()
    return 3 * int((trained < TOO_LOW_AP).sum()) >= 2 * len(trained) > 0


def _completed_means(confirmed: pd.DataFrame) -> pd.Series:
    """Mean AP of the confirm trials that completed; NaN where none did (the others count as 0 in ``ap_mean``)."""
    completed = confirmed["n"] - confirmed["confirm_unfinished"]
    return confirmed["ap_mean"] * confirmed["n"] / completed.where(completed > 0)


def _budget_sentence(confirmed: pd.DataFrame) -> str:
    means = _completed_means(confirmed)
    low = ~(means >= TOO_LOW_AP)
    text = (
        f"The budget is too small to compare: {(means < TOO_LOW_AP).sum()} of {len(confirmed)} configurations have a "
        f"mean AP under {TOO_LOW_AP}. Train for more steps before reading an order into these scores."
    )
    if not low.all():
        text += f" Above it: {enumerate_items([_scored(row) for _, row in confirmed[~low].iterrows()])}."
    if confirmed["n"].max() == 1:
        text += " One seed each: no claim is possible."
    return text


def _one_seed_sentence(confirmed: pd.DataFrame) -> str:
    measured = enumerate_items([_scored(row) for _, row in confirmed.iterrows()])
    if confirmed["n"].max() == 1:
        return f"One seed each: no claim is possible. Measured AP: {measured}."
    return f"No two configurations share two seeds yet: no claim is possible. Measured mean AP: {measured}."


def _lead_sentence(confirmed: pd.DataFrame, comparisons: pd.DataFrame, alpha: float) -> str:
    """The best mean, and who cannot be told apart from it."""
    best = confirmed.iloc[0]
    others = {row["name"]: row for _, row in confirmed.iloc[1:].iterrows()}
    against = {
        (pair["b"] if pair["a"] == best["name"] else pair["a"]): pair
        for _, pair in comparisons.iterrows()
        if best["name"] in (pair["a"], pair["b"])
    }
    tied = [name for name in others if name not in against or not against[name]["better"]]
    ahead = [name for name in others if name in against and _winner(against[name]) == name]
    score = scored_text("", best["ap_mean"], best["ap_low"], best["ap_high"]).strip()
    highest = f"This configuration of {best['name']} has the highest mean AP, {score},"
    if ahead:  # on the seeds that both have; the means are over all
        beat = "beats" if len(ahead) == 1 else "beat"
        return f"{highest} but {_those([others[name] for name in ahead])} {beat} it on the seeds that both have."
    if not tied:
        return f"{highest} and beats every other one compared."
    seeds = _range_text([int(against[name]["n"]) for name in tied if name in against])
    p_values = [float(against[name]["t_p_adjusted"]) for name in tied if name in against]
    known = [p for p in p_values if p == p]
    if not known:
        evidence = "t undefined: a constant difference or a single shared seed"
    else:
        evidence = f"{'smallest ' if len(known) > 1 else ''}adjusted p {p_text(min(known), alpha)}"
    told = f"cannot be told apart from {_those([others[name] for name in tied])} (n = {seeds}, {evidence})."
    if others[tied[0]]["rank"] == best["rank"]:
        return f"This configuration of {_scored(best)} {told}"
    return f"{highest} but {told}"


def _those(rows: list[pd.Series]) -> str:
    """``that of sgd 0.480 [0.470, 0.490]``, ``those of sgd 0.480 [0.470, 0.490] and adagrad 0.470 [0.460, 0.480]``."""
    return f"{'that' if len(rows) == 1 else 'those'} of {enumerate_items([_scored(row) for row in rows])}"


def _winner(pair: pd.Series) -> str:
    """The optimizer of a pair whose configuration is claimed to be better; empty without a claim."""
    return str(pair[pair["better"]]) if pair["better"] else ""


def _claim_sentences(confirmed: pd.DataFrame, comparisons: pd.DataFrame, said: str) -> list[str]:
    """Which configurations beat which: those that beat the same ones share a sentence.

    Scores ``said`` before are not repeated. The first one's always is said: the lead begins with it.
    """
    order = list(confirmed["name"])
    beaten: dict[str, list[str]] = {name: [] for name in order}
    worst_p: dict[str, float] = dict.fromkeys(order, 0.0)
    for _, pair in comparisons[comparisons["better"] != ""].iterrows():
        winner = _winner(pair)
        loser = pair["b"] if winner == pair["a"] else pair["a"]
        beaten[winner].append(loser)
        worst_p[winner] = max(worst_p[winner], float(pair["t_p_adjusted"]))
    if not any(beaten.values()):
        return ["No configuration beats another."] if len(order) > 2 else []
    scored = {row["name"]: _scored(row) for _, row in confirmed.iterrows()}
    groups: dict[tuple[str, ...], list[str]] = {}
    for winner in order:
        losers = tuple(sorted(beaten[winner], key=order.index))
        if losers:
            groups.setdefault(losers, []).append(winner)
    sentences, introduced = [], {order[0], *(name for name in order if scored[name] in said)}
    for losers, winners in groups.items():
        named = enumerate_items([name if name in introduced else scored[name] for name in losers])
        introduced.update(losers)
        tuned = _tuned(confirmed[confirmed["name"].isin([*winners, *losers])], "tuning trial")
        several = "largest " if len(winners) * len(losers) > 1 else ""
        p = f"{several}adjusted p {p_text(max(worst_p[winner] for winner in winners))}"
        evidence = f"{tuned} each; {p}" if tuned else p
        sentences.append(f"{_beat(winners)} {_beaten(len(winners), len(losers))} of {named} ({evidence}).")
    return sentences


def _beat(winners: list[str]) -> str:
    """``This configuration of adam beats``, ``The configurations of adam and adagrad both beat``."""
    if len(winners) == 1:
        return f"This configuration of {winners[0]} beats"
    return f"The configurations of {enumerate_items(winners)} {'both' if len(winners) == 2 else 'all'} beat"


def _beaten(winners: int, losers: int) -> str:
    """The noun of those that are beaten."""
    if losers > 1:
        return "those"
    return "this configuration" if winners == 1 else "that"


def _wilcoxon_sentences(comparisons: pd.DataFrame, alpha: float) -> list[str]:
    """Said only beside claims: where the distribution-free test could not support them, or does not."""
    claims = comparisons[comparisons["better"] != ""]
    smallest = claims["wilcoxon_smallest_adjusted_p"].min()
    if claims.empty:
        return []
    if smallest > alpha:
        return [f"This rests on the t test: Wilcoxon's cannot go below an adjusted p of {smallest:.2f} at this n."]
    alone = claims[~(claims["wilcoxon_p_adjusted"] <= alpha)]
    if alone.empty:
        return []
    if len(alone) > MOST_NAMED:
        return [f"Wilcoxon's test does not bear out {len(alone)} of the {len(claims)} claims."]
    noun = "claim" if len(alone) == 1 else "claims"
    named = [f"{_winner(pair)} over {pair['b' if pair['better'] == 'a' else 'a']}" for _, pair in alone.iterrows()]
    worst = p_text(alone["wilcoxon_p_adjusted"].max(), alpha).removeprefix("= ")
    said = f"the {noun} for {enumerate_items(named)}"
    return [f"Wilcoxon's test does not bear out {said} (its adjusted p is up to {worst})."]


def _sensitivity_sentences(comparisons: pd.DataFrame, alpha: float) -> list[str]:
    """What the study was too small to see, if it left any pair undecided."""
    open_pairs = comparisons[comparisons["better"] == ""]
    least = minimal_detectable_difference(open_pairs, alpha=alpha, family=len(comparisons))
    if least is None:
        return []
    usable = open_pairs[open_pairs["n"] >= 2]
    few = int(usable["n"].min())
    where = f"n = {few}" if len(open_pairs) == len(comparisons) else f"Where nothing is claimed (n = {few})"
    spread = usable.loc[usable["sd_difference"] > 0, "sd_difference"]
    if few >= MIN_TRUSTED_SPREAD_N and spread.max() > UNLIKE * spread.min():  # a seed that failed, say
        ends = [
            minimal_detectable_difference(usable.loc[[at]], alpha=alpha, family=len(comparisons))
            for at in (spread.idxmin(), spread.idxmax())
        ]
        of = [f"{pair['a']} - {pair['b']}" for _, pair in usable.loc[[spread.idxmin(), spread.idxmax()]].iterrows()]
        smallest, largest = (f"{ap_text(end or 0.0)} AP ({name})" for end, name in zip(ends, of, strict=True))
        return [f"{where}: differences under {smallest} to {largest}, by pair, could not have been seen (power 0.8)."]
    if least >= 1:
        return [f"{where}: no difference at all could have been seen reliably."]
    return [f"{where}: differences under {ap_text(least)} AP could not have been seen (power 0.8)."]


def _caveats(summary: pd.DataFrame) -> list[str]:
    """What else a reader must know before trusting the order."""
    sentences = []
    waiting = list(summary.loc[summary["n"] == 0, "name"])
    if waiting:
        sentences.append(f"Without a confirm trial so far: {enumerate_items(waiting)}.")
    confirmed = summary[summary["n"] > 0]
    if confirmed["n"].min() < confirmed["n"].max():
        counts = [f"{row['name']} {row['n']}" for _, row in confirmed.iterrows()]
        sentences.append(f"The confirm phase is not complete: {enumerate_items(counts)} trials.")
    unfinished = confirmed[confirmed["confirm_unfinished"] > 0]
    if len(unfinished):
        counts = [f"{row['name']} {row['confirm_unfinished']} of {row['n']}" for _, row in unfinished.iterrows()]
        sentences.append(f"Confirm trials that diverged or failed count as AP 0: {enumerate_items(counts)}.")
    at_border = confirmed[confirmed["at_border"].map(len) > 0]
    if len(at_border):
        names = [f"{row['name']} ({', '.join(row['at_border'])})" for _, row in at_border.iterrows()]
        sentences.append(
            f"Best value at the border of its range, a better one may lie outside: {enumerate_items(names)}."
        )
    return sentences


def _tuning_luck(confirmed: pd.DataFrame) -> list[str]:
    """That one tuning an optimizer is a matter of luck; nothing where no two configurations were scored."""
    if len(confirmed) < 2 or none_completed(confirmed):
        return []
    trials = _tuned(confirmed, "trial")
    return [
        f"How well each optimizer was tuned (once{f', with {trials}' if trials else ''}) is luck that no interval "
        "shows, so nothing is claimed about the optimizers themselves."
    ]


def _tuned(rows: pd.DataFrame, noun: str) -> str:
    """``4 trials``, ``1 trial``, ``2 to 4 trials``, ``up to 4 trials`` where some are unknown; empty where all are."""
    low, high = int(rows["tune_trials"].min()), int(rows["tune_trials"].max())
    if not high:
        return ""
    return f"{_range_text([low, high]) if low else f'up to {high}'} {noun if high == 1 else f'{noun}s'}"


def _tune_progress(summary: pd.DataFrame) -> str:
    tuned = int(summary["tune_trials"].sum())
    return f" ({tuned} tune trial{'s' if tuned != 1 else ''} so far)" if tuned else ""


def _scored(row: pd.Series) -> str:
    """``adam 0.520 [0.501, 0.540]``; without an interval for a single seed."""
    return scored_text(row["name"], row["ap_mean"], row["ap_low"], row["ap_high"])


def _range_text(counts: list[int]) -> str:
    if not counts:
        return "0"
    return str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
