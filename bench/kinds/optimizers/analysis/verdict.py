"""The verdict: which optimizer, tuned and trained, may be the best, in sentences with their uncertainty.

Claims are about procedures: each optimizer was tuned several times independently, and every interval includes the luck
of tuning.
"""

import pandas as pd

from bench.kinds.optimizers.analysis.comparisons import Comparison
from bench.kinds.optimizers.analysis.losses import VAL_LOSS_MEAN
from bench.kinds.optimizers.measure import AP, Measure
from bench.report.wording import counted, enumerate_items, loss_text, p_text
from bench.statistics.counts import fisher_p
from bench.statistics.level import ALPHA

VAGUE = 0.5
"""A rate whose interval is wider than this is called unknown."""

SCOPE = (
    "Claims are about procedures (an optimizer tuned with this budget, then trained) and hold only for this "
    "network, data and budget."
)


def verdict(summary: pd.DataFrame, compared: Comparison, *, planned: int | None = None, alpha: float = ALPHA) -> str:
    """Say which optimizers may be the best, which are beaten, which gaps were too small to see, and how many tunings
    collapsed.

    Args:
        summary: From `rankings.summarize`.
        compared: From `comparisons.compare_procedures`; its claims decide everything that is said.
        planned: Number of tunings of each optimizer that the study has, or begins with; None: not known.
        alpha: The level of the claims, for how a p is rounded, and of the test whether collapses differ.

    Returns:
        One paragraph that ends in `SCOPE`.
    """
    measure = compared.measure
    confirmed = summary[summary["n"] > 0]
    tuned = summary[summary["tunings"] > 0]
    if confirmed.empty:
        return f"No confirm trial has finished yet{_tune_progress(summary)}: no claim is possible. {SCOPE}"
    if none_completed(confirmed):
        sentences = [f"None of the {confirmed['n'].sum()} confirm trials completed: there is nothing to compare."]
    elif budget_too_small(confirmed, measure):
        sentences = [_budget_sentence(confirmed, compared)]
    elif tuned.empty:
        sentences = ["No tuning is complete yet: no claim is possible."]
    elif len(tuned) == 1:
        sentences = [
            f"Only {_scored(tuned.iloc[0], measure)} has a complete tuning: there is nothing to compare it with."
        ]
    elif compared.tunings < 2:
        sentences = [_no_claim_sentence(tuned, planned, compared)]
    else:
        sentences = [
            _best_sentence(tuned, compared),
            *_claim_sentences(tuned, compared),
            *_undecided_sentences(tuned, compared, alpha),
        ]
    return " ".join([*sentences, *_collapses(tuned, alpha), *_caveats(summary, planned, compared), SCOPE])


def none_completed(confirmed: pd.DataFrame) -> bool:
    """Return whether no confirm trial (of a `summarize` frame) ran to its end."""
    return bool((confirmed["confirm_unfinished"] == confirmed["n"]).all())


def budget_too_small(confirmed: pd.DataFrame, measure: Measure = AP) -> bool:
    """Return whether at least two thirds of the optimizers (of a `summarize` frame) score worse than
    `Measure.too_low`.

    Only optimizers with completed trials count, by those trials: a diverged optimizer did not train too little.
    """
    trained = confirmed["completed_ap_mean"].dropna()
    return 3 * int((trained < measure.too_low).sum()) >= 2 * len(trained) > 0


def _budget_sentence(confirmed: pd.DataFrame, compared: Comparison) -> str:
    measure = compared.measure
    means = confirmed["completed_ap_mean"]
    too_low = ~(means >= measure.too_low)
    text = (
        f"The budget is too small to compare: {(means < measure.too_low).sum()} of {len(confirmed)} optimizers have a "
        "mean "
        f"{measure.name} {measure.worse} {measure.too_low_text}. Train for more steps before reading an order into "
        "these scores."
    )
    if not too_low.all():
        others = enumerate_items([_scored(row, measure) for _, row in confirmed[~too_low].iterrows()])
        text += f" {'Above' if measure.worse == 'under' else 'Under'} it: {others}."
    return text


def _no_claim_sentence(tuned: pd.DataFrame, planned: int | None, compared: Comparison) -> str:
    measured = enumerate_items([_scored(row, compared.measure) for _, row in tuned.iterrows()])
    if compared.until_decided:
        why = "The first planned comparison is still to come"
    elif tuned["tunings"].max() == 1 and (planned == 1 or not compared.tunings):
        why = "One tuning each, so the variation between tunings is unknown"
    elif tuned["tunings"].max() == 1:
        why = "One tuning each so far, so the variation between tunings is unknown"
    else:
        why = "Some optimizers have fewer than two tunings so far"
    return f"{why}: no claim is possible. Measured {compared.measure.name}: {measured}."


