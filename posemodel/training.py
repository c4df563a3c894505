"""The training loop: batch, forward, loss, backward, step; measured, validated, checkpointed, resumable.

Training is timed; evaluation and checkpoints are not, and are counted apart. Nothing random outlives an epoch except
what a checkpoint holds, so that a resumed run takes the steps that the interrupted one would have taken.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from posemodel.atomic_write import remove_leftovers
from posemodel.config import TrainSettings
from posemodel.data.coco import PackedSplit, left_out_of, open_split
from posemodel.data.layout import fingerprint
from posemodel.data.loader import PoseDataset, build_loader, targets_in_workers
from posemodel.device import choose_device
from posemodel.errors import CheckpointError, DataError, SettingsError
from posemodel.network import PoseNetwork, build_network, input_geometry
from posemodel.network.backbones import load_vgg19_weights
from posemodel.network.weights import CheckpointInfo, save_weights
from posemodel.prediction import validate, validation_loader
from posemodel.schedule import budget_of
from posemodel.throughput import ThroughputMeter, Totals
from posemodel.training_state import Progress, TrainingState, optimizer_state_bytes
from posemodel.training_step import TrainingStep

RunStatus = Literal["complete", "diverged", "timed_out", "pruned"]
OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
OnMetrics = Callable[[int, dict[str, float]], None]

RESUME_FILE = "resume.pt"
LAST_FILE = "last.safetensors"
BEST_FILE = "best.safetensors"


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: ``metrics`` holds the last value of everything measured, and the best AP with its step."""

    status: RunStatus
    step: int
    metrics: dict[str, float]
    network: PoseNetwork
    """As the last step left it."""


