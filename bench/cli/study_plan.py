"""What a study is about to do, before it does it: its size, its plan, and how long it will take."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.cli.output import log, print_json, print_table

if TYPE_CHECKING:
    from bench.kinds.optimizers.estimate import Estimate
    from bench.kinds.optimizers.prepare import Prepared
    from bench.kinds.optimizers.spec import StudySpec


def show_plan(prepared: "Prepared", as_json: bool) -> None:
    """What would be run, and how long it would take; the studies of a series cost the same but for the data."""
    from bench.kinds.optimizers.estimate import estimate

    log("measuring ...")
    found = estimate(prepared.spec, workers=prepared.workers, synthetic_images=prepared.awaited_images)
    estimates = [found if number == 0 else replace(found, data_s=0.0) for number in range(len(prepared.specs))]
    if as_json:
        documents = [_plan_document(spec, prepared, each) for spec, each in zip(prepared.specs, estimates, strict=True)]
        print_json(series_document(prepared, documents) if prepared.is_series else documents[0])
        return
    for spec, each in zip(prepared.specs, estimates, strict=True):
        _print_plan(spec, prepared.workers, each)
    print(f"{_series_text(prepared, found)}Nothing was run.")


def _plan_document(spec: "StudySpec", prepared: "Prepared", found: "Estimate") -> dict[str, Any]:
    from bench.kinds.optimizers.plan import plan_tune, total_trials

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


def _training_images(spec: "StudySpec") -> int | None:
    """Images that all trials train on; None where the budget is in seconds, and the machine decides."""
    from bench.kinds.optimizers.plan import total_trials

    if spec.tune_steps is None or spec.steps is None:
        return None
    tune = spec.trials * len(spec.optimizers)
    return (tune * spec.tune_steps + (total_trials(spec) - tune) * spec.steps) * spec.batch_size


def _print_plan(spec: "StudySpec", workers: int, found: "Estimate") -> None:
    from bench.kinds.optimizers.plan import plan_tune, total_trials
    from bench.report.cells import settings_text

    tune = plan_tune(spec)
    rows = [[t.id, t.optimizer, settings_text(json.dumps(t.hyperparameters), ())] for t in tune]
    print_table(("tune trial", "optimizer", "settings"), rows, title=spec.name)
    print(f"then {total_trials(spec) - len(tune)} confirm trials: seeds x the best settings of each optimizer.")
    images = _training_images(spec)
    more = "" if images is None else f", {images:,} training images"
    print(f"{size_text(spec)}: {total_trials(spec)} trials{more}.")
    print(_estimate_text(found, workers))


def say_estimate(prepared: "Prepared") -> None:
    """Measure and say how long the study will take; a trial that cannot run will say so itself, as a record."""
    from bench.kinds.optimizers.estimate import estimate
    from bench.kinds.optimizers.probe import EstimateError

    log("measuring how long this will take ...")
    try:
        found = estimate(prepared.spec, workers=prepared.workers, synthetic_images=prepared.awaited_images)
    except EstimateError as error:
        log(str(error))
        return
    log(f"{_estimate_text(found, prepared.workers)} {_series_text(prepared, found)}".rstrip())


def _series_text(prepared: "Prepared", first: "Estimate") -> str:
    """How long all studies of a series take, the data made once; empty for a single study."""
    from bench.cli.board import duration_text

    if not prepared.is_series:
        return ""
    count = len(prepared.specs)
    seconds = first.data_s + count * (first.seconds - first.data_s)
    return f"All {count} studies of the series: {duration_text(seconds)}. "


def _estimate_text(found: "Estimate", workers: int) -> str:
    from bench.cli.board import duration_text as duration

    parts = {"data": found.data_s, "tuning": found.tune_s, "confirming": found.confirm_s, "the rest": found.other_s}
    spent = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items() if seconds >= 1)
    gpu = f" and {found.gpu_memory_bytes / 1e9:.1f} GB of GPU memory" if found.gpu_memory_bytes else ""
    return (
        f"Estimated time: {duration(found.seconds)} ({spent}), with {workers} "
        f"{'trial' if workers == 1 else 'trials'} at once; {found.memory_bytes / 1e9:.1f} GB of memory{gpu}."
    )


def size_text(spec: "StudySpec") -> str:
    """A study in one line: optimizers, trials and their budgets, network, schedule, device."""
    from bench.kinds.optimizers.controls import controlled
    from bench.report.wording import counted
    from bench.trials.spec import CONFIRM, TUNE
    from bench.workloads.of_study import trained_text

    controls = len(controlled(spec.optimizers, spec.spaces, controls=spec.controls))
    more = f" + {counted(controls, 'untuned control')} on the confirm seeds" if controls else ""
    pruner = f", {spec.pruner} pruner" if spec.pruner != "none" else ""
    return (
        f"{counted(len(spec.optimizers), 'optimizer')} x ({counted(spec.trials, 'tune trial')} of "
        f"{spec.length_text(TUNE)} + {counted(spec.seeds, 'confirm seed')} of {spec.length_text(CONFIRM)}){more}, "
        f"{trained_text(spec)}, batch {spec.batch_size}, {spec.schedule} schedule{pruner}, on {spec.device}"
    )


def series_document(prepared: "Prepared", documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The one JSON document of a series: complete once all of its studies are."""
    statuses = {document["status"] for document in documents}
    return {
        "series": prepared.name,
        "kind": prepared.spec.kind,
        "preset": prepared.spec.preset,
        "status": statuses.pop() if len(statuses) == 1 else "unfinished",
        "studies": documents,
    }
