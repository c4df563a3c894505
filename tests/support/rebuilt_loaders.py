"""Pages of a shipped report made anew from its own files, where the store that it came from is gone."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.kinds.loaders.report.page import loader_findings, study_info
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.report.sections.appendix import GPU_BUSY
from bench.kinds.loaders.results import loader_result
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.configuration import configuration
from bench.report.csv_file import read_csv
from bench.report.files import APPENDIX, REPORT, RESULT
from bench.report.findings import Section
from bench.report.findings_write import write_findings_report
from bench.trials.columns import rows_of
from bench.trials.loader_settings import SETTINGS, chosen_settings

MEASUREMENTS = "measurements.csv"
NEEDS = {"memory_bytes": "need_memory_bytes", "shm_bytes": "need_shm_bytes"}
FENCED = re.compile(r"^```\n(posebench .*?)\n```$", re.MULTILINE | re.DOTALL)
GPU_BUSY_EARLIER = "here averaged from the loop's beginning, with all that the first step loads"


def rebuild_loaders(folder: Path, out: Path) -> Path:
    """Write the report of a loader study anew into ``out``, figures too; returns the path of report.md.

    ``folder``: a report with its measurements.csv, result.json and pages.
    """
    result = loaders_of(folder)
    found = loader_findings(result)
    if GPU_BUSY_EARLIER in " ".join(_pages(folder).split()):
        found = replace(found, appendix=[*map(_as_counted_earlier, found.appendix)])
    return write_findings_report(found, study_info(result), out)


def _as_counted_earlier(section: Section) -> Section:
    """What is said of a GPU's use, as it was when that was counted from the loop's beginning."""
    parts = [part.replace(GPU_BUSY, GPU_BUSY_EARLIER) if isinstance(part, str) else part for part in section.parts]
    return Section(section.title, parts)


def loaders_of(folder: Path) -> LoaderResult:
    """A loader study's result as its report holds it."""
    document = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    rows = measured_rows(folder / MEASUREMENTS)
    spec = LoaderSpec.stored({"data": Path.cwd() / _data(folder), **document["spec"]})
    return loader_result(
        spec,
        rows,
        unlike=None,
        largest=document["largest_batch"],
        transfers=document["transfers"],
        needs=document.get("needs") or _needs(rows),
        limits=document["limits"],
        machine=document["machine"],
        finished=document["status"] == "complete",
        command=_command(folder),
    )


def measured_rows(csv: Path) -> pd.DataFrame:
    """The measurements as they were when the file was written."""
    rows = read_csv(csv, dtype={"id": str, "run_id": str, "error": str, "memory_kind": str})
    rows = rows.fillna({"error": "", "memory_kind": ""})
    for name in ("wait_quantiles_ms", "hashes"):
        rows[name] = rows[name].map(json.loads)
    for name in SETTINGS:  # a column with gaps was read as floats
        rows[name] = pd.Series([chosen_settings(row)[name] for row in rows_of(rows)], dtype=object)
    return rows.infer_objects()


def _needs(rows: pd.DataFrame) -> list[dict[str, object]]:
    """What each configuration was predicted to need, as far as it was measured."""
    found = {}
    for row in rows_of(rows[(rows["phase"] == "grid") & (rows["arm"] != "compute")]):
        settings = configuration(**chosen_settings(row)).model_dump(mode="json")
        needs = {name: int(row[column]) for name, column in NEEDS.items()}
        found[json.dumps(settings)] = settings | needs
    return [found[key] for key in sorted(found, key=lambda key: tuple(found[key][name] for name in SETTINGS[:3]))]


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
