"""What a study found, with its study, and as JSON."""

from dataclasses import dataclass
from typing import Any

from bench.report.findings import Findings
from bench.report.findings_write import findings_document
from bench.report.no_result import is_trouble
from bench.report.study_info import StudyInfo
from bench.trials.status import FAULTS


@dataclass(frozen=True)
class FindingsResult:
    """The result of a study whose analysis gives findings."""

    findings: Findings
    info: StudyInfo

    def document(self, report: str) -> dict[str, Any]:
        """The JSON document of the study; ``report``: path of report.md."""
        return findings_document(self.findings, self.info, report)

    @property
    def nothing_found(self) -> bool:
        """Whether the study has ended, and every trial of it met a trouble."""
        return self.info.status == "complete" and is_trouble(self.info.records)

    @property
    def has_faults(self) -> bool:
        """Whether trials failed, timed out or ran out of memory."""
        return any(self.info.trials[str(status)] for status in FAULTS)
