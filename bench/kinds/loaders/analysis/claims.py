"""Every claim of a loader study in sentences, in Markdown: what a verdict puts together."""

import math
from collections.abc import Sequence

import pandas as pd

from bench.kinds.loaders.analysis.around import Variant
from bench.kinds.loaders.analysis.bottleneck import BALANCED, COMPUTE_BOUND, LOADER_BOUND, MEMORY_BOUND, alike
from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS, Gain, fastest
from bench.kinds.loaders.analysis.delivery import delivered_others, others_sentences
from bench.report.dataloader_call import dataloader_call
from bench.report.text import code, literal
from bench.report.wording import counted
from bench.trials.status import Status

FAULTS = {
    "bus_error": "met a bus error",
    "failed": "failed",
    "out_of_memory": "ran out of memory",
    "skipped": "could not fit and did not run",
    "timed_out": "hung and timed out",
}
LATE = 3.0
"""One batch in a hundred that is waited for so many times as long as a batch usually takes is a straggler."""
SLOW_START = 10.0
"""A first batch that takes so many usual batches is worth a sentence."""
NO_STEP = "No step was given: loading alone was measured, as fast as it goes with nothing to hide it behind."
SHARED_CORES = "Workers cut the waiting but not the total time: they share the cores with training."
SCOPE = "Claims cover this machine, this data set and this step only."


def bound_sentence(bound: str, chosen: pd.Series, flip: int | None, frame: pd.DataFrame) -> str:
    """What holds training back with the chosen configuration."""
    share = f"{100 * chosen['data_wait_share']:.0f} % of the time is spent waiting for data"
    batches = f"batches of {int(chosen['batch_size'])}"
    with_it = f"with {workers_text(chosen['num_workers'])} and {batches}"
    if bound == MEMORY_BOUND:
        return f"Memory is the limit: training is still loader-bound {with_it} ({share}), and more workers did not fit."
    if bound == LOADER_BOUND:
        most = int(frame.loc[frame["status"] == Status.COMPLETE, "num_workers"].max())
        ends = f"No measured number of workers (up to {most}) ends that."
        if flip is not None and flip > chosen["num_workers"]:
            ends = SHARED_CORES
        return f"Training is loader-bound {with_it}: {share}. {ends}"
    if bound == COMPUTE_BOUND:
        if flip is not None and flip == chosen["num_workers"]:
            return f"Training is compute-bound from {workers_text(flip)} on ({batches}): {share}."
        return f"Training is compute-bound {with_it}: {share}."
    if bound == BALANCED:
        return f"Loading and computing are balanced {with_it}: each alone is about as fast as the other; {share}."
    return f"What holds training back {with_it} is unknown: it was not measured whole."


def choice_sentence(frame: pd.DataFrame, chosen: pd.Series, noise: float) -> str:
    """Which combination of the grid ``frame`` is taken, and from which it cannot be told apart."""
    best = fastest(frame)
    assert best is not None
    complete = frame[frame["status"] == Status.COMPLETE]
    tied = sum(alike(row, best, noise=noise) for _, row in complete.iterrows())
    speed = f"{_speed(chosen)} with {code(dataloader_call(chosen))}"
    if len(complete) == 1:
        return f"Only one configuration completed: {speed}."
    if chosen["key"] == best["key"]:
        others = "one other" if tied == 2 else f"{tied - 1} others"
        return f"Fastest: {speed}" + (f"; {others} cannot be told apart from it, and cost more." if tied > 1 else ".")
    return (
        f"Take {code(dataloader_call(chosen))}: {_speed(chosen)}. It is the cheapest of {tied} configurations that "
        f"cannot be told apart from the fastest ({_speed(best)} with {workers_text(best['num_workers'])}, batches of "
        f"{int(best['batch_size'])})."
    )


def around_sentences(tried: Sequence[Variant], better: Variant | None, chosen: pd.Series) -> list[str]:
    """What single settings around the best combination have brought."""
    if not tried:
        return []
    found = []
    if better is not None:
        found.append(
            f"With {_named(better)} it is {better.gain.ratio:.2f} times as fast ({better.gain.low:.2f} to "
            f"{better.gain.high:.2f}, {better.gain.n} blocks): {_speed(chosen)} with {code(dataloader_call(chosen))}."
        )
    others = [_named(each) for each in tried if each is not better]
    if others:
        found.append(f"Also tried, without a reliable gain: {', '.join(others)}.")
    return found


def _named(variant: Variant) -> str:
    return f"{variant.setting}={variant.value}"


