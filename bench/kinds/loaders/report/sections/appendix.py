"""The appendix of a loader study: every configuration, what it took, what was predicted, how it was measured."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.configurations import FEW
from bench.kinds.loaders.analysis.delivery import delivered_others
from bench.kinds.loaders.report import figures
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.report.tables import (
    DETAIL_COLUMNS,
    FAULT_COLUMNS,
    GPU_COLUMNS,
    NEED_COLUMNS,
    WHOLE_COLUMNS,
    detail_rows,
    fault_rows,
    gpu_rows,
    need_rows,
    whole_rows,
)
from bench.report.findings import Drawing, Part, Section, Table
from bench.report.text import code, literal
from bench.report.wording import counted
from bench.trials.status import Status

BATCHES = "batch-sizes.png"
GPU_BUSY = "once the first step had been given to it; without a figure where the loop was too short to say"
"""When a GPU's use is counted."""
CONTEXT_BYTES = 1e9
"""Of a GPU's memory: what driver and contexts may hold beside the process's own; more is somebody else's."""


def every_configuration(result: LoaderResult) -> list[Section]:
    """All configurations with what limits them."""
    if result.configurations.empty:
        return []
    text = (
        "*n*: fresh processes. *AU*: computing over all time (the rule of MLPerf Storage). *Of min(loader, compute)*: "
        "how much of what the slower of loading alone and computing alone allows is reached."
    )
    return [Section("All configurations", [Table(WHOLE_COLUMNS, whole_rows(result)), text])]


def costs(result: LoaderResult) -> list[Section]:
    """What each configuration took: both arms, waits, cores, memory, the GPU."""
    parts: list[Part] = []
    if rows := detail_rows(result):
        parts += [
            Table(DETAIL_COLUMNS, rows),
            "*Alone*: images/s. *Cores*: CPU time of the process and its workers over the loop's time. *Memory*: "
            f"peak over all of them, {_memory_kind(result)}. */dev/shm*: by how much it was fuller at its peak. *First "
            "batch*: from asking for an iterator, workers' start included. *Epoch border*: from an epoch's last step "
            "to the next one's first batch.",
        ]
    if rows := gpu_rows(result):
        parts += [Table(GPU_COLUMNS, rows), _gpu_kind(result.configurations)]
    if result.transfers is not None:
        parts.append(_transfers(result.transfers))
    return [Section("What it took", parts)] if parts else []


def _gpu_kind(frame: pd.DataFrame) -> str:
    told = (
        "*GPU memory*: of the measured process. *GPU busy*: share of time in which anything ran on this GPU, by NVML, "
        f"{GPU_BUSY}."
    )
    others = frame["gpu_others_bytes"].max()
    return told + f" Others held up to {others / 1e9:.1f} GB of it." if others > CONTEXT_BYTES else told


def _transfers(found: Mapping[str, Any]) -> str:
    return (
        f"A batch of {found['batch_bytes'] / 1e6:.3g} MB reaches the GPU with {found['pinned_gb_per_s']:.3g} GB/s from "
        f"pinned and {found['pageable_gb_per_s']:.3g} GB/s from pageable memory. Copied from pinned memory on a stream "
        f"of its own beside matrix products, {100 * found['hidden_share']:.0f} % of the shorter one of the two is "
        "hidden behind the other; a training step that copies on its own stream, as this one does, has them in turn."
    )


def _memory_kind(result: LoaderResult) -> str:
    kinds = [kind for kind in result.rows["memory_kind"].unique() if kind] if len(result.rows) else []
    told = {"pss": "shared pages counted once (PSS)", "uss": "shared pages left out (USS)"}
    return told.get(kinds[0], "shared pages counted in every process (RSS)") if kinds else "not known here"


def largest_batch(result: LoaderResult) -> list[Section]:
    """What the search for the largest batch found; none where there was no search."""
    if result.largest is None:
        return []
    size, limited = result.largest["largest"], result.largest["limited"]
    if size is None:
        text = "Not even a batch of one fits."
    elif limited:
        text = f"{counted(size, 'image')} fit into memory for a training step; more do not."
    else:
        text = f"{counted(size, 'image')} fit; the search ended there, at its limit (`largest_batch_limit`)."
    if result.largest.get("ended"):
        text += f" The search ended early: {literal(str(result.largest['ended']))}"
    alt = "Images per second of the step alone against batch size"
    curve = [Drawing(BATCHES, alt, partial(figures.batch_sizes, result))] if figures.has_batch_sizes(result) else []
    return [Section("The largest batch", [text, *curve])]


