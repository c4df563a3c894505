"""All claims of a loader study as sentences in Markdown, which the verdict puts together."""

import math
from collections.abc import Sequence

import pandas as pd

from bench.kinds.loaders.analysis.bottleneck import (
    BALANCED,
    COMPUTE_BOUND,
    IN_TURN,
    LOADER_BOUND,
    MEMORY_BOUND,
    SHARED_CORES,
)
from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS, is_default
from bench.kinds.loaders.analysis.delivery import different_sentences, is_different_delivery
from bench.kinds.loaders.analysis.findings import LoaderVerdict, Pick, Ratio, Variant
from bench.kinds.loaders.analysis.variants import EQUAL, FASTER, SLOWER
from bench.report.text import code, literal
from bench.report.wording import counted, enumerate_items

FAULTS = {
    "bus_error": "met a bus error",
    "failed": "failed",
    "out_of_memory": "ran out of memory",
    "skipped": "could not fit and did not run",
    "timed_out": "hung and timed out",
}
"""Descriptions of the statuses of configurations without a result."""
BUSY = 0.1
"""Share of the cores used by other programs above which a machine is not quiet."""
LATE = 3.0
"""If the slowest 1 % of batches take longer than this many usual batches to arrive, stragglers are reported."""
SLOW_START = 10.0
"""A first batch that takes as long as this many usual batches is mentioned."""
FINE = 2.0
"""Ratios below this are shown with two decimals."""
NO_STEP = "No step was given, so loading alone was measured, at full speed with no computing beside it."
OTHER_TRAININGS = "Changing the batch size changes the training: across batch sizes, only images/s are compared."
SCOPE = "Claims cover this machine, this data set and this step only."


def all_sentences(verdict: LoaderVerdict, *, has_step: bool, closing: Sequence[str]) -> list[str]:
    """Return all claims of a verdict that recommends something.

    Args:
        verdict: The verdict.
        has_step: Whether something is computed on the batches.
        closing: Sentences to end with.
    """
    chosen, pick = verdict.configuration(verdict.chosen), verdict.pick
    assert pick is not None
    return [
        bound_sentence(verdict.bottleneck, verdict.configuration(verdict.limited), verdict.flips_at)
        if has_step
        else NO_STEP,
        *(sentence for each in verdict.picks for sentence in pick_sentences(verdict, each)),
        *([OTHER_TRAININGS] if len(verdict.picks) > 1 else []),
        *variant_sentences(verdict, chosen),
        *gain_sentences(verdict.gain, chosen),
        *knee_sentences(verdict, chosen),
        *(model_sentences(chosen) if has_step else []),
        *straggler_sentences(chosen, verdict.bottleneck),
        *border_sentences(chosen, verdict.variants),
        *threads_sentences(chosen),
        *fault_sentences(verdict.configurations),
        *closing,
    ]


def bound_sentence(bound: str, chosen: pd.Series, flip: int | None) -> str:
    """Say which part of training limits its speed with the chosen configuration.

    Args:
        bound: The bottleneck, see `model`.
        chosen: The configuration's row.
        flip: Number of workers from which loading in no time would not help; None if unknown.
    """
    with_it = f"with {brief(chosen)} and batches of {int(chosen['batch_size'])}"
    loading = times_text(chosen, "if_loading_were_free")
    computing = times_text(chosen, "if_computing_were_free")
    wait = f"{100 * chosen['data_wait_share']:.0f} % of the time is spent waiting for data"
    if bound == MEMORY_BOUND:
        return f"Memory is the limit: training is still loader-bound {with_it} ({wait}), and more workers did not fit."
    if bound == LOADER_BOUND:
        return f"Training is loader-bound {with_it}: were loading free, it would be {loading} as fast."
    if bound == COMPUTE_BOUND:
        since = ""
        if flip is not None and flip == chosen["num_workers"] > 0:
            since = f" from {workers_text(flip)} on"
        return f"Training is compute-bound{since} {with_it}: were loading free, it would be {loading} as fast."
    if bound == BALANCED:
        return f"Loading and computing are balanced {with_it}: either alone is about as fast as training with both."
    if bound == IN_TURN:
        return (
            f"One process loads and computes in turn {with_it}: {wait}, the rest computing. Were loading free, "
            f"training would be {loading} as fast; were computing free, {computing}."
        )
    if bound == SHARED_CORES:
        return (
            f"Workers and the step share the cores {with_it}: were loading free, training would be {loading} as "
            f"fast; were computing free, {computing}."
        )
    return f"What holds training back {with_it} is not settled: the intervals are too wide to say."