def _best_sentence(tuned: pd.DataFrame, compared: Comparison) -> str:
    """Name the optimizers that no claim beats; those whose tunings collapse or fail come separately."""
    measure = compared.measure
    rows = [row for _, row in tuned.iterrows() if row["name"] in compared.best]
    if len(rows) == 1 and _beats_all(str(rows[0]["name"]), tuned, compared):
        return f"{_scored(rows[0], measure)} is the best: it beats every other optimizer compared."
    if len(rows) == 1:
        return f"Only {_scored(rows[0], measure)} may be the best: all others are beaten."
    unsteady = [row for row in rows if row["collapsed"] or row["confirm_failed"]]
    steady = [row for row in rows if not (row["collapsed"] or row["confirm_failed"])]
    text = f"Unbeaten, so possibly the best: {enumerate_items([_scored(row, measure) for row in steady or unsteady])}"
    if steady and unsteady:
        unplaced = enumerate_items([_scored(row, measure) for row in unsteady])
        text += f"; also unbeaten, but too unstable to place: {unplaced}"
    return f"{text}."


def _beats_all(name: str, tuned: pd.DataFrame, compared: Comparison) -> bool:
    beaten = {loser for winner, loser, _, _ in _claims(compared) if winner == name}
    return beaten == {*tuned["name"]} - {name}


def _claims(compared: Comparison) -> list[tuple[str, str, float, int]]:
    """Return winner, loser, adjusted p and tunings of each claim."""
    claims = []
    for _, pair in compared.pairs[compared.pairs["better"] != ""].iterrows():
        winner, loser = (pair["a"], pair["b"]) if pair["better"] == "a" else (pair["b"], pair["a"])
        claims.append((str(winner), str(loser), float(pair["t_p_adjusted"]), int(pair["n"])))
    return claims


def _claim_sentences(tuned: pd.DataFrame, compared: Comparison) -> list[str]:
    """Say who beats whom: optimizers that beat the same ones share a sentence. Each score is given once."""
    order = list(tuned["name"])
    claims = _claims(compared)
    if not claims:
        return ["No optimizer beats another."]
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in order:
        losers = tuple(sorted((loser for winner, loser, _, _ in claims if winner == name), key=order.index))
        if losers:
            groups.setdefault(losers, []).append(name)
    scored = {row["name"]: _scored(row, compared.measure) for _, row in tuned.iterrows()}
    already_scored, sentences = {*compared.best}, []
    for losers, winners in groups.items():
        group_claims = [claim for claim in claims if claim[0] in winners and claim[1] in losers]
        loser_text = enumerate_items([name if name in already_scored else scored[name] for name in losers])
        already_scored.update(losers)
        largest = "largest " if len(group_claims) > 1 else ""
        evidence = f"{_range_text([claim[3] for claim in group_claims])} tunings each; {largest}adjusted p"
        p = p_text(max(claim[2] for claim in group_claims))
        verb = "beats" if len(winners) == 1 else f"{'both' if len(winners) == 2 else 'all'} beat"
        sentences.append(f"{enumerate_items(winners)} {verb} {loser_text} ({evidence} {p}).")
    return sentences


def _undecided_sentences(tuned: pd.DataFrame, compared: Comparison, alpha: float) -> list[str]:
    """Say how near the pairs without a claim came to one, and which gaps the study was too small to see."""
    measure = compared.measure
    pairs = compared.pairs[(compared.pairs["better"] == "") & (compared.pairs["n"] > 1)]
    if pairs.empty:
        return []
    sentences = []
    if not (compared.pairs["better"] != "").any():
        p_values = pairs["t_p_adjusted"].dropna()
        least = (
            f"smallest adjusted p {p_text(p_values.min(), alpha)}"
            if len(p_values)
            else "the tunings show no spread, so the t test is undefined"
        )
        sentences.append(f"{_range_text(pairs['n'].astype(int).tolist())} tunings each; {least}.")
    gap = compared.detectable
    steady = int((tuned["collapsed"] == 0).sum())
    if gap != gap or steady < 2:
        return sentences
    between = "" if steady == len(tuned) else " between optimizers that never collapsed"
    if gap >= measure.own.scale:
        return [*sentences, f"Not even the largest gap{between} would have been seen reliably."]
    return [
        *sentences,
        (
            f"Gaps of {measure.gap_text(gap)} {measure.unit}{between} would have been seen with power 0.8, smaller "
            "ones often missed."
        ),
    ]


