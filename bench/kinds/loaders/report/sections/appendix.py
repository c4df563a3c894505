"""The appendix of a loader study: every configuration, its costs, the predicted memory, and the method."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.delivery import is_different_delivery
from bench.kinds.loaders.analysis.ratios import DISTURBING_SHARE, looks
from bench.kinds.loaders.report import figures
from bench.kinds.loaders.report.result import BLOCKS, SETTLED, TIME, LoaderResult
from bench.kinds.loaders.report.tables import (
    DETAIL_COLUMNS,
    FAULT_COLUMNS,
    GPU_COLUMNS,
    LIMIT_COLUMNS,
    NEED_COLUMNS,
    SLICE_COLUMNS,
    WHOLE_COLUMNS,
    configuration_text,
    detail_rows,
    disturbed_rows,
    fault_rows,
    gpu_rows,
    limit_rows,
    need_rows,
    slice_rows,
    whole_rows,
)
from bench.report.findings import Drawing, Part, Section, Table
from bench.report.text import code, literal
from bench.report.wording import counted, duration_text, enumerate_items
from bench.trials.columns import rows_of

BATCHES = "batch-sizes.png"
GPU_BUSY = "once the first step had been given to it; without a figure where the loop was too short to say"
"""The time over which a GPU's use is counted."""
LIMITS = (
    "Images/s. *Possible*: what loading alone and computing alone allow: in turn without workers, the slower of the "
    "two with workers. *Modelled*: the same, limited by the CPU time available. *If loading were free*: how many "
    "times as fast training could be (computing alone over training); *if computing were free*: the same (loading "
    "alone over training)."
)
CONTEXT_BYTES = 1e9
"""GPU memory in bytes that driver and contexts may hold beside the process's own; more than that belongs to other
programs."""


def every_configuration(result: LoaderResult) -> list[Section]:
    """Return all configurations, and what limits each."""
    if result.configurations.empty:
        return []
    text = (
        "*% of the fastest*: speed relative to the fastest at the same batch size, over the blocks that have both; "
        "for a varied setting, relative to the configuration that it varies. The intervals of these ratios hold "
        "jointly, whenever the measuring ended; each interval of images/s holds on its own."
    )
    sections = [Section("All configurations", [Table(WHOLE_COLUMNS, whole_rows(result)), text, *_disturbed(result)])]
    if result.computes and (rows := limit_rows(result)):
        sections.append(Section("What limits each", [Table(LIMIT_COLUMNS, rows), LIMITS]))
    return sections


def _disturbed(result: LoaderResult) -> list[str]:
    """Return a text on configurations whose numbers cannot be trusted, with advice."""
    names = [configuration_text(row) for row in rows_of(disturbed_rows(result))]
    if not names:
        return []
    return [
        f"Disturbed: {enumerate_items([*map(literal, names)])}. Training was faster than loading and computing alone "
        "allow, so something else used the machine: end other programs, and measure again under another name "
        "(`--name`)."
    ]


def costs(result: LoaderResult) -> list[Section]:
    """Return the costs of each configuration: waits, starts, cores, memory, the GPU."""
    parts: list[Part] = []
    if rows := detail_rows(result):
        parts += [
            Table(DETAIL_COLUMNS, rows),
            "*AU*: accelerator utilisation, the share of the time spent computing (as in MLPerf Storage). *First "
            "batch*: time from asking for an iterator, including the start of workers; *epoch border*: time from an "
            "epoch's last step to the next one's first batch; both medians over fresh processes. *Cores*: CPU time "
            "of the process and its workers over the loop's time. *Memory*: peak of these processes together, "
            f"{_memory_kind(result)}. */dev/shm*: the increase of its use, at its peak.",
        ]
    if rows := gpu_rows(result):
        parts += [Table(GPU_COLUMNS, rows), _gpu_kind(result.configurations)]
    if result.transfers is not None:
        parts.append(_transfers(result.transfers))
    return [Section("What it took", parts)] if parts else []


def _gpu_kind(frame: pd.DataFrame) -> str:
    text = (
        "*GPU memory*: of the measured process. *GPU busy*: share of time in which anything ran on this GPU, by NVML, "
        f"{GPU_BUSY}."
    )
    others = frame["gpu_others_bytes"].max()
    return text + f" Others held up to {others / 1e9:.1f} GB of it." if others > CONTEXT_BYTES else text


def _transfers(copies: Mapping[str, Any]) -> str:
    return (
        f"A batch of {copies['batch_bytes'] / 1e6:.3g} MB reaches the GPU with {copies['pinned_gb_per_s']:.3g} GB/s "
        f"from pinned and {copies['pageable_gb_per_s']:.3g} GB/s from pageable memory. Copied from pinned memory on "
        f"a stream of its own beside matrix products, {100 * copies['hidden_share']:.0f} % of the shorter one of the "
        "two is hidden behind the other; a training step that copies on its own stream, as this one does, does one "
        "after the other."
    )


def _memory_kind(result: LoaderResult) -> str:
    kinds = [kind for kind in result.processes["memory_kind"].unique() if kind] if len(result.processes) else []
    texts = {"pss": "shared pages counted once (PSS)", "uss": "shared pages left out (USS)"}
    return texts.get(kinds[0], "shared pages counted in every process (RSS)") if kinds else "not known here"


def largest_batch(result: LoaderResult) -> list[Section]:
    """Return the result of the search for the largest batch; empty if there was no search."""
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
    """Return the memory that was predicted before anything was measured."""
    if not result.needs:
        return []
    free = result.limits
    shm_free = free.get("shm_free_bytes")
    shm = "" if shm_free is None else f" and {shm_free / 1e9:.1f} GB of /dev/shm"
    text = (
        "Predicted from a first look at the data, before any measurement; "
        f"{free.get('memory_free_bytes', 0) / 1e9:.1f} GB of memory{shm} were free. A configuration that needs more "
        "than nine tenths of that is skipped, not run until it crashes."
    )
    return [Section("What was predicted", [Table(NEED_COLUMNS, need_rows(result)), text])]


