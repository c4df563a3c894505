"""A loader study's answer: what holds training back, which settings to take, what they gain, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.around import Variant, best_variant, of_phase, variants
from bench.kinds.loaders.analysis.bottleneck import (
    BALANCED,
    COMPUTE_BOUND,
    LOADER_BOUND,
    WORKER_SETTINGS,
    add_bottlenecks,
    alike,
    flips_at,
    knee,
    worker_curve,
)
from bench.kinds.loaders.analysis.choice import (
    USUAL_CV2_THREADS,
    Gain,
    cheapest_of_the_best,
    default_configuration,
    fastest,
    gain,
)
from bench.kinds.loaders.analysis.configurations import pool_pinning, summarize_configurations
from bench.kinds.loaders.analysis.delivery import delivered_others, others_sentences
from bench.kinds.loaders.phases import GRID
from bench.report.dataloader_call import dataloader_call
from bench.report.no_result import REMEDIES, nothing_found
from bench.trials.loader_settings import chosen_settings
from bench.trials.status import Status

FAULTS = {
    "bus_error": "met a bus error",
    "failed": "failed",
    "out_of_memory": "ran out of memory",
    "skipped": "could not fit and did not run",
    "timed_out": "hung and timed out",
}
MEMORY_FAULTS = ("skipped", "out_of_memory", "bus_error")
MEMORY_BOUND = "memory-bound"
LATE = 3.0
"""One batch in a hundred that is waited for so many times as long as a batch usually takes is a straggler."""
SLOW_START = 10.0
"""A first batch that takes so many usual batches is worth a sentence."""
NO_STEP = "No step was given: loading alone was measured, as fast as it goes with nothing to hide it behind."
REMEDIES_HERE = REMEDIES | {
    "failed": "Mend the cause, then measure anew under another name (`posebench study loaders --name NAME`): what is "
    "recorded is not measured again.",
    "timed_out": "Raise stall_s in a study file, or see what the data set waits for.",
}
"""What to do where no measurement has a result, by their status."""
SCOPE = "Claims cover this machine, this data set and this step only."


@dataclass(frozen=True)
class LoaderVerdict:
    """What a loader study found.

    Attributes:
        configurations: The summary that everything below was read from, fastest first (`add_bottlenecks`).
        recommended: The settings to take, or None where nothing completed.
        call: The ``DataLoader(...)`` call to paste, or "".
        bottleneck: What the recommended configuration waits for: `loader-bound`, `compute-bound`, `balanced`,
            `memory-bound` (loader-bound, and more workers did not fit into memory) or `unknown`.
        flips_at: From how many workers on training is not loader-bound, at the recommended batch size.
        knee: From how many workers on more do not help.
        gain: Over PyTorch's defaults at the same batch size; None where those were not measured.
        sentences: All of it in words.
    """

    configurations: pd.DataFrame
    recommended: dict[str, Any] | None
    call: str
    bottleneck: str
    flips_at: int | None
    knee: int | None
    gain: Gain | None
    sentences: list[str]

    @property
    def text(self) -> str:
        """One paragraph."""
        return " ".join(self.sentences)


def loaders_verdict(
    rows: pd.DataFrame,
    *,
    noise: float = 0.0,
    noisy: bool = False,
    pinning_idle: str = "",
    has_step: bool = True,
    different: Sequence[str] = (),
) -> LoaderVerdict:
    """Read the answer from a study's measurements.

    Args:
        rows: See `summarize_configurations`; also ``effective_pin_memory`` and ``device``.
        noise: The machine's spread (relative), as `bench.measure.noise` found it: differences inside are none.
        noisy: Whether that is too much for a quiet machine.
        pinning_idle: Why pinned memory, which was asked for, could have no effect here and was not measured.
        has_step: Whether something is computed; else only loading was measured, and nothing can hide it.
        different: What `loaders_delivery` found: speeds of different work are not compared.
    """
    rows, pinning = pool_pinning(rows)
    pinning = pinning_idle or pinning
    frame = add_bottlenecks(summarize_configurations(rows), noise=noise) if len(rows) else pd.DataFrame()
    base = best_of_grid(rows, noise=noise)
    closing = [*_noise_sentences(noise, noisy), *([pinning] if pinning else []), SCOPE]
    if different:
        told = ["The configurations delivered different batches: nothing can be compared.", *different]
        return LoaderVerdict(frame, None, "", "unknown", None, None, None, [*told, *closing])
    if base is None:
        why = nothing_found(rows, noun="measurement", remedies=REMEDIES_HERE)
        told = ["No configuration completed: there is nothing to recommend.", *_fault_sentences(frame)]
        told = [*([why] if why else []), *told]
        return LoaderVerdict(frame, None, "", "unknown", None, None, None, [*told, *closing])
    base = _row_of(frame, base["key"])
    tried = variants(rows, frame, base)
    better = best_variant(tried, noise=noise)
    chosen = base if better is None else _row_of(frame, better.key)
    curve = _curve(frame, chosen)
    bound = _bound(frame, chosen) if has_step else LOADER_BOUND
    defaults = default_configuration(frame, chosen)
    won = None if defaults is None else gain(rows, chosen, defaults)
    flip, bend = flips_at(curve), knee(curve, noise=noise)
    grid = frame[frame["key"].isin(summarize_configurations(of_phase(rows, GRID))["key"])]
    sentences = [
        _bound_sentence(bound, chosen, flip, frame) if has_step else NO_STEP,
        _choice_sentence(grid, base, noise),
        *_around_sentences(tried, better, chosen),
        *_gain_sentences(won, chosen, defaults, noise),
        *_knee_sentences(bend, curve, bound),
        *_limit_sentences(chosen, noise),
        *_straggler_sentences(chosen),
        *_border_sentences(chosen, tried),
        *_threads_sentences(chosen),
        *_fault_sentences(frame),
        *closing,
    ]
    return LoaderVerdict(frame, chosen_settings(chosen), dataloader_call(chosen), bound, flip, bend, won, sentences)


def best_of_grid(rows: pd.DataFrame, *, noise: float) -> pd.Series | None:
    """The cheapest of the fastest combinations of the grid, a row of its summary; None where none is complete.

    What the around phase is laid around, and what the answer begins with: the two must be the same.
    """
    summary = summarize_configurations(of_phase(rows, GRID)) if len(rows) else pd.DataFrame()
    return cheapest_of_the_best(summary, noise=noise) if len(summary) else None


def _row_of(frame: pd.DataFrame, key: str) -> pd.Series:
    return frame[frame["key"] == key].iloc[0]


def _curve(frame: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """The worker curve of the chosen one; of PyTorch's defaults where its own settings were tried with it alone."""
    own = worker_curve(frame, chosen)
    plain = chosen.copy()
    plain[list(WORKER_SETTINGS)] = None
    plain["cv2_threads"] = USUAL_CV2_THREADS
    grid = worker_curve(frame, plain)
    return grid if len(grid) > len(own) else own


