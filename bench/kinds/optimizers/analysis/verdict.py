"""The study's answer in plain sentences, with its uncertainty: which optimizer, tuned and trained, may be the best.

Claims are about procedures: each optimizer was tuned several times by itself, and the luck of that is in every
interval.
"""

import pandas as pd

from bench.kinds.optimizers.analysis.comparisons import Comparison
from bench.kinds.optimizers.analysis.losses import VAL_LOSS_MEAN
from bench.report.wording import ap_text, counted, enumerate_items, loss_text, p_text, scored_text
from bench.statistics.counts import fisher_p
from bench.statistics.p_values import ALPHA

TOO_LOW = 0.05
"""A mean AP, or skill, below this says that training has hardly begun: an order among such scores is noise."""

VAGUE = 0.5
"""Width of the interval of a rate above which it is none."""

SCOPE = (
    "Claims are about procedures: an optimizer, tuned with this budget, then trained; on this network, this data and "
    "this budget."
)


def verdict(summary: pd.DataFrame, compared: Comparison, *, planned: int | None = None, alpha: float = ALPHA) -> str:
    """Say which optimizers may be the best, which are beaten, what could not be seen, and how often tunings collapsed.

    Args:
        summary: From `rankings.summarize`.
        compared: From `comparisons.compare_procedures`; its claims decide everything that is said.
        planned: Tunings of each optimizer that the study has, or begins with; None: not known.
        alpha: The level of the claims, for how a p is rounded, and of the test whether collapses differ.

    Returns:
        One paragraph that ends in `SCOPE`.
    """
    confirmed = summary[summary["n"] > 0]
    tuned = summary[summary["tunings"] > 0]
    if confirmed.empty:
        return f"No confirm trial has finished yet{_tune_progress(summary)}: no claim is possible. {SCOPE}"
    if none_completed(confirmed):
        sentences = [f"None of the {confirmed['n'].sum()} confirm trials completed: there is nothing to compare."]
    elif budget_too_small(confirmed):
        sentences = [_budget_sentence(confirmed, compared)]
    elif tuned.empty:
        sentences = ["No tuning is complete yet: no claim is possible."]
    elif len(tuned) == 1:
        sentences = [f"Only {_scored(tuned.iloc[0])} has a complete tuning: there is nothing to compare it with."]
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
    """Whether no confirm trial (of a `summarize` frame) ran to its end."""
    return bool((confirmed["confirm_unfinished"] == confirmed["n"]).all())


def budget_too_small(confirmed: pd.DataFrame) -> bool:
    """Whether at least two thirds of the optimizers (of a `summarize` frame) stay under `TOO_LOW`.

    By the trials that completed, and of the optimizers that have any: one that diverged has not trained too little.
    """
    trained = confirmed["completed_ap_mean"].dropna()
    return 3 * int((trained < TOO_LOW).sum()) >= 2 * len(trained) > 0


def _budget_sentence(confirmed: pd.DataFrame, compared: Comparison) -> str:
    means = confirmed["completed_ap_mean"]
    low = ~(means >= TOO_LOW)
    text = (
        f"The budget is too small to compare: {(means < TOO_LOW).sum()} of {len(confirmed)} optimizers have a mean "
        f"{compared.measure.name} under {TOO_LOW}. Train for more steps before reading an order into these scores."
    )
    if not low.all():
        text += f" Above it: {enumerate_items([_scored(row) for _, row in confirmed[~low].iterrows()])}."
    return text


def _no_claim_sentence(tuned: pd.DataFrame, planned: int | None, compared: Comparison) -> str:
    measured = enumerate_items([_scored(row) for _, row in tuned.iterrows()])
    if compared.until_decided:
        why = "The first look has not been taken"
    elif tuned["tunings"].max() == 1 and (planned == 1 or not compared.tunings):
        why = "One tuning each, so the luck of tuning is unknown"
    elif tuned["tunings"].max() == 1:
        why = "One tuning each so far, so the luck of tuning is unknown"
    else:
        why = "Not all have two tunings yet"
    return f"{why}: no claim is possible. Measured {compared.measure.name}: {measured}."


