"""The answer for somebody who has one minute: which settings to use, and how sure that is, in Markdown.

It says less than the verdict's claims, and never more.
"""

import math
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.bottleneck import BALANCED, COMPUTE_BOUND, LOADER_BOUND, MEMORY_BOUND
from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS, Gain, default_rows
from bench.kinds.loaders.analysis.claims import FAULTS, SHARED_CORES, speed_text, workers_text
from bench.kinds.loaders.analysis.delivery import delivered_others
from bench.kinds.loaders.analysis.verdict import LoaderVerdict
from bench.report.wording import counted, enumerate_items
from bench.trials.status import Status

NETWORK, STEP, NO_STEP = "network", "step", ""
"""What computes on a batch: a network of ours, a step of somebody's own (or one that waits), or nothing."""
LEAST_NOISE = 0.01
"""A machine's spread under which nothing is said of it."""
VAGUE = 4.0
"""Upper over lower end of an interval from which a speed is not known."""
FINE = 2.0
"""A ratio under which a second decimal matters."""


def headline(found: LoaderVerdict, *, computes: str) -> str:
    """What to use, in at most three sentences; ``computes``: NETWORK, STEP or NO_STEP."""
    if not found.chosen:
        return found.why_not
    row = found.configuration(found.chosen)
    if is_vague(found):
        return (
            "Nothing can be recommended: repeats of one setting differ by more than settings do "
            f"({settings_text(row)}: {speed_text(row['low'])} to {speed_text(row['high'])} images/s). Measure again on "
            "a quiet machine, or with more `--repeats`."
        )
    noisy = f"The machine was noisy ({100 * found.noise:.0f} %): measure again on a quiet one." if found.noisy else ""
    return " ".join(filter(None, (_use(found, row), _limit(found, row, computes), noisy)))


def sureness(found: LoaderVerdict, *, cores: float | None, interval: float, computes: str, unmeasured: int = 0) -> str:
    """How sure the headline is, and why not surer; empty where nothing is recommended.

    Args:
        found: The verdict.
        cores: That the processes could use; None: not known.
        interval: The half width (relative) at which repeats end.
        computes: NETWORK, STEP or NO_STEP.
        unmeasured: Combinations that are still to be measured.
    """
    if not found.chosen:
        return ""
    row = found.configuration(found.chosen)
    on = f"this machine ({counted(int(cores), 'core')})" if cores else "this machine"
    scope = ["this data set", *([f"this {computes}"] if computes else [])]
    return " ".join(
        [
            _evidence(found, row),
            *_told_apart(found, row),
            *([] if found.defaults else [f"PyTorch's default {_without_default(found, row)} at this batch size."]),
            *_noise(found),
            *_wide(row, interval),
            *_without_result(found),
            *([f"{counted(unmeasured, 'combination')} not measured yet."] if unmeasured else []),
            f"It holds for {on}, {enumerate_items(scope)}." if len(scope) > 1 else f"It holds for {on} and {scope[0]}.",
        ]
    )


def is_vague(found: LoaderVerdict) -> bool:
    """Whether the interval of the chosen settings is so wide that they say nothing."""
    if not found.chosen:
        return False
    row = found.configuration(found.chosen)
    return bool(row["high"] > VAGUE * row["low"])


def headline_metrics(found: LoaderVerdict) -> dict[str, float]:
    """The answer in numbers; what is not known is left out."""
    if not found.chosen:
        return {}
    row = found.configuration(found.chosen)
    values: dict[str, Any] = {
        name: row[name] for name in ("images_per_s", "data_wait_share", "num_workers", "batch_size", "pin_memory")
    }
    if found.gain is not None:
        values |= {"gain": found.gain.ratio, "gain_low": found.gain.low, "gain_high": found.gain.high}
    values["noise"] = found.noise
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def settings_text(row: pd.Series) -> str:
    """`2 workers with batches of 16 and pinned memory`: what differs from PyTorch's defaults."""
    own = [
        *(["pinned memory"] if row["pin_memory"] else []),
        *(["persistent workers"] if row["persistent_workers"] else []),
        *([f"prefetch_factor={int(row['prefetch_factor'])}"] if not pd.isna(row["prefetch_factor"]) else []),
        *([f"start method {row['start_method']}"] if isinstance(row["start_method"], str) else []),
        *([f"cv2.setNumThreads({int(row['cv2_threads'])})"] if row["cv2_threads"] != USUAL_CV2_THREADS else []),
    ]
    batches = f"batches of {int(row['batch_size'])}"
    return f"{workers_text(row['num_workers'])} with {enumerate_items([batches, *own])}"


def _use(found: LoaderVerdict, row: pd.Series) -> str:
    speed = f"{speed_text(row['images_per_s'])} images/s"
    if found.chosen == found.defaults:
        batches = f"batches of {int(row['batch_size'])}"
        rival = ", and nothing tried is reliably faster" if len(found.complete) > 1 else ""
        return f"Keep PyTorch's default of no workers, with {batches}: {speed}{rival}."
    return f"Use {settings_text(row)}: {speed}{_gained(found.gain, found.noise)}."


