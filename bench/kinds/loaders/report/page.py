"""A loader study's report as Markdown: the answer first, then what it rests on."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.configurations import FEW
from bench.kinds.loaders.analysis.delivery import delivered_others
from bench.kinds.loaders.report.result import LoaderResult
from bench.report.cells import interval_cell, markdown_table, number_cell
from bench.report.files import REPORT, RESULT, STUDY
from bench.report.prose import linked, prose
from bench.report.wording import counted
from bench.trials.columns import rows_of
from bench.trials.status import Status

MEASUREMENTS, CONFIGURATIONS = "measurements.csv", "configurations.csv"
HEAT_MAP, KNEE, WAITS, BATCHES = "heat-map.png", "knee.png", "waits.png", "batch-sizes.png"

COLUMNS = ("configuration", "images/s [95 %]", "n", "waiting", "AU", "bottleneck", "of min(loader, compute)", "status")
DETAIL_COLUMNS = (
    "configuration",
    "loading alone",
    "computing alone",
    "wait p50 / p95 / p99 (ms)",
    "first batch (s)",
    "epoch border (s)",
    "cores",
    "memory (GB)",
    "/dev/shm (MB)",
)
CONTEXT_BYTES = 1e9
"""Of a GPU's memory: what driver and contexts may hold beside the process's own; more is somebody else's."""
GPU_COLUMNS = ("configuration", "GPU busy (%)", "GPU memory (GB)")
NEED_COLUMNS = ("num_workers", "batch_size", "memory (GB)", "/dev/shm (MB)")


def markdown(result: LoaderResult) -> str:
    """The whole report."""
    parts = [
        f"# {result.spec.name}",
        *_answer(result),
        *_grid(result),
        *_knee(),
        *_waits(),
        *_details(result),
        *_largest(result),
        *_needs(result),
        *_how(result),
        *_origin(result),
    ]
    return "\n\n".join(parts) + "\n"


def short_text(result: LoaderResult) -> str:
    """Verdict and main table: what MLflow's page of the study begins with."""
    table = markdown_table(COLUMNS, configuration_rows(result))
    return "\n\n".join(
        [result.verdict.text, table, f"The whole report: artifact `report/{REPORT}` of the study's run."]
    )


def _answer(result: LoaderResult) -> list[str]:
    unfinished = (
        []
        if result.status() == "complete"
        else [f"**Unfinished: {counted(len(result.rows), 'measurement')} so far.** What follows may change."]
    )
    call = f"```python\n{result.verdict.call}\n```" if result.verdict.call else ""
    return [*unfinished, textwrap.indent(prose(result.verdict.text), "> "), *([call] if call else [])]


def _grid(result: LoaderResult) -> list[str]:
    return [
        "## Configurations",
        markdown_table(COLUMNS, configuration_rows(result)),
        f"![Images per second by num_workers and batch_size]({HEAT_MAP})",
        prose(
            "Images/s of training: median over n fresh processes with a 95 % interval. *Waiting*: share of the time "
            "spent waiting for data. *AU*: computing over all time (the rule of MLPerf Storage). *Of min(loader, "
            "compute)*: what is reached of what the slower of the two arms allows. The frame in the figure is the "
            f"recommendation. A setting that is not named has PyTorch's default. Unrounded: {linked(CONFIGURATIONS)}."
        ),
    ]


def _knee() -> list[str]:
    return [
        "## How many workers",
        f"![Images per second against num_workers: training, loading alone, computing alone]({KNEE})",
        prose(
            "Where training follows *loading alone* it is loader-bound, where it follows *computing alone*, "
            "compute-bound. What is missing to the dotted line is lost to their sharing this machine's cores."
        ),
    ]


def _waits() -> list[str]:
    return [
        "## How long a batch is waited for",
        f"![Share of batches that are waited for longer than so many milliseconds]({WAITS})",
        prose("Steady batches, the median over the repeats; an epoch's first batch is not among them."),
    ]


def _details(result: LoaderResult) -> list[str]:
    parts = [
        "## What it took",
        markdown_table(DETAIL_COLUMNS, detail_rows(result)),
        prose(
            "*Cores*: CPU time of the process and its workers over the loop's time. *Memory*: peak over all of them, "
            f"{_memory_kind(result)}. */dev/shm*: by how much it was fuller at its peak. *First batch*: from asking "
            "for an iterator, workers' start included. *Epoch border*: from an epoch's last step to the next one's "
            "first batch."
        ),
    ]
    frame = result.configurations
    if "gpu_memory_bytes" in frame and frame["gpu_memory_bytes"].notna().any():
        rows = [
            [
                configuration_text(row),
                number_cell(row["gpu_utilization_percent"], ".0f"),
                number_cell(row["gpu_memory_bytes"], ".1f", scale=1e-9),
            ]
            for row in _complete(result)
        ]
        parts += [markdown_table(GPU_COLUMNS, rows), prose(_gpu_kind(frame))]
    if result.transfers is not None:
        parts.append(_transfers(result.transfers))
    return parts


