"""Sentences about trials without a result: how they ended, the reasons with counts, and how to fix them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.report.text import code
from bench.report.wording import counted, enumerate_items
from bench.trials.status import Status

ENDED = {
    "failed": "failed",
    "out_of_memory": "ran out of memory",
    "bus_error": "met a bus error",
    "timed_out": "reached the time limit",
    "diverged": "diverged",
    "pruned": "were pruned",
    "skipped": "were skipped",
}
"""Verb phrase by status, in the order in which they are listed."""
ONE_ENDED = {"pruned": "was pruned", "skipped": "was skipped"}
REMEDIES = {
    "failed": "Fix the cause, then run the study under another --name: recorded trials are not repeated.",
    "out_of_memory": "Take a smaller batch_size, size or network, or fewer workers.",
    "bus_error": "Give the container more shared memory (`--shm-size`), or take num_workers 0.",
    "timed_out": "Raise trial_time_limit, or ask for fewer steps.",
    "diverged": "Search lower learning rates.",
    "pruned": "Without a pruner, trials run to their end.",
    "skipped": "Take a smaller batch_size, or fewer workers.",
}
OWN_REMEDIES = REMEDIES | {"out_of_memory": REMEDIES["skipped"]}
"""Remedies for a workload other than pose networks, which has no setting `size` or `network`."""
RESULTS = (Status.DIVERGED, Status.PRUNED)
"""Statuses of incomplete trials that are a result of their settings; all other incomplete trials have failed."""
REASONS_NAMED = 3
REASON_LENGTH = 300
"""Maximum number of quoted characters of a reason."""


def no_result_text(
    rows: pd.DataFrame, *, noun: str = "trial", remaining: int = 0, remedies: Mapping[str, str] = REMEDIES
) -> str:
    """Say why no trial has a result, and what to do: `All 6 trials failed: 6 times `RuntimeError: ...`.`

    Args:
        rows: One row for each trial: ``status``, and ``error`` if there is one.
        noun: Name of a row, in the singular.
        remaining: Number of trials still to come.
        remedies: What to do, by status.

    Returns:
        Sentences; empty if a trial is complete, or if there are no trials.
    """
    if not len(rows) or (rows["status"] == Status.COMPLETE).any():
        return ""
    advice = (remedies.get(status, "") for status, _ in _in_order(_ends(rows)))
    return " ".join([_ending_sentence(rows, noun, remaining=remaining), *filter(None, advice)])


def trouble_sentences(records: pd.DataFrame, *, remaining: int = 0, measure: str = "AP of 0") -> list[str]:
    """Return a sentence for each optimizer whose trials all failed or exceeded a limit; empty if no trial has a result.

    An optimizer that diverged or was pruned has a result: only failures, memory and time limits are reported.

    Args:
        records: One row for each trial, with optimizer names escaped for Markdown.
        remaining: Number of trials still to come.
        measure: The score of a failed trial in words.
    """
    if not len(records) or not (records["status"] == Status.COMPLETE).any():
        return []
    sentences = []
    for name, own in records.groupby("optimizer", sort=False):
        if not (own["status"] == Status.COMPLETE).any() and not own["status"].isin(RESULTS).any():
            why = _ending_sentence(own, "trial", of=f" of {name}", remaining=remaining)
            sentences.append(why if remaining else f"{why} Its {measure} says nothing about this optimizer.")
    return sentences


def all_in_trouble(rows: pd.DataFrame) -> bool:
    """Return whether there are trials, and none of them completed, diverged or was pruned."""
    return bool(len(rows)) and not rows["status"].isin((Status.COMPLETE, *RESULTS)).any()


def failures(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Count the trials without a result by status and reason, most frequent first: ``status``, ``error``, ``count``."""
    return [
        {"status": status, "error": reason, "count": number}
        for status, _ in _in_order(_ends(rows))
        if status != Status.COMPLETE
        for reason, number in _reasons(rows, status).most_common()
    ]


def _ending_sentence(rows: pd.DataFrame, noun: str, *, of: str = "", remaining: int = 0) -> str:
    """Say in a sentence how trials without any result ended, and why."""
    ends, so_far = _ends(rows), " so far" if remaining else ""
    if len(ends) == 1:
        status, number = next(iter(ends.items()))
        who = f"All {number} {noun}s" if number > 1 else f"The only {noun}"
        return f"{who}{of}{so_far} {_ended(status, number)}{_quoted(_reasons(rows, status), ': ', '', number)}."
    parts = [
        f"{number} {_ended(status, number)}{_quoted(_reasons(rows, status), ' (', ')', number)}"
        for status, number in _in_order(ends)
    ]
    return f"None of the {len(rows)} {noun}s{of}{so_far} has a result: {enumerate_items(parts)}."


def _ends(rows: pd.DataFrame) -> Counter[str]:
    """Return the number of trials by status."""
    return Counter(map(str, rows["status"])) if "status" in rows else Counter()


def _ended(status: str, number: int) -> str:
    words = ENDED.get(status, f"ended as {status}")
    return ONE_ENDED.get(status, words) if number == 1 else words


def _in_order(ends: Counter[str]) -> Iterator[tuple[str, int]]:
    order = [*ENDED]
    yield from sorted(ends.items(), key=lambda each: order.index(each[0]) if each[0] in order else len(order))


def _reasons(rows: pd.DataFrame, status: str) -> Counter[str]:
    """Count the reasons of trials with this status: the first lines of their errors, in order of occurrence."""
    if "error" not in rows:
        return Counter()
    texts = rows.loc[rows["status"] == status, "error"]
    lines = (text.strip().splitlines() if isinstance(text, str) else [] for text in texts)
    return Counter(first_lines[0] if first_lines else "" for first_lines in lines)


def _quoted(reasons: Counter[str], before: str, after: str, trials: int) -> str:
    """Return `: 8 times `A`, 4 times `B` and 2 times another reason`; empty if there is no reason."""
    named = [(reason, number) for reason, number in reasons.most_common() if reason]
    if not named:
        return ""
    if trials == 1:
        return f"{before}{code(_short(named[0][0]))}{after}"
    parts = [f"{counted(number, 'time')} {code(_short(reason))}" for reason, number in named[:REASONS_NAMED]]
    others = sum(number for _, number in named[REASONS_NAMED:])
    if others:
        parts.append(f"{counted(others, 'time')} another reason")
    return f"{before}{enumerate_items(parts)}{after}"


def _short(reason: str) -> str:
    return reason if len(reason) <= REASON_LENGTH else f"{reason[: REASON_LENGTH - 3]}..."
