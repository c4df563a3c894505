"""The training loop: batch, forward, loss, backward, step; measured, validated, checkpointed, resumable.

Training is timed; evaluation and checkpoints are not, and are counted apart. Nothing random outlives an epoch except
what a checkpoint holds, so that a resumed run takes the steps that the interrupted one would have taken.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from posemodel.atomic_write import remove_leftovers
from posemodel.config import InputSettings, TrainSettings
from posemodel.data.coco import PackedSplit
from posemodel.data.notes import acting, as_metrics
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork, geometry_of
from posemodel.network.weights import CheckpointInfo, save_weights
from posemodel.training.averages import WeightAverage
from posemodel.training.data import TrainingData, open_training_data
from posemodel.training.initial_network import initial_network, origin_of
from posemodel.training.parameter_groups import Parameters, multiply_rates, parameter_groups
from posemodel.training.processes import Team, joined
from posemodel.training.schedule import Plateau, budget_of
from posemodel.training.state import (
    RESUME_FILE,
    Progress,
    TrainingState,
    identity_of,
    optimizer_state_bytes,
    resumable,
)
from posemodel.training.step import TrainingStep
from posemodel.training.throughput import ThroughputMeter, Totals
from posemodel.training.validation import validate

RunStatus = Literal["complete", "diverged", "timed_out", "pruned"]
OptimizerFactory = Callable[[Parameters], Optimizer]
OnMetrics = Callable[[int, dict[str, float]], None]

LAST_FILE = "last.safetensors"
BEST_FILE = "best.safetensors"


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: ``metrics`` holds the last value of everything measured, and the best AP with its step."""

    status: RunStatus
    step: int
    metrics: dict[str, float]
    network: PoseNetwork
    """As the last step left it, or the average of its weights where ``ema_decay`` asks for that: what is saved."""


def train(
    settings: TrainSettings,
    make_optimizer: OptimizerFactory,
    *,
    out: Path | None = None,
    resume: bool = False,
    on_metrics: OnMetrics | None = None,
    on_open: Callable[[PackedSplit, PackedSplit], None] | None = None,
    run_record: Mapping[str, Any] | None = None,
    should_stop: Callable[[], bool] | None = None,
    should_prune: Callable[[float], bool] | None = None,
) -> TrainResult:
    """Train one network; in the processes that `torchrun` starts, together (`posemodel.training.processes`).

    ``make_optimizer`` gets the network's parameters, or groups of them where ``settings.groups`` tells some from others
    (`posemodel.training.parameter_groups`). ``on_metrics`` gets the step and what was measured there: `loss`, `lr`,
    `images_per_s`, `data_wait_share`, `optimizer_step_ms` at every window, `val_loss` and `ap` when they are due,
    `reference_loss` (of maps with nobody in them, on the same split) with the last of them, `train_seconds` with each.
    ``out``: folder for `last.safetensors`, `best.safetensors` and `resume.pt`, which are replaced where they exist.
    ``on_open`` gets the split trained on and the split scored before the first step.
    ``resume`` goes on from its `resume.pt`.
    ``run_record``: what else defines the run (the optimizer, say), kept in the checkpoints; a resumed run must have the
    same. ``should_stop`` is asked after each step; on True the state is saved and KeyboardInterrupt raised. A loss that
    is NaN or infinite ends the run as `diverged`. ``should_prune`` is asked with each AP but the last one; True ends
    the run there as `pruned`. With a budget in seconds the run is over at the first step that ends after them, and the
    number of steps depends on the machine, in a resumed run too.
    Of several processes the first alone validates, writes and calls the functions given here, but for ``should_stop``,
    which is asked in each: all stop where one must. The settings and ``out`` must be the same in each. Batch norm sees
    each process's own images; `data_wait_share` and `optimizer_step_ms` are the first one's, `images_per_s` is of all.
    Raises DataError, SettingsError, CheckpointError or ProcessError.
    """
    with joined(settings.device) as team:
        return _train(
            team,
            settings,
            make_optimizer,
            out=out,
            resume=resume,
            on_metrics=on_metrics,
            on_open=on_open,
            run_record=run_record,
            should_stop=should_stop,
            should_prune=should_prune,
        )


