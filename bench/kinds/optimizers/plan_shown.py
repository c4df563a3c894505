"""What an optimizers study is about to do: its size, its plan, and how long it will take on this machine."""

import json
from dataclasses import replace
from typing import Any

from bench.kinds.optimizers.controls import controlled
from bench.kinds.optimizers.estimate import Estimate, estimate
from bench.kinds.optimizers.plan import plan_tune, total_trials
from bench.kinds.optimizers.probe import EstimateError
from bench.kinds.optimizers.spec import StudySpec
from bench.report.cells import settings_text
from bench.report.shown import Shown, ShownTable
from bench.report.wording import counted, duration_text
from bench.study.prepared import Prepared
from bench.study.series import series_document
from bench.trials.phases import CONFIRM, TUNE
from bench.workloads.of_study import trained_text


def plan_shown(prepared: Prepared[StudySpec]) -> Shown:
    """What would be run, and how long it would take; the studies of a series cost the same but for the data."""
    found = estimate(prepared.spec, workers=prepared.workers, synthetic_images=prepared.awaited_images)
    each = [(spec, found if n == 0 else replace(found, data_s=0.0)) for n, spec in enumerate(prepared.specs)]
    documents = [_plan_document(spec, prepared, own) for spec, own in each]
    blocks = [block for spec, own in each for block in _plan_blocks(spec, prepared.workers, own)]
    return Shown(
        series_document(prepared, documents) if prepared.is_series else documents[0],
        [*blocks, f"{_series_text(prepared, found)}Nothing was run."],
    )


def _plan_document(spec: StudySpec, prepared: Prepared[StudySpec], found: Estimate) -> dict[str, Any]:
    tune = plan_tune(spec)
    return {
        "study": spec.name,
        "kind": spec.kind,
        "preset": spec.preset,
        "status": "planned",
        "spec": spec.model_dump(mode="json"),
        "trials": {"tune": len(tune), "confirm": total_trials(spec) - len(tune), "planned": total_trials(spec)},
        "training_images": _training_images(spec),
        "labelled_images": dict(prepared.labelled_images) or None,
        "workers": prepared.workers,
        "estimate": found.document(),
        "plan": [
            {"id": t.id, "phase": t.phase, "optimizer": t.optimizer, "hyperparameters": t.hyperparameters} for t in tune
        ],
    }


def _training_images(spec: StudySpec) -> int | None:
    """Images that all trials train on; None where the budget is in seconds, and the machine decides."""
    if spec.tune_steps is None or spec.steps is None:
        return None
    tune = spec.trials * len(spec.optimizers)
    return (tune * spec.tune_steps + (total_trials(spec) - tune) * spec.steps) * spec.batch_size


def _plan_blocks(spec: StudySpec, workers: int, found: Estimate) -> list[ShownTable | str]:
    tune = plan_tune(spec)
    rows = [[t.id, t.optimizer, settings_text(json.dumps(t.hyperparameters), ())] for t in tune]
    images = _training_images(spec)
    more = "" if images is None else f", {images:,} training images"
    return [
        ShownTable(spec.name, ("tune trial", "optimizer", "settings"), rows),
        f"then {total_trials(spec) - len(tune)} confirm trials: seeds x the best settings of each optimizer.",
        f"{size_text(spec)}: {total_trials(spec)} trials{more}.",
        _estimate_text(found, workers),
    ]


def estimate_text(prepared: Prepared[StudySpec]) -> str:
    """How long the study will take, measured; a trial that cannot run will say so itself, as a record."""
    try:
        found = estimate(prepared.spec, workers=prepared.workers, synthetic_images=prepared.awaited_images)
    except EstimateError as error:
        return str(error)
    return f"{_estimate_text(found, prepared.workers)} {_series_text(prepared, found)}".rstrip()


def _series_text(prepared: Prepared[StudySpec], first: Estimate) -> str:
    """How long all studies of a series take, the data made once; empty for a single study."""
    if not prepared.is_series:
        return ""
    count = len(prepared.specs)
    seconds = first.data_s + count * (first.seconds - first.data_s)
    return f"All {count} studies of the series: {duration_text(seconds)}. "


def _estimate_text(found: Estimate, workers: int) -> str:
    parts = {"data": found.data_s, "tuning": found.tune_s, "confirming": found.confirm_s, "the rest": found.other_s}
    spent = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in parts.items() if seconds >= 1)
    gpu = f" and {found.gpu_memory_bytes / 1e9:.1f} GB of GPU memory" if found.gpu_memory_bytes else ""
    return (
        f"Estimated time: {duration_text(found.seconds)} ({spent}), with {workers} "
        f"{'trial' if workers == 1 else 'trials'} at once; {found.memory_bytes / 1e9:.1f} GB of memory{gpu}."
    )


def size_text(spec: StudySpec) -> str:
    """A study in one line: optimizers, trials and their budgets, network, schedule, device."""
    controls = len(controlled(spec.optimizers, spec.spaces, controls=spec.controls))
    more = f" + {counted(controls, 'untuned control')} on the confirm seeds" if controls else ""
    pruner = f", {spec.pruner} pruner" if spec.pruner != "none" else ""
    return (
        f"{counted(len(spec.optimizers), 'optimizer')} x ({counted(spec.trials, 'tune trial')} of "
        f"{spec.length_text(TUNE)} + {counted(spec.seeds, 'confirm seed')} of {spec.length_text(CONFIRM)}){more}, "
        f"{trained_text(spec)}, batch {spec.batch_size}, {spec.schedule} schedule{pruner}, on {spec.device}"
    )