def gain_sentences(won: Gain | None, chosen: pd.Series, defaults: pd.Series | None, noise: float) -> list[str]:
    """What is gained over PyTorch's defaults, as far as it can be claimed."""
    if won is None or defaults is None:
        return ["PyTorch's defaults (num_workers=0) were not measured at this batch size: no gain can be claimed."]
    if chosen["key"] == defaults["key"]:
        return ["That is PyTorch's default: other settings gain nothing."]
    times = f"{won.ratio:.2f} times the images/s of PyTorch's defaults (num_workers=0, pin_memory=False)"
    if won.low is None or won.high is None:
        inside = ", inside the machine's noise: no gain can be claimed" if abs(won.ratio - 1) <= noise else ""
        return [f"Measured: {times}; one repeat, no interval{inside}."]
    spread = f"95 % interval {won.low:.2f} to {won.high:.2f}, {won.n} blocks"
    if not won.is_claimed(noise):
        return [f"No gain over PyTorch's defaults can be claimed: {won.ratio:.2f} times ({spread})."]
    return [f"Expected: {times} ({spread})."]


def knee_sentences(bend: int | None, curve: pd.DataFrame, bound: str) -> list[str]:
    """From how many workers on more do not help."""
    if bend is None or len(curve) < 2:
        return []
    most = int(curve["num_workers"].max())
    if bend == 0:
        return [f"More workers do not help (measured up to {most})."]
    if bend < most:
        return [f"From {workers_text(bend)} on, more do not help (measured up to {most})."]
    more = ": more may help" if bound == LOADER_BOUND else ""
    return [f"Images/s grow up to the last number of workers tried ({most}){more}."]


def limit_sentences(chosen: pd.Series, noise: float) -> list[str]:
    """How much of what the slower of loading and computing allows is reached."""
    gap, limit = chosen["gap"], speed_text(chosen["limit_images_per_s"])
    if math.isnan(gap):
        return []
    if gap <= max(noise, 0.0):
        return [f"That is all that the slower of loading alone and computing alone allows ({limit} images/s)."]
    why = ": one process does both in turn" if chosen["num_workers"] == 0 else ""
    return [
        f"It is {100 * gap:.0f} % below what the slower of loading alone and computing alone allows ({limit} "
        f"images/s){why}."
    ]


def straggler_sentences(chosen: pd.Series) -> list[str]:
    """Single batches that are waited for much longer than others, and a slow beginning."""
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


def border_sentences(chosen: pd.Series, tried: Sequence[Variant]) -> list[str]:
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


def threads_sentences(chosen: pd.Series) -> list[str]:
    """What a DataLoader's arguments cannot say."""
    if chosen["cv2_threads"] == USUAL_CV2_THREADS:
        return []
    return [f"It needs cv2.setNumThreads({int(chosen['cv2_threads'])}) in every process that makes samples."]


def fault_sentences(frame: pd.DataFrame) -> list[str]:
    """Configurations without a result, and why."""
    if frame.empty:
        return []
    other = frame["error"].map(delivered_others)
    found = others_sentences(
        [
            f"{workers_text(row['num_workers'])}, batches of {int(row['batch_size'])}"
            for _, row in frame[other].iterrows()
        ],
        list(frame.loc[other, "error"]),
    )
    for status, rows in frame[frame["status"].isin(FAULTS) & ~other].groupby("status", sort=True):
        example = rows.iloc[0]
        found.append(
            f"{counted(len(rows), 'configuration')} {FAULTS[str(status)]} (for example "
            f"{workers_text(example['num_workers'])}, batches of {int(example['batch_size'])}: "
            f"{literal(str(example['error']))})."
        )
    return found


def noise_sentences(noise: float, *, noisy: bool) -> list[str]:
    """That small differences are out of reach, where the machine is to blame."""
    if noisy:
        return [f"The machine was noisy (spread {100 * noise:.0f} %): treat smaller differences as noise."]
    return []


def workers_text(number: float) -> str:
    """`no workers`, `1 worker`, `8 workers`."""
    return "no workers" if number == 0 else counted(int(number), "worker")


def speed_text(images_per_s: float) -> str:
    """Three digits at least: `9.26`, `52.0`, `118`, `1,040`."""
    if not images_per_s >= 1:
        return f"{images_per_s:.3g}"
    return f"{images_per_s:,.{2 if images_per_s < 9.995 else 1 if images_per_s < 99.95 else 0}f}"


def _speed(row: pd.Series) -> str:
    if math.isnan(row["low"]):
        return f"{speed_text(row['images_per_s'])} images/s (one repeat)"
    return f"{speed_text(row['images_per_s'])} images/s ({speed_text(row['low'])} to {speed_text(row['high'])})"