def _best_sentence(tuned: pd.DataFrame, compared: Comparison) -> str:
    """Who may be the best: those that no claim beats; of these the ones apart whose tunings collapse."""
    rows = [row for _, row in tuned.iterrows() if row["name"] in compared.best]
    if len(rows) == 1 and _beats_all(str(rows[0]["name"]), tuned, compared):
        return f"{_scored(rows[0])} is the best: it beats every other one compared."
    if len(rows) == 1:
        return f"Only {_scored(rows[0])} may be the best: each of the others is beaten."
    shaky = [row for row in rows if row["collapsed"] or row["confirm_failed"]]
    steady = [row for row in rows if not (row["collapsed"] or row["confirm_failed"])]
    text = f"May be the best, for nothing beats them: {enumerate_items([_scored(row) for row in steady or shaky])}"
    if steady and shaky:
        text += f"; nor these, too unstable to place: {enumerate_items([_scored(row) for row in shaky])}"
    return f"{text}."


def _beats_all(name: str, tuned: pd.DataFrame, compared: Comparison) -> bool:
    beaten = {loser for winner, loser, _, _ in _claims(compared) if winner == name}
    return beaten == {*tuned["name"]} - {name}


def _claims(compared: Comparison) -> list[tuple[str, str, float, int]]:
    """Winner, loser, adjusted p and tunings of each claim."""
    found = []
    for _, pair in compared.pairs[compared.pairs["better"] != ""].iterrows():
        winner, loser = (pair["a"], pair["b"]) if pair["better"] == "a" else (pair["b"], pair["a"])
        found.append((str(winner), str(loser), float(pair["t_p_adjusted"]), int(pair["n"])))
    return found


def _claim_sentences(tuned: pd.DataFrame, compared: Comparison) -> list[str]:
    """Who beats whom: those that beat the same ones share a sentence. A score is told once."""
    order = list(tuned["name"])
    claims = _claims(compared)
    if not claims:
        return ["No optimizer beats another."]
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in order:
        losers = tuple(sorted((loser for winner, loser, _, _ in claims if winner == name), key=order.index))
        if losers:
            groups.setdefault(losers, []).append(name)
    scored = {row["name"]: _scored(row) for _, row in tuned.iterrows()}
    told, sentences = {*compared.best}, []
    for losers, winners in groups.items():
        own = [claim for claim in claims if claim[0] in winners and claim[1] in losers]
        named = enumerate_items([name if name in told else scored[name] for name in losers])
        told.update(losers)
        largest = "largest " if len(own) > 1 else ""
        evidence = f"{_range_text([claim[3] for claim in own])} tunings each; {largest}adjusted p"
        p = p_text(max(claim[2] for claim in own))
        verb = "beats" if len(winners) == 1 else f"{'both' if len(winners) == 2 else 'all'} beat"
        sentences.append(f"{enumerate_items(winners)} {verb} {named} ({evidence} {p}).")
    return sentences


def _undecided_sentences(tuned: pd.DataFrame, compared: Comparison, alpha: float) -> list[str]:
    """How near the open pairs came, and what the study was too small to see."""
    pairs = compared.pairs[(compared.pairs["better"] == "") & (compared.pairs["n"] > 1)]
    if pairs.empty:
        return []
    sentences = []
    if not (compared.pairs["better"] != "").any():
        known = pairs["t_p_adjusted"].dropna()
        least = f"smallest adjusted p {p_text(known.min(), alpha)}" if len(known) else "no spread, so t is undefined"
        sentences.append(f"{_range_text(pairs['n'].astype(int).tolist())} tunings each; {least}.")
    gap = compared.detectable
    steady = int((tuned["collapsed"] == 0).sum())
    if gap != gap or steady < 2:
        return sentences
    between = "" if steady == len(tuned) else " between optimizers that never collapsed"
    if gap >= 1:
        return [*sentences, f"No gap at all{between} would have been seen reliably."]
    return [
        *sentences,
        f"Smaller gaps than {ap_text(gap)} {compared.measure.unit}{between} would often have been missed (power 0.8).",
    ]


def _collapses(tuned: pd.DataFrame, alpha: float) -> list[str]:
    """How many tunings found nothing that learns, with the exact interval of that rate; whether rates differ."""
    rows = [row for _, row in tuned.iterrows() if row["collapsed"]]
    if not rows:
        return []
    alike = [own for _, own in tuned[tuned["collapsed"] > 0].groupby(["collapsed", "tunings"], sort=False)]
    sentences = [_collapse_sentence(own.iloc[0], [str(name) for name in own["name"]]) for own in alike]
    counts, trials = tuned["collapsed"].astype(int).tolist(), tuned["tunings"].astype(int).tolist()
    p = fisher_p(counts, trials)
    if p <= alpha:
        highest = (tuned["collapsed"] / tuned["tunings"]).max()
        most = [str(row["name"]) for row in rows if row["collapsed"] / row["tunings"] == highest]
        verb = "collapses" if len(most) == 1 else "collapse"
        sentences.append(f"{enumerate_items(most)} {verb} more often than the others (Fisher's exact p {p_text(p)}).")
    return sentences


