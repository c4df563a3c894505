"""Rebuild the pages of joint and networks reports from the reports' own files, with the current analysis.

Used for the reports in the repository: their records and pictures stay as measured, while pages and plots follow the
code. `python -m tests.support.rebuilt_joint reports/joint-cpu OUT`; the kind is read from the report.
"""

import json
import re
import shlex
import shutil
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from bench.kinds.joint.kind import KIND as JOINT
from bench.kinds.joint.spec import JointSpec
from bench.kinds.networks.analysis import CURVES, RUNS, NetworkRun, network_findings
from bench.kinds.networks.kind import _terms
from bench.kinds.networks.plan import combinations, plan_networks
from bench.kinds.networks.spec import NetworksSpec
from bench.report.files import APPENDIX, RECORDS, REPORT, RESULT, STUDY
from bench.report.findings import Findings
from bench.report.findings_write import write_findings_report
from bench.report.study_info import StudyInfo
from bench.report.train_command import train_command
from bench.trials.record import Session
from bench.trials.status import Status
from bench.workloads.of_study import as_study_file

IDS, TEXTS = ("trial_id", "run_id", "data_digest"), ("error", "implementation", "control_of")
EARLIER, UNKNOWN = "runs.json", "not recorded"


class FromFiles:
    """What a kind's analysis asks of a study's runs, where there is no MLflow: the sessions are not known."""

    def __init__(self, machine: dict[str, str]) -> None:
        self._machine = machine

    def machine(self) -> dict[str, str]:
        """That of the report."""
        return self._machine

    def sessions(self) -> pd.DataFrame:
        """None."""
        return pd.DataFrame(columns=[field.name for field in fields(Session)])


def rebuild_joint(folder: Path, out: Path) -> Path:
    """Write the report of ``folder`` anew into ``out``; returns its report.md."""
    document, command = _of_today(folder)
    spec = JointSpec.from_stored({**document["spec"], "data": _data(command)})
    records = _records(folder / RECORDS)
    findings = JOINT.findings(spec, records, FromFiles(document.get("machine") or {}))
    info = _info(document, records, command, settings=as_study_file(spec))
    return _write(findings, info, folder, out)


def rebuild_networks(folder: Path, out: Path) -> Path:
    """The same of a networks report; one from before there was such a kind has its runs in runs.json."""
    earlier = (folder / EARLIER).is_file()
    document, command = (
        _of_earlier(folder) if earlier else (json.loads((folder / RESULT).read_text()), _command(folder))
    )
    spec = NetworksSpec.from_stored({**document["spec"], "data": _data(command)})
    planned = dict(zip(combinations(spec), plan_networks(spec), strict=True))
    runs = [
        _network_run(run, folder, train_command(planned[run["network"], run["precision"]], spec.data))
        for run in document["runs"]
    ]
    table = pd.read_csv(folder / RUNS)
    records = table.assign(optimizer=table["network"] + " in " + table["precision"], concurrent_trials=1)
    if (folder / RECORDS).is_file():
        records = _records(folder / RECORDS)
    curves = pd.read_csv(folder / CURVES)
    findings = network_findings(runs, curves, terms=_terms(spec, records), seconds=spec.seconds)
    return _write(findings, _info(document, records, command, settings=as_study_file(spec)), folder, out)


def _of_today(folder: Path) -> tuple[dict[str, Any], str]:
    """The JSON document of a report, and the command that makes its study again."""
    return json.loads((folder / RESULT).read_text()), _command(folder)


def _of_earlier(folder: Path) -> tuple[dict[str, Any], str]:
    """The document that a report of today would have, and the command that makes such a study."""
    document = json.loads((folder / EARLIER).read_text())
    spec = _networks_of_question(folder.name, document)
    status = [run["status"] for run in document["runs"]]
    _, images, seed = document["question"]["data"].split("-")  # synthetic-20000-seed0
    command = (
        f"posebench data synth {spec.data} --images {images} --seed {seed.removeprefix('seed')}\n"
        f"posebench study networks --preset {spec.preset} --study {(folder / STUDY).as_posix()} \\\n"
        f"    --data {spec.data} --name {folder.name}-again"
    )
    return {
        "study": folder.name,
        "kind": spec.kind,
        "preset": spec.preset,
        "status": "complete",
        "trials": {**{each.value: status.count(each.value) for each in Status}, "recorded": len(status)},
        "spec": spec.identity(),
        "machine": _machine(folder / REPORT),
        "runs": document["runs"],
    }, command


def _write(findings: Findings, info: StudyInfo, folder: Path, out: Path) -> Path:
    if out.resolve() != folder.resolve():
        shutil.rmtree(out, ignore_errors=True)
    else:
        names = {image.file for image in findings.images()}
        for figure in folder.glob("*.png"):
            if figure.name not in names:
                figure.unlink()
        (folder / EARLIER).unlink(missing_ok=True)
    page = write_findings_report(findings, info, out)
    text = json.loads((out / RESULT).read_text()) | {"report": (folder / REPORT).as_posix()}
    (out / RESULT).write_text(json.dumps(text, indent=2) + "\n")
    return page


def _info(document: dict[str, Any], records: pd.DataFrame, command: str, *, settings: dict[str, Any]) -> StudyInfo:
    names = ("kind", "preset", "status", "trials", "spec", "machine")
    return StudyInfo(
        name=document["study"],
        **{name: document[name] for name in names},
        settings=settings,
        command=command,
        records=records,
    )


def _records(file: Path) -> pd.DataFrame:
    """As MLflow gives them: ids are texts, and texts that are empty are no missing numbers."""
    records = pd.read_csv(file, dtype=dict.fromkeys((*IDS, *TEXTS), str))
    return records.fillna({name: "" for name in TEXTS if name in records})


def _command(folder: Path) -> str:
    """The command that makes the study again: the last lines to paste of its page."""
    page = folder / APPENDIX
    text = (page if page.is_file() else folder / REPORT).read_text()
    return re.findall(r"^```\w*\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)[-1]


def _data(command: str) -> Path:
    words = shlex.split(command.replace("\\\n", " "))
    return Path(words[words.index("--data") + 1])


def _machine(page: Path) -> dict[str, str]:
    table = page.read_text().partition("## What it ran on")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w[^|]*?) +\| ([^|]*?) +\|$", table, re.MULTILINE)
    return dict(rows)


def _networks_of_question(name: str, document: dict[str, Any]) -> NetworksSpec:
    asked, runs = document["question"], document["runs"]
    same = ("batch_size", "num_workers", "seconds", "evaluations", "foreground_weight", "device", "seed")
    return NetworksSpec(
        name=name,
        preset="full",
        data=Path("data") / asked["data"],
        data_digest=UNKNOWN,
        networks=tuple(dict.fromkeys(run["network"] for run in runs)),
        precisions=tuple(dict.fromkeys(run["precision"] for run in runs)),
        size=runs[0]["size"],
        scored_images=asked["val_images"],
        **{name: asked[name] for name in same},
    )


def _network_run(run: dict[str, Any], folder: Path, command: str) -> NetworkRun:
    picture = run.get("picture") or f"{run['network']}-{run['precision']}.jpg"
    names = ("network", "precision", "status", "steps", "learning_rate", "parameters", "gmacs", "size", "wall_s")
    sheet = (folder / picture).read_bytes() if (folder / picture).is_file() else None
    return NetworkRun(**{name: run[name] for name in names}, metrics=run["metrics"], sheet=sheet, command=command)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    of_networks = (source / RUNS).is_file()
    rebuild = rebuild_networks if of_networks else rebuild_joint
    print(rebuild(source, target))