def needs(result: LoaderResult) -> list[Section]:
    """The memory that was predicted before anything was measured."""
    if not result.needs:
        return []
    free = result.limits
    shm_free = free.get("shm_free_bytes")
    shm = "" if shm_free is None else f" and {shm_free / 1e9:.1f} GB of /dev/shm"
    text = (
        f"From one look at the data, before the first measurement; {free.get('memory_free_bytes', 0) / 1e9:.1f} GB "
        f"of memory{shm} were free. What needs more than nine tenths is skipped, not tried until it crashes."
    )
    return [Section("What was predicted", [Table(NEED_COLUMNS, need_rows(result)), text])]


def how(result: LoaderResult) -> list[Section]:
    """How it was measured, and what has no result."""
    parts: list[Part] = [_what(result), _repeats(result), _conditions(result), _deliveries(result)]
    found = [Section("How it was measured", parts)]
    if rows := fault_rows(result):
        found.append(Section("Measurements without a result", [Table(FAULT_COLUMNS, rows)]))
    return found


def _what(result: LoaderResult) -> str:
    spec = result.spec
    what = (
        f"Data set {code(spec.dataset)}"
        if spec.dataset
        else f"Data {code(spec.data.name)}, network {code(spec.network)} at {spec.size} px"
    )
    if spec.step_ms is not None:
        step = f", with a step that waits {spec.step_ms:g} ms"
    else:
        step = f", with the step {code(spec.step)}" if spec.step else ""
    return f"{what}{step}, on {spec.device}."


def _repeats(result: LoaderResult) -> str:
    spec = result.spec
    reached, series = result.reached
    return (
        "Each arm of each configuration runs in a fresh process, in blocks of random order, at least "
        f"{spec.min_repeats} and at most {counted(spec.repeats, 'time')}: repeats end once the 95 % interval is within "
        f"{100 * spec.interval:g} % of its middle. {reached} of {series} series reached that; the others stopped at "
        f"the cap. Intervals from fewer than {FEW} repeats take their spread from all configurations. A loop takes "
        f"about {spec.seconds:g} s in {counted(spec.epochs, 'epoch')}; where its steady part begins is told by the "
        f"data (MSER){_unsteady(result)}."
    )


def _conditions(result: LoaderResult) -> str:
    caches = sorted(set(result.rows["page_cache"])) if len(result.rows) else ["unknown"]
    cores = result.limits.get("cores")
    usable = f" The process could use {cores:g} cores (affinity and quota)." if cores else ""
    return (
        "OpenCV works with one thread in every process that makes samples, unless told otherwise. The page cache was "
        f"{' or '.join(caches)}.{usable} A fixed piece of work, repeated before each block, spreads by "
        f"{100 * result.noise:.1f} %, which is the machine's noise: treat smaller differences as noise."
    )


def _unsteady(result: LoaderResult) -> str:
    """How many measurements never became steady: their images/s have the start in them."""
    complete = result.measured[result.measured["status"] == Status.COMPLETE] if len(result.rows) else result.rows
    if not len(complete) or "steady" not in complete:
        return ""
    number = int((complete["steady"] < 1).sum())
    return f"; {number} of {len(complete)} loops were too short to become steady" if number else ""


def _deliveries(result: LoaderResult) -> str:
    if result.spec.random_samples:
        return "Samples are random by design (`random_samples`): what configurations delivered was not compared."
    hashed = result.rows["hashes"].map(len).gt(0).sum() if len(result.rows) else 0
    if result.different:
        return "The configurations delivered different batches, told by their hashes."
    if hashed < 2:
        return "Too few configurations have delivered batches to compare these."
    others = len(result.configurations) and result.configurations["error"].map(delivered_others).any()
    which = (
        "The configurations but those that are named above"
        if others
        else f"The {hashed} configurations of which batches were kept"
    )
    return (
        f"{which} delivered the same: the first {result.spec.hashed_batches} of each, compared by "
        f"hash{_samples(result)}."
    )


def _samples(result: LoaderResult) -> str:
    """How many samples workers made once more, to be compared with what one process makes."""
    rows = result.measured
    if "compared_samples" not in rows or not rows["compared_samples"].notna().any():
        return ""
    least, most = (int(end) for end in (rows["compared_samples"].min(), rows["compared_samples"].max()))
    told = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return f"; of each with workers also {told} samples, made by all workers at once, with those of one process"
