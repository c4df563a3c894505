"""Reaches a loader study's verdict: the bottleneck, the settings to use, their gain, and every other claim."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from bench.kinds.loaders.analysis.bottleneck import (
    LOADER_BOUND,
    MEMORY_BOUND,
    UNKNOWN,
    WORKER_SETTINGS,
    flips_at,
    worker_curve,
)
from bench.kinds.loaders.analysis.choice import OPEN, USUAL_CV2_THREADS, is_default
from bench.kinds.loaders.analysis.claims import SCOPE, all_sentences, brief, dropped_sentences, fault_sentences
from bench.kinds.loaders.analysis.configurations import COLUMNS, Compared, compare, panels, pool_pinning
from bench.kinds.loaders.analysis.findings import Comparison, LoaderVerdict, Pick, Ratio
from bench.kinds.loaders.analysis.ratios import is_disturbed_by_others
from bench.kinds.loaders.analysis.variants import best_variant, variants
from bench.kinds.loaders.phases import AROUND, LARGEST
from bench.report.dataloader_call import dataloader_call
from bench.report.no_result import REMEDIES, no_result_text
from bench.report.text import literal
from bench.trials.loader_settings import plain_settings
from bench.trials.status import Status

MEMORY_FAULTS = ("skipped", "out_of_memory", "bus_error")
"""Statuses of configurations that did not fit into memory."""
REMEDIES_HERE = REMEDIES | {
    "failed": "Fix the cause, then measure under another name (`posebench study loaders --name NAME`): recorded "
    "measurements are not repeated.",
    "timed_out": "Raise stall_s in a study file, or find out what the data set waits for.",
}
"""Advice for a study in which no measurement has a result, by status."""
NOTHING_YET = "Nothing is recommended yet: no configuration has been measured."
NOTHING_COMPLETED = "Nothing is recommended: no configuration completed."
SAMPLES_DIFFER = (
    "Nothing is recommended: samples differ each time they are made, so that speeds cannot be compared. Make them "
    "repeatable, or say that they are random by design (`--random-samples`)."
)
BATCHES_DIFFER = "The configurations delivered different batches: nothing can be compared."


def loaders_verdict(
    processes: pd.DataFrame,
    slices: pd.DataFrame,
    *,
    plan: Comparison,
    pinning_idle: str = "",
    has_step: bool = True,
    different: Sequence[str] = (),
    remaining: int = 0,
) -> LoaderVerdict:
    """Derive the verdict from a study's frames.

    Args:
        processes: A row for each process of a configuration (one block of it).
        slices: A row for each finished slice.
        plan: See `Comparison`.
        pinning_idle: Why pinned memory was requested but not measured, since it has no effect here; "" otherwise.
        has_step: Whether something is computed on the batches; otherwise only loading was measured.
        different: Sentences of `delivery.unrepeatable_sentence`; if there are any, speeds are not compared.
        remaining: Measurements that are still to be made.
    """
    processes, slices = _measured(processes), _measured(slices)
    processes, slices, pinning = pool_pinning(processes, slices)
    compared = [compare(each, plan) for each in panels(processes, slices)]
    frame = _frame(compared)
    nothing = LoaderVerdict(
        frame,
        dropped=int(is_disturbed_by_others(slices).sum()),
        slices=len(slices),
        others_share=float(slices["others_share"].astype(float).median()) if len(slices) else float("nan"),
        margin=plan.margin,
    )
    closing = [*dropped_sentences(nothing), *filter(None, [pinning_idle or pinning]), SCOPE]
    if different:
        sentences = [BATCHES_DIFFER, *map(literal, different), *closing]
        return replace(nothing, why_not=SAMPLES_DIFFER, sentences=sentences)
    grids = [each for each in compared if each.panel.phase != AROUND]
    picks = tuple(sorted((_pick(each, plan) for each in grids if each.choice), key=lambda each: each.batch_size))
    usable = [each for each in picks if each.key]
    if not usable:
        why = _why_nothing(processes, remaining)
        why_not = f"Nothing is recommended. {why}" if why else NOTHING_YET if remaining else NOTHING_COMPLETED
        if picks:
            why_not = f"Nothing is recommended. {' '.join(each.why_not for each in picks)}"
        sentences = [why_not, *fault_sentences(frame), *closing]
        return replace(nothing, picks=picks, why_not=why_not, sentences=sentences)
    speed = frame.set_index("key")["images_per_s"]
    pick = max(usable, key=lambda each: float(speed[each.key]))
    grid = next(each for each in grids if each.choice and pick.key in each.panel.keys)
    base = grid.frame[grid.frame["key"] == pick.key].iloc[0]
    around = next((each for each in compared if each.panel.phase == AROUND and each.panel.keys[0] == pick.key), None)
    tried = variants(around, base, margin=plan.margin) if around else ()
    better = best_variant(around, tried, margin=plan.margin) if around else None
    chosen, gain = base, pick.gain
    if around and better:
        chosen = around.frame[around.frame["key"] == better.key].iloc[0]
        gain = _gain(around, better.key)
    limited = base if chosen["bottleneck"] == UNKNOWN else chosen
    bound = _bound(grid.frame, limited) if has_step else LOADER_BOUND
    curve = _curve(grid.frame, base)
    verdict = replace(
        nothing,
        picks=picks,
        chosen=str(chosen["key"]),
        recommended=plain_settings(chosen),
        call=call_of(chosen),
        bottleneck=bound,
        limited=str(limited["key"]),
        flips_at=flips_at(curve) if pick.settled and has_step else None,
        knee=_knee(grid, curve, plan.margin) if pick.settled else None,
        gain=gain,
        variants=tried,
    )
    return replace(verdict, sentences=all_sentences(verdict, has_step=has_step, closing=closing))


def call_of(row: pd.Series) -> str:
    """Return the DataLoader call to paste; "" for a user's own loader."""
    return "" if row["own_loader"] else dataloader_call(row)


