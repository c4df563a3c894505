"""What sets two studies apart, in plain sentences: how the configurations differ that each chose for an optimizer."""

import pandas as pd

from bench.kinds.optimizers.analysis.comparisons import minimal_detectable_difference
from bench.report.no_result import is_trouble, nothing_found, troubled
from bench.report.wording import ap_text, enumerate_items, p_text
from bench.statistics.p_values import ALPHA

SCOPE = (
    "Each study tuned its optimizers once, by itself, and no interval shows the luck of that: claims cover the "
    "configurations of these two studies only, not the optimizers."
)


def comparison_verdict(table: pd.DataFrame, not_paired: str, *, alpha: float = ALPHA) -> str:
    """Say which differences between two studies, A and B, are more than noise.

    Args:
        table: From `two_studies.compare_studies`.
        not_paired: From `two_studies.why_not_paired`.
        alpha: The level that ``table`` was made with.

    Returns:
        One paragraph that ends in `SCOPE`.
    """
    known = table[table["difference"].notna()]
    if known.empty:
        return f"No optimizer has confirm trials in both studies: there is nothing to compare. {SCOPE}"
    how = f"Not paired ({not_paired})." if not_paired else "Paired by seed: the same initial weights, the same order."
    sentences = [how, *_leaders(known), *_scores(known, alpha), *_speeds(table)]
    return " ".join([*sentences, SCOPE])


def without_result(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Which of two studies, A and B, found nothing out, and why; empty where both found something.

    Where no trial completed, diverged or was pruned, an AP of 0 says nothing that another study could be held against.

    Args:
        a: Records of the first study, one row a trial, without controls.
        b: Records of the second.
    """
    found = [
        f"{letter} has no result. {nothing_found(records)}"
        for letter, records in (("A", a), ("B", b))
        if is_trouble(records)
    ]
    return " ".join([*found, f"There is nothing to compare. {SCOPE}"]) if found else ""


def troubles(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Optimizers all of whose trials failed in one of two studies that have results: a sentence for each."""
    return " ".join(f"In {letter}: {each}" for letter, records in (("A", a), ("B", b)) for each in troubled(records))


def _leaders(known: pd.DataFrame) -> list[str]:
    """Whose mean is the highest, of the optimizers in both; nothing where that is shared, or nobody has any AP."""
    if len(known) == 1:
        return []
    best = []
    for column in ("ap_a", "ap_b"):
        highest = known.loc[known[column] == known[column].max(), ["name", column]]
        if len(highest) > 1 or not highest[column].iloc[0] > 0:
            return []
        best.append(str(highest["name"].iloc[0]))
    where = "A and in B" if best[0] == best[1] else f"A, that of {best[1]} in B"
    return [f"Of the optimizers in both, the configuration of {best[0]} has the highest mean AP in {where}."]


def _scores(known: pd.DataFrame, alpha: float) -> list[str]:
    sentences = []
    for study, other in (("b", "a"), ("a", "b")):
        ahead = known[known["better"] == study]
        if len(ahead):
            named = enumerate_items([f"{row['name']} ({_difference(row)})" for _, row in ahead.iterrows()])
            pair = f"{study.upper()}'s configuration than with {other.upper()}'s"
            sentences.append(f"AP is higher with {pair}, beyond noise: {named}.")
    quiet = known[(known["better"] == "") & known["p_adjusted"].notna()]
    if len(quiet):
        least = f"{'smallest ' if len(quiet) > 1 else ''}adjusted p {p_text(quiet['p_adjusted'].min(), alpha)}"
        named = enumerate_items(list(quiet["name"]))
        sentences.append(f"AP does not differ between A's and B's configurations beyond noise: {named} ({least}).")
        sentences += _detectable(quiet, alpha, family=len(known))
    untested = known[known["p_adjusted"].isna()]
    single = untested[untested[["n_a", "n_b"]].min(axis=1) < 2]
    constant = untested.drop(single.index)
    if len(single):
        sentences.append(f"One seed decides nothing: no claim for {_named(single)}.")
    if len(constant):
        sentences.append(f"The same difference in every seed, so that t is undefined: no claim for {_named(constant)}.")
    return sentences


def _detectable(quiet: pd.DataFrame, alpha: float, family: int) -> list[str]:
    """What the pairs without a claim were too few to see; of unpaired studies only how many trials there are."""
    paired = quiet[quiet["n"] >= 2]
    if paired.empty:
        return [f"They have {_range(quiet['n_a'])} trials in A and {_range(quiet['n_b'])} in B."]
    least = minimal_detectable_difference(paired, alpha=alpha, family=family)
    if least is None:
        return []
    n = int(paired["n"].min())
    if least >= 1:
        return [f"n = {n}: no difference at all could have been seen reliably."]
    return [f"n = {n}: differences under {ap_text(least)} AP could not have been seen (power 0.8)."]


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def _speeds(table: pd.DataFrame) -> list[str]:
    timed = table[table["speed_ratio"].notna()]
    sentences = []
    for study, word in (("b", "faster"), ("a", "slower")):
        ahead = timed[timed["faster"] == study]
        if len(ahead):
            named = enumerate_items([f"{row['name']} x {row['speed_ratio']:.2f}" for _, row in ahead.iterrows()])
            sentences.append(f"B trained {word} than A, beyond the spread within each study: {named}.")
    if len(timed) and (timed["faster"] == "").all():
        sentences.append("No difference of speed beyond the spread within each study.")
    return sentences


def _named(rows: pd.DataFrame) -> str:
    return enumerate_items([f"{row['name']} ({row['difference']:+.3f})" for _, row in rows.iterrows()])


def _difference(row: pd.Series) -> str:
    p = f"adjusted p {p_text(row['p_adjusted'])}"
    if pd.isna(row["low"]):
        return f"{row['difference']:+.3f}, {p}"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], {p}"
