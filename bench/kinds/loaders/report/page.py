"""Turns a loader study's result into findings: the first screen, the main page, the appendix."""

import json
from collections.abc import Sequence
from typing import Any

from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS
from bench.kinds.loaders.analysis.findings import Pick
from bench.kinds.loaders.analysis.headline import headline, headline_metrics, sureness
from bench.kinds.loaders.analysis.stream import BY_WORKER
from bench.kinds.loaders.report.result import BLOCKS, TIME, LoaderResult
from bench.kinds.loaders.report.sections import appendix, main
from bench.report.findings import Code, DataFile, Findings
from bench.report.python_call import python_call
from bench.report.study_info import StudyInfo
from bench.report.text import literal
from bench.report.train_command import command_lines, file_options
from bench.trials.loader_settings import SETTINGS, plain_settings
from bench.workloads.of_study import as_study_file

MEASUREMENTS, SLICES = "measurements.csv", "slices.csv"
LISTS = ("wait_quantiles_ms", "hashes")
"""Columns that hold a list, written as JSON."""
ONE_THREAD = "`posebench train` has no option for OpenCV's threads: it always uses one."
LONGER = {TIME: "more `--minutes` may settle it", BLOCKS: "more `--blocks`, under another `--name`, may settle it"}
"""Advice if the choice is not settled, by what ended the measuring."""
EPOCHS = "10"
"""Epochs of the training command to paste: it needs a length, and a loader study does not determine one."""


def loader_findings(result: LoaderResult) -> Findings:
    """Return the findings of the study, finished or not."""
    verdict = result.verdict
    return Findings(
        answer=headline(verdict, computes=result.computes, longer=LONGER.get(result.ended, "")),
        paste=_paste(result),
        sureness=_sureness(result),
        figure=main.speeds_figure(result),
        sections=[
            *main.sizes(result),
            *main.configurations(result),
            *main.workers(result),
            *main.waits(result),
        ],
        appendix=[
            *appendix.every_configuration(result),
            *appendix.costs(result),
            *appendix.largest_batch(result),
            *appendix.needs(result),
            *appendix.how(result),
        ],
        claims=verdict.text,
        document=_document(result),
        tables_csv=_tables(result),
        metrics=headline_metrics(verdict),
    )


def study_info(result: LoaderResult) -> StudyInfo:
    """Return the study's identity, status and settings for its page.

    Bus errors also make a study doubtful; this status exists only for measurements.
    """
    spec, trials = result.spec, result.trials()
    return StudyInfo(
        name=spec.name,
        kind=spec.kind,
        preset=spec.preset,
        status=result.status(),
        trials=trials,
        spec=spec.identity(),
        settings=as_study_file(spec),
        machine=result.machine,
        command=result.command,
        records=result.measured,
        noun="measurement",
        records_file=MEASUREMENTS,
        distrusted=bool(result.different) or trials["bus_error"] > 0,
    )


def _sureness(result: LoaderResult) -> str:
    text = sureness(
        result.verdict,
        cores=result.limits.get("cores"),
        computes=result.computes,
        unmeasured=result.unmeasured,
    )
    if result.stream is not None and result.stream["sharding"] != BY_WORKER:
        text = f"{text} {literal(result.of_stream[0])}"
    return text if result.spec.dataset or _has_usual_threads(result) else f"{text} {ONE_THREAD}"


def _has_usual_threads(result: LoaderResult) -> bool:
    """Return whether OpenCV's threads are left as usual: `posebench train` has no option for them."""
    chosen = result.verdict.recommended
    return chosen is None or chosen["cv2_threads"] == USUAL_CV2_THREADS