def _gpu_kind(frame: pd.DataFrame) -> str:
    told = (
        "*GPU memory*: of the measured process. *GPU busy*: share of time in which anything ran on this GPU, by NVML, "
        "once the first step had been given to it; without a figure where the loop was too short to say."
    )
    others = frame["gpu_others_bytes"].max()
    return told + f" Others held up to {others / 1e9:.1f} GB of it." if others > CONTEXT_BYTES else told


def _transfers(found: Mapping[str, Any]) -> str:
    return prose(
        f"A batch of {found['batch_bytes'] / 1e6:.3g} MB reaches the GPU with {found['pinned_gb_per_s']:.3g} GB/s from "
        f"pinned and {found['pageable_gb_per_s']:.3g} GB/s from pageable memory. Copied from pinned memory on a stream "
        f"of its own beside matrix products, {100 * found['hidden_share']:.0f} % of the shorter one of the two is "
        "hidden behind the other; a training step that copies on its own stream, as this one does, has them in turn."
    )


def _memory_kind(result: LoaderResult) -> str:
    kinds = [kind for kind in result.rows["memory_kind"].unique() if kind] if len(result.rows) else []
    told = {"pss": "shared pages counted once (PSS)", "uss": "shared pages left out (USS)"}
    return told.get(kinds[0], "shared pages counted in every process (RSS)") if kinds else "not known here"


def _largest(result: LoaderResult) -> list[str]:
    if result.largest is None:
        return []
    size, limited = result.largest["largest"], result.largest["limited"]
    if size is None:
        text = "Not even a batch of one fits."
    elif limited:
        text = f"{size} images fit into memory for a training step; more do not."
    else:
        text = f"{size} images fit; the search ended there, at its limit (`largest_batch_limit`)."
    if result.largest.get("ended"):
        text += f" The search ended early: {result.largest['ended']}"
    return ["## The largest batch", text, f"![Images per second of the step against batch size]({BATCHES})"]


def _needs(result: LoaderResult) -> list[str]:
    if not result.needs:
        return []
    rows = [
        [
            str(need["num_workers"]),
            str(need["batch_size"]) + (" (pinned)" if need["pin_memory"] else ""),
            number_cell(need["memory_bytes"], ".2f", scale=1e-9),
            number_cell(need["shm_bytes"], ".1f", scale=1e-6),
        ]
        for need in result.needs
    ]
    free = result.limits
    shm_free = free.get("shm_free_bytes")
    shm = "" if shm_free is None else f" and {shm_free / 1e9:.1f} GB of /dev/shm"
    return [
        "## What was predicted",
        markdown_table(NEED_COLUMNS, rows),
        prose(
            f"From one look at the data, before the first measurement; {free.get('memory_free_bytes', 0) / 1e9:.1f} GB "
            f"of memory{shm} were free. What needs more than nine tenths is skipped, not tried until it crashes."
        ),
    ]


def _how(result: LoaderResult) -> list[str]:
    spec = result.spec
    what = f"`{spec.dataset}`" if spec.dataset else f"data `{spec.data.name}`, network {spec.network} at {spec.size} px"
    step = (
        f", with a step that waits {spec.step_ms:g} ms"
        if spec.step_ms is not None
        else f", with the step `{spec.step}`"
        if spec.step
        else ""
    )
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in result.trials().items() if count)
    caches = sorted(set(result.rows["page_cache"])) if len(result.rows) else ["unknown"]
    faults = [
        f"- {configuration_text(row)}, {row['arm']}: {row['status']}. {row['error'] or 'No message.'}"
        for row in rows_of(result.measured)
        if row["status"] != Status.COMPLETE
    ]
    return [
        "## How it was measured",
        prose(
            f"{what[0].upper()}{what[1:]}{step}, on {spec.device}. Each arm of each configuration in a fresh process, "
            f"in blocks of random order, at least {spec.min_repeats} and at most {spec.repeats} times: repeats end "
            f"once the 95 % interval is within {100 * spec.interval:g} % of its middle, which {result.reached[0]} of "
            f"{result.reached[1]} reached; the others stopped at the cap. Intervals from fewer than {FEW} repeats take "
            "their spread from all configurations. A loop of about "
            f"{spec.seconds:g} s in {counted(spec.epochs, 'epoch')}; its start is told from its steady part by the "
            f"data (MSER){_unsteady(result)}. OpenCV works with one thread in every process that makes samples, unless "
            f"told otherwise. The page cache was {' or '.join(caches)}. The machine's noise, a fixed piece of work "
            f"repeated before each block, spreads by {100 * result.noise:.1f} %: differences inside it are none. "
            f"{_deliveries(result)} Measurements: {counts}."
        ),
        *(["### Measurements without a result", "\n".join(faults)] if faults else []),
    ]


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
        else (f"The {hashed} configurations of which batches were kept")
    )
    return (
        f"{which} delivered the same (the first {result.spec.hashed_batches} of each, compared by "
        f"hash{_samples(result)})."
    )