def _collapses(tuned: pd.DataFrame, alpha: float) -> list[str]:
    """Say in how many tunings each optimizer collapsed, with the rate's exact interval, and whether rates differ."""
    rows = [row for _, row in tuned.iterrows() if row["collapsed"]]
    if not rows:
        return []
    groups = [group for _, group in tuned[tuned["collapsed"] > 0].groupby(["collapsed", "tunings"], sort=False)]
    sentences = [_collapse_sentence(group.iloc[0], [str(name) for name in group["name"]]) for group in groups]
    counts, trials = tuned["collapsed"].astype(int).tolist(), tuned["tunings"].astype(int).tolist()
    p = fisher_p(counts, trials)
    if p <= alpha:
        highest = (tuned["collapsed"] / tuned["tunings"]).max()
        most = [str(row["name"]) for row in rows if row["collapsed"] / row["tunings"] == highest]
        verb = "collapses" if len(most) == 1 else "collapse"
        sentences.append(f"{enumerate_items(most)} {verb} more often than the others (Fisher's exact p {p_text(p)}).")
    return sentences


def _collapse_sentence(row: pd.Series, names: list[str]) -> str:
    """Return ``sgd found a setting that learns in 1 of 3 tunings (collapsed in 2: 9.4 to 99 %, too few for a rate).``

    ``names``: all optimizers with the same counts as ``row``.
    """
    tunings, collapsed = int(row["tunings"]), int(row["collapsed"])
    low, high = row["collapsed_low"], row["collapsed_high"]
    vague = ", too few for a rate" if high - low > VAGUE else ""
    rate = f"collapsed in {collapsed} of {tunings}: {_percent(low)} to {_percent(high)} %{vague}"
    if collapsed == tunings:
        each = " each" if len(names) > 1 else ""
        return f"{enumerate_items(names)} learned nothing after {counted(tunings, 'tuning')}{each} ({rate})."
    each = "each found" if len(names) > 1 else "found"
    return (
        f"{enumerate_items(names)} {each} a setting that learns in {tunings - collapsed} of {tunings} tunings ({rate})."
    )


def _percent(share: float) -> str:
    """Format a share as a percentage: ``0.8``, ``9.4``, ``91``."""
    return f"{100 * share:.1f}" if 0 < share < 0.0995 else f"{100 * share:.0f}"


def _caveats(summary: pd.DataFrame, planned: int | None, compared: Comparison) -> list[str]:
    """Return further sentences that a reader needs before trusting the order."""
    sentences = []
    waiting = list(summary.loc[summary["n"] == 0, "name"])
    if waiting:
        sentences.append(f"No confirm trial yet: {enumerate_items(waiting)}.")
    confirmed = summary[summary["n"] > 0]
    few = confirmed["tunings"].min() < (planned or confirmed["tunings"].max())
    if few:
        counts = [f"{row['name']} {row['tunings']}" for _, row in confirmed.iterrows()]
        of = f" of {planned}" if planned else ""
        sentences.append(f"Not all tunings are complete: {enumerate_items(counts)}{of}.")
    for column, text in (
        (
            "confirm_failed",
            f"Confirm trials that failed count as {compared.measure.name} {compared.measure.failure_text}",
        ),
        ("tune_failed", "Tune trials that failed"),
    ):
        rows = summary[summary[column] > 0]
        if len(rows):
            of = "n" if column == "confirm_failed" else "tune_trials"
            counts = [f"{row['name']} {row[column]} of {row[of]}" for _, row in rows.iterrows()]
            sentences.append(f"{text}: {enumerate_items(counts)}.")
    at_border = confirmed[confirmed["at_border"].map(len) > 0]
    if len(at_border):
        names = [f"{row['name']} ({', '.join(row['at_border'])})" for _, row in at_border.iterrows()]
        sentences.append(
            "A chosen value lies at the border of its range, so a better one may lie outside: "
            f"{enumerate_items(names)}."
        )
    return sentences


def _tune_progress(summary: pd.DataFrame) -> str:
    tuned = int(summary["tune_trials"].sum())
    return f" ({counted(tuned, 'tune trial')} so far)" if tuned else ""


def _scored(row: pd.Series, measure: Measure) -> str:
    """Return ``adam 0.520 [0.501, 0.540]``; ``sgd 0.166 (where it learned)``; ``sgd (learned nothing)``.

    Judged by validation loss: ``adam (validation loss 3.12, skill 0.520 [0.501, 0.540])``.
    """
    if pd.isna(row["ap_mean"]):
        return f"{row['name']} ({'learned nothing' if row['tunings'] else 'no tuning complete'})"
    text = measure.scored_text(row["name"], row["ap_mean"], row["ap_low"], row["ap_high"])
    if VAL_LOSS_MEAN in row:
        skill = measure.scored_text("skill", row["ap_mean"], row["ap_low"], row["ap_high"])
        text = f"{row['name']} (validation loss {loss_text(row[VAL_LOSS_MEAN])}, {skill})"
    return f"{text} (where it learned)" if row["collapsed"] else text


def _range_text(counts: list[int]) -> str:
    return str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
