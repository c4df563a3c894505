"""What a loader study found, as any kind's page has it: the first screen, the main page, the appendix."""

import json
from collections.abc import Sequence
from typing import Any

from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS
from bench.kinds.loaders.analysis.headline import headline, headline_metrics, is_vague, sureness
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.report.sections import appendix, main
from bench.report.findings import Code, DataFile, Findings
from bench.report.python_call import python_call
from bench.report.study_info import StudyInfo
from bench.report.train_command import command_lines, file_options
from bench.trials.loader_settings import SETTINGS
from bench.workloads.of_study import as_study_file

MEASUREMENTS = "measurements.csv"
LISTS = ("wait_quantiles_ms", "hashes")
"""Columns that hold a list, written as JSON."""
ONE_THREAD = "`posebench train` has no option for OpenCV's threads: there it always has one."
EPOCHS = "10"
"""Of the command to paste: a training needs a length, and a loader study says nothing of it."""


def loader_findings(result: LoaderResult) -> Findings:
    """What the study found, finished or not."""
    found = result.verdict
    return Findings(
        answer=headline(found, computes=result.computes),
        paste=_paste(result),
        sureness=_sureness(result),
        figure=main.speeds_chart(result),
        sections=[*main.configurations(result), *main.workers(result), *main.waits(result)],
        appendix=[
            *appendix.every_configuration(result),
            *appendix.costs(result),
            *appendix.largest_batch(result),
            *appendix.needs(result),
            *appendix.how(result),
        ],
        claims=found.text,
        document=_document(result),
        tables_csv=_tables(result),
        metrics=headline_metrics(found),
    )


def study_info(result: LoaderResult) -> StudyInfo:
    """The study besides its findings.

    Bus errors make it doubtful too: they are an end that only measurements know.
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
    said = sureness(
        result.verdict,
        cores=result.limits.get("cores"),
        interval=result.spec.interval,
        computes=result.computes,
        unmeasured=result.unmeasured,
    )
    return said if result.spec.dataset or _has_usual_threads(result) else f"{said} {ONE_THREAD}"


def _has_usual_threads(result: LoaderResult) -> bool:
    """Whether OpenCV's threads are left as they are: `posebench train` has no option for them."""
    chosen = result.verdict.recommended
    return chosen is None or chosen["cv2_threads"] == USUAL_CV2_THREADS


def _paste(result: LoaderResult) -> list[Code]:
    """The DataLoader of the recommendation; of the COCO folder, a training with it too."""
    chosen = result.verdict.recommended
    if chosen is None or is_vague(result.verdict):
        return []
    usual = _has_usual_threads(result)
    opencv = f"cv2.setNumThreads({chosen['cv2_threads']})  # in every process that makes samples, so in each worker"
    python = Code("python", "\n".join([*([] if usual else [opencv]), python_call(result.verdict.call)]))
    return [python, Code("", _training(result, chosen))] if usual and not result.spec.dataset else [python]


def _training(result: LoaderResult, chosen: dict[str, Any]) -> str:
    """`posebench train` with the settings."""
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
    """The keys of the JSON document that only this kind has."""
    found = result.verdict
    return {
        "configurations": result.configurations.drop(columns="key", errors="ignore"),
        "recommended": found.recommended,
        "dataloader": found.call,
        "bottleneck": found.bottleneck,
        "flips_at": found.flips_at,
        "knee": found.knee,
        "gain": found.gain,
        "noise": result.noise,
        "within_interval": {"reached": result.reached[0], "of": result.reached[1]},
        "largest_batch": result.largest,
        "transfers": result.transfers,
        "limits": result.limits,
        "needs": result.needs,
    }


def _tables(result: LoaderResult) -> dict[str, DataFile]:
    rows = result.rows
    if len(rows):
        rows = rows.assign(**{name: rows[name].map(json.dumps) for name in LISTS})
    return {
        MEASUREMENTS: DataFile(
            rows.drop(columns="key", errors="ignore"),
            "a row for each measurement, skipped and failed ones included, with its MLflow run",
        ),
        main.CONFIGURATIONS: DataFile(
            result.configurations.drop(columns="key", errors="ignore"),
            "a row for each configuration: the tables of these pages, unrounded",
        ),
    }