def pick_sentences(verdict: LoaderVerdict, pick: Pick) -> list[str]:
    """Say which configuration is recommended at one batch size, and which are equal to it."""
    if not pick.key:
        return [pick.why_not]
    row = verdict.configuration(pick.key)
    share = f"{100 * verdict.margin:.2g} %"
    batches = f"At batches of {pick.batch_size}"
    alone = (verdict.complete["batch_size"] == pick.batch_size).sum() == 1
    if not pick.settled:
        waiting = enumerate_items([brief(verdict.configuration(key)) for key in pick.open])
        return [f"{batches}, the choice is not settled: best so far {brief(row)}, {_speed(row)}. Open: {waiting}."]
    if alone:
        return [f"{batches}, only one configuration completed: {brief(row)}, {_speed(row)}."]
    sentences = [
        f"{batches}, take {brief(row)}: {_speed(row)}, the cheapest setting at most {share} slower than any other."
    ]
    if pick.equal:
        equal = enumerate_items([brief(verdict.configuration(key)) for key in pick.equal])
        sentences.append(f"Equal to it within {share}: {equal}.")
    return sentences


def variant_sentences(verdict: LoaderVerdict, chosen: pd.Series) -> list[str]:
    """Say how each single setting that was varied around the picked configuration changed the speed."""
    sentences, share = [], f"{100 * verdict.margin:.2g} %"
    for each in verdict.variants:
        if each.key == chosen["key"]:
            sentences.append(f"With {_named(each)} it is {ratio_text(each.ratio)} as fast: {_speed(chosen)}.")
    others = [each for each in verdict.variants if each.key != chosen["key"]]
    words = {
        FASTER: "Also faster",
        EQUAL: f"Equal within {share}",
        SLOWER: "Slower",
        "open": f"Tried, but not settled whether more than {share} faster",
    }
    for standing, words_of_standing in words.items():
        named = [_named(each) for each in others if each.standing == standing]
        if named:
            sentences.append(f"{words_of_standing}: {', '.join(named)}.")
    return sentences


def gain_sentences(gain: Ratio | None, chosen: pd.Series) -> list[str]:
    """Say how much faster than PyTorch's defaults it is; ``gain``: that ratio, None if the defaults have no result."""
    if is_default(chosen):
        return ["The choice is PyTorch's default number of workers (0)."]
    if gain is None:
        return ["PyTorch's defaults (num_workers=0) have no result at this batch size: no gain can be claimed."]
    times = f"{ratio_text(gain)} the images/s of PyTorch's defaults (num_workers=0, pin_memory=False)"
    if gain.low is None:
        return [f"Measured: {times}."]
    return [f"Expected: {times}." if gain.differs else f"Whether that is a gain is not settled: {times}."]


def knee_sentences(verdict: LoaderVerdict, chosen: pd.Series) -> list[str]:
    """Say from which number of workers on more workers do not help."""
    bend, most = verdict.knee, most_workers(verdict, chosen)
    if bend is None or not most:
        return []
    if bend == 0:
        return [f"More workers do not help (measured up to {most})."]
    if bend < most:
        return [f"From {workers_text(bend)} on, more do not help (measured up to {most})."]
    return [f"Images/s grow up to the most workers tried ({most})."]


