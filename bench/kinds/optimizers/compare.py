"""Compare two optimizers studies, each read from MLflow or from a report folder (also one of another machine)."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.kinds.optimizers.analysis import NOT_PAIRED, compare_studies, comparison_verdict, split_controls
from bench.kinds.optimizers.analysis.two_studies_verdict import neither_has_result_text, trouble_text
from bench.kinds.optimizers.measure import measure_of
from bench.kinds.optimizers.plan import planned_trials, study_outcomes
from bench.kinds.optimizers.report.comparison import StudyComparison, StudySide
from bench.kinds.optimizers.spec import StudySpec, refuse_first_protocol
from bench.kinds.optimizers.study_score import margin_scale
from bench.records.writer import Tracker
from bench.report.csv_file import read_csv
from bench.report.files import RECORDS, RESULT, STUDY
from bench.report.text import literal
from bench.trials.score_names import AP_SCORE, LOSS_SCORE
from bench.trials.score_scale import collapse_floor
from bench.trials.scores import as_gains, as_skill
from bench.trials.study_base import differences
from bench.workloads import workload
from bench.workloads.of_study import name_of
from bench.workloads.protocol import Workload
from posemodel.errors import SettingsError

NOT_SETTINGS = ("name", "preset")
"""Fields of a study's identity that do not affect what was run."""

OWN_SCHEDULES = "own_schedules"
"""Identity field with schedules that methods fix themselves; absent where all optimizers follow the study's."""
START_WEIGHTS = "weights_digest"
"""Identity field with the digest of the weights that trials start from; absent when they start from random weights."""


@dataclass(frozen=True)
class Source:
    """A study that was read: its description and its records."""

    side: StudySide
    records: pd.DataFrame


def compare(a: str, b: str, tracking_uri: str) -> StudyComparison:
    """Compare two optimizers studies.

    Args:
        a: The first study: a report folder, or a name in MLflow.
        b: The second study, likewise.
        tracking_uri: The MLflow store in which names are looked up.

    Raises:
        SettingsError: A study cannot be read, or the two are judged by different scores.
    """
    first, second = read_source(a, tracking_uri), read_source(b, tracking_uri)
    scores = [str(source.side.spec.get("score", AP_SCORE)) for source in (first, second)]
    if scores[0] != scores[1]:
        raise SettingsError(
            f"studies {a} and {b}: their scores differ ({' and '.join(scores)}), so they cannot be compared."
        )
    own_workload = _common_workload(first.side, second.side)
    measure = measure_of(AP_SCORE if scores[0] == AP_SCORE else LOSS_SCORE, own_workload)
    score = measure.own
    gains = [_scored(source.side.spec, source.records) for source in (first, second)]
    table = compare_studies(
        *gains,
        floor=collapse_floor(score),
        scale=margin_scale(score),
        ends=score.gains,
    )
    study_records = [split_controls(source.records)[0] for source in (first, second)]
    optimizer_names = [set(records["optimizer"]) for records in study_records]
    escaped_records = [records.assign(optimizer=records["optimizer"].map(literal)) for records in study_records]
    escaped_table = table.assign(name=table["name"].map(literal))
    no_result = neither_has_result_text(*escaped_records, measure=measure)
    return StudyComparison(
        a=first.side,
        b=second.side,
        not_paired=NOT_PAIRED,
        settings=tuple(_differences(first.side.spec, second.side.spec)),
        machines=tuple(differences(first.side.machine, second.side.machine)),
        table=table,
        only_in=(
            tuple(sorted(optimizer_names[0] - optimizer_names[1])),
            tuple(sorted(optimizer_names[1] - optimizer_names[0])),
        ),
        verdict=no_result
        or " ".join(
            filter(
                None,
                [trouble_text(*escaped_records, measure=measure), comparison_verdict(escaped_table, measure=measure)],
            )
        ),
        has_no_result=bool(no_result),
        measure=measure,
    )


def _common_workload(a: StudySide, b: StudySide) -> Workload:
    """Return what the trials of both studies train; SettingsError where their workloads differ."""
    tables = [side.spec.get("workload") or {} for side in (a, b)]
    names = [name_of(table) for table in tables]
    if names[0] != names[1]:
        raise SettingsError(
            f"studies {a.source} and {b.source}: they train different workloads ({' and '.join(names)}), so they "
            "cannot be compared."
        )
    return workload(names[0])


def read_source(source: str, tracking_uri: str) -> Source:
    """Read a study from a report folder or, if ``source`` is no folder, from MLflow by its name.

    Raises:
        SettingsError: It is neither, or cannot be read.
    """
    folder = Path(source)
    if (folder / RESULT).is_file() and (folder / RECORDS).is_file():
        return _from_folder(folder)
    try:
        runs = Tracker(tracking_uri, source, create=False)
        spec = StudySpec.from_stored(runs.study_document())
    except SettingsError as error:
        if folder.is_dir():
            raise SettingsError(
                f"study {source}: the folder is not a report: it needs {RESULT} and {RECORDS}."
            ) from error
        raise SettingsError(f"{error} A report folder, with {RESULT} and {RECORDS}, can be given too.") from error
    records = runs.records()
    planned = planned_trials(spec, study_outcomes(spec, records))
    side = StudySide(spec.name, source, spec.identity(), runs.machine(), len(records), planned)
    return Source(side, records)


def _scored(spec: Mapping[str, Any], records: pd.DataFrame) -> pd.DataFrame:
    """Return the records with the study's gains, or its skills, in the columns of AP."""
    if spec.get("score") == LOSS_SCORE:
        return as_skill(records)
    return as_gains(records, workload(name_of(spec.get("workload") or {})).score)


def _from_folder(folder: Path) -> Source:
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        spec = result.get("spec") or tomllib.loads((folder / STUDY).read_text(encoding="utf-8"))
        records = read_csv(folder / RECORDS, dtype={"data_digest": str})
        trials = result["trials"]
        side = StudySide(
            result["study"],
            folder.as_posix(),
            spec,
            result.get("machine") or {},
            int(trials["recorded"]),
            int(trials["planned"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"study {folder}: its report cannot be read ({error!r}).") from error
    refuse_first_protocol({**spec, "name": folder.as_posix()})
    return Source(side, records)


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the settings that differ. Settings that only one side has are ignored: a newer version added them."""
    both = [name for name in a if name in b and name not in (*NOT_SETTINGS, OWN_SCHEDULES)]
    start_weights = [{START_WEIGHTS: side[START_WEIGHTS]} if side.get(START_WEIGHTS) else {} for side in (a, b)]
    of_both = {*a.get("optimizers", ())} & {*b.get("optimizers", ())}
    schedules = [
        {f"schedule of {name}": own for name, own in (side.get(OWN_SCHEDULES) or {}).items() if name in of_both}
        for side in (a, b)
    ]
    changed = differences(
        {name: a[name] for name in both} | start_weights[0], {name: b[name] for name in both} | start_weights[1]
    )
    return [*changed, *differences(*schedules, absent="the study's")]