def _paste(result: LoaderResult) -> list[Code]:
    """Return the recommended DataLoader call; for a COCO folder also a training command with these settings."""
    chosen = result.verdict.recommended
    if chosen is None or not result.verdict.call:  # a user's own loader is no DataLoader call
        return []
    usual = _has_usual_threads(result)
    opencv = f"cv2.setNumThreads({chosen['cv2_threads']})  # in every process that makes samples, so in each worker"
    python = Code("python", "\n".join([*([] if usual else [opencv]), python_call(result.verdict.call)]))
    return [python, Code("", _training(result, chosen))] if usual and not result.spec.dataset else [python]


def _training(result: LoaderResult, chosen: dict[str, Any]) -> str:
    """Return the `posebench train` command with the recommended settings."""
    spec = result.spec
    options: list[Sequence[str]] = [
        *file_options(spec),
        *([("--exif", spec.exif)] if spec.exif != "ignore" else []),
        ("--network", spec.network),
        *([("--size", str(spec.size))] if spec.size is not None else []),
        *([("--train-split", spec.split)] if spec.split != "train" else []),
        *([("--targets", spec.targets)] if spec.targets != "auto" else []),
        ("--epochs", EPOCHS),
    ]
    for name in SETTINGS:
        value, flag = chosen[name], f"--{name.replace('_', '-')}"
        if name == "cv2_threads" or value is None or value is False:
            continue
        options.append((flag,) if value is True else (flag, str(value)))
    return command_lines(spec.data, options)


def _document(result: LoaderResult) -> dict[str, Any]:
    """Return the part of the JSON document that only this kind has."""
    verdict = result.verdict
    reached, ratios = result.known_ratios
    return {
        "configurations": result.configurations.drop(columns="key", errors="ignore"),
        "recommended": verdict.recommended,
        "own_loader": verdict.configuration(verdict.chosen)["own_loader"] if verdict.chosen else "",
        "dataloader": verdict.call,
        "recommended_by_batch_size": [_picked(result, pick) for pick in verdict.picks],
        "bottleneck": verdict.bottleneck,
        "flips_at": verdict.flips_at,
        "knee": verdict.knee,
        "gain": verdict.gain,
        "within_interval": {"reached": reached, "of": ratios},
        "slices": {"measured": verdict.slices, "dropped": verdict.dropped},
        "ended": result.ended,
        "spent_s": result.spent_s,
        "largest_batch": result.largest,
        "transfers": result.transfers,
        "stream": result.stream,
        "limits": result.limits,
        "needs": result.needs,
    }


def _picked(result: LoaderResult, pick: Pick) -> dict[str, Any]:
    """Return the choice for one batch size as JSON; ``equal`` and ``open`` hold settings instead of keys."""

    def settings(keys: Sequence[str]) -> list[dict[str, Any]]:
        return [plain_settings(result.verdict.configuration(key)) for key in keys]

    best = pick is result.verdict.pick
    row = result.verdict.configuration(result.used(pick)) if pick.key else None
    return {
        "batch_size": pick.batch_size,
        "recommended": None if row is None else plain_settings(row),
        "own_loader": "" if row is None else row["own_loader"],
        "dataloader": result.verdict.call if best else pick.call,
        "images_per_s": None if row is None else row["images_per_s"],
        "gain": result.verdict.gain if best else pick.gain,
        "settled": pick.settled,
        "equal": settings(pick.equal),
        "open": settings(pick.open),
    }


def _tables(result: LoaderResult) -> dict[str, DataFile]:
    processes = result.processes
    if len(processes):
        processes = processes.assign(**{name: processes[name].map(json.dumps) for name in LISTS})
    return {
        MEASUREMENTS: DataFile(
            processes.drop(columns="key", errors="ignore"),
            "a row for each process of a configuration, skipped and failed ones included, with its MLflow run",
        ),
        SLICES: DataFile(
            result.slices.drop(columns="key", errors="ignore"), "a row for each slice, dropped ones included"
        ),
        main.CONFIGURATIONS: DataFile(
            result.configurations.drop(columns="key", errors="ignore"),
            "a row for each configuration: the tables of these pages, unrounded",
        ),
    }