def model_sentences(chosen: pd.Series) -> list[str]:
    """Say how close training comes to the speed that loading alone and computing alone allow."""
    share, limit = chosen["of_model"], chosen["modelled_images_per_s"]
    if math.isnan(share):
        return []
    if chosen["num_workers"] == 0 and not chosen["own_loader"]:
        what = "one process doing both can reach"
    elif limit < chosen["possible_images_per_s"]:
        what = "these cores allow for workers and step together"
    else:
        what = "the slower of loading alone and computing alone allows"
    return [f"The choice reaches {100 * share:.0f} % of the {speed_text(limit)} images/s that {what}."]


def straggler_sentences(chosen: pd.Series, bound: str) -> list[str]:
    """Mention single batches that take much longer than others to arrive, and a slow start."""
    sentences = []
    usual_ms = 1000 * chosen["batch_size"] / chosen["images_per_s"]
    # If loader-bound, a whole round of batches arrives at once, and the next round takes as long to arrive.
    if chosen["wait_p99_ms"] > LATE * usual_ms and bound not in (LOADER_BOUND, MEMORY_BOUND):
        sentences.append(
            f"One batch in a hundred is waited for {chosen['wait_p99_ms']:.0f} ms or more, while a batch takes "
            f"{usual_ms:.0f} ms on average: single samples are slow."
        )
    if chosen["first_batch_s"] > SLOW_START * usual_ms / 1000:
        border = "" if math.isnan(chosen["epoch_gap_s"]) else f" and the change of epochs {chosen['epoch_gap_s']:.2g} s"
        sentences.append(f"The first batch takes {chosen['first_batch_s']:.2g} s{border}; images/s do not count that.")
    return sentences


def border_sentences(chosen: pd.Series, tried: Sequence[Variant]) -> list[str]:
    """Say how long restarting the workers takes at each epoch, which images/s do not show; ``tried``: the variants."""
    if chosen["num_workers"] == 0 or chosen["persistent_workers"] or math.isnan(chosen["epoch_gap_s"]):
        return []
    kept = [each for each in tried if each.setting == "persistent_workers" and each.value is True]
    if not kept or math.isnan(kept[0].epoch_gap_s):
        return []
    with_it, without = kept[0].epoch_gap_s, kept[0].base_epoch_gap_s
    return [f"The change of epochs took {with_it:.2g} s with persistent_workers=True, and {without:.2g} s without."]


def threads_sentences(chosen: pd.Series) -> list[str]:
    """Mention OpenCV's threads if they differ from the usual: DataLoader has no argument for them."""
    if chosen["cv2_threads"] == USUAL_CV2_THREADS or chosen["own_loader"]:
        return []
    return [f"It needs cv2.setNumThreads({int(chosen['cv2_threads'])}) in every process that makes samples."]


def fault_sentences(frame: pd.DataFrame) -> list[str]:
    """Say which configurations have no result, and why."""
    if frame.empty:
        return []
    delivered_different = frame["error"].map(is_different_delivery)
    sentences = different_sentences(
        [settings_text(row) for _, row in frame[delivered_different].iterrows()],
        list(frame.loc[delivered_different, "error"]),
    )
    for status, rows in frame[frame["status"].isin(FAULTS) & ~delivered_different].groupby("status", sort=True):
        example = rows.iloc[0]
        sentences.append(
            f"{counted(len(rows), 'configuration')} {FAULTS[str(status)]} (for example {settings_text(example)}: "
            f"{literal(str(example['error']))})."
        )
    return sentences


def dropped_sentences(verdict: LoaderVerdict) -> list[str]:
    """Say whether other programs used the machine during the measurement, and how many slices were dropped because of
    that."""
    sentences = []
    if verdict.others_share > BUSY:
        sentences.append(
            f"Other programs used {100 * verdict.others_share:.0f} % of the cores throughout: a quiet machine would "
            "settle more."
        )
    if not verdict.dropped:
        return sentences
    return [
        *sentences,
        f"{verdict.dropped} of {counted(verdict.slices, 'slice')} {'was' if verdict.dropped == 1 else 'were'} "
        "dropped: other programs used more of the machine than usual during them.",
    ]


