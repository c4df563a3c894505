"""The short answer of a loader study, in Markdown: which settings to use, and how certain that is.

It never says anything that the verdict's claims do not say.
"""

import math
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.bottleneck import (
    BALANCED,
    COMPUTE_BOUND,
    IN_TURN,
    LOADER_BOUND,
    MEMORY_BOUND,
    SHARED_CORES,
    SPEEDS_UP,
)
from bench.kinds.loaders.analysis.choice import is_default
from bench.kinds.loaders.analysis.claims import (
    FAULTS,
    brief,
    digits,
    dropped_sentences,
    most_workers,
    settings_text,
    speed_text,
    workers_text,
)
from bench.kinds.loaders.analysis.delivery import is_different_delivery
from bench.kinds.loaders.analysis.findings import LoaderVerdict, Ratio
from bench.kinds.loaders.analysis.ratios import TOO_WIDE
from bench.kinds.loaders.analysis.variants import EQUAL, SLOWER
from bench.report.wording import counted, enumerate_items
from bench.trials.status import Status

NETWORK, STEP, NO_STEP = "network", "step", ""
"""Kinds of training step: NETWORK trains one of our networks, STEP is a user's step or a wait, NO_STEP: loading
alone."""
WORTH_SAYING = 0.2
"""A possible loss of speed is mentioned if it is known to be below this share."""


def headline(verdict: LoaderVerdict, *, computes: str, longer: str = "") -> str:
    """Return what to use, in at most three sentences.

    Args:
        verdict: The verdict.
        computes: NETWORK, STEP or NO_STEP.
        longer: Advice if the choice is not settled, the end of a sentence: `--preset small` takes 8 minutes.
    """
    pick = verdict.pick
    if pick is None:
        return verdict.why_not
    row = verdict.configuration(verdict.chosen)
    if not pick.settled:
        so_far = f"Not settled: best so far {settings_text(row)}, {speed_text(row['images_per_s'])} images/s"
        if verdict.chosen == pick.key and pick.loses_at_most is not None and pick.loses_at_most < WORTH_SAYING:
            so_far += f" and at most {100 * pick.loses_at_most:.1f} % slower than any other tried"
        return f"{so_far}{f'; {longer}' if longer else ''}. {_limit(verdict, computes)}"
    sizes = len([each for each in verdict.picks if each.key])
    other = "Changing the batch size changes the training, so the choice for each is listed below." if sizes > 1 else ""
    return " ".join(filter(None, (_use(verdict, row), _limit(verdict, computes), other)))


def sureness(verdict: LoaderVerdict, *, cores: float | None, computes: str, unmeasured: int = 0) -> str:
    """Return how certain the headline is, and what limits the certainty; empty if nothing is recommended.

    Args:
        verdict: The verdict.
        cores: Cores that the processes could use; None: unknown.
        computes: NETWORK, STEP or NO_STEP.
        unmeasured: Number of combinations that are still to be measured.
    """
    pick = verdict.pick
    if pick is None:
        return ""
    row = verdict.configuration(verdict.chosen)
    on = f"this machine ({counted(int(cores), 'core')})" if cores else "this machine"
    scope = ["this data set", *([f"this {computes}"] if computes else [])]
    return " ".join(
        [
            _evidence(verdict, row),
            *_compared(verdict),
            *_without_default(verdict, row),
            *(each.why_not for each in verdict.picks if each.why_not),
            *dropped_sentences(verdict),
            *_without_result(verdict),
            *([f"{counted(unmeasured, 'combination')} not measured yet."] if unmeasured else []),
            f"This holds for {enumerate_items([on, *scope])}.",
        ]
    )


def headline_metrics(verdict: LoaderVerdict) -> dict[str, float]:
    """Return the answer in numbers; unknown ones are left out."""
    pick = verdict.pick
    if pick is None:
        return {}
    row = verdict.configuration(verdict.chosen)
    names = ("images_per_s", "data_wait_share", "num_workers", "batch_size", "pin_memory", "of_model")
    values: dict[str, Any] = {name: row[name] for name in names} | {"settled": pick.settled}
    if verdict.gain is not None:
        values |= {"gain": verdict.gain.value, "gain_low": verdict.gain.low, "gain_high": verdict.gain.high}
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def _use(verdict: LoaderVerdict, row: pd.Series) -> str:
    speed = f"{speed_text(row['images_per_s'])} images/s"
    if not is_default(row):
        return f"Use {settings_text(row)}: {speed}{_gained(verdict.gain)}."
    batches = f"batches of {int(row['batch_size'])}"
    return f"Keep PyTorch's default of no workers, with {batches}: {speed}{_no_faster(verdict, row)}."


def _no_faster(verdict: LoaderVerdict, row: pd.Series) -> str:
    """State that no other configuration is faster, as far as this was shown; a settled choice shows it for its
    panel."""
    share = f"{100 * verdict.margin:.2g} %"
    if (verdict.complete["batch_size"] == row["batch_size"]).sum() < 2:
        return ""
    if all(each.standing in (EQUAL, SLOWER) for each in verdict.variants):
        return f", and nothing tried at this batch size is more than {share} faster"
    return f", and no number of workers tried is more than {share} faster" if most_workers(verdict, row) else ""


