"""A timeline as figures: images/s of the steady part, waits, the share of computing, and what the borders cost."""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from bench.measure.loader.steady import group_length, steady_parts
from bench.measure.loader.timeline import Timeline


def steady_batches(timeline: Timeline, round_length: int) -> tuple[NDArray[np.int64], bool]:
    """Positions of the batches that count, and whether the loop became steady.

    An epoch's first batch never counts: what it waits for is the epoch's border (``epoch_gap_s``). The others are
    judged in groups of whole rounds of the workers (``round_length`` batches); an incomplete last group is left out.
    """
    length = group_length(round_length)
    borders = [*timeline.firsts, len(timeline.epoch)]
    intervals = timeline.waits + timeline.computes
    epochs, groups = [], []
    for begin, end in itertools.pairwise(borders):
        whole = (end - begin - 1) // length
        positions = begin + 1 + np.arange(whole * length).reshape(whole, length)
        groups.append(positions)
        epochs.append(intervals[positions].mean(axis=1))
    parts, reached = steady_parts(epochs)
    kept = np.concatenate([positions[part].ravel() for positions, part in zip(groups, parts, strict=True)])
    if len(kept) == 0:  # shorter than a group: all that there is, and not steady
        kept = np.setdiff1d(np.arange(len(timeline.epoch)), timeline.firsts)
    return (kept if len(kept) else np.arange(len(timeline.epoch))), reached


def figures(timeline: Timeline, batch_size: int, round_length: int) -> dict[str, float]:
    """What a measurement reports of its loop; NaN where something did not happen (no second epoch).

    ``images_per_s``, ``data_wait_share``, ``au`` (time computing over all time, MLPerf Storage's accelerator
    utilisation), ``wait_p50_ms``, ``wait_p95_ms``, ``wait_p99_ms`` and ``compute_ms`` (median) are of the steady part;
    ``first_batch_s`` runs from asking for the iterator, ``epoch_gap_s`` (median) from an epoch's last step to the next
    one's first batch. ``steady`` is 1 where the loop became steady, ``batches`` and ``steady_batches`` count.
    """
    kept, reached = steady_batches(timeline, round_length)
    waits, computes = timeline.waits[kept], timeline.computes[kept]
    seconds = float(waits.sum() + computes.sum())
    later = timeline.firsts[1:]
    gaps = timeline.delivered[later] - timeline.done[later - 1]
    p50, p95, p99 = 1000 * np.percentile(waits, [50, 95, 99])
    return {
        "images_per_s": batch_size * len(kept) / seconds if seconds > 0 else math.nan,
        "data_wait_share": float(waits.sum()) / seconds if seconds > 0 else math.nan,
        "au": float(computes.sum()) / seconds if seconds > 0 else math.nan,
        "wait_p50_ms": float(p50),
        "wait_p95_ms": float(p95),
        "wait_p99_ms": float(p99),
        "compute_ms": 1000 * float(np.median(computes)),
        "first_batch_s": float(timeline.delivered[0] - timeline.asked[0]),
        "epoch_gap_s": float(np.median(gaps)) if len(gaps) else math.nan,
        "loop_s": float(timeline.done[-1] - timeline.asked[0]),
        "steady": float(reached),
        "batches": float(len(timeline.epoch)),
        "steady_batches": float(len(kept)),
    }
