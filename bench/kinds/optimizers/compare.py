"""Two studies set side by side: from MLflow, or from the report folders that other machines left."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.kinds.optimizers.analysis import NOT_PAIRED, compare_studies, comparison_verdict, split_controls
from bench.kinds.optimizers.analysis.measure import MEASURES
from bench.kinds.optimizers.analysis.two_studies_verdict import troubles, without_result
from bench.kinds.optimizers.plan import outcomes_of, planned_trials
from bench.kinds.optimizers.report.comparison import StudyComparison, StudySide
from bench.kinds.optimizers.spec import StudySpec, refuse_first_protocol
from bench.records.writer import Tracker
from bench.report.csv_file import read_csv
from bench.report.files import RECORDS, RESULT, STUDY
from bench.report.text import literal
from bench.trials.score_names import AP_SCORE, LOSS_SCORE
from bench.trials.scores import as_skill
from bench.trials.study_base import differences
from posemodel.errors import SettingsError

NOT_SETTINGS = ("name", "preset")
"""Fields of an identity that say nothing of what was run."""

BEGINNING = "weights_digest"
"""Of an identity: the weights that trials start from."""


@dataclass(frozen=True)
class Source:
    """One study, read."""

    side: StudySide
    records: pd.DataFrame


def compare(a: str, b: str, tracking_uri: str) -> StudyComparison:
    """Compare two studies, each a name in MLflow at ``tracking_uri`` or a report folder.

    SettingsError names what cannot be read.
    """
    first, second = read_source(a, tracking_uri), read_source(b, tracking_uri)
    scores = [str(source.side.spec.get("score", AP_SCORE)) for source in (first, second)]
    if scores[0] != scores[1]:
        raise SettingsError(
            f"studies {a} and {b}: are judged by different scores ({' and '.join(scores)}), which cannot be compared."
        )
    measure = MEASURES[AP_SCORE if scores[0] == AP_SCORE else LOSS_SCORE]
    table = compare_studies(first.records, second.records)
    named = [split_controls(source.records)[0] for source in (first, second)]
    names = [set(records["optimizer"]) for records in named]
    in_words = [records.assign(optimizer=records["optimizer"].map(literal)) for records in named]
    said = table.assign(name=table["name"].map(literal))
    nothing = without_result(*in_words)
    return StudyComparison(
        a=first.side,
        b=second.side,
        not_paired=NOT_PAIRED,
        settings=tuple(_differences(first.side.spec, second.side.spec)),
        machines=tuple(differences(first.side.machine, second.side.machine)),
        table=table,
        alone=(tuple(sorted(names[0] - names[1])), tuple(sorted(names[1] - names[0]))),
        verdict=nothing or " ".join(filter(None, [troubles(*in_words), comparison_verdict(said, measure=measure)])),
        nothing_found=bool(nothing),
        measure=measure,
    )


def read_source(source: str, tracking_uri: str) -> Source:
    """A study by its report folder, where there is one of this name, else by its name in MLflow."""
    folder = Path(source)
    if (folder / RESULT).is_file() and (folder / RECORDS).is_file():
        return _from_folder(folder)
    try:
        runs = Tracker(tracking_uri, source, create=False)
        spec = StudySpec.stored(runs.study_document())
    except SettingsError as error:
        if folder.is_dir():
            raise SettingsError(f"study {source}: the folder has no {RESULT} and {RECORDS} of a report.") from error
        raise SettingsError(f"{error} A folder with {RESULT} and {RECORDS} of a report can be given too.") from error
    records = runs.records()
    planned = planned_trials(spec, outcomes_of(records, spec.score))
    side = StudySide(spec.name, source, spec.identity(), runs.machine(), len(records), planned)
    return Source(side, _scored(spec.score, records))


def _scored(score: str, records: pd.DataFrame) -> pd.DataFrame:
    """The records with their scores in ``ap``: skills where the study is judged by validation loss."""
    return as_skill(records) if score == LOSS_SCORE else records


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
        raise SettingsError(f"study {folder}: is no report of posebench that can be read ({error!r}).") from error
    refuse_first_protocol({**spec, "name": folder.as_posix()})
    return Source(side, _scored(str(spec.get("score", AP_SCORE)), records))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Settings that differ; one that only a newer version knows, or an older folder left out, is no difference."""
    both = [name for name in a if name in b and name not in NOT_SETTINGS]
    begun = [{BEGINNING: side[BEGINNING]} if side.get(BEGINNING) else {} for side in (a, b)]  # absent: from nothing
    return differences({name: a[name] for name in both} | begun[0], {name: b[name] for name in both} | begun[1])
