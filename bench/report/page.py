"""Page content besides the findings themselves: progress, all claims, and the origin of the numbers."""

from bench.report.evidence import evidence_lines, few_images
from bench.report.files import APPENDIX, HTML, REPORT, RESULT, STUDY
from bench.report.findings import Bullets, Code, Findings, Part, Section, Table
from bench.report.gpu_models import several_models, trials_by_gpu
from bench.report.prose import linked
from bench.report.study_info import StudyInfo
from bench.report.text import code
from bench.report.wording import counted


def unfinished(study: StudyInfo) -> str:
    """Return `Unfinished: 17 of 210 trials so far.` and what that means; empty once all are recorded."""
    if study.status == "complete":
        return ""
    recorded, planned = study.trials["recorded"], study.trials.get("planned")
    so_far = counted(recorded, study.noun) if planned is None else f"{recorded} of {counted(planned, study.noun)}"
    return f"**Unfinished: {so_far} so far.** What follows may change."


def sureness(findings: Findings, study: StudyInfo) -> str:
    """Return how certain the answer is, after warnings about splits with few images and GPUs of several models."""
    warnings = (few_images(study.records), several_models(study.records))
    return " ".join(filter(None, (*warnings, findings.sureness)))


def pointers() -> str:
    """Return links from the main page to the other files."""
    return f"Everything else: {linked(APPENDIX)}. All in one file, to show or to send: {linked(HTML)}."


def appendix(findings: Findings, study: StudyInfo) -> list[Section]:
    """Return the appendix: every claim, the kind's own sections, and the origin of all numbers."""
    claims = [Section("Every claim", [findings.claims])] if findings.claims else []
    return [*claims, *findings.appendix, *_origin(findings, study)]


def _origin(findings: Findings, study: StudyInfo) -> list[Section]:
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in study.trials.items() if count)
    files = {
        study.records_file: f"a row for each {study.noun}, failed ones included, with its MLflow run",
        **{name: file.what for name, file in findings.tables_csv.items()},
        **{name: file.what for name, file in findings.texts.items()},
        STUDY: "all settings of the study",
        RESULT: "the result as JSON",
        REPORT: "the main page",
        HTML: "main page and appendix in one file",
    }
    ran_on: list[Part] = [
        Table(("machine", "value"), [[key, str(value)] for key, value in study.machine.items()]),
        *trials_by_gpu(study.records),
        *evidence_lines(study.records),
        f"{study.noun.capitalize()}s: {counts or 'none yet'}. MLflow's experiment is called {code(study.name)}; the "
        "report is attached to the study's run.",
    ]
    return [
        Section("What it ran on", ran_on),
        Section("Files", [Bullets([f"{linked(name)}: {what}" for name, what in files.items()])]),
        Section("Run it again", [Code("", study.command)]),
    ]