def open_training_splits(settings: TrainSettings) -> tuple[PackedSplit, PackedSplit]:
    """The images trained on (those with labelled people) and the split scored; the two never share a derived tenth."""
    hold_out = settings.hold_out_select or settings.val_split == "select"
    skip_bad = settings.skip_bad
    train_split = open_split(settings.data, settings.train_split, hold_out_select=hold_out, skip_bad=skip_bad)
    train_split = train_split.labelled_only()
    if not len(train_split):
        raise DataError(f"{train_split.annotations}: no image with a labelled person is left to train on.")
    val_split = open_split(settings.data, settings.val_split, skip_bad=skip_bad)
    if settings.labelled_only:
        val_split = val_split.labelled_only()
    if not len(val_split):
        raise DataError(f"{val_split.annotations}: no image with a labelled person is left to score.")
    return train_split, val_split


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
    """Train one network.

    ``make_optimizer`` gets the network's parameters. ``on_metrics`` gets the step and what was measured there:
    `loss`, `lr`, `images_per_s`, `data_wait_share`, `optimizer_step_ms` at every window, `val_loss` and `ap` when they
    are due, `train_seconds` with each. ``out``: folder for `last.safetensors`, `best.safetensors` and `resume.pt`.
    ``on_open`` gets the split trained on and the split scored before the first step.
    ``resume`` goes on from its `resume.pt`. ``run_record``: what else defines the run (the optimizer, say), kept in
    the checkpoints; a resumed run must have the same. ``should_stop`` is asked after each step; on True the state is
    saved and KeyboardInterrupt raised. A loss that is NaN or infinite ends the run as `diverged`. ``should_prune`` is
    asked with each AP but the last one; True ends the run there as `pruned`. With a budget in seconds the run is over
    at the first step that ends after them, and the number of steps depends on the machine, in a resumed run too.
    Raises DataError, SettingsError or CheckpointError.
    """
    began = time.monotonic()
    device = choose_device(settings.device)
    geometry = input_geometry(settings.network, settings.size)
    train_split, val_split = open_training_splits(settings)
    left_out = left_out_of((train_split, val_split))
    if on_open is not None:
        on_open(train_split, val_split)
    with_targets = targets_in_workers(settings.targets, device)
    dataset = PoseDataset(
        train_split, geometry, augment=settings.augment, seed=settings.seed, with_targets=with_targets
    )
    # Pinning is for copies to a CUDA device; on any other it would only cost memory.
    pin_memory = settings.loader.pin_memory and device.type == "cuda"
    loader_settings = settings.loader.model_copy(update={"pin_memory": pin_memory})
    loader, sampler = build_loader(dataset, loader_settings, training=True, seed=settings.seed)
    val_loader = validation_loader(val_split, geometry, loader_settings, with_targets=with_targets)

    network = build_network(settings.network, seed=settings.seed)
    if settings.backbone_weights is not None:
        if not isinstance(network.backbone, nn.Sequential):
            raise SettingsError(f"backbone_weights: the backbone of {settings.network} is not VGG19.")
        load_vgg19_weights(network.backbone, settings.backbone_weights)
    network.precision = settings.precision
    network.to(device, memory_format=torch.channels_last).train()
    optimizer = make_optimizer(network.parameters())
    totals = Totals()
    meter = ThroughputMeter(device, totals)
    budget = budget_of(settings, len(loader), meter)
    scheduler = LambdaLR(optimizer, budget.factor)
    torch.manual_seed(settings.seed)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run_record = dict(run_record or {})
    if settings.skip_bad:
        # Files that are mended meanwhile change what is trained on, and the annotations' digest would not tell.
        run_record |= {"images": train_split.digest(), **left_out.as_metrics()}
    identity = _identity(settings, run_record) if out is not None else {}
    state = TrainingState(network, optimizer, scheduler, identity, totals=totals)
    left = _resumable(out) if resume else None
    if left is not None:
        state.restore(left, device)
        budget.resumed()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # from here on there is something to resume
        remove_leftovers(out)
    progress = state.progress
    info = CheckpointInfo(settings.network, geometry.size, {**settings.model_dump(mode="json"), **run_record})
    metrics = state.metrics
    step = TrainingStep(network, optimizer, scheduler, geometry, meter, foreground_weight=settings.foreground_weight)

    def report(new: dict[str, float]) -> None:
        metrics.update(new)
        if on_metrics is not None:
            on_metrics(progress.step, {**new, "train_seconds": meter.totals.train_seconds})

    def finish(status: RunStatus) -> TrainResult:
        meter.pause()
        metrics.update(meter.totals.metrics() if meter.totals.steady_steps else {})
        metrics["train_seconds"] = meter.totals.train_seconds
        metrics["eval_seconds"] = progress.eval_seconds
        metrics["optimizer_state_bytes"] = optimizer_state_bytes(optimizer)
        metrics.update(left_out.as_metrics())
        if progress.ap_best >= 0:
            metrics["ap_best"], metrics["ap_best_step"] = progress.ap_best, progress.ap_best_step
        if device.type == "cuda":
            metrics["gpu_memory_peak_bytes"] = torch.cuda.max_memory_allocated(device)
        return TrainResult(status, progress.step, dict(metrics), network)

    last = budget.over(progress.step)  # of a run that had ended before it was resumed
    while not last:
        network.freeze_backbone(progress.epoch < settings.frozen_backbone_epochs)
        sampler.epoch, sampler.skip = progress.epoch, progress.samples_done
        meter.start()
        for batch in meter.waiting(loader):
            step(batch)
            progress.step += 1
            progress.samples_done += len(batch.images)

            near_end = budget.nearly_over(progress.step)
            due_val, due_ap = budget.due(progress.step)
            stop = should_stop is not None and should_stop()
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
            mean_loss = step.mean_loss()
            report({"loss": mean_loss, "lr": step.lr, **window})
            if not math.isfinite(mean_loss):
                return finish("diverged")
            if settings.time_limit is not None and time.monotonic() - began > settings.time_limit:
                return finish("timed_out")
            if due_val or due_ap:
                meter.pause()
                found = _validate(settings, network, val_loader, val_split, geometry, device, progress, due_ap)
                report(found)
                if not math.isfinite(found["val_loss"]):
                    return finish("diverged")
                by_ap = settings.ap_every is not None or settings.evaluations is not None
                if _is_best(found, progress, by_ap=by_ap) and out is not None:
                    save_weights(out / BEST_FILE, network, info)
                if should_prune is not None and not last and "ap" in found and should_prune(found["ap"]):
                    return finish("pruned")
            if due_checkpoint and out is not None:
                meter.pause()
                save_weights(out / LAST_FILE, network, info)
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
    val_loader: Any,
    val_split: PackedSplit,
    geometry: Any,
    device: torch.device,
    progress: Progress,
    with_scores: bool,
) -> dict[str, float]:
    """Validation loss and, when due, the ten COCO figures; the time that it takes is counted apart."""
    began = time.perf_counter()
    found = validate(
        network,
        val_loader,
        val_split,
        geometry,
        device,
        foreground_weight=settings.foreground_weight,
        with_scores=with_scores,
    )
    progress.eval_seconds += time.perf_counter() - began
    values = {"val_loss": found.loss}
    if found.scores is not None:
        counts = ("images", "people")
        values |= {k: v for k, v in found.scores.as_row().items() if v is not None and k not in counts}
    return values


def _is_best(found: dict[str, float], progress: Progress, *, by_ap: bool) -> bool:
    """Whether this is the best so far: by AP where it is evaluated along the way, else by validation loss."""
    better_ap = found.get("ap", -1.0) > progress.ap_best
    better_loss = found["val_loss"] < progress.val_loss_best
    if better_ap:
        progress.ap_best, progress.ap_best_step = found["ap"], progress.step
    if better_loss:
        progress.val_loss_best = found["val_loss"]
    return better_ap if by_ap and "ap" in found else better_loss


def _resumable(out: Path | None) -> Path | None:
    """The state to go on from; None where the run was interrupted before it left one."""
    if out is None or not out.is_dir():
        raise CheckpointError(f"{out}: no such folder, so there is nothing to resume.")
    return out / RESUME_FILE if (out / RESUME_FILE).is_file() else None


def _identity(settings: TrainSettings, run_record: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change between a run and its resumption (devices, workers and how often it reports may)."""
    free = {"data", "device", "loader", "log_every", "val_every", "ap_every", "evaluations", "checkpoint_every"}
    free |= {"time_limit"}
    return {
        **settings.model_dump(mode="json", exclude=free),
        "batch_size": settings.loader.batch_size,
        "data": fingerprint(settings.data),
        **run_record,
    }