def _bound(frame: pd.DataFrame, chosen: pd.Series) -> str:
    """The chosen one's bottleneck; memory where it is loader-bound and what would load faster did not fit."""
    if chosen["bottleneck"] != LOADER_BOUND:
        return str(chosen["bottleneck"])
    more = frame[(frame["num_workers"] > chosen["num_workers"]) & (frame["batch_size"] == chosen["batch_size"])]
    unfit = more["status"].isin(MEMORY_FAULTS)
    return MEMORY_BOUND if unfit.any() and not (more["status"] == Status.COMPLETE).any() else LOADER_BOUND


def _bound_sentence(bound: str, chosen: pd.Series, flip: int | None, frame: pd.DataFrame) -> str:
    share = f"{100 * chosen['data_wait_share']:.0f} % of the time is spent waiting for data"
    batches = f"batches of {int(chosen['batch_size'])}"
    with_it = f"with {_workers(chosen['num_workers'])} and {batches}"
    if bound == MEMORY_BOUND:
        return f"Memory is the limit: training is still loader-bound {with_it} ({share}), and more workers did not fit."
    if bound == LOADER_BOUND:
        most = int(frame.loc[frame["status"] == Status.COMPLETE, "num_workers"].max())
        ends = f"No measured number of workers (up to {most}) ends that."
        if flip is not None and flip > chosen["num_workers"]:
            ends = f"From {_workers(flip)} on it waits less, and is no faster for it: workers and step share the cores."
        return f"Training is loader-bound {with_it}: {share}. {ends}"
    if bound == COMPUTE_BOUND:
        if flip is not None and flip == chosen["num_workers"]:
            return f"Training is compute-bound from {_workers(flip)} on ({batches}): {share}."
        return f"Training is compute-bound {with_it}: {share}."
    if bound == BALANCED:
        return f"Loading and computing are balanced {with_it}: each alone is about as fast as the other; {share}."
    return f"What holds training back {with_it} is unknown: the arms were not measured whole."


