"""Each study of a working directory in a line: what the index shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.kinds import DEFAULT_KIND
from bench.records.mlflow_views import page
from bench.records.reader import StudyRun
from bench.study.progress import Progress
from bench.study.standing import Standing
from bench.trials.progress import MS


@dataclass(frozen=True)
class StudyLine:
    """One study."""

    study: str
    kind: str
    status: str
    done: int | None
    """Trials or measurements on record; None: this version cannot count them."""
    planned: int | None
    """None: not known beforehand."""
    last_active: float | None
    """Seconds since the epoch."""
    headline: str
    """What it found, in plain sentences; empty before its first report."""
    runs: str
    """Address of its page in MLflow on this server; empty where MLflow does not know it."""


def study_lines(progresses: list[Progress], standings: list[Standing], runs: Mapping[str, StudyRun]) -> list[StudyLine]:
    """All studies, the one that was active last first; those that only MLflow can tell of, too."""
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
    """A study of a kind or version that is not known here."""
    kind = str(run.document.get("kind", DEFAULT_KIND))
    status = "complete" if run.status == "FINISHED" else "unfinished"
    return _line(name, kind, status, None, None, (run.ended_ms or run.began_ms) / MS, run)


def runs_address(run: StudyRun) -> str:
    """A study's page in MLflow, relative to the server."""
    return page("", run.experiment_id, run.experiment_tags)