def _collapse_sentence(row: pd.Series, names: list[str]) -> str:
    """``sgd found a setting that learns in 1 of 3 tunings (collapsed in 2: 9.4 to 99 %, too few for a rate).``

    ``names``: of all that ended as this row did.
    """
    tunings, collapsed = int(row["tunings"]), int(row["collapsed"])
    low, high = row["collapsed_low"], row["collapsed_high"]
    vague = ", too few for a rate" if high - low > VAGUE else ""
    rate = f"collapsed in {collapsed} of {tunings}: {_percent(low)} to {_percent(high)} %{vague}"
    if collapsed == tunings:
        each = " each" if len(names) > 1 else ""
        return f"{enumerate_items(names)} found no setting that learns in {counted(tunings, 'tuning')}{each} ({rate})."
    each = "each found" if len(names) > 1 else "found"
    return (
        f"{enumerate_items(names)} {each} a setting that learns in {tunings - collapsed} of {tunings} tunings ({rate})."
    )


def _percent(share: float) -> str:
    """``0.8``, ``9.4``, ``91``."""
    return f"{100 * share:.1f}" if 0 < share < 0.0995 else f"{100 * share:.0f}"


def _caveats(summary: pd.DataFrame, planned: int | None, compared: Comparison) -> list[str]:
    """What else a reader must know before trusting the order."""
    sentences = []
    waiting = list(summary.loc[summary["n"] == 0, "name"])
    if waiting:
        sentences.append(f"Without a confirm trial so far: {enumerate_items(waiting)}.")
    confirmed = summary[summary["n"] > 0]
    few = confirmed["tunings"].min() < (planned or confirmed["tunings"].max())
    if few:
        counts = [f"{row['name']} {row['tunings']}" for _, row in confirmed.iterrows()]
        of = f" of {planned}" if planned else ""
        sentences.append(f"Not all tunings are complete: {enumerate_items(counts)}{of}.")
    for column, said in (
        ("confirm_failed", f"Confirm trials that failed count as {compared.measure.name} 0"),
        ("tune_failed", "Tune trials that failed"),
    ):
        rows = summary[summary[column] > 0]
        if len(rows):
            of = "n" if column == "confirm_failed" else "tune_trials"
            counts = [f"{row['name']} {row[column]} of {row[of]}" for _, row in rows.iterrows()]
            sentences.append(f"{said}: {enumerate_items(counts)}.")
    at_border = confirmed[confirmed["at_border"].map(len) > 0]
    if len(at_border):
        names = [f"{row['name']} ({', '.join(row['at_border'])})" for _, row in at_border.iterrows()]
        sentences.append(
            f"Chosen value at the border of its range, a better one may lie outside: {enumerate_items(names)}."
        )
    return sentences


def _tune_progress(summary: pd.DataFrame) -> str:
    tuned = int(summary["tune_trials"].sum())
    return f" ({counted(tuned, 'tune trial')} so far)" if tuned else ""


def _scored(row: pd.Series) -> str:
    """``adam 0.520 [0.501, 0.540]``; ``sgd 0.166 (where it learned)``; ``sgd (learned nothing)``.

    Of a study that is judged by validation loss: ``adam (validation loss 3.12, skill 0.520 [0.501, 0.540])``.
    """
    if pd.isna(row["ap_mean"]):
        return f"{row['name']} ({'learned nothing' if row['tunings'] else 'no tuning complete'})"
    text = scored_text(row["name"], row["ap_mean"], row["ap_low"], row["ap_high"])
    if VAL_LOSS_MEAN in row:
        skill = scored_text("skill", row["ap_mean"], row["ap_low"], row["ap_high"])
        text = f"{row['name']} (validation loss {loss_text(row[VAL_LOSS_MEAN])}, {skill})"
    return f"{text} (where it learned)" if row["collapsed"] else text


def _range_text(counts: list[int]) -> str:
    return str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