def _samples(result: LoaderResult) -> str:
    """How many samples workers made once more, to be compared with what one process makes."""
    rows = result.measured
    if "compared_samples" not in rows or not rows["compared_samples"].notna().any():
        return ""
    least, most = (int(end) for end in (rows["compared_samples"].min(), rows["compared_samples"].max()))
    told = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return f"; of each with workers also {told} samples, made by all workers at once, with those of one process"


def _origin(result: LoaderResult) -> list[str]:
    limits = result.limits
    rows = [[key, str(value)] for key, value in result.machine.items()]
    if limits:
        rows.insert(1, ["cores usable (affinity and quota)", f"{limits['cores']:g}"])
    return [
        "## What it ran on",
        markdown_table(("", "value"), rows),
        "## Files",
        "\n".join(
            f"- {linked(name)}: {what}"
            for name, what in (
                (MEASUREMENTS, "a row for each measurement, skipped and failed ones included, with its MLflow run"),
                (CONFIGURATIONS, "a row for each configuration: the tables of this page, unrounded"),
                (STUDY, "all settings of the study"),
                (RESULT, "the result as JSON"),
            )
        ),
        "## Again",
        f"```\n{result.command}\n```",
    ]


def configuration_rows(result: LoaderResult) -> list[list[str]]:
    """Cells of the main table, the fastest first."""
    return [
        [
            configuration_text(row),
            interval_cell(row["images_per_s"], row["low"], row["high"], ".3g"),
            str(row["n"]),
            number_cell(row["data_wait_share"], ".0f", " %", scale=100),
            number_cell(row["au"], ".2f"),
            row["bottleneck"],
            number_cell(1 - row["gap"], ".0f", " %", scale=100),
            str(row["status"]).replace("_", " "),
        ]
        for row in rows_of(result.configurations)
    ]


def detail_rows(result: LoaderResult) -> list[list[str]]:
    """Cells of the table of what each configuration took."""
    return [
        [
            configuration_text(row),
            number_cell(row["loader_images_per_s"], ".3g"),
            number_cell(row["compute_images_per_s"], ".3g"),
            " / ".join(number_cell(row[f"wait_p{share}_ms"], ".1f") for share in (50, 95, 99)),
            number_cell(row["first_batch_s"], ".2f"),
            number_cell(row["epoch_gap_s"], ".3f"),
            number_cell(row["cores_used"], ".2f"),
            number_cell(row["peak_memory_bytes"], ".2f", scale=1e-9),
            number_cell(row["shm_peak_bytes"], ".1f", scale=1e-6),
        ]
        for row in _complete(result)
    ]


def configuration_text(row: Any) -> str:
    """`2 workers, batch 16, pinned`: what differs from PyTorch's defaults."""
    parts = [
        counted(row["num_workers"], "worker"),
        f"batch {row['batch_size']}",
        *(["pinned"] if row["pin_memory"] else []),
    ]
    if row["persistent_workers"]:
        parts.append("persistent")
    if row["prefetch_factor"] == row["prefetch_factor"] and row["prefetch_factor"] is not None:
        parts.append(f"prefetch {int(row['prefetch_factor'])}")
    if isinstance(row["start_method"], str):
        parts.append(row["start_method"])
    if row["cv2_threads"] != 1:
        parts.append(f"cv2 threads {row['cv2_threads']}")
    return ", ".join(parts)


def _complete(result: LoaderResult) -> Sequence[dict[str, Any]]:
    frame = result.configurations
    return rows_of(frame[frame["status"] == Status.COMPLETE]) if len(frame) else []
