"""Say in sentences how two optimizers studies differ: score and speed of each optimizer, tuned and trained."""

import pandas as pd

from bench.kinds.optimizers.analysis.two_studies import NOT_PAIRED
from bench.kinds.optimizers.measure import AP, Measure
from bench.report.no_result import OWN_REMEDIES, REMEDIES, all_in_trouble, no_result_text, trouble_sentences
from bench.report.wording import enumerate_items, p_text
from bench.statistics.level import ALPHA

SCOPE = (
    "Claims are about procedures (an optimizer tuned with its study's budget, then trained) under the settings, "
    "data and machine of the two studies."
)


def comparison_verdict(table: pd.DataFrame, *, alpha: float = ALPHA, measure: Measure = AP) -> str:
    """Say which differences between two studies, A and B, are more than the luck of tuning and noise.

    Args:
        table: From `two_studies.compare_studies`.
        alpha: The level that ``table`` was made with.
        measure: The measure that its scores are in.

    Returns:
        One paragraph that ends in `SCOPE`.
    """
    compared = table[table["difference"].notna()]
    if compared.empty:
        return f"No optimizer has a complete tuning in both studies: there is nothing to compare. {SCOPE}"
    measure_texts = [text for text in (measure.defined, measure.limits) if text]
    pairing = f"Not paired ({NOT_PAIRED})."
    return " ".join(
        [
            pairing,
            *_leaders(compared, measure),
            *_scores(compared, alpha, measure),
            *_speeds(table),
            *measure_texts,
            SCOPE,
        ]
    )


def neither_has_result_text(a: pd.DataFrame, b: pd.DataFrame, *, measure: Measure = AP) -> str:
    """Say which of two studies, A and B, has no result, and why; empty where both have one.

    If no trial of a study completed, diverged or was pruned, its AP of 0 cannot be compared with another study's.

    Args:
        a: Records of the first study, one row a trial, without controls.
        b: Records of the second.
        measure: The measure of both.
    """
    remedies = OWN_REMEDIES if measure.is_own else REMEDIES
    sentences = [
        f"{letter} has no result. {no_result_text(records, remedies=remedies)}"
        for letter, records in (("A", a), ("B", b))
        if all_in_trouble(records)
    ]
    return " ".join([*sentences, f"There is nothing to compare. {SCOPE}"]) if sentences else ""


def trouble_text(a: pd.DataFrame, b: pd.DataFrame, *, measure: Measure = AP) -> str:
    """Return a sentence for each optimizer whose trials all failed in one of the studies, if both studies have
    results."""
    return " ".join(
        f"In {letter}: {sentence}"
        for letter, records in (("A", a), ("B", b))
        for sentence in trouble_sentences(records, measure=f"{measure.name} of {measure.failure_text}")
    )


def _leaders(compared: pd.DataFrame, measure: Measure) -> list[str]:
    """Name the optimizer with the best mean in each study; nothing if several share it, or all are at chance."""
    if len(compared) == 1:
        return []
    best = []
    for column in ("score_a", "score_b"):
        highest = compared.loc[compared[column] == compared[column].max(), ["name", column]]
        if len(highest) > 1 or not highest[column].iloc[0] > measure.chance:
            return []
        best.append(str(highest["name"].iloc[0]))
    where = "A and in B" if best[0] == best[1] else f"A, {best[1]} in B"
    return [f"Of the optimizers in both, {best[0]} has the {measure.highest} mean {measure.name} in {where}."]


def _scores(compared: pd.DataFrame, alpha: float, measure: Measure) -> list[str]:
    sentences = []
    title = measure.title
    for study, other in (("b", "a"), ("a", "b")):
        ahead = compared[compared["better"] == study]
        if len(ahead):
            optimizers = enumerate_items(
                [f"{row['name']} ({_difference(row, measure)})" for _, row in ahead.iterrows()]
            )
            sentences.append(
                f"{title} is {measure.higher} in {study.upper()} than in {other.upper()}, beyond noise: {optimizers}."
            )
    undecided = compared[(compared["better"] == "") & compared["p_adjusted"].notna()]
    if len(undecided):
        least = f"{'smallest ' if len(undecided) > 1 else ''}adjusted p {p_text(undecided['p_adjusted'].min(), alpha)}"
        optimizers = enumerate_items(list(undecided["name"]))
        sentences.append(f"{title} does not differ beyond noise: {optimizers} ({least}).")
        sentences.append(
            f"They were tuned {_range(undecided['tunings_a'])} times in A and {_range(undecided['tunings_b'])} in B."
        )
    untested = compared[compared["p_adjusted"].isna()]
    single = untested[untested[["tunings_a", "tunings_b"]].min(axis=1) < 2]
    constant = untested.drop(single.index)
    if len(single):
        sentences.append(f"One tuning is too few: no claim for {_named(single, measure)}.")
    if len(constant):
        sentences.append(
            f"The tunings show no spread, so the t test is undefined: no claim for {_named(constant, measure)}."
        )
    return sentences


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def _speeds(table: pd.DataFrame) -> list[str]:
    timed = table[table["speed_ratio"].notna()]
    sentences = []
    for study, word in (("b", "faster"), ("a", "slower")):
        ahead = timed[timed["faster"] == study]
        if len(ahead):
            optimizers = enumerate_items([f"{row['name']} x {row['speed_ratio']:.2f}" for _, row in ahead.iterrows()])
            sentences.append(f"B trained {word} than A, beyond the spread within each study: {optimizers}.")
    if len(timed) and (timed["faster"] == "").all():
        sentences.append("No difference in speed exceeds the spread within each study.")
    return sentences


def _named(rows: pd.DataFrame, measure: Measure) -> str:
    nan = float("nan")
    return enumerate_items(
        [f"{row['name']} ({measure.difference(row['difference'], nan, nan)})" for _, row in rows.iterrows()]
    )


def _difference(row: pd.Series, measure: Measure) -> str:
    difference = measure.difference(row["difference"], row["low"], row["high"])
    return f"{difference}, adjusted p {p_text(row['p_adjusted'])}"
