"""Every claim of a loader study in sentences, in Markdown: what a verdict puts together."""

import math
from collections.abc import Sequence

import pandas as pd

from bench.kinds.loaders.analysis.around import EQUAL, FASTER, SLOWER
from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS, is_default
from bench.kinds.loaders.analysis.delivery import delivered_others, others_sentences
from bench.kinds.loaders.analysis.findings import LoaderVerdict, Pick, Ratio, Variant
from bench.kinds.loaders.analysis.model import (
    BALANCED,
    COMPUTE_BOUND,
    IN_TURN,
    LOADER_BOUND,
    MEMORY_BOUND,
    SHARED_CORES,
)
from bench.report.text import code, literal
from bench.report.wording import counted, enumerate_items

FAULTS = {
    "bus_error": "met a bus error",
    "failed": "failed",
    "out_of_memory": "ran out of memory",
    "skipped": "could not fit and did not run",
    "timed_out": "hung and timed out",
}
BUSY = 0.1
"""Share of the cores that others use from which a machine is not quiet."""
LATE = 3.0
"""One batch in a hundred that is waited for so many times as long as a batch usually takes is a straggler."""
SLOW_START = 10.0
"""A first batch that takes so many usual batches is worth a sentence."""
FINE = 2.0
"""A ratio under which a second decimal matters."""
NO_STEP = "No step was given: loading alone was measured, as fast as it goes with nothing to hide it behind."
OTHER_TRAININGS = "Another batch size is another training: only images/s are compared across them."
SCOPE = "Claims cover this machine, this data set and this step only."


def all_sentences(found: LoaderVerdict, *, has_step: bool, closing: Sequence[str]) -> list[str]:
    """All claims of a verdict that recommends something."""
    chosen, pick = found.configuration(found.chosen), found.pick
    assert pick is not None
    return [
        bound_sentence(found.bottleneck, found.configuration(found.limited), found.flips_at) if has_step else NO_STEP,
        *(sentence for each in found.picks for sentence in pick_sentences(found, each)),
        *([OTHER_TRAININGS] if len(found.picks) > 1 else []),
        *variant_sentences(found, chosen),
        *gain_sentences(found.gain, chosen),
        *knee_sentences(found, chosen),
        *(model_sentences(chosen) if has_step else []),
        *straggler_sentences(chosen, found.bottleneck),
        *border_sentences(chosen, found.variants),
        *threads_sentences(chosen),
        *fault_sentences(found.configurations),
        *closing,
    ]


def bound_sentence(bound: str, chosen: pd.Series, flip: int | None) -> str:
    """What, made faster, would speed training up with the chosen configuration."""
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
            f"training would be {loading} as fast, were computing free {computing}."
        )
    if bound == SHARED_CORES:
        return (
            f"Workers and the step share the cores {with_it}: were loading free, training would be {loading} as fast, "
            f"were computing free {computing}."
        )
    return f"What holds training back {with_it} is not settled: the intervals do not tell."


def pick_sentences(found: LoaderVerdict, pick: Pick) -> list[str]:
    """What is taken at one batch size, and what is equal to it."""
    if not pick.key:
        return [pick.why_not]
    row = found.configuration(pick.key)
    share = f"{100 * found.margin:.2g} %"
    batches = f"At batches of {pick.batch_size}"
    alone = (found.complete["batch_size"] == pick.batch_size).sum() == 1
    if not pick.settled:
        waiting = enumerate_items([brief(found.configuration(key)) for key in pick.open])
        return [f"{batches} the choice is not settled: best so far {brief(row)}, {_speed(row)}. Open: {waiting}."]
    if alone:
        return [f"{batches} only one configuration completed: {brief(row)}, {_speed(row)}."]
    said = [f"{batches} take {brief(row)}: {_speed(row)}, the cheapest that loses at most {share} to any other."]
    if pick.equal:
        equal = enumerate_items([brief(found.configuration(key)) for key in pick.equal])
        said.append(f"Equal to it within {share}: {equal}.")
    return said


def variant_sentences(found: LoaderVerdict, chosen: pd.Series) -> list[str]:
    """What single settings around the picked configuration have brought."""
    said, share = [], f"{100 * found.margin:.2g} %"
    for each in found.variants:
        if each.key == chosen["key"]:
            said.append(f"With {_named(each)} it is {ratio_text(each.ratio)} as fast: {_speed(chosen)}.")
    others = [each for each in found.variants if each.key != chosen["key"]]
    words = {
        FASTER: "Also faster",
        EQUAL: f"Equal within {share}",
        SLOWER: "Slower",
        "open": f"Tried, and not settled whether faster by more than {share}",
    }
    for standing, told in words.items():
        named = [_named(each) for each in others if each.standing == standing]
        if named:
            said.append(f"{told}: {', '.join(named)}.")
    return said


def gain_sentences(won: Ratio | None, chosen: pd.Series) -> list[str]:
    """What is gained over PyTorch's defaults."""
    if is_default(chosen):
        return ["That is PyTorch's default number of workers (0)."]
    if won is None:
        return ["PyTorch's defaults (num_workers=0) have no result at this batch size: no gain can be claimed."]
    times = f"{ratio_text(won)} the images/s of PyTorch's defaults (num_workers=0, pin_memory=False)"
    if won.low is None:
        return [f"Measured: {times}."]
    return [f"Expected: {times}." if won.differs else f"Whether that is a gain is not settled: {times}."]


def knee_sentences(found: LoaderVerdict, chosen: pd.Series) -> list[str]:
    """From how many workers on more do not help."""
    bend, most = found.knee, most_workers(found, chosen)
    if bend is None or not most:
        return []
    if bend == 0:
        return [f"More workers do not help (measured up to {most})."]
    if bend < most:
        return [f"From {workers_text(bend)} on, more do not help (measured up to {most})."]
    return [f"Images/s grow up to the most workers tried ({most})."]


