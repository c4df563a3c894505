"""The training loop: get a batch, step, log, validate, save.

Training is timed; validation and checkpoints are timed separately. All random state that outlives an epoch is in the
checkpoint, so that a resumed run takes the steps that the interrupted one would have taken.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from posemodel.config import TrainSettings
from posemodel.training.processes import joined
from posemodel.training.run import (
    Callbacks,
    OnMetrics,
    OnOpen,
    OptimizerFactory,
    Run,
    RunStatus,
    TrainResult,
)


def train(
    settings: TrainSettings,
    make_optimizer: OptimizerFactory,
    *,
    out: Path | None = None,
    resume: bool = False,
    on_metrics: OnMetrics | None = None,
    on_open: OnOpen | None = None,
    run_record: Mapping[str, Any] | None = None,
    should_stop: Callable[[], bool] | None = None,
    should_prune: Callable[[float], bool] | None = None,
    should_save: Callable[[], bool] | None = None,
    on_saved: Callable[[], object] | None = None,
) -> TrainResult:
    """Train one network; in the processes that `torchrun` starts, train it together (`posemodel.training.processes`).

    Args:
        settings: Data, network, length, schedule and all other settings except the optimizer.
        make_optimizer: Makes the optimizer from the network's parameters, or from parameter groups if
            ``settings.groups`` treats some differently (`posemodel.training.parameter_groups`). An optimizer is
            recognised that needs a closure, or has `train()` and `eval()`; what its methods do not show, and what else
            it is made from, a `posemodel.training.driving.OptimizerMaker` says.
        out: Folder for `last.safetensors`, `best.safetensors` and `resume.pt`; existing ones are replaced.
        resume: Continue from the `resume.pt` of ``out``.
        on_metrics: Called with the step and the metrics measured there: `loss`, `lr`, `images_per_s`,
            `data_wait_share`, `optimizer_step_ms` after every window of steps; `val_loss` and `ap` after validations;
            `reference_loss` (the loss of maps that show no people, on the same split) with the last validation;
            `train_seconds` always. An optimizer without learning rate has no `lr`.
        on_open: Called with the training split and the validation split before the first step.
        run_record: Further facts that define the run (the optimizer's name, say), stored in the checkpoints; a resumed
            run must have the same.
        should_stop: Called after each update; True saves the state and raises KeyboardInterrupt.
        should_prune: Called with each AP except the last; True ends the run as `pruned`.
        should_save: Called after each update if there is an ``out``; True saves the state, also between validations.
        on_saved: Called when the state that ``should_save`` has asked for is saved; its time is not measured.

    Returns:
        The status, the number of steps, the last value of every metric, and the network. A loss that is NaN or infinite
        ends the run as `diverged`. With a budget in seconds the run ends with the first step that ends after that time,
        so the number of steps depends on the machine, in a resumed run too.

    Steps are gradient evaluations: an optimizer that needs several for an update of the weights (sharpness-aware
    minimisation, LBFGS, products with the Hessian) makes fewer updates in the same budget, and may exceed it within the
    last one. The metric `updates` is their number, if it differs from that of the steps. Optimizers with `train()` and
    `eval()` are validated, saved and returned with the weights that `eval()` gives; batch norm's statistics are
    computed for these from some training images.

    With several processes, only the first validates, writes and calls these functions, except for ``should_stop``,
    which is called in each: if it is True in any, all stop. ``settings`` and ``out`` must be the same in each. Batch
    norm sees each process's own images; `data_wait_share` and `optimizer_step_ms` are the first process's,
    `images_per_s` is of all.

    Raises:
        DataError, SettingsError, CheckpointError, ProcessError: caused by data, a setting, a checkpoint or another
            process; the message names it.
        KeyboardInterrupt: ``should_stop`` returned True.

    Example:
        settings = TrainSettings(data="data/people", network="small", steps=500)
        result = train(settings, lambda parameters: torch.optim.Adam(parameters, lr=1e-3), out=Path("runs/first"))
        result.metrics["ap"]
    """
    callbacks = Callbacks(on_metrics, on_open, should_stop, should_prune, should_save, on_saved)
    with joined(settings.device) as team:
        run = Run(team, settings, make_optimizer, callbacks, out=out, resume=resume, run_record=run_record)
        return run.result(_loop(run))


def _loop(run: Run) -> RunStatus:
    if run.ended_before():
        return "complete"
    while True:
        for batch in run.epoch():
            if not run.step(batch):
                continue
            due = run.due()
            if not due:
                continue

            if due.log and not math.isfinite(run.log()):
                return "diverged"
            last = run.ended(due)
            if run.out_of_time():
                return "timed_out"
            if due.validation or last:
                figures = run.validate(ap=due.ap or last, last=last)
                if not math.isfinite(figures["val_loss"]):
                    return "diverged"
                if run.pruned(figures, last=last):
                    return "pruned"
            if due.checkpoint or last:
                run.save()
            if due.tell:
                run.tell_saved()
            if last:
                return "complete"
            if due.stop:
                raise KeyboardInterrupt
            if due.validation or due.checkpoint:
                run.go_on()