def _gained(gain: Ratio | None) -> str:
    if gain is None:
        return ""
    times = f"{gain.value:.{digits(gain.value)}f} times PyTorch's default"
    return f", {times}" if gain.differs else ""


def _limit(verdict: LoaderVerdict, computes: str) -> str:
    row = verdict.configuration(verdict.limited)
    more = _more_workers(verdict, row)
    if not computes:
        return f"No step was given, so only loading was measured{f'; {more}' if more else ''}."
    free = {name: _times(row[f"if_{name}_were_free"]) for name in ("loading", "computing")}
    if verdict.bottleneck == MEMORY_BOUND:
        return f"Memory is the limit: free loading would make training {free['loading']}, but more workers did not fit."
    if verdict.bottleneck == LOADER_BOUND:
        return f"Loading is the limit: were it free, training would be {free['loading']}{f'; {more}' if more else ''}."
    if verdict.bottleneck == COMPUTE_BOUND:
        high = row["if_loading_were_free_high"]
        limit = "is the limit" if high <= SPEEDS_UP else "takes more of the time than loading"
        return f"The {computes} {limit}: free loading would bring at most {100 * max(0.0, high - 1):.0f} %."
    if verdict.bottleneck == BALANCED:
        return f"Loading and the {computes} are balanced: either of them made faster alone would bring less than 10 %."
    if verdict.bottleneck == IN_TURN:
        share = row["data_wait_share"]
        return (
            f"One process loads and computes in turn: loading takes {100 * share:.0f} % of the time, the {computes} "
            f"{100 * (1 - share):.0f} %."
        )
    if verdict.bottleneck == SHARED_CORES:
        return (
            f"Workers and the {computes} share the cores: were loading free, training would be {free['loading']}; "
            f"were computing free, {free['computing']}."
        )
    return "What limits the speed is not settled."


def _times(value: float) -> str:
    return f"{value:.{digits(value)}f} times as fast"


def _more_workers(verdict: LoaderVerdict, row: pd.Series) -> str:
    """State the effect of more workers, if it is settled."""
    most = most_workers(verdict, row)
    if verdict.knee is None or not most:
        return ""
    return "more workers do not help" if verdict.knee < most else f"more than {workers_text(most)} were not tried"


def _evidence(verdict: LoaderVerdict, row: pd.Series) -> str:
    blocks = f"{counted(int(row['n']), 'block')} of fresh processes side by side"
    if math.isnan(row["low"]):
        return f"Measured in {blocks}: too few, or too different, to know the speed within a factor of {TOO_WIDE:g}."
    ends = f"{speed_text(row['low'])} to {speed_text(row['high'])} images/s"
    gain, over = verdict.gain, ""
    if gain is not None and gain.low is not None and gain.high is not None and not is_default(row):
        at = digits(gain.low)
        over = f", {gain.low:.{at}f} to {gain.high:.{at}f} times PyTorch's default"
    return f"Measured in {blocks}: {ends}{over} (95 % intervals, over all looks at the data)."


def _compared(verdict: LoaderVerdict) -> list[str]:
    pick, share = verdict.pick, f"{100 * verdict.margin:.2g} %"
    assert pick is not None
    others = int((verdict.complete["batch_size"] == pick.batch_size).sum()) - 1
    if not others:
        return ["Nothing else completed at this batch size to compare it with."]
    if not pick.settled:
        waiting = enumerate_items([brief(verdict.configuration(key)) for key in pick.open])
        return [f"Not measured precisely enough to choose within {share}: {waiting}."]
    if verdict.chosen != pick.key:
        return [f"It was shown to be more than {share} faster than the same without that one setting."]
    if pick.equal:
        equal = enumerate_items([brief(verdict.configuration(key)) for key in pick.equal])
        return [f"Equal to it within {share}, at a higher cost: {equal}."]
    return []


def _without_default(verdict: LoaderVerdict, row: pd.Series) -> list[str]:
    """State why nothing is compared with PyTorch's defaults."""
    same = verdict.configurations[verdict.configurations["batch_size"] == row["batch_size"]]
    plain = [each for _, each in same.iterrows() if is_default(each)]
    if any(each["n"] > 0 for each in plain):
        return []
    why = "has no result" if plain else "was not measured"
    return [f"PyTorch's default of no workers {why} at this batch size."]


def _without_result(verdict: LoaderVerdict) -> list[str]:
    """State how many configurations have no result, and how they ended."""
    frame = verdict.configurations
    bare = frame[frame["status"] != Status.COMPLETE]
    if bare.empty:
        return []
    delivered_different = bare["error"].map(is_different_delivery)
    ends = {"delivered different samples": int(delivered_different.sum())}
    for status, words in FAULTS.items():
        ends[words] = int((bare.loc[~delivered_different, "status"] == status).sum())
    parts = [f"{number} {words}" for words, number in ends.items() if number]
    return [f"Of {counted(len(frame), 'configuration')}, {enumerate_items(parts)}."] if parts else []
