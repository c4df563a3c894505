"""A joint study's answer: which optimizer and loader settings together, what fresh seeds say of them, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from bench.kinds.joint.analysis import decided, front, history, pick_tables
from bench.kinds.joint.analysis.answer import answer, metrics, paste, sureness
from bench.kinds.joint.analysis.claims import claims
from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.fresh import fresh_chart
from bench.kinds.joint.analysis.picks import BEST_AP, settings_of
from bench.kinds.joint.analysis.run import failure_section, limits_section, run_section
from bench.kinds.joint.analysis.words import noise_caption
from bench.report.findings import Chart, DataFile, Findings, Section
from bench.report.wording import in_one_line
from bench.trials.columns import rows_of
from bench.trials.needed import Needed
from bench.trials.scores import AP_FLOOR


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
    floor: float = AP_FLOOR,
    train_commands: Mapping[str, str] | None = None,
    train_notes: Mapping[str, str] | None = None,
    beginning: str = "",
    needed: Needed | None = None,
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
        floor: The score under which a run has learned nothing: no such pick is recommended.
        train_commands: The `posebench train` command of each pick by `Pick.key`, where there is one.
        train_notes: What each of them gives, in a sentence.
        beginning: The weights that all trials began from; empty: none.
        needed: How long trials would have to be, where the search has ended and none scored, so that nothing was
            trained again; else None.

    Returns:
        With the keys objective, floor, front, picks, recommended, speed_noise, hypervolume and importances in its
        document, and needed where that is given.
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
        floor=floor,
        train_commands=train_commands or {},
        train_notes=train_notes or {},
        beginning=beginning,
        needed=needed,
    )
    return Findings(
        answer=answer(found),
        sections=_main(found),
        paste=paste(found, found.holders[BEST_AP]) if found.holders else (),
        sureness=sureness(found),
        figure=_figure(found),
        appendix=_appendix(found),
        claims=claims(found),
        metrics=metrics(found),
        document=_document(found),
        tables_csv={
            front.FILE: DataFile(front.front_frame(found), "a row for each trial of the front"),
            pick_tables.FILE: DataFile(
                pick_tables.picks_frame(found), "a row for each pick: searched, and with fresh seeds"
            ),
            decided.FILE: DataFile(importances, "a row for each parameter, objective and scope"),
            history.FILE: DataFile(history.history_frame(found), "a row for each search trial, with the best so far"),
        },
    )


def _figure(found: JointFound) -> Chart | None:
    """AP against images/s, or with AP alone what fresh seeds made of the pick; None where nothing has learned."""
    if not found.holders:
        return None
    return fresh_chart(found) if found.single else front.front_chart(found)


def _main(found: JointFound) -> list[Section]:
    caption = front.front_caption(found) if not found.single and _figure(found) is not None else ""
    noise = noise_caption(found) if caption and found.speed_is_noise else ""
    read = [" ".join(filter(None, [caption, noise]))] if caption else []
    first = [*read, *pick_tables.main_parts(found)]
    return [
        *([Section("", first)] if first else []),
        *pick_tables.other_sections(found),
        *decided.decided_section(found),
        limits_section(found),
    ]


def _appendix(found: JointFound) -> list[Section]:
    return [
        pick_tables.appendix_section(found),
        *front.front_sections(found),
        *history.history_section(found),
        decided.importance_section(found),
        *failure_section(found),
        run_section(found),
    ]


def _train_command(found: JointFound) -> str | None:
    """The command to paste of the recommended configuration, on one line; None where there is none."""
    command = found.train_commands.get(found.picks[found.holders[BEST_AP]].key, "") if found.holders else ""
    return in_one_line(command) or None


def _document(found: JointFound) -> dict[str, Any]:
    names = ("ap", "images_per_s", "trial_id", "run_id", "learned")
    on_front = [
        {"settings": settings_of(row), **{name: row[name] for name in names}} for row in rows_of(found.whole_front)
    ]
    areas = found.hypervolumes
    reached = {"reference": [0, 0], "value": float(areas[-1]) if len(areas) else 0.0, "by_trial": areas}
    return {
        "objective": found.objective,
        "floor": found.floor,
        "front": on_front,
        "picks": pick_tables.pick_documents(found),
        "recommended": pick_tables.recommended_documents(found),
        "train_command": _train_command(found),
        "speed_noise": None if found.speed is None else {**asdict(found.speed), "noisy": found.speed_is_noise},
        "hypervolume": None if found.single else reached,
        "importances": found.importances,
        **({} if found.needed is None else {"needed": found.needed.document()}),
    }