def most_workers(verdict: LoaderVerdict, row: pd.Series) -> int:
    """Return the largest number of workers with a result at the row's batch size."""
    frame = verdict.complete
    return int(frame.loc[frame["batch_size"] == row["batch_size"], "num_workers"].max())


def settings_text(row: pd.Series) -> str:
    """Return the settings that differ from PyTorch's defaults, as `2 workers with batches of 16 and pinned memory`."""
    batches = f"batches of {int(row['batch_size'])}"
    if row["own_loader"]:
        return f"{brief(row)} with {batches}"
    return f"{workers_text(row['num_workers'])} with {enumerate_items([batches, *_also(row)])}"


def brief(row: pd.Series) -> str:
    """Return `2 workers and pinned memory` or `your loader my_package:make_loader`: a configuration without its batch
    size."""
    if row["own_loader"]:
        return f"your loader {code(str(row['own_loader']))}"
    return enumerate_items([workers_text(row["num_workers"]), *_also(row)])


def workers_text(number: float) -> str:
    """Return `no workers`, `1 worker`, `8 workers`."""
    return "no workers" if number == 0 else counted(int(number), "worker")


def speed_text(images_per_s: float) -> str:
    """Return images/s with at least three digits: `9.26`, `52.0`, `118`, `1,040`."""
    if not images_per_s >= 1:
        return f"{images_per_s:.3g}"
    return f"{images_per_s:,.{2 if images_per_s < 9.995 else 1 if images_per_s < 99.95 else 0}f}"


def ratio_text(ratio: Ratio) -> str:
    """Return `1.45 times (1.41 to 1.49, 10 blocks)`."""
    value = f"{ratio.value:.{digits(ratio.value)}f} times"
    if ratio.low is None or ratio.high is None:
        return f"{value} ({counted(ratio.n, 'block')}, no interval)"
    ends = f"{ratio.low:.{digits(ratio.low)}f} to {ratio.high:.{digits(ratio.low)}f}"
    return f"{value} ({ends}, {counted(ratio.n, 'block')})"


def times_text(row: pd.Series, name: str) -> str:
    """Return `1.45 times (1.41 to 1.49)` of the ratio ``name`` among a configuration's columns."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if math.isnan(value):
        return "an unknown number of times"
    ends = "" if math.isnan(low) else f" ({low:.{digits(low)}f} to {high:.{digits(low)}f})"
    return f"{value:.{digits(value)}f} times{ends}"


def digits(ratio: float) -> int:
    """Return the number of decimals to show of a ratio."""
    return 2 if ratio < FINE else 1


def _also(row: pd.Series) -> list[str]:
    """Return the settings besides workers and batch size that differ from PyTorch's defaults, in words."""
    return [
        *(["pinned memory"] if row["pin_memory"] else []),
        *(["persistent workers"] if row["persistent_workers"] else []),
        *([f"prefetch_factor={int(row['prefetch_factor'])}"] if not pd.isna(row["prefetch_factor"]) else []),
        *([f"start method {row['start_method']}"] if isinstance(row["start_method"], str) else []),
        *([f"cv2.setNumThreads({int(row['cv2_threads'])})"] if row["cv2_threads"] != USUAL_CV2_THREADS else []),
    ]


def _named(variant: Variant) -> str:
    return f"{variant.setting}={variant.value}"


def _speed(row: pd.Series) -> str:
    if math.isnan(row["low"]):
        return f"{speed_text(row['images_per_s'])} images/s (one block)"
    return f"{speed_text(row['images_per_s'])} images/s ({speed_text(row['low'])} to {speed_text(row['high'])})"
