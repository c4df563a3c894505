"""What an optimizers study is about to do: its size, its plan, and how long it will take on this machine."""

import json
from dataclasses import replace
from typing import Any

from bench.kinds.optimizers.controls import controlled
from bench.kinds.optimizers.estimate import estimate, tuning_s
from bench.kinds.optimizers.plan import plan, rounds, total_trials
from bench.kinds.optimizers.sight import sight, sight_text
from bench.kinds.optimizers.spec import StudySpec
from bench.report.cells import settings_text
from bench.report.shown import Shown, ShownTable
from bench.report.wording import counted, duration_text
from bench.study.estimate import Estimate
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError
from bench.study.series import series_document
from bench.trials.phases import CONFIRM, TUNE
from bench.workloads.of_study import trained_text


def plan_shown(prepared: Prepared[StudySpec]) -> Shown:
    """What would be run, and how long it would take; the studies of a series cost the same but for the data."""
    found, why = None, ""
    try:
        found = estimate(prepared)
    except EstimateError as error:
        why = str(error)
    later = None if found is None else replace(found, parts={**found.parts, "data_s": 0.0})
    each = [(spec, found if n == 0 else later) for n, spec in enumerate(prepared.specs)]
    documents = [_plan_document(spec, prepared, own) for spec, own in each]
    blocks = [block for spec, own in each for block in _plan_blocks(spec, prepared.workers, own, why)]
    series = "" if found is None else _series_text(prepared, found)
    return Shown(
        series_document(prepared, documents) if prepared.is_series else documents[0],
        [*blocks, f"{series}Nothing was run."],
    )


def _plan_document(spec: StudySpec, prepared: Prepared[StudySpec], found: Estimate | None) -> dict[str, Any]:
    first, seen = plan(spec, {}), sight(spec)
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
        "estimate": None if found is None else found.document(),
        "sight": None if seen is None else seen.document(),
        "plan": [
            {
                "id": t.id,
                "phase": t.phase,
                "optimizer": t.optimizer,
                "tuning": t.tuning,
                "round": t.round,
                "hyperparameters": t.hyperparameters,
            }
            for t in first
        ],
    }


def _training_images(spec: StudySpec) -> int | None:
    """Images that all trials train on; None where the budget is in seconds, and the machine decides."""
    if spec.tune_steps is None or spec.steps is None:
        return None
    each = spec.tunings * len(spec.optimizers)
    tuned = sum(count * max(1, round(share * spec.tune_steps)) for count, share in rounds(spec))
    return (each * tuned + (total_trials(spec) - each * spec.trials) * spec.steps) * spec.batch_size


def _plan_blocks(spec: StudySpec, workers: int, found: Estimate | None, why: str) -> list[ShownTable | str]:
    tune = plan(spec, {})
    rows = [
        [t.id, t.optimizer, str((t.tuning or 0) + 1), settings_text(json.dumps(t.hyperparameters), ())] for t in tune
    ]
    images = _training_images(spec)
    more = "" if images is None else f", {images:,} training images"
    return [
        ShownTable(spec.name, ("tune trial", "optimizer", "tuning", "settings"), rows),
        _later_text(spec, len(tune)),
        f"{size_text(spec)}: {total_trials(spec)} trials{more}.",
        why if found is None else found.text(spec.network, workers),
        sight_text(spec, None if found is None else tuning_s(spec, found)),
    ]


def _later_text(spec: StudySpec, first: int) -> str:
    """What follows the first round, in words."""
    confirm = total_trials(spec) - spec.tunings * len(spec.optimizers) * spec.trials
    later = total_trials(spec) - confirm - first
    found = f"then {counted(later, 'tune trial')} near what these find, and " if later else "then "
    gate = "" if spec.confirm_unscored else ", once any trial has scored"
    return f"{found}{counted(confirm, 'confirm trial')}: each tuning's finalist on fresh seeds{gate}."


def estimate_text(prepared: Prepared[StudySpec]) -> str:
    """How long the study will take, measured; a trial that cannot run will say so itself, as a record."""
    try:
        found = estimate(prepared)
    except EstimateError as error:
        return f"{error} {sight_text(prepared.spec)}"
    said = (
        found.text(prepared.spec.network, prepared.workers),
        _series_text(prepared, found),
        sight_text(prepared.spec, tuning_s(prepared.spec, found)),
    )
    return " ".join(filter(None, map(str.strip, said)))


def _series_text(prepared: Prepared[StudySpec], first: Estimate) -> str:
    """How long all studies of a series take, the data made once; empty for a single study."""
    if not prepared.is_series:
        return ""
    count = len(prepared.specs)
    seconds = first.data_s + count * (first.seconds - first.data_s)
    return f"All {count} studies of the series: {duration_text(seconds)}. "


def size_text(spec: StudySpec) -> str:
    """A study in one line: optimizers, tunings, trials and their budgets, network, schedule, device."""
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