def best_of_grid(processes: pd.DataFrame, slices: pd.DataFrame, plan: Comparison) -> pd.Series | None:
    """Return the row of the pick with the most images/s over all batch sizes; None if nothing is picked.

    The panel of variants varies this configuration, and the report's answer begins with it, so the two must be the
    same.
    """
    processes, slices, _ = pool_pinning(_measured(processes), _measured(slices))
    compared = [compare(panel, plan) for panel in panels(processes, slices) if panel.phase != AROUND]
    rows = [
        each.frame[each.frame["key"] == pick.key].iloc[0]
        for each in compared
        if each.choice and (pick := _pick(each, plan)).key
    ]
    return max(rows, key=lambda row: float(row["images_per_s"]), default=None)


def _measured(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without the attempts of the largest-batch search."""
    return frame[frame["phase"] != LARGEST].reset_index(drop=True) if len(frame) else frame


def _frame(compared: Sequence[Compared]) -> pd.DataFrame:
    """Return a row for each configuration, from the first panel in which it was measured; fastest first."""
    if not compared:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat([each.frame for each in compared], ignore_index=True)
    rows = rows.drop_duplicates("key", ignore_index=True)
    return rows.sort_values("images_per_s", ascending=False, na_position="last", kind="stable", ignore_index=True)


def _pick(each: Compared, plan: Comparison) -> Pick:
    """Return the choice of one panel."""
    choice, frame = each.choice, each.frame
    assert choice is not None
    size = int(frame["batch_size"].iloc[0])
    bad = tuple(frame.loc[frame["disturbed"], "key"])
    if bad:
        return Pick(size, "", False, choice.fastest, each.reference, disturbed=bad, why_not=_impossible(size, frame))
    row = frame[frame["key"] == choice.key].iloc[0]
    others = [key for key in each.cheapest if key != choice.key]
    return Pick(
        size,
        choice.key,
        choice.settled,
        choice.fastest,
        each.reference,
        equal=tuple(key for key in others if _is_equal(each, choice.key, key, plan.margin)),
        open=tuple(key for key in each.cheapest if choice.standings[key] == OPEN),
        recommended=plain_settings(row),
        call=call_of(row),
        gain=_gain(each, choice.key),
        loses_at_most=_most_lost(each, choice.key, others),
    )


def _impossible(size: int, frame: pd.DataFrame) -> str:
    row = frame[frame["disturbed"]].iloc[0]
    share = 100 * row["of_model"] * row["modelled_images_per_s"] / row["possible_images_per_s"]
    return (
        f"Batches of {size} have no verdict: with {brief(row)} training ran at {share:.0f} % of what loading alone "
        "and computing alone allow. That is impossible, so one of these measurements was disturbed."
    )


def _is_equal(each: Compared, one: str, other: str, margin: float) -> bool:
    ratio = each.ratios.between(one, other)
    return (
        ratio.low is not None and ratio.high is not None and ratio.low >= 1 - margin and ratio.high <= 1 / (1 - margin)
    )


def _most_lost(each: Compared, key: str, others: Sequence[str]) -> float | None:
    """Return the largest share of speed that a configuration may lose to any other, by the lower ends of its ratios."""
    lows = [each.ratios.between(key, other).low for other in others]
    known = [low for low in lows if low is not None]
    return max(0.0, 1 - min(known)) if known and len(known) == len(lows) else None


def _gain(each: Compared, key: str) -> Ratio | None:
    """Return the speed relative to PyTorch's defaults; None if these have no result."""
    frame = each.frame
    plain = [str(row["key"]) for _, row in frame.iterrows() if row["key"] in each.cheapest and is_default(row)]
    return each.ratios.between(key, plain[0]) if plain else None


def _why_nothing(processes: pd.DataFrame, remaining: int) -> str:
    """Return the way in which all processes ended without a result, and what to do; empty before any has ended."""
    return no_result_text(processes, noun="measurement", remaining=remaining, remedies=REMEDIES_HERE)


def _curve(frame: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """Return the worker curve of the picked configuration, or of PyTorch's defaults if that is longer."""
    own = worker_curve(frame, chosen)
    plain = chosen.copy()
    plain[list(WORKER_SETTINGS)] = None
    plain["cv2_threads"] = USUAL_CV2_THREADS
    grid = worker_curve(frame, plain)
    return grid if len(grid) > len(own) else own


def _knee(each: Compared, curve: pd.DataFrame, margin: float) -> int | None:
    """Return the smallest number of workers on a curve that is at most the margin slower than any larger number, if all
    smaller numbers are shown to be slower than that; None if one of these is open."""
    keys, workers = list(curve["key"]), list(curve["num_workers"])
    for index, key in enumerate(keys):
        more = [each.ratios.between(key, other) for other in keys[index + 1 :]]
        if all(ratio.low is not None and ratio.low >= 1 - margin for ratio in more):
            return int(workers[index])
        if not any(ratio.high is not None and ratio.high < 1 - margin for ratio in more):
            return None
    return None


def _bound(grid: pd.DataFrame, chosen: pd.Series) -> str:
    """Return the chosen configuration's bottleneck; memory if it is loader-bound and more workers did not fit into
    memory."""
    if chosen["bottleneck"] != LOADER_BOUND:
        return str(chosen["bottleneck"])
    more = grid[grid["num_workers"] > chosen["num_workers"]]
    unfit = more["status"].isin(MEMORY_FAULTS)
    return MEMORY_BOUND if unfit.any() and not (more["status"] == Status.COMPLETE).any() else LOADER_BOUND
