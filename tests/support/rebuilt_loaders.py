"""Rebuild the pages of a loader report from its own files, because the store that it came from no longer exists."""

import json
import re
from pathlib import Path

import pandas as pd

from bench.kinds.loaders.report.page import LISTS, MEASUREMENTS, SLICES, loader_findings, study_info
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.results import loader_result
from bench.kinds.loaders.spec import LoaderSpec
from bench.report.csv_file import read_csv
from bench.report.files import APPENDIX, REPORT, RESULT
from bench.report.findings_write import write_findings_report
from bench.trials.columns import rows_of
from bench.trials.loader_settings import SETTINGS, plain_settings

TEXTS = ("id", "run_id", "error", "memory_kind", "own_loader", "start_method", "phase", "arm", "status", "device")
FENCED = re.compile(r"^```\n(posebench .*?)\n```$", re.MULTILINE | re.DOTALL)


def rebuild_loaders(folder: Path, out: Path) -> Path:
    """Write the report of a loader study anew into ``out``, figures too; returns the path of report.md.

    ``folder``: a report with its measurements.csv, slices.csv, result.json and pages.
    """
    result = loaders_of(folder)
    return write_findings_report(loader_findings(result), study_info(result), out)


def loaders_of(folder: Path) -> LoaderResult:
    """A loader study's result as its report holds it."""
    document = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    spec = LoaderSpec.from_stored({"data": Path.cwd() / _data(folder), **document["spec"]})
    return loader_result(
        spec,
        frame_of(folder / MEASUREMENTS),
        frame_of(folder / SLICES),
        unlike=None,
        stream=document["stream"],
        largest=document["largest_batch"],
        transfers=document["transfers"],
        needs=document["needs"],
        limits=document["limits"],
        machine=document["machine"],
        finished=document["status"] == "complete",
        command=_command(folder),
    )


def frame_of(csv: Path) -> pd.DataFrame:
    """Lives or slices as they were when the file was written."""
    rows = read_csv(csv, dtype=dict.fromkeys(TEXTS, str))
    rows = rows.fillna({name: "" for name in ("error", "memory_kind", "own_loader") if name in rows})
    for name in LISTS:
        if name in rows:
            rows[name] = rows[name].map(json.loads)
    for name in SETTINGS:  # a column with gaps was read as floats
        rows[name] = pd.Series([plain_settings(row)[name] for row in rows_of(rows)], dtype=object)
    return rows.infer_objects()


def _command(folder: Path) -> str:
    """The command that makes the study again: the last one of the pages."""
    return str(FENCED.findall(_pages(folder))[-1])


def _pages(folder: Path) -> str:
    pages = (folder / name for name in (REPORT, APPENDIX))
    return "\n".join(page.read_text(encoding="utf-8") for page in pages if page.is_file())


def _data(folder: Path) -> str:
    """The data set's folder, from the command that makes the study again."""
    found = re.search(r"--data (\S+)", _command(folder))
    return found[1] if found else "data"