def _choice_sentence(frame: pd.DataFrame, chosen: pd.Series, noise: float) -> str:
    best = fastest(frame)
    assert best is not None
    complete = frame[frame["status"] == Status.COMPLETE]
    tied = sum(alike(row, best, noise=noise) for _, row in complete.iterrows())
    speed = f"{_speed(chosen)} with {dataloader_call(chosen)}"
    if len(complete) == 1:
        return f"Only one configuration completed: {speed}."
    if chosen["key"] == best["key"]:
        others = "one other" if tied == 2 else f"{tied - 1} others"
        return f"Fastest: {speed}" + (f"; {others} cannot be told apart from it, and cost more." if tied > 1 else ".")
    return (
        f"Take {dataloader_call(chosen)}: {_speed(chosen)}, the cheapest of {tied} configurations that cannot be told "
        f"apart from the fastest ({_speed(best)} with {_workers(best['num_workers'])}, batches of "
        f"{int(best['batch_size'])})."
    )


def _around_sentences(tried: Sequence[Variant], better: Variant | None, chosen: pd.Series) -> list[str]:
    if not tried:
        return []
    found = []
    if better is not None:
        found.append(
            f"With {_named(better)} it is {better.gain.ratio:.2f} times as fast ({better.gain.low:.2f} to "
            f"{better.gain.high:.2f}, {better.gain.n} blocks): {_speed(chosen)} with {dataloader_call(chosen)}."
        )
    others = [_named(each) for each in tried if each is not better]
    if others:
        found.append(f"Tried around it and no gain to rely on: {', '.join(others)}.")
    return found


def _named(variant: Variant) -> str:
    return f"{variant.setting}={variant.value}"


def _gain_sentences(won: Gain | None, chosen: pd.Series, defaults: pd.Series | None, noise: float) -> list[str]:
    if won is None or defaults is None:
        return ["PyTorch's defaults (num_workers=0) were not measured at this batch size: no gain can be said."]
    if chosen["key"] == defaults["key"]:
        return ["That is PyTorch's default: nothing is gained by other settings."]
    times = f"{won.ratio:.2f} times the images/s of PyTorch's defaults (num_workers=0, pin_memory=False)"
    if won.low is None or won.high is None:
        inside = ", inside the machine's noise: no gain can be claimed" if abs(won.ratio - 1) <= noise else ""
        return [f"Measured: {times}; one repeat, no interval{inside}."]
    spread = f"95 % interval {won.low:.2f} to {won.high:.2f}, {won.n} blocks"
    if won.low <= 1 <= won.high or abs(won.ratio - 1) <= noise:
        return [f"No gain over PyTorch's defaults can be claimed: {won.ratio:.2f} times ({spread})."]
    return [f"Expected: {times} ({spread})."]


def _knee_sentences(bend: int | None, curve: pd.DataFrame, bound: str) -> list[str]:
    if bend is None or len(curve) < 2:
        return []
    most = int(curve["num_workers"].max())
    if bend == 0:
        return [f"More workers do not help (measured up to {most})."]
    if bend < most:
        return [f"From {_workers(bend)} on, more do not help (measured up to {most})."]
    more = ": more may help" if bound == LOADER_BOUND else ""
    return [f"Images/s grow up to the last number of workers tried ({most}){more}."]