def model_sentences(chosen: pd.Series) -> list[str]:
    """How much is reached of what loading and computing alone allow."""
    share, limit = chosen["of_model"], chosen["modelled_images_per_s"]
    if math.isnan(share):
        return []
    if chosen["num_workers"] == 0 and not chosen["own_loader"]:
        what = "one process that does both can reach"
    elif limit < chosen["possible_images_per_s"]:
        what = "these cores allow workers and step together"
    else:
        what = "the slower of loading alone and computing alone allows"
    return [f"It reaches {100 * share:.0f} % of the {speed_text(limit)} images/s that {what}."]


def straggler_sentences(chosen: pd.Series, bound: str) -> list[str]:
    """Single batches that are waited for much longer than others, and a slow beginning."""
    found = []
    usual_ms = 1000 * chosen["batch_size"] / chosen["images_per_s"]
    # Loader-bound, a whole round of batches comes at once, and the next one is waited for as long.
    if chosen["wait_p99_ms"] > LATE * usual_ms and bound not in (LOADER_BOUND, MEMORY_BOUND):
        found.append(
            f"One batch in a hundred is waited for {chosen['wait_p99_ms']:.0f} ms, where a batch takes {usual_ms:.0f}: "
            "single samples are slow."
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
        return []
    with_it, without = kept[0].epoch_gap_s, kept[0].base_epoch_gap_s
    return [f"The border of two epochs took {with_it:.2g} s with persistent_workers=True, and {without:.2g} s without."]


def threads_sentences(chosen: pd.Series) -> list[str]:
    """What a DataLoader's arguments cannot say."""
    if chosen["cv2_threads"] == USUAL_CV2_THREADS or chosen["own_loader"]:
        return []
    return [f"It needs cv2.setNumThreads({int(chosen['cv2_threads'])}) in every process that makes samples."]


def fault_sentences(frame: pd.DataFrame) -> list[str]:
    """Configurations without a result, and why."""
    if frame.empty:
        return []
    other = frame["error"].map(delivered_others)
    found = others_sentences(
        [settings_text(row) for _, row in frame[other].iterrows()],
        list(frame.loc[other, "error"]),
    )
    for status, rows in frame[frame["status"].isin(FAULTS) & ~other].groupby("status", sort=True):
        example = rows.iloc[0]
        found.append(
            f"{counted(len(rows), 'configuration')} {FAULTS[str(status)]} (for example {settings_text(example)}: "
            f"{literal(str(example['error']))})."
        )
    return found


def dropped_sentences(found: LoaderVerdict) -> list[str]:
    """That others used the machine meanwhile."""
    told = []
    if found.others_share > BUSY:
        told.append(
            f"Other programs used {100 * found.others_share:.0f} % of the cores throughout: on a quiet machine less is "
            "left open."
        )
    if not found.dropped:
        return told
    return [
        *told,
        f"{found.dropped} of {counted(found.slices, 'slice')} {'was' if found.dropped == 1 else 'were'} dropped: other "
        "programs used more of the machine than usual meanwhile.",
    ]


def most_workers(found: LoaderVerdict, row: pd.Series) -> int:
    """The most workers that have a result at a batch size."""
    frame = found.complete
    return int(frame.loc[frame["batch_size"] == row["batch_size"], "num_workers"].max())


def settings_text(row: pd.Series) -> str:
    """`2 workers with batches of 16 and pinned memory`: what differs from PyTorch's defaults."""
    batches = f"batches of {int(row['batch_size'])}"
    if row["own_loader"]:
        return f"{brief(row)} with {batches}"
    return f"{workers_text(row['num_workers'])} with {enumerate_items([batches, *_also(row)])}"


def brief(row: pd.Series) -> str:
    """`2 workers and pinned memory`, `your loader my_package:make_loader`: a configuration, but for its batch size."""
    if row["own_loader"]:
        return f"your loader {code(str(row['own_loader']))}"
    return enumerate_items([workers_text(row["num_workers"]), *_also(row)])


def workers_text(number: float) -> str:
    """`no workers`, `1 worker`, `8 workers`."""
    return "no workers" if number == 0 else counted(int(number), "worker")


def speed_text(images_per_s: float) -> str:
    """Three digits at least: `9.26`, `52.0`, `118`, `1,040`."""
    if not images_per_s >= 1:
        return f"{images_per_s:.3g}"
    return f"{images_per_s:,.{2 if images_per_s < 9.995 else 1 if images_per_s < 99.95 else 0}f}"


def ratio_text(ratio: Ratio) -> str:
    """`1.45 times (1.41 to 1.49, 10 blocks)`."""
    value = f"{ratio.value:.{digits(ratio.value)}f} times"
    if ratio.low is None or ratio.high is None:
        return f"{value} ({counted(ratio.n, 'block')}, no interval)"
    ends = f"{ratio.low:.{digits(ratio.low)}f} to {ratio.high:.{digits(ratio.low)}f}"
    return f"{value} ({ends}, {counted(ratio.n, 'block')})"


def times_text(row: pd.Series, name: str) -> str:
    """`1.45 times (1.41 to 1.49)`, of a ratio among a configuration's columns."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if math.isnan(value):
        return "an unknown number of times"
    ends = "" if math.isnan(low) else f" ({low:.{digits(low)}f} to {high:.{digits(low)}f})"
    return f"{value:.{digits(value)}f} times{ends}"


def digits(ratio: float) -> int:
    """Decimals of a ratio."""
    return 2 if ratio < FINE else 1


def _also(row: pd.Series) -> list[str]:
    """The settings besides workers and batch size that differ from PyTorch's defaults."""
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
