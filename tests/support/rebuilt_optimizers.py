"""Rebuild the pages of an optimizers report from the files beside them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.kinds.optimizers.analysis import TimeUse
from bench.kinds.optimizers.report.page import optimizer_findings, study_info
from bench.kinds.optimizers.results import analyse
from bench.kinds.optimizers.spec import StudySpec
from bench.report.findings_write import write_findings_report
from bench.workloads.protocol import Samples

FENCED = re.compile(r"```\n(posebench .*?)\n```", re.DOTALL)
EMPTY = ("error", "implementation", "control_of", "hyperparameters")


def command_of(folder: Path) -> str:
    """The command that makes the study again: the last one of its pages."""
    pages = [folder / name for name in ("appendix.md", "report.md") if (folder / name).exists()]
    return FENCED.findall(pages[0].read_text())[-1]


def records_of(folder: Path) -> pd.DataFrame:
    """The records as MLflow gives them: texts that are empty are no missing numbers."""
    found = pd.read_csv(folder / "records.csv", dtype={"trial_id": str, "run_id": str, "data_digest": str})
    texts = {name: "" for name in EMPTY if name in found}
    return found.fillna(texts).assign(tuning=found["tuning"].astype(int)) if "tuning" in found else found.fillna(texts)


def rebuild_optimizers(folder: Path, out: Path) -> None:
    """Write the report into ``out``."""
    document = json.loads((folder / "result.json").read_text())
    command = command_of(folder)
    data = re.search(r"--data (\S+)", command)
    spec = StudySpec.from_stored(document["spec"] | {"data": data.group(1) if data else "data"})
    samples = None
    if (folder / "samples.json").exists():
        sheet = (folder / "samples.jpg").read_bytes() if (folder / "samples.jpg").exists() else None
        samples = Samples(json.loads((folder / "samples.json").read_text()), sheet)
    result = analyse(
        *(spec, records_of(folder), pd.read_csv(folder / "curves.csv"), pd.DataFrame(columns=["began_ms"])),
        machine=document["machine"],
        samples_of=lambda _run: samples,
    )
    result = replace(result, command=command, time_use=_time_use(document["time"], result.records, sessions_of(folder)))
    write_findings_report(optimizer_findings(result), study_info(result), out)


def sessions_of(folder: Path) -> int:
    """The number of commands that the study took, which its appendix alone says."""
    appendix = folder / "appendix.md"
    said = re.search(r"time of (\d+) commands that reached", appendix.read_text() if appendix.exists() else "")
    return int(said[1]) if said else 1


def _time_use(time: dict[str, float] | None, records: pd.DataFrame, sessions: int) -> TimeUse | None:
    if time is None:
        return None
    parts = {name: time[f"{name}_s"] / time["wall_s"] for name in ("train", "eval", "data")}
    seconds = {name: value for name, value in time.items() if name.endswith("_s")}
    shares = {f"{name}_share": value for name, value in parts.items()}
    at_once = float(records["concurrent_trials"].max())
    return TimeUse(**seconds, **shares, overhead_share=time["overhead_share"], workers=at_once, sessions=sessions)