def how(result: LoaderResult) -> list[Section]:
    """Return how the study measured, how many blocks are behind each number, and which measurements have no result."""
    parts: list[Part] = [_what(result), _blocks(result), _looks(result), _slices(result)]
    if rows := slice_rows(result):
        parts.append(Table(SLICE_COLUMNS, rows))
    parts += [_conditions(result), _deliveries(result)]
    sections = [Section("How it was measured", parts)]
    if rows := fault_rows(result):
        sections.append(Section("Measurements without a result", [Table(FAULT_COLUMNS, rows)]))
    return sections


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


def _blocks(result: LoaderResult) -> str:
    spec = result.spec
    arms = (
        "training (`end_to_end`), loading without computing (`loader`) and computing on batches that are already there "
        "(`compute`)"
        if result.computes
        else "loading alone, since no step was given"
    )
    own = f" Measured beside these: {code(spec.loader)}, your own loader." if spec.loader else ""
    turns = "once" if spec.turns == 1 else counted(spec.turns, "time")
    return (
        "The configurations of one batch size are measured side by side, as a panel; so are the best configuration "
        f"and those with one setting of it varied: {counted(result.panels, 'panel')} in all. A block starts each "
        "configuration of a panel in a fresh process. All of them are alive at once, and each is paused except in "
        f"its turns: slices of about {spec.slice_s:g} s, in a random order back and forth (ABBA), {turns} in each "
        "block, so that whatever slows the machine down slows neighbouring slices alike. Each process is measured "
        f"in slices of {arms}.{own}"
    )


def _looks(result: LoaderResult) -> str:
    spec = result.spec
    after = enumerate_items([*map(str, looks(spec.blocks, spec.min_blocks))])
    reached, of = result.known_ratios
    return (
        f"The ratios of a panel's speeds, block by block, are analysed after {after} blocks. The error level of 5 % "
        "is divided among all these looks and all pairs of configurations, so that at most 5 % of such studies "
        "state an interval of a ratio that misses the truth. A panel ends once its choice is settled and every "
        f"ratio to its reference is known to within {100 * spec.interval:g} % ({reached} of {of} are); a "
        f"configuration known that well and more than {100 * spec.margin:g} % slower drops out earlier. "
        f"{_ended(result)}"
    )


def _ended(result: LoaderResult) -> str:
    """Say why the measuring ended, and what it did not settle."""
    spent = duration_text(result.spent_s)
    text = {
        SETTLED: f"The measuring ended after {spent}, with all choices settled.",
        TIME: f"The measuring ended at its time limit ({result.spec.minutes:g} minutes), after {spent}.",
        BLOCKS: f"The measuring ended at its largest number of blocks, after {spent}.",
    }.get(result.ended, f"The measuring has taken {spent} so far.")
    unsettled = [str(pick.batch_size) for pick in result.verdict.picks if not pick.settled]
    if not unsettled:
        return text
    return f"{text} Not settled: the choice for batches of {enumerate_items(unsettled)}."


def _slices(result: LoaderResult) -> str:
    verdict = result.verdict
    if not verdict.slices:
        return "No slice has been measured yet."
    usual = (
        ""
        if math.isnan(verdict.others_share)
        else f" Other programs usually used {100 * verdict.others_share:.1f} % of this machine's cores."
    )
    return (
        f"{verdict.slices:,} slices were measured; {verdict.dropped:,} of them were dropped because other programs "
        f"(or the host of a virtual machine) used over {100 * DISTURBING_SHARE:g} % more of the cores than "
        f"usual.{usual}"
    )


def _conditions(result: LoaderResult) -> str:
    caches = sorted(set(result.processes["page_cache"])) if len(result.processes) else ["unknown"]
    cores = result.limits.get("cores")
    usable = f" The process could use {cores:g} cores (affinity and quota)." if cores else ""
    return (
        "OpenCV uses one thread in every process that makes samples, unless `cv2_threads` says otherwise. The page "
        f"cache was {' or '.join(caches)}.{usable}"
    )


def _deliveries(result: LoaderResult) -> str:
    if result.spec.random_samples:
        return "Samples are random by design (`random_samples`), so what configurations delivered was not compared."
    if result.of_stream:
        return " ".join(map(literal, result.of_stream))
    hashed = len({*_keys(result.processes[result.processes["hashes"].map(len).gt(0)])}) if len(result.processes) else 0
    if result.different:
        return "The configurations delivered different batches, as their hashes show."
    if hashed < 2:
        return "Too few configurations have delivered batches to compare them."
    others = len(result.configurations) and result.configurations["error"].map(is_different_delivery).any()
    which = (
        "All configurations except those named above"
        if others
        else f"The {hashed} configurations whose batches were recorded"
    )
    return (
        f"{which} delivered the same batches: the first {result.spec.hashed_batches} of each, compared by "
        f"hash{_samples(result)}."
    )


def _samples(result: LoaderResult) -> str:
    """Say how many samples workers made again for comparison with those of one process."""
    rows = result.measured
    if not rows["compared_samples"].notna().any():
        return ""
    least, most = (int(end) for end in (rows["compared_samples"].min(), rows["compared_samples"].max()))
    number = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return (
        f"; for each with workers, {number} samples made by all workers at once were also compared with those of one "
        "process"
    )


def _keys(processes: pd.DataFrame) -> list[str]:
    return [configuration_text(row) for row in rows_of(processes)]
