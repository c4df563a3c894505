"""What sets two studies apart, in plain sentences."""

import pandas as pd

from bench.analysis.comparisons import ALPHA, minimal_detectable_difference
from bench.analysis.wording import enumerate_items, p_text

SCOPE = "Each study tuned its optimizers by itself; claims cover these two studies only."


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
    how = f"Not paired ({not_paired})." if not_paired else "Paired by seed: the same initial weights, images and order."
    sentences = [how, *_leaders(known), *_scores(known, alpha), *_speeds(table)]
    return " ".join([*sentences, SCOPE])


def _leaders(known: pd.DataFrame) -> list[str]:
    best = [str(known.loc[known[column].idxmax(), "name"]) for column in ("ap_a", "ap_b")]
    if len(known) == 1:
        return []
    if best[0] == best[1]:
        return [f"{best[0]} has the highest mean AP in both."]
    return [f"The highest mean AP is that of {best[0]} in A and of {best[1]} in B."]


def _scores(known: pd.DataFrame, alpha: float) -> list[str]:
    sentences = []
    for study, other in (("b", "a"), ("a", "b")):
        ahead = known[known["better"] == study]
        if len(ahead):
            named = enumerate_items([f"{row['name']} ({_difference(row)})" for _, row in ahead.iterrows()])
            sentences.append(f"AP is higher in {study.upper()} than in {other.upper()}, beyond noise: {named}.")
    quiet = known[known["better"] == ""]
    if len(quiet):
        least = quiet["p_adjusted"].min()
        evidence = (
            "" if pd.isna(least) else f" ({'smallest ' if len(quiet) > 1 else ''}adjusted p {p_text(least, alpha)})"
        )
        sentences.append(f"No difference of AP beyond noise: {enumerate_items(list(quiet['name']))}{evidence}.")
        sentences += _detectable(known, alpha)
    return sentences


def _detectable(known: pd.DataFrame, alpha: float) -> list[str]:
    """What the pairs were too few to see."""
    paired = known[known["n"] >= 2]
    least = None if paired.empty else minimal_detectable_difference(paired, alpha=alpha)
    if least is None:
        return []
    n = int(paired["n"].min())
    if least >= 1:
        return [f"n = {n}: no difference at all could have been seen reliably."]
    return [f"n = {n}: differences under {least:.3f} AP could not have been seen (power 0.8)."]


def _speeds(table: pd.DataFrame) -> list[str]:
    timed = table[table["speed_ratio"].notna()]
    sentences = []
    for study, word in (("b", "faster"), ("a", "slower")):
        ahead = timed[timed["faster"] == study]
        if len(ahead):
            named = enumerate_items([f"{row['name']} x {row['speed_ratio']:.2f}" for _, row in ahead.iterrows()])
            sentences.append(f"B trains {word} than A, beyond noise: {named}.")
    if len(timed) and (timed["faster"] == "").all():
        sentences.append("No difference of speed beyond noise.")
    return sentences


def _difference(row: pd.Series) -> str:
    p = f"adjusted p {p_text(row['p_adjusted'])}"
    if pd.isna(row["low"]):
        return f"{row['difference']:+.3f}, {p}"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], {p}"
