"""Show what an optimizers study would do before it runs: its size, its plan, and its duration on this machine."""

import json
from dataclasses import replace
from typing import Any

from bench.kinds.optimizers.controls import controlled
from bench.kinds.optimizers.estimate import estimate, tuning_s
from bench.kinds.optimizers.gap_forecast import gap_forecast, gap_forecast_text
from bench.kinds.optimizers.plan import plan, rounds, total_trials
from bench.kinds.optimizers.spec import StudySpec
from bench.report.cells import settings_text
from bench.report.command_output import CommandOutput, OutputTable
from bench.report.names import marked
from bench.report.own_schedules import schedule_note
from bench.report.text import plain
from bench.report.wording import counted, duration_text
from bench.study.estimate import Estimate
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError
from bench.study.series import series_document
from bench.trials.own_schedules import other_schedules, schedule_of
from bench.trials.phases import CONFIRM, TUNE
from bench.workloads.of_study import trained_text, workload_of


def plan_output(prepared: Prepared[StudySpec]) -> CommandOutput:
    """Return the plan and the estimated time; the studies of a series cost the same except for making the data."""
    first_estimate, why_unknown = None, ""
    try:
        first_estimate = estimate(prepared)
    except EstimateError as error:
        why_unknown = str(error)
    later_estimate = (
        None if first_estimate is None else replace(first_estimate, parts={**first_estimate.parts, "data_s": 0.0})
    )
    estimates = [(spec, first_estimate if n == 0 else later_estimate) for n, spec in enumerate(prepared.specs)]
    documents = [_plan_document(spec, prepared, own_estimate) for spec, own_estimate in estimates]
    blocks = [
        block for spec, own_estimate in estimates for block in _plan_blocks(spec, prepared, own_estimate, why_unknown)
    ]
    series = "" if first_estimate is None else _series_text(prepared, first_estimate)
    return CommandOutput(
        series_document(prepared, documents) if prepared.is_series else documents[0],
        [*blocks, f"{series}Nothing was run."],
    )


def _plan_document(spec: StudySpec, prepared: Prepared[StudySpec], study_estimate: Estimate | None) -> dict[str, Any]:
    trials, forecast = plan(spec, {}), gap_forecast(spec)
    tune = spec.tunings * len(spec.optimizers) * spec.trials
    return {
        "study": spec.name,
        "kind": spec.kind,
        "preset": spec.preset,
        "status": "planned",
        "spec": spec.model_dump(mode="json"),
        "trials": {"tune": tune, "confirm": total_trials(spec) - tune, "planned": total_trials(spec)},
        "training_images": _training_images(spec),
        "labelled_images": dict(prepared.labelled_images) or None,
        "workers": prepared.workers,
        "estimate": None if study_estimate is None else study_estimate.document(),
        "sight": None if forecast is None else forecast.document(),
        "plan": [
            {
                "id": t.id,
                "phase": t.phase,
                "optimizer": t.optimizer,
                "tuning": t.tuning,
                "round": t.round,
                "hyperparameters": t.hyperparameters,
                "schedule": schedule_of(spec, t.optimizer),
            }
            for t in trials
        ],
    }


def _training_images(spec: StudySpec) -> int | None:
    """Return the number of images, or other samples, that all trials train on; None for a budget in seconds."""
    if spec.tune_steps is None or spec.steps is None:
        return None
    each = spec.tunings * len(spec.optimizers)
    tuned = sum(count * max(1, round(share * spec.tune_steps)) for count, share in rounds(spec))
    return (each * tuned + (total_trials(spec) - each * spec.trials) * spec.steps) * spec.batch_size


def _plan_blocks(
    spec: StudySpec, prepared: Prepared[StudySpec], study_estimate: Estimate | None, why_unknown: str
) -> list[OutputTable | str]:
    tune = plan(spec, {})
    others = other_schedules(spec)
    names = marked({name: name for name in spec.optimizers}, others)
    note = schedule_note(others, names, spec.schedule)
    rows = [
        [t.id, names[t.optimizer], str((t.tuning or 0) + 1), settings_text(json.dumps(t.hyperparameters), ())]
        for t in tune
    ]
    images = _training_images(spec)
    images_text = "" if images is None else f", {images:,} training {workload_of(spec).sample_name}"
    return [
        OutputTable(spec.name, ("tune trial", "optimizer", "tuning", "settings"), rows),
        *([plain(note)] if note else []),
        _later_text(spec, len(tune)),
        f"{size_text(spec)}: {total_trials(spec)} trials{images_text}.",
        why_unknown if study_estimate is None else study_estimate.text(spec.network, prepared.workers, prepared.gpus),
        gap_forecast_text(spec, None if study_estimate is None else tuning_s(spec, study_estimate)),
    ]


def _later_text(spec: StudySpec, first_trials: int) -> str:
    """Say what follows the first round."""
    confirm = total_trials(spec) - spec.tunings * len(spec.optimizers) * spec.trials
    later = total_trials(spec) - confirm - first_trials
    start = f"then {counted(later, 'tune trial')} near the best of these, and " if later else "then "
    gate = "" if spec.confirm_unscored else ", once any trial has scored"
    return f"{start}{counted(confirm, 'confirm trial')}: each tuning's finalist on fresh seeds{gate}."


def estimate_text(prepared: Prepared[StudySpec]) -> str:
    """Say how long the study will take or, if that cannot be measured, why not. (A trial that fails will be recorded
    later.)"""
    try:
        study_estimate = estimate(prepared)
    except EstimateError as error:
        return f"{error} {gap_forecast_text(prepared.spec)}"
    sentences = (
        study_estimate.text(prepared.spec.network, prepared.workers, prepared.gpus),
        _series_text(prepared, study_estimate),
        gap_forecast_text(prepared.spec, tuning_s(prepared.spec, study_estimate)),
    )
    return " ".join(filter(None, map(str.strip, sentences)))


def _series_text(prepared: Prepared[StudySpec], first: Estimate) -> str:
    """Say how long all studies of a series take, making the data once; empty for a single study."""
    if not prepared.is_series:
        return ""
    count = len(prepared.specs)
    seconds = first.data_s + count * (first.seconds - first.data_s)
    return f"All {count} studies of the series: {duration_text(seconds)}. "


def size_text(spec: StudySpec) -> str:
    """Describe a study in one line: optimizers, tunings, trials and budgets, network, schedule, device."""
    controls = len(controlled(spec.optimizers, spec.spaces, controls=spec.controls))
    more = f" + {counted(controls, 'untuned control')} on the confirm seeds" if controls else ""
    pruner = f", {spec.pruner} pruner" if spec.pruner != "none" else ""
    tunings = counted(spec.tunings, "tuning")
    if spec.until_decided:
        tunings = f"{spec.tunings} to {spec.max_tunings} tunings (until it is decided)"
    return (
        f"{counted(len(spec.optimizers), 'optimizer')} x {tunings} x ({counted(spec.trials, 'tune trial')} of up to "
        f"{spec.length_text(TUNE)} + {counted(spec.seeds, 'confirm seed')} of {spec.length_text(CONFIRM)}){more}, "
        f"{trained_text(spec)}, batch {spec.batch_size}, {spec.schedule} schedule{pruner}, on {spec.device}"
    )