def _limit_sentences(chosen: pd.Series, noise: float) -> list[str]:
    gap, limit = chosen["gap"], chosen["limit_images_per_s"]
    if math.isnan(gap):
        return []
    if gap <= max(noise, 0.0):
        return [f"That is all that min(loader, compute) = {limit:.3g} images/s allows."]
    why = " (one process does both in turn)" if chosen["num_workers"] == 0 else ""
    return [f"It is {100 * gap:.0f} % below min(loader, compute) = {limit:.3g} images/s{why}."]


def _straggler_sentences(chosen: pd.Series) -> list[str]:
    found = []
    usual_ms = 1000 * chosen["batch_size"] / chosen["images_per_s"]
    # Loader-bound, a whole round of batches comes at once, and the next one is waited for as long.
    if chosen["wait_p99_ms"] > LATE * usual_ms and chosen["bottleneck"] != LOADER_BOUND:
        found.append(
            f"One batch in a hundred is waited for {chosen['wait_p99_ms']:.0f} ms, where a batch takes {usual_ms:.0f}: "
            "single samples are slow." + (" A larger prefetch_factor evens that out." if chosen["num_workers"] else "")
        )
    if chosen["first_batch_s"] > SLOW_START * usual_ms / 1000:
        border = (
            "" if math.isnan(chosen["epoch_gap_s"]) else f", the border of two epochs {chosen['epoch_gap_s']:.2g} s"
        )
        found.append(f"The first batch takes {chosen['first_batch_s']:.2g} s{border}: images/s leave that out.")
    return found


def _border_sentences(chosen: pd.Series, tried: Sequence[Variant]) -> list[str]:
    """What starting workers again costs each epoch: images/s do not show it."""
    if chosen["num_workers"] == 0 or chosen["persistent_workers"] or math.isnan(chosen["epoch_gap_s"]):
        return []
    kept = [each for each in tried if each.setting == "persistent_workers" and each.value is True]
    if not kept or math.isnan(kept[0].epoch_gap_s):
        return ["persistent_workers=True would save starting the workers at each border of two epochs."]
    with_it, without = kept[0].epoch_gap_s, kept[0].base_epoch_gap_s
    if with_it >= without:
        return [f"Keeping the workers (persistent_workers=True) saves nothing between epochs: {with_it:.2g} s."]
    return [f"persistent_workers=True shortens the border of two epochs from {without:.2g} to {with_it:.2g} s."]


def _threads_sentences(chosen: pd.Series) -> list[str]:
    """What a DataLoader's arguments cannot say."""
    if chosen["cv2_threads"] == USUAL_CV2_THREADS:
        return []
    return [f"It needs cv2.setNumThreads({int(chosen['cv2_threads'])}) in every process that makes samples."]


def _fault_sentences(frame: pd.DataFrame) -> list[str]:
    if frame.empty:
        return []
    other = frame["error"].map(delivered_others)
    found = others_sentences(
        [f"{_workers(row['num_workers'])}, batches of {int(row['batch_size'])}" for _, row in frame[other].iterrows()],
        list(frame.loc[other, "error"]),
    )
    for status, rows in frame[frame["status"].isin(FAULTS) & ~other].groupby("status", sort=True):
        example, number = rows.iloc[0], len(rows)
        found.append(
            f"{number} configuration{'s' * (number > 1)} {FAULTS[str(status)]} (for example "
            f"{_workers(example['num_workers'])}, batches of {int(example['batch_size'])}: {example['error']})."
        )
    return found


def _noise_sentences(noise: float, noisy: bool) -> list[str]:
    if noisy:
        return [f"The machine was noisy (spread {100 * noise:.0f} %): no smaller difference is called one here."]
    return []


def _workers(number: float) -> str:
    return "no workers" if number == 0 else "1 worker" if number == 1 else f"{int(number)} workers"


def _speed(row: pd.Series) -> str:
    if math.isnan(row["low"]):
        return f"{row['images_per_s']:.3g} images/s (one repeat)"
    return f"{row['images_per_s']:.3g} images/s ({row['low']:.3g} to {row['high']:.3g})"