def _train(
    team: Team,
    settings: TrainSettings,
    make_optimizer: OptimizerFactory,
    *,
    out: Path | None,
    resume: bool,
    on_metrics: OnMetrics | None,
    on_open: Callable[[PackedSplit, PackedSplit], None] | None,
    run_record: Mapping[str, Any] | None,
    should_stop: Callable[[], bool] | None,
    should_prune: Callable[[float], bool] | None,
) -> TrainResult:
    began = time.monotonic()
    device = team.device
    if team.size > 1 and settings.seconds is not None:
        raise SettingsError("seconds: several processes have no common clock. Give steps or epochs, or train in one.")
    network = initial_network(settings, device)
    geometry = geometry_of(network, settings.size, name=settings.network)
    data = open_training_data(settings, geometry, team)
    left_out = data.left_out
    if on_open is not None and team.first:
        on_open(data.train_split, data.val_split)

    network.trained_size = geometry.size
    optimizer = make_optimizer(parameter_groups(network, settings.groups))
    multiply_rates(optimizer, settings.groups)
    average = WeightAverage(network, settings.ema_decay) if settings.ema_decay is not None else None
    totals = Totals()
    meter = ThroughputMeter(device, totals)
    plateau = Plateau()
    per_step = min(settings.loader.batch_size * settings.accumulate * team.size, len(data.train_split))
    budget = budget_of(settings, len(data.loader) // settings.accumulate, meter)
    scheduler = LambdaLR(optimizer, lambda step: budget.factor(step) * plateau.factor)
    # The same in every process, whose optimizers may draw: their weights must stay alike.
    torch.manual_seed(settings.seed)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run_record = {**(run_record or {}), **origin_of(settings.weights)}
    if settings.skip_bad:
        # Files that are mended meanwhile change what is trained on, and the annotations' digest would not tell.
        run_record |= {"images": data.train_split.digest(), **left_out.as_metrics()}
    if settings.size is None and geometry.size != network.default_size:
        # An earlier version trained at the network's default: what it began cannot be gone on with at another size.
        run_record |= {"size_of_weights": geometry.size}
    if acted := acting(data.notes):
        # An earlier version read these entries otherwise: what it began cannot be gone on with.
        run_record |= {"read_differently": acted}
    identity = identity_of(settings, run_record, team.size) if out is not None else {}
    state = TrainingState(network, optimizer, scheduler, identity, totals=totals, plateau=plateau, average=average)
    left = resumable(out) if resume else None
    if left is not None:
        state.restore(left, device)
        budget.resumed()
    if out is not None and team.first:
        out.mkdir(parents=True, exist_ok=True)  # from here on there is something to resume
        remove_leftovers(out)
    progress = state.progress
    saved = "as trained" if average is None else "exponential moving average"
    training = {**settings.model_dump(mode="json"), "processes": team.size, "saved_weights": saved, **run_record}
    info = CheckpointInfo(settings.network, geometry.size, training)
    metrics = state.metrics
    step = TrainingStep(
        network,
        optimizer,
        scheduler,
        geometry,
        meter,
        foreground_weight=settings.foreground_weight,
        loss_reduction=settings.loss_reduction,
        accumulate=settings.accumulate,
        processes=team.size,
        average=average,
    )

    def outcome() -> PoseNetwork:
        return network if average is None else average.network()

    def report(new: dict[str, float]) -> None:
        metrics.update(new)
        if on_metrics is not None and team.first:
            on_metrics(progress.step, {**new, "train_seconds": meter.totals.train_seconds})

    def finish(status: RunStatus) -> TrainResult:
        meter.pause()
        metrics.update(meter.totals.metrics() if meter.totals.steady_steps else {})
        metrics["train_seconds"] = meter.totals.train_seconds
        metrics["eval_seconds"] = progress.eval_seconds
        metrics["optimizer_state_bytes"] = optimizer_state_bytes(optimizer)
        metrics.update({**left_out.as_metrics(), **as_metrics(data.notes)})
        metrics["labelled_train_images"] = len(data.train_split)  # those without labels are not trained on
        metrics["labelled_val_images"] = len(data.val_split.labelled_only())
        if progress.ap_best >= 0:
            metrics["ap_best"], metrics["ap_best_step"] = progress.ap_best, progress.ap_best_step
        if device.type == "cuda":
            metrics["gpu_memory_peak_bytes"] = torch.cuda.max_memory_allocated(device)
        return TrainResult(status, progress.step, dict(metrics), outcome())

    last = budget.over(progress.step)  # of a run that had ended before it was resumed
    while not last:
        network.freeze_backbone(progress.epoch < settings.frozen_backbone_epochs)
        step.network = team.parallel(network)
        data.sampler.epoch, data.sampler.skip = progress.epoch, progress.samples_done
        meter.start()
        for batch in meter.waiting(data.loader):
            if not step(batch):
                continue
            progress.step += 1
            progress.samples_done += per_step

            near_end = budget.nearly_over(progress.step)
            due_val, due_ap = budget.due(progress.step)
            stop = team.any(should_stop is not None and should_stop())
            every = settings.checkpoint_every
            due_checkpoint = out is not None and (stop or (due_val if every is None else progress.step % every == 0))
            due_window = progress.step == 1 or progress.step % settings.log_every == 0
            if not (due_window or due_val or due_ap or due_checkpoint or stop or near_end):
                continue

            window = meter.close_window()
            last = near_end and budget.over(progress.step)
            if last:
                due_val = due_ap = True
                due_checkpoint = out is not None
            mean_loss = team.mean(step.mean_loss())
            report({"loss": mean_loss, "lr": step.lr, **window})
            if not math.isfinite(mean_loss):
                return finish("diverged")
            if team.any(settings.time_limit is not None and time.monotonic() - began > settings.time_limit):
                return finish("timed_out")
            if due_val or due_ap:
                meter.pause()
                found = team.from_first(_validate, settings, outcome(), data, geometry, device, progress, due_ap, last)
                report(found)
                if not math.isfinite(found["val_loss"]):
                    return finish("diverged")
                if settings.schedule == "plateau" and progress.epoch >= settings.frozen_backbone_epochs:
                    plateau.heard(found["val_loss"], settings.plateau, settings.gamma)
                by_ap = settings.ap_every is not None or settings.evaluations is not None
                if progress.is_best(found, by_ap=by_ap) and out is not None and team.first:
                    save_weights(out / BEST_FILE, outcome(), info)
                may_prune = team.first and should_prune is not None and not last and "ap" in found
                if team.any(may_prune and should_prune(found["ap"])):
                    return finish("pruned")
            if due_checkpoint and out is not None:
                meter.pause()
                if team.first:
                    save_weights(out / LAST_FILE, outcome(), info)
                    state.save(out / RESUME_FILE)
            if stop and not last:
                raise KeyboardInterrupt
            if last:
                break
            if due_val or due_ap or due_checkpoint:
                meter.start()
        else:
            progress.epoch += 1
            progress.samples_done = 0
            meter.pause()
    return finish("complete")


def _validate(
    settings: TrainSettings,
    network: PoseNetwork,
    data: TrainingData,
    geometry: InputSettings,
    device: torch.device,
    progress: Progress,
    with_scores: bool,
    with_reference: bool,
) -> dict[str, float]:
    """Validation loss and, when due, the ten COCO figures and the loss of empty maps; its time is counted apart."""
    began = time.perf_counter()
    found = validate(
        network,
        data.val_loader,
        data.val_split,
        geometry,
        device,
        foreground_weight=settings.foreground_weight,
        with_scores=with_scores,
        with_reference=with_reference,
    )
    progress.eval_seconds += time.perf_counter() - began
    values = {"val_loss": found.loss}
    if found.reference_loss is not None:
        values["reference_loss"] = found.reference_loss
    if found.scores is not None:
        counts = ("images", "people")
        values |= {k: v for k, v in found.scores.as_row().items() if v is not None and k not in counts}
    return values
