"""One training run: the objects that it is made of, and what surrounds its steps (logging, validation, checkpoints)."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from posemodel.atomic_write import remove_temporary_files
from posemodel.config import InputSettings, TrainSettings
from posemodel.data.batch import Batch
from posemodel.data.notes import Note, as_metrics, digest_entries
from posemodel.data.open_split import PackedSplit
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork, network_class, network_geometry
from posemodel.network.weights import CATEGORY_ID, CheckpointInfo, save_weights
from posemodel.skeleton import COCO_PERSON
from posemodel.training.averages import WeightAverage
from posemodel.training.batch_norm import NormImages
from posemodel.training.data import TrainingData, open_training_data, open_training_splits
from posemodel.training.driving import Driving, Training, make_driven
from posemodel.training.initial_network import initial_network, origin_of
from posemodel.training.judged import JudgedNetwork
from posemodel.training.mean_loss import MeanLoss
from posemodel.training.optimizer_state import optimizer_state_bytes
from posemodel.training.parameter_groups import Parameters, has_rates, multiply_rates, parameter_groups
from posemodel.training.processes import Team
from posemodel.training.schedule import Budget, Plateau, budget_of, crossed
from posemodel.training.state import RESUME_FILE, TrainingState, identity_of, resumable
from posemodel.training.step import TrainingStep
from posemodel.training.throughput import ThroughputMeter, Totals
from posemodel.training.validation import validate

RunStatus = Literal["complete", "diverged", "timed_out", "pruned"]
OptimizerFactory = Callable[[Parameters], Optimizer]
OnMetrics = Callable[[int, dict[str, float]], None]
OnOpen = Callable[[PackedSplit, PackedSplit], None]

LAST_FILE = "last.safetensors"
BEST_FILE = "best.safetensors"


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: ``metrics`` holds the last value of everything measured, and the best AP with its step."""

    status: RunStatus
    step: int
    """Steps taken, in gradient evaluations."""
    metrics: dict[str, float]
    network: PoseNetwork
    """The network that was saved: the one after the last step, with averaged weights if ``ema_decay`` is set, or with
    those by which the optimizer is judged if it has `train()` and `eval()`."""


@dataclass(frozen=True)
class Callbacks:
    """Functions of the caller, with the meanings that `posemodel.training.loop.train` documents."""

    on_metrics: OnMetrics | None = None
    on_open: OnOpen | None = None
    should_stop: Callable[[], bool] | None = None
    should_prune: Callable[[float], bool] | None = None
    should_save: Callable[[], bool] | None = None
    on_saved: Callable[[], object] | None = None


@dataclass
class Due:
    """Work to do after a step, before training continues."""

    log: bool
    """Close the measured window and report it. A state that is saved only because the caller asks for it changes no
    report: its window is reported by whoever goes on."""
    loss: bool
    """Compute the validation loss."""
    ap: bool
    """Score the validation split; this gives its loss too."""
    checkpoint: bool
    tell: bool
    """Tell the caller, who has asked for it, that the state is saved."""
    stop: bool
    """The caller asked for an interruption."""
    maybe_last: bool
    """The budget may be used up; certain once the window is closed (`Run.ended`)."""

    @property
    def validation(self) -> bool:
        """Whether the validation split is to be passed through the network."""
        return self.loss or self.ap

    def __bool__(self) -> bool:
        return self.log or self.validation or self.checkpoint or self.stop or self.maybe_last


