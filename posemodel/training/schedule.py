"""Length of a run in steps or in seconds: when validations are due, and the learning rate over time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from posemodel.config import PlateauSettings, TrainSchedule, TrainSettings
from posemodel.training.throughput import ThroughputMeter

VALIDATIONS_PER_RUN = 10
ROUNDING = 1e-9
"""Tolerance for products of shares: 0.07 * 100 is slightly above 7 in floating point, and must not give an eighth step.
"""
MILESTONES = (0.5, 0.75)
"""Shares of the budget at which `step` lowers the rate, from He et al., CVPR 2016, on CIFAR-10 (32k and 48k of 64k)."""
MILESTONE_FACTOR = 0.1
FIRST_RATE = 0.01
"""Share of the rate with which a warm-up in seconds begins, since the length of the first step is not known yet."""


def decay(
    schedule: TrainSchedule,
    share: float,
    warmup: float,
    *,
    milestones: Sequence[float] = MILESTONES,
    gamma: float = MILESTONE_FACTOR,
) -> float:
    """Return the multiplier of the learning rate after the warm-up, at a share of the budget; past its end, as there.

    ``constant``, ``fixed`` and ``plateau``: 1 (the plateau's factor depends on losses, not on time: `Plateau`).
    ``step``: x 0.1 at a half and again at three quarters of the budget, the usual milestones (He et al., CVPR 2016, on
    CIFAR-10).
    ``multistep``: x ``gamma`` at each of ``milestones``. ``cosine``: half a cosine from the end of the warm-up to 0 at
    the end of the budget (Loshchilov and Hutter, ICLR 2017, without restarts).
    """
    if schedule in ("constant", "fixed", "plateau"):
        return 1.0
    if schedule == "step":
        milestones, gamma = MILESTONES, MILESTONE_FACTOR
    if schedule in ("step", "multistep"):
        return math.prod(gamma for milestone in milestones if share >= milestone - ROUNDING)
    progress = (share - warmup) / max(1 - warmup, ROUNDING)
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def warmup_of(schedule: TrainSchedule, warmup: float) -> float:
    """Return the share of the budget over which a schedule's rate rises: ``warmup``, and 0 for ``fixed``."""
    return 0.0 if schedule == "fixed" else warmup


def crossed(step: int, before: int, every: int) -> bool:
    """Return whether a multiple of ``every`` lies above ``before`` and up to ``step``."""
    return step // every > before // every


def schedule_factor(
    schedule: TrainSchedule,
    warmup: float,
    total_steps: int,
    *,
    milestones: Sequence[float] = MILESTONES,
    gamma: float = MILESTONE_FACTOR,
) -> Callable[[int], float]:
    """Return the learning rate's multiplier as a function of the step (0-based): linear warm-up, then the schedule.

    The schedule ``fixed`` has no warm-up.
    """
    warmup = warmup_of(schedule, warmup)
    warmup_steps = math.ceil(warmup * total_steps - ROUNDING)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        share = step / total_steps
        return decay(schedule, share, warmup_steps / total_steps, milestones=milestones, gamma=gamma)

    return factor


@dataclass
class Plateau:
    """State of the schedule `plateau`, by the rule of PyTorch's ReduceLROnPlateau.

    PyTorch's class is not used, because it writes into the optimizer's groups, where the warm-up would overwrite it.
    """

    best: float = math.inf
    bad: int = 0
    """Number of counted validations since the best one."""
    cooling: int = 0
    """Number of coming validations that will not count."""
    factor: float = 1.0
    """Multiplier of the learning rate."""

    def add_loss(self, loss: float, settings: PlateauSettings, gamma: float) -> None:
        """Add a validation loss; lower ``factor`` if more than ``settings.patience`` validations were not better."""
        if loss < self.best * (1 - settings.threshold):
            self.best, self.bad = loss, 0
        else:
            self.bad += 1
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        if self.bad > settings.patience:
            self.factor *= gamma
            self.cooling, self.bad = settings.cooldown, 0


class Budget(Protocol):
    """Interface of a run's length, in steps or seconds; ``step`` is the number of gradient evaluations so far."""

    @property
    def total(self) -> int | None:
        """Length in steps; None if it is a time."""

    def nearly_over(self, step: int) -> bool:
        """Return whether the run may be over; called after each step, never waits for the device."""

    def over(self, step: int) -> bool:
        """Return whether the run is over; exact right after a measured window was closed."""

    def due(self, step: int, before: int) -> tuple[bool, bool]:
        """Return whether a validation and whether an AP evaluation are due; called once per update, except the last.

        ``before`` is the number of steps before the update.
        """

    def factor(self, step: int) -> float:
        """Multiplier of the learning rate of the next step."""

    def resumed(self) -> None:
        """Continue from the meter's totals of an interrupted run."""


@dataclass
class StepBudget:
    """A budget in steps."""

    settings: TrainSettings
    total: int
    per_epoch: int
    factor: Callable[[int], float] = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.factor = schedule_factor(
            settings.schedule, settings.warmup, self.total, milestones=settings.milestones, gamma=settings.gamma
        )
        usual = self.per_epoch if settings.schedule == "plateau" else math.ceil(self.total / VALIDATIONS_PER_RUN)
        self._val_every = settings.val_every or usual

    def nearly_over(self, step: int) -> bool:
        """See `Budget`."""
        return step >= self.total

    def over(self, step: int) -> bool:
        """See `Budget`."""
        return step >= self.total

    def due(self, step: int, before: int) -> tuple[bool, bool]:
        """See `Budget`."""
        ap_every = self.settings.ap_every
        return crossed(step, before, self._val_every), ap_every is not None and crossed(step, before, ap_every)

    def resumed(self) -> None:
        """See `Budget`; the number of steps is all that is needed."""


@dataclass
class TimeBudget:
    """A budget in seconds of training, by the meter's clock; the number of steps depends on the machine.

    Warm-up, decay and evaluations follow the share of the time that has been used; a resumed run continues at the share
    in its state.
    """

    settings: TrainSettings
    seconds: float
    meter: ThroughputMeter

    def __post_init__(self) -> None:
        self._parts = self.settings.evaluations or VALIDATIONS_PER_RUN
        self._reached = 0
        self._warmup = warmup_of(self.settings.schedule, self.settings.warmup)

    @property
    def total(self) -> None:
        """See `Budget`."""
        return None

    def nearly_over(self, _step: int) -> bool:
        """See `Budget`."""
        return self.meter.spent() >= self.seconds

    def over(self, _step: int) -> bool:
        """See `Budget`."""
        return self.meter.totals.train_seconds >= self.seconds

    def due(self, step: int, before: int) -> tuple[bool, bool]:
        """See `Budget`."""
        part = self._part(self.meter.spent())
        new_part = part > self._reached
        self._reached = max(part, self._reached)
        val_every, ap_every = self.settings.val_every, self.settings.ap_every
        due_ap = new_part and self.settings.evaluations is not None
        return (
            due_ap or (new_part if val_every is None else crossed(step, before, val_every)),
            due_ap or (ap_every is not None and crossed(step, before, ap_every)),
        )

    def factor(self, _step: int) -> float:
        """See `Budget`."""
        share = self.meter.spent() / self.seconds
        if share < self._warmup:
            return max(share / self._warmup, FIRST_RATE)
        settings = self.settings
        return decay(settings.schedule, share, self._warmup, milestones=settings.milestones, gamma=settings.gamma)

    def resumed(self) -> None:
        """See `Budget`."""
        self._reached = self._part(self.meter.totals.train_seconds)

    def _part(self, seconds: float) -> int:
        """Return the index of the current one of equal parts of the budget; the last never ends before the run does."""
        return min(int(seconds / self.seconds * self._parts + ROUNDING), self._parts - 1)


def budget_of(settings: TrainSettings, steps_per_epoch: int, meter: ThroughputMeter) -> Budget:
    """Return the budget of the settings; ``meter`` counts the seconds."""
    if settings.seconds is not None:
        return TimeBudget(settings, settings.seconds, meter)
    return StepBudget(settings, settings.steps or (settings.epochs or 0) * steps_per_epoch, steps_per_epoch)
