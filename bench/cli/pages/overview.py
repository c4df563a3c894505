"""Lines of the index page, one for each study of a working folder."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.kinds import DEFAULT_KIND
from bench.records.mlflow_views import page
from bench.records.reader import StudyRun
from bench.study.measurement_state import MeasurementState
from bench.study.progress import Progress
from bench.trials.progress import MS


@dataclass(frozen=True)
class StudyLine:
    """A study's line in the index."""

    study: str
    kind: str
    status: str
    done: int | None
    """Number of recorded trials or measurements; None: this version cannot count them."""
    planned: int | None
    """Number of planned trials; None: not known beforehand."""
    last_active: float | None
    """Time of the last activity, in seconds since the epoch; None: unknown."""
    headline: str
    """The result in plain sentences; empty before the first report."""
    runs: str
    """Address of its page in MLflow on this server; empty if MLflow does not know the study."""


def study_lines(
    progresses: list[Progress], standings: list[MeasurementState], runs: Mapping[str, StudyRun]
) -> list[StudyLine]:
    """Return a line for each study, also those that only MLflow knows; the last active first."""
    lines = [
        _line(
            each.size.study,
            each.size.kind,
            each.status,
            len(each.done),
            each.size.planned,
            each.last_active,
            runs.get(each.size.study),
        )
        for each in progresses
    ]
    lines += [
        _line(each.study, each.kind, each.status, sum(each.counts.values()), None, each.last_active, runs[each.study])
        for each in standings
        if each.study in runs
    ]
    known = {line.study for line in lines}
    lines += [_of_mlflow(name, run) for name, run in runs.items() if name not in known]
    return sorted(lines, key=lambda line: (-(line.last_active or 0.0), line.study))


def _line(
    study: str,
    kind: str,
    status: str,
    done: int | None,
    planned: int | None,
    last_active: float | None,
    run: StudyRun | None,
) -> StudyLine:
    headline, where = ("", "") if run is None else (run.headline, runs_address(run))
    return StudyLine(study, kind, status, done, planned, last_active, headline, where)


def _of_mlflow(name: str, run: StudyRun) -> StudyLine:
    """Return the line of a study that only MLflow knows: its kind or version is unknown here."""
    kind = str(run.document.get("kind", DEFAULT_KIND))
    status = "complete" if run.status == "FINISHED" else "unfinished"
    return _line(name, kind, status, None, None, (run.ended_ms or run.began_ms) / MS, run)


def runs_address(run: StudyRun) -> str:
    """Return the address of a study's page in MLflow, relative to the server."""
    return page("", run.experiment_id, run.experiment_tags)
