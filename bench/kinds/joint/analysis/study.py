"""A joint study's answer: which optimizer and loader settings together, what fresh seeds say of them, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.kinds.joint.analysis import decided, front, history
from bench.kinds.joint.analysis.answer import (
    PICKS_FILE,
    answer,
    pick_documents,
    pick_parts,
    picks_frame,
    recommended_documents,
)
from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.picks import settings_of
from bench.kinds.joint.analysis.run import failure_section, limits_section, run_section
from bench.report.findings import DataFile, Findings, Section
from bench.trials.columns import rows_of


def joint_findings(
    records: pd.DataFrame,
    *,
    objective: str,
    importances: pd.DataFrame,
    optimizers: Sequence[str],
    optimizer_lines: Mapping[str, str],
    fixed: int,
    search_trials: int,
    seeds: int,
    sampler: str,
    length: str,
    data: str,
    loader: Mapping[str, Any] | None = None,
    hosts: int = 1,
) -> Findings:
    """What a joint study's records say, finished or not.

    Args:
        records: A row for each trial: the columns of `bench.trials.record.Record`, its metrics, and `run_id`.
            ``phase`` is `search` or `confirm`; ``index`` the order in which search trials were asked.
        objective: `AP_AND_SPEED` or `AP_AT_TIME`.
        importances: As `bench.kinds.joint.importances` makes them: objective, scope, parameter, importance, n, why.
        optimizers: In the study's order, which gives each its colour.
        optimizer_lines: The line of Python that builds each pick's optimizer, by `Pick.key` or `Pick.trial_id`.
        fixed: How many of the first trials were given, before the sampler chose.
        search_trials: How many the search is to have.
        seeds: Fresh seeds of each pick.
        sampler: Who chose: `tpe`, `random` or `quasi-random`.
        length: How long each trial trains, e.g. `1,600 images` or `60 s of training`.
        data: What was trained on, e.g. "data `coco-mini`".
        loader: Other loader settings of all trials, by PyTorch's names (prefetch_factor, persistent_workers,
            start_method); what differs from PyTorch's defaults is in the call to paste.
        hosts: Machines that the trials ran on.

    Returns:
        With the keys objective, front, picks, recommended, hypervolume and importances in its document.
    """
    found = JointFound(
        records=records,
        objective=objective,
        importances=importances,
        optimizers=optimizers,
        optimizer_lines=optimizer_lines,
        fixed=fixed,
        search_trials=search_trials,
        seeds=seeds,
        sampler=sampler,
        length=length,
        data=data,
        loader=loader or {},
        hosts=hosts,
    )
    sections = [
        Section("", pick_parts(found)),
        front.front_section(found),
        decided.importance_section(found),
        history.history_section(found),
        *([] if found.single else [history.hypervolume_section(found)]),
        failure_section(found),
        limits_section(found),
        run_section(found),
    ]
    return Findings(
        answer=answer(found),
        sections=sections,
        document=_document(found),
        tables_csv={
            front.FILE: DataFile(front.front_frame(found), "a row for each trial of the front"),
            PICKS_FILE: DataFile(picks_frame(found), "a row for each pick: searched, and with fresh seeds"),
            decided.FILE: DataFile(importances, "a row for each parameter, objective and scope"),
            history.FILE: DataFile(history.history_frame(found), "a row for each search trial, with the best so far"),
        },
    )


def _document(found: JointFound) -> dict[str, Any]:
    on_front = [
        {"settings": settings_of(row), **{name: row[name] for name in ("ap", "images_per_s", "trial_id", "run_id")}}
        for row in rows_of(found.front)
    ]
    areas = found.hypervolumes
    reached = {"reference": [0, 0], "value": float(areas[-1]) if len(areas) else 0.0, "by_trial": areas}
    return {
        "objective": found.objective,
        "front": on_front,
        "picks": pick_documents(found),
        "recommended": recommended_documents(found),
        "hypervolume": None if found.single else reached,
        "importances": found.importances,
    }
