"""Findings of a joint study: the recommended optimizer and loader settings, and the evidence for them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from bench.kinds.joint.analysis import front, history, importance_section, pick_tables
from bench.kinds.joint.analysis.answer import answer, metrics, paste, sureness
from bench.kinds.joint.analysis.claims import claims
from bench.kinds.joint.analysis.fresh_seeds import fresh_chart
from bench.kinds.joint.analysis.picks import BEST_AP, settings_of
from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.run_sections import failure_section, limits_section, run_section
from bench.kinds.joint.analysis.words import noise_caption
from bench.report.findings import Chart, DataFile, Findings, Section
from bench.report.shown_score import AP, ShownScore
from bench.report.wording import in_one_line
from bench.trials.columns import rows_of
from bench.trials.needed_length import NeededLength


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
    measure: ShownScore = AP,
    train_commands: Mapping[str, str] | None = None,
    train_notes: Mapping[str, str] | None = None,
    beginning: str = "",
    needed: NeededLength | None = None,
    schedule: str = "",
    other_schedules: Mapping[str, str] | None = None,
    schedule_note: str = "",
) -> Findings:
    """Build the findings of a joint study from its records, finished or not.

    Args:
        records: A row for each trial: the columns of `bench.trials.record.Record`, its metrics, and `run_id`. ``phase``
            is `search` or `confirm`; ``index`` the order in which search trials were asked.
        objective: `AP_AND_SPEED` or `AP_AT_TIME`.
        importances: From `bench.kinds.joint.importances`: objective, scope, parameter, importance, chance, n, why.
        optimizers: In the study's order, which gives each its colour.
        optimizer_lines: The line of Python that builds each pick's optimizer, by `Pick.key` or `Pick.trial_id`.
        fixed: Number of first trials whose configuration the study fixed, before the sampler chose.
        search_trials: Planned number of search trials.
        seeds: Fresh seeds of each pick.
        sampler: `tpe`, `random` or `quasi-random`.
        length: How long each trial trains, e.g. `1,600 images` or `60 s of training`.
        data: The training data, e.g. "data `coco-mini`".
        loader: Other loader settings of all trials, by PyTorch's names (prefetch_factor, persistent_workers,
            start_method); those that differ from PyTorch's defaults appear in the call to paste.
        hosts: Number of machines that the trials ran on.
        measure: The score that was searched for.
        train_commands: The `posebench train` command of each pick by `Pick.key`, if there is one.
        train_notes: A sentence on the result of each command.
        beginning: The weights that all trials began from; empty: none.
        needed: The trial length needed for a score, if the search has ended, none of its trials scored and nothing was
            trained again; otherwise None.
        schedule: Learning rate schedule of the study.
        other_schedules: Schedules that differ from it, by optimizer.
        schedule_note: The footnote on these; empty: there are none.

    Returns:
        Findings whose document has the keys objective, score, floor, front, picks, recommended, speed_noise,
        hypervolume and importances, and needed if that is given.
    """
    results = JointResults(
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
        measure=measure,
        train_commands=train_commands or {},
        train_notes=train_notes or {},
        beginning=beginning,
        needed=needed,
        schedule=schedule,
        other_schedules=other_schedules or {},
        schedule_note=schedule_note,
    )
    return Findings(
        answer=answer(results),
        sections=_main(results),
        paste=paste(results, results.picks_by_role[BEST_AP]) if results.picks_by_role else (),
        sureness=sureness(results),
        figure=_figure(results),
        appendix=_appendix(results),
        claims=claims(results),
        metrics=metrics(results),
        footnote=schedule_note,
        document=_document(results),
        tables_csv={
            front.FILE: DataFile(front.front_frame(results), "a row for each trial of the front"),
            pick_tables.FILE: DataFile(
                pick_tables.picks_frame(results), "a row for each pick: its result in the search and with fresh seeds"
            ),
            importance_section.FILE: DataFile(importances, "a row for each parameter, objective and scope"),
            history.FILE: DataFile(history.history_frame(results), "a row for each search trial, with the best so far"),
        },
    )


def _figure(results: JointResults) -> Chart | None:
    """Draw the score against speed, or with the score alone the pick on fresh seeds; None if nothing has learned."""
    if not results.picks_by_role:
        return None
    return fresh_chart(results) if results.single else front.front_chart(results)


def _main(results: JointResults) -> list[Section]:
    caption = front.front_caption(results) if not results.single and _figure(results) is not None else ""
    noise = noise_caption(results) if caption and results.speed_is_noise else ""
    read = [" ".join(filter(None, [caption, noise]))] if caption else []
    first = [*read, *pick_tables.main_parts(results)]
    return [
        *([Section("", first)] if first else []),
        *pick_tables.other_sections(results),
        *importance_section.decided_section(results),
        limits_section(results),
    ]


def _appendix(results: JointResults) -> list[Section]:
    return [
        pick_tables.appendix_section(results),
        *front.front_sections(results),
        *history.history_section(results),
        importance_section.importance_section(results),
        *failure_section(results),
        run_section(results),
    ]


def _train_command(results: JointResults) -> str | None:
    """Return the recommended configuration's command on one line; None if there is none."""
    command = (
        results.train_commands.get(results.picks[results.picks_by_role[BEST_AP]].key, "")
        if results.picks_by_role
        else ""
    )
    return in_one_line(command) or None


def _document(results: JointResults) -> dict[str, Any]:
    names = ("images_per_s", "trial_id", "run_id", "learned")
    on_front = [
        {
            "settings": settings_of(row),
            **results.schedule_fields(row["optimizer"]),
            **pick_tables.score_fields(results, row[results.measure.column]),
            **{name: row[name] for name in names},
        }
        for row in rows_of(results.full_front)
    ]
    areas, chance = results.hypervolumes, results.measure.score.chance
    reference = 0 if chance == 0 else chance
    reached = {"reference": [reference, 0], "value": float(areas[-1]) if len(areas) else 0.0, "by_trial": areas}
    return {
        "objective": results.objective,
        "score": results.measure.document(),
        "floor": results.measure.floor,
        "front": on_front,
        "picks": pick_tables.pick_documents(results),
        "recommended": pick_tables.recommended_documents(results),
        "train_command": _train_command(results),
        "speed_noise": None if results.speed is None else {**asdict(results.speed), "noisy": results.speed_is_noise},
        "hypervolume": None if results.single else reached,
        "importances": results.importances,
        **({} if results.needed is None else {"needed": results.needed.document()}),
    }