class Run:
    """A training run of one network, in this process or together with the other processes of ``team``.

    Only the first process validates, writes files and calls the caller's functions, except ``should_stop``.
    """

    def __init__(
        self,
        team: Team,
        settings: TrainSettings,
        make_optimizer: OptimizerFactory,
        callbacks: Callbacks,
        *,
        out: Path | None,
        resume: bool,
        run_record: Mapping[str, Any] | None,
    ) -> None:
        """Open the data, build network and optimizer, and restore the state in ``out`` if ``resume`` is set."""
        self._began = time.monotonic()
        if team.size > 1 and settings.seconds is not None:
            raise SettingsError(
                "seconds: several processes have no common clock. Give steps or epochs, or train in one."
            )
        self.team, self.settings, self.callbacks, self.out = team, settings, callbacks, out
        network_class(settings.network)  # an unknown name is refused before the data are read
        train_split, val_split = open_training_splits(settings)
        self.network, note = initial_network(settings, team.device, train_split.skeleton)
        if note is not None:
            train_split = replace(train_split, notes=(*train_split.notes, note))
        self.geometry = network_geometry(self.network, settings.size, name=settings.network)
        self.data = open_training_data(settings, (train_split, val_split), self.geometry, team)
        if callbacks.on_open is not None and team.first:
            callbacks.on_open(self.data.train_split, self.data.val_split)
        self.network.trained_size = self.geometry.size

        totals, plateau, losses = Totals(), Plateau(), MeanLoss(team.device)
        self.meter = ThroughputMeter(team.device, totals)
        self.plateau = plateau
        self._per_epoch = len(self.data.loader) // settings.accumulate
        """Gradient evaluations of an epoch."""
        self.budget = budget_of(settings, self._per_epoch, self.meter)
        self.optimizer, self.driving = make_driven(
            make_optimizer,
            Training(
                parameters=parameter_groups(self.network, settings.groups),
                network=self.network,
                steps=self.budget.total,
                samples=len(self.data.train_split),
            ),
        )
        multiply_rates(self.optimizer, settings.groups)
        self.average = _average_of(self.network, settings, self.optimizer, self.driving)
        scheduler = _scheduler_of(self.optimizer, settings, self.budget, plateau)
        # The same in every process, whose optimizers may draw random numbers: their weights must stay equal.
        torch.manual_seed(settings.seed)
        np.random.seed(settings.seed % 2**32)  # noqa: NPY002
        if team.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(team.device)

        record = {**(run_record or {}), **_record_of(settings, self.network, self.geometry, self.data, note)}
        identity = identity_of(settings, record, team.size) if out is not None else {}
        self.state = TrainingState(
            *(self.network, self.optimizer, scheduler, identity),
            totals=totals,
            plateau=plateau,
            average=self.average,
            losses=losses,
        )
        self.progress, self.metrics = self.state.progress, self.state.metrics
        interrupted = resumable(out) if resume else None
        if interrupted is not None:
            self.state.restore(interrupted, team.device)
            self.budget.resumed()
        if out is not None and team.first:
            out.mkdir(parents=True, exist_ok=True)  # from here on a run can be resumed
            remove_temporary_files(out)
        self._info = CheckpointInfo(settings.network, self.geometry.size, self._described(record))
        self._per_step = min(settings.loader.batch_size * settings.accumulate * team.size, len(self.data.train_split))
        self._step = TrainingStep(
            self.network,
            self.optimizer,
            scheduler,
            self.geometry,
            self.meter,
            driving=self.driving,
            foreground_weight=settings.foreground_weight,
            loss_reduction=settings.loss_reduction,
            accumulate=settings.accumulate,
            processes=team.size,
            average=self.average,
            losses=losses,
        )
        self._before = self.progress.step
        """Steps taken before the last update."""
        self._frozen = False
        """Whether the backbone was frozen in the last step."""
        self._judged: JudgedNetwork | None = None
        if self.driving.stale_statistics:
            images = NormImages(self.data.train_split, self.geometry, settings.loader.batch_size)
            self._judged = JudgedNetwork(self.network, self._step.driver, images, self.average)

    def _described(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the training's description for its checkpoints."""
        saved = "as trained" if self.average is None else "exponential moving average"
        if self.driving.modes:
            saved = "as judged by the optimizer"
        settings = self.settings.model_dump(mode="json")
        split = self.data.train_split
        if split.skeleton != COCO_PERSON:
            settings[CATEGORY_ID] = split.category
        return {**settings, "processes": self.team.size, "saved_weights": saved, **record}

    def ended_before(self) -> bool:
        """Return whether this run was resumed with its budget already used up."""
        return self.budget.over(self.progress.step)

    def epoch(self) -> Iterator[Batch]:
        """Yield the remaining batches of a pass over the images; count the pass as finished after the last."""
        progress = self.progress
        self._freeze(self._freezes())
        self.data.sampler.epoch, self.data.sampler.skip = progress.epoch, progress.samples_done
        self.meter.start()
        yield from self.meter.waiting(self.data.loader)
        self.meter.pause()
        progress.epoch += 1
        progress.samples_done = 0

    def step(self, batch: Batch) -> bool:
        """Train on a batch; return False if the update needs more batches (``accumulate``)."""
        progress, total = self.progress, self.budget.total
        if (frozen := self._freezes()) != self._frozen:
            self._freeze(frozen)
        evaluations = self._step(batch, None if total is None else total - progress.step)
        if not evaluations:
            return False
        self._before = progress.step
        progress.step += evaluations
        progress.updates += 1
        progress.samples_done += self._per_step
        return True

    def _freezes(self) -> bool:
        """Return whether the backbone is frozen in the next step.

        Like the budget, an epoch of it is as many gradient evaluations as a pass over the images has batches: a pass
        counts several times for an optimizer with several in an update.
        """
        return self.progress.step // self._per_epoch < self.settings.frozen_backbone_epochs

    def _freeze(self, frozen: bool) -> None:
        self.network.freeze_backbone(frozen)
        self._step.network = self.team.parallel(self.network)
        self._frozen = frozen

    def due(self) -> Due:
        """Return the work that is due after the update just made; the processes agree on whether to stop.

        An update of several steps is due for each interval whose end it reaches or passes.
        """
        step, before, settings = self.progress.step, self._before, self.settings
        maybe_last = self.budget.nearly_over(step)
        loss, ap = self.budget.due(step, before)
        callbacks, kept = self.callbacks, self.out is not None
        stop = self.team.any(callbacks.should_stop is not None and callbacks.should_stop())
        ask = callbacks.should_save
        save = ask is not None and kept and self.team.any(self.team.first and ask())
        every = settings.checkpoint_every
        checkpoint = kept and (loss if every is None else crossed(step, before, every))
        log = before == 0 or crossed(step, before, settings.log_every) or loss or ap or checkpoint or maybe_last
        log = log or (stop and not kept)
        return Due(log, loss, ap, checkpoint or (kept and stop) or save, save, stop, maybe_last)

    def log(self) -> float:
        """Close the measured window of steps, report its metrics, and return its mean loss over all processes."""
        window = self.meter.close_window()
        loss = self.team.mean(self._step.mean_loss())
        lr = self._step.lr
        self._report({"loss": loss, **({} if lr is None else {"lr": lr}), **window})
        return loss

    def ended(self, due: Due) -> bool:
        """Return whether the step just taken was the last; call it after `log`, when the time is known exactly."""
        return due.maybe_last and self.budget.over(self.progress.step)

    def out_of_time(self) -> bool:
        """Return whether ``time_limit`` seconds have passed in any of the processes."""
        limit = self.settings.time_limit
        return self.team.any(limit is not None and time.monotonic() - self._began > limit)

    def validate(self, *, ap: bool, last: bool) -> dict[str, float]:
        """Validate in the first process, report the metrics, and save the best weights so far."""
        self.meter.pause()
        figures = self.team.from_first(self._validation_figures, ap, last)
        self._report(figures)
        if math.isfinite(figures["val_loss"]):
            self._judge(figures)
        return figures

    def _judge(self, figures: Mapping[str, float]) -> None:
        """Lower the learning rate on a plateau, and save the weights if no earlier validation was better."""
        settings = self.settings
        if settings.schedule == "plateau" and not self._frozen:
            self.plateau.add_loss(figures["val_loss"], settings.plateau, settings.gamma)
        by_ap = settings.ap_every is not None or settings.evaluations is not None
        if self.progress.is_best(figures, by_ap=by_ap) and self.out is not None and self.team.first:
            save_weights(self.out / BEST_FILE, self.trained_network(), self._info)

    def pruned(self, figures: Mapping[str, float], *, last: bool) -> bool:
        """Return whether the caller ends the run because of this AP; the caller is not asked after the last step."""
        ask = self.callbacks.should_prune
        return self.team.any(
            self.team.first and ask is not None and not last and "ap" in figures and ask(figures["ap"])
        )

    def save(self) -> None:
        """Write the last weights and the state that a resumed run needs."""
        self.meter.pause()
        if self.state.losses is not None and self.team.size > 1:
            self.state.losses.share(self.team.mean)
        if self.out is not None and self.team.first:
            save_weights(self.out / LAST_FILE, self.trained_network(), self._info)
            self.state.save(self.out / RESUME_FILE)

    def tell_saved(self) -> None:
        """Tell the caller that the state for which it asked is saved; call it after `save`."""
        if self.callbacks.on_saved is not None and self.team.first:
            self.callbacks.on_saved()

    def go_on(self) -> None:
        """Resume measuring, after work that is not training."""
        self.meter.start()

    def trained_network(self) -> PoseNetwork:
        """The network that is validated, saved and returned: averaged, or as the optimizer is judged, if it is so."""
        if self._judged is not None:
            return self._judged.network(self.progress.updates)
        return self.network if self.average is None else self.average.network()

    def result(self, status: RunStatus) -> TrainResult:
        """End the measurement and collect the metrics of the whole run."""
        self.meter.pause()
        metrics, progress, device = self.metrics, self.progress, self.team.device
        totals = self.meter.totals
        metrics.update(totals.metrics() if totals.steady_steps else {})
        metrics["train_seconds"] = totals.train_seconds
        metrics["eval_seconds"] = progress.eval_seconds
        metrics["optimizer_state_bytes"] = optimizer_state_bytes(self.optimizer)
        metrics.update({**self.data.left_out.as_metrics(), **as_metrics(self.data.notes)})
        metrics["labelled_train_images"] = len(self.data.train_split)  # images without labels are not trained on
        metrics["labelled_val_images"] = len(self.data.val_split.labelled_only())
        if progress.updates != progress.step:
            metrics["updates"] = progress.updates
        if progress.ap_best >= 0:
            metrics["ap_best"], metrics["ap_best_step"] = progress.ap_best, progress.ap_best_step
        if device.type == "cuda":
            metrics["gpu_memory_peak_bytes"] = torch.cuda.max_memory_allocated(device)
        return TrainResult(status, progress.step, dict(metrics), self.trained_network())

    def _report(self, figures: dict[str, float]) -> None:
        self.metrics.update(figures)
        if self.callbacks.on_metrics is not None and self.team.first:
            seconds = self.meter.totals.train_seconds
            self.callbacks.on_metrics(self.progress.step, {**figures, "train_seconds": seconds})

    def _validation_figures(self, ap: bool, last: bool) -> dict[str, float]:
        """Return the validation loss and, if requested, COCO's ten metrics and the loss of maps without people.

        Its time is counted separately from the training's.
        """
        began = time.perf_counter()
        validation = validate(
            self.trained_network(),
            self.data.val_loader,
            self.data.val_split,
            self.geometry,
            self.team.device,
            foreground_weight=self.settings.foreground_weight,
            with_scores=ap,
            with_reference=last,
        )
        self.progress.eval_seconds += time.perf_counter() - began
        figures = {"val_loss": validation.loss}
        if validation.reference_loss is not None:
            figures["reference_loss"] = validation.reference_loss
        if validation.scores is not None:
            counts = ("images", "people")
            row = validation.scores.as_row()
            figures |= {name: value for name, value in row.items() if value is not None and name not in counts}
        return figures


def _average_of(
    network: PoseNetwork, settings: TrainSettings, optimizer: Optimizer, driving: Driving
) -> WeightAverage | None:
    """Return the average of the weights that the settings ask for; SettingsError if the optimizer has its own."""
    if settings.ema_decay is None:
        return None
    if driving.modes:
        raise SettingsError(
            f"ema_decay: {type(optimizer).__name__} has weights of its own to be judged by (`train()` and `eval()`). "
            "Leave ema_decay out, or use another optimizer."
        )
    return WeightAverage(network, settings.ema_decay)


def _scheduler_of(optimizer: Optimizer, settings: TrainSettings, budget: Budget, plateau: Plateau) -> LambdaLR | None:
    """Return the schedule of an optimizer's rates, as a function of the steps taken; None if it has no rates.

    Raises SettingsError if only some of its groups have a rate to schedule.
    """
    rates = has_rates(optimizer)
    if all(rates):
        return LambdaLR(optimizer, lambda step: budget.factor(step) * plateau.factor)
    if any(rates) and settings.schedule != "fixed":
        raise SettingsError(
            f"schedule: {type(optimizer).__name__} has groups of parameters with and without a learning rate, which no "
            'schedule can change together. Set schedule to "fixed", or use another optimizer.'
        )
    return None


def _record_of(
    settings: TrainSettings, network: PoseNetwork, geometry: InputSettings, data: TrainingData, note: Note | None
) -> dict[str, Any]:
    """Return the facts beyond the settings that define a run; a resumed run must have the same.

    Fields that earlier versions did not write are left out if they have the value that those versions used, so that
    their runs can be resumed.
    """
    record = origin_of(settings.weights, note)
    if settings.skip_bad:
        # Files repaired before a resume change the training data, which the digest of the annotations would not show.
        record |= {"images": data.train_split.digest(), **data.left_out.as_metrics()}
    if settings.size is None and geometry.size != network.default_size:
        # An earlier version trained at the network's default size: its run cannot be resumed at another.
        record |= {"size_of_weights": geometry.size}
    if acted := digest_entries(data.notes):
        # An earlier version read these entries otherwise: its run cannot be resumed.
        record |= {"read_differently": acted}
    return record