def _gained(won: Gain | None, noise: float) -> str:
    if won is None:
        return ""
    times = f"{won.ratio:.{_digits(won.ratio)}f} times PyTorch's default"
    if won.low is None:
        told = abs(won.ratio - 1) > noise
        return f", {times} in one repeat" if told else ", in one repeat no faster than PyTorch's default"
    return f", {times}" if won.is_claimed(noise) else ", not reliably faster than PyTorch's default"


def _digits(ratio: float) -> int:
    return 2 if ratio < FINE else 1


def _limit(found: LoaderVerdict, row: pd.Series, computes: str) -> str:
    more = _more_workers(found, row)
    if not computes:
        return f"No step was given, so only loading was measured{f'; {more}' if more else ''}."
    waits = f"training waits for data {100 * row['data_wait_share']:.0f} % of the time"
    if found.bottleneck == MEMORY_BOUND:
        return f"Memory is the limit: {waits}, and more workers did not fit."
    if found.bottleneck == LOADER_BOUND:
        if found.flips_at is not None and found.flips_at > row["num_workers"] and not found.noisy:
            return SHARED_CORES
        return f"Loading is the limit: {waits}{f', and {more}' if more else ''}."
    if found.bottleneck == COMPUTE_BOUND:
        return f"The {computes} is the limit, not the loader."
    if found.bottleneck == BALANCED:
        return f"The loader and the {computes} are about as fast as each other: neither alone is the limit."
    return "What limits it is not known yet."


def _more_workers(found: LoaderVerdict, row: pd.Series) -> str:
    """What more workers would bring, where that was measured."""
    if found.knee is None or found.noisy:  # on a noisy machine what they bring may be hidden
        return ""
    same = found.complete[found.complete["batch_size"] == row["batch_size"]]
    most = int(same["num_workers"].max())
    if found.knee < most:
        return "more workers do not help"
    return f"more than {workers_text(most)} may help" if most else ""


def _evidence(found: LoaderVerdict, row: pd.Series) -> str:
    if math.isnan(row["low"]):
        return "A first look: one repeat has no interval; more `--repeats` give one."
    ends = f"{speed_text(row['low'])} to {speed_text(row['high'])} images/s"
    over = ""
    won = found.gain
    if won is not None and won.low is not None and won.high is not None:
        digits = _digits(won.low)
        over = f", {won.low:.{digits}f} to {won.high:.{digits}f} times the default in {counted(won.n, 'block')}"
    return f"{counted(int(row['n']), 'repeat')} in fresh processes: {ends} (95 % interval){over}."


def _told_apart(found: LoaderVerdict, row: pd.Series) -> list[str]:
    others = len(found.complete) - 1
    if not others:
        return ["Nothing else completed to compare it with."]
    if found.chosen in found.tried:
        blocks = counted(int(row["n"]), "block")
        return [f"It was faster than the same without that one setting, measured side by side in {blocks}."]
    ties = len(found.tied) - 1
    if not ties and math.isnan(row["low"]):
        return ["All others are slower by more than the machine's noise."]  # chance is not known from one repeat
    if not ties:
        return ["All others are slower by more than chance and noise."]
    if found.tied[0] == found.chosen:
        return [f"{counted(ties, 'other')} cannot be told apart from it, and cost{'s' * (ties == 1)} more."]
    return [
        f"{ties + 1} settings, this one and the fastest measured among them, cannot be told apart; of these it needs "
        "the fewest workers and the least memory."
    ]


def _without_default(found: LoaderVerdict, row: pd.Series) -> str:
    """Why nothing is compared with PyTorch's default."""
    tried = default_rows(found.configurations, row)
    return "was not measured" if tried.empty else "has no result"


def _noise(found: LoaderVerdict) -> list[str]:
    if found.noise < LEAST_NOISE:
        return []
    if found.noisy:
        return [f"Treat differences under {100 * found.noise:.0f} % as noise."]
    return [f"The machine itself varied by {100 * found.noise:.0f} %: treat smaller differences as noise."]


def _wide(row: pd.Series, interval: float) -> list[str]:
    half = (row["high"] - row["low"]) / 2 / row["images_per_s"]
    return ["More `--repeats` would narrow the interval."] if half > interval else []


def _without_result(found: LoaderVerdict) -> list[str]:
    """How many configurations have no result, and how they ended."""
    frame = found.configurations
    bare = frame[frame["status"] != Status.COMPLETE]
    if bare.empty:
        return []
    other = bare["error"].map(delivered_others)
    ends = {"delivered other samples": int(other.sum())}
    for status, words in FAULTS.items():
        ends[words] = int((bare.loc[~other, "status"] == status).sum())
    told = [f"{number} {words}" for words, number in ends.items() if number]
    return [f"Of {counted(len(frame), 'configuration')}, {enumerate_items(told)}."] if told else []
