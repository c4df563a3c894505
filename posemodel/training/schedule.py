"""How long a run lasts, by steps or by seconds of training: what is due when, and the learning rate on the way."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from posemodel.config import PlateauSettings, TrainSchedule, TrainSettings
from posemodel.training.throughput import ThroughputMeter

VALIDATIONS_PER_RUN = 10
ROUNDING = 1e-9
"""0.07 * 100 is a little over 7: not a reason for an eighth step."""
MILESTONES = (0.5, 0.75)
"""Shares of the budget at which `step` lowers the rate: of He et al., CVPR 2016, on CIFAR-10 (32k and 48k of 64k)."""
MILESTONE_FACTOR = 0.1
FIRST_RATE = 0.01
"""Share of the rate at which a warm-up in seconds begins: nobody knows yet how much of it the first step will take."""


def decay(
    schedule: TrainSchedule,
    share: float,
    warmup: float,
    *,
    milestones: Sequence[float] = MILESTONES,
    gamma: float = MILESTONE_FACTOR,
) -> float:
    """Multiplier of the learning rate after the warm-up, at a share (0..1) of the budget.

    ``constant``: 1; so is ``plateau``, whose factor is not one of time (`Plateau`). ``step``: x 0.1 at a half and again
    at three quarters of the budget, the usual milestones (He et al., "Deep Residual Learning", CVPR 2016, on CIFAR-10).
    ``multistep``: x ``gamma`` at each of ``milestones``. ``cosine``: half a cosine from the warm-up's end to 0 at the
    budget's (Loshchilov and Hutter, ICLR 2017, without restarts).
    """
    if schedule in ("constant", "plateau"):
        return 1.0
    if schedule == "step":
        milestones, gamma = MILESTONES, MILESTONE_FACTOR
    if schedule in ("step", "multistep"):
        return math.prod(gamma for milestone in milestones if share >= milestone - ROUNDING)
    progress = (share - warmup) / max(1 - warmup, ROUNDING)
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def schedule_factor(
    schedule: TrainSchedule,
    warmup: float,
    total_steps: int,
    *,
    milestones: Sequence[float] = MILESTONES,
    gamma: float = MILESTONE_FACTOR,
) -> Callable[[int], float]:
    """Multiplier of the learning rate for the step about to be taken (0-based): linear warm-up, then the schedule."""
    warmup_steps = math.ceil(warmup * total_steps - ROUNDING)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        share = step / total_steps
        return decay(schedule, share, warmup_steps / total_steps, milestones=milestones, gamma=gamma)

    return factor


@dataclass
class Plateau:
    """What `plateau` has made of the validation losses so far, by the rule of PyTorch's ReduceLROnPlateau.

    (That class writes into the optimizer's groups, where the warm-up's factor would overwrite it.)
    """

    best: float = math.inf
    bad: int = 0
    """Validations since the best that count."""
    cooling: int = 0
    """Validations to come that do not count."""
    factor: float = 1.0
    """Multiplier of the learning rate."""

    def add_loss(self, loss: float, settings: PlateauSettings, gamma: float) -> None:
        """Take in a validation loss; lower ``factor`` when more than ``settings.patience`` brought no better one."""
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
    """What the loop asks of a run's length; ``step`` counts the steps taken."""

    def nearly_over(self, step: int) -> bool:
        """Whether the run may be over; asked after each step, and never waits for the device."""

    def over(self, step: int) -> bool:
        """Whether the run is over; exact at a synchronised border of a window."""

    def due(self, step: int) -> tuple[bool, bool]:
        """Whether a validation and whether an AP evaluation are due at a step, but for the last; ask once a step."""

    def factor(self, step: int) -> float:
        """Multiplier of the learning rate for the step about to be taken."""

    def resumed(self) -> None:
        """The meter's totals are those of an interrupted run, which this one goes on with."""


@dataclass
class StepBudget:
    """So many steps."""

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

    def due(self, step: int) -> tuple[bool, bool]:
        """See `Budget`."""
        ap_every = self.settings.ap_every
        return step % self._val_every == 0, ap_every is not None and step % ap_every == 0

    def resumed(self) -> None:
        """See `Budget`; the steps taken say it all."""


@dataclass
class TimeBudget:
    """So many seconds of training by the meter's clock: how many steps that are depends on the machine.

    Warm-up, decay and evaluations go by the share of the time that is spent. A resumed run goes on from the share that
    its state holds.
    """

    settings: TrainSettings
    seconds: float
    meter: ThroughputMeter

    def __post_init__(self) -> None:
        self._parts = self.settings.evaluations or VALIDATIONS_PER_RUN
        self._reached = 0

    def nearly_over(self, _step: int) -> bool:
        """See `Budget`."""
        return self.meter.spent() >= self.seconds

    def over(self, _step: int) -> bool:
        """See `Budget`."""
        return self.meter.totals.train_seconds >= self.seconds

    def due(self, step: int) -> tuple[bool, bool]:
        """See `Budget`."""
        part = self._part(self.meter.spent())
        crossed = part > self._reached
        self._reached = max(part, self._reached)
        val_every, ap_every = self.settings.val_every, self.settings.ap_every
        due_ap = crossed and self.settings.evaluations is not None
        return (
            due_ap or (crossed if val_every is None else step % val_every == 0),
            due_ap or (ap_every is not None and step % ap_every == 0),
        )

    def factor(self, _step: int) -> float:
        """See `Budget`."""
        share = self.meter.spent() / self.seconds
        if share < self.settings.warmup:
            return max(share / self.settings.warmup, FIRST_RATE)
        settings = self.settings
        share = min(share, 1.0)
        return decay(settings.schedule, share, settings.warmup, milestones=settings.milestones, gamma=settings.gamma)

    def resumed(self) -> None:
        """See `Budget`."""
        self._reached = self._part(self.meter.totals.train_seconds)

    def _part(self, seconds: float) -> int:
        """Which of the equal parts of the budget is being spent; the end of the last is not known before it is over."""
        return min(int(seconds / self.seconds * self._parts + ROUNDING), self._parts - 1)


def budget_of(settings: TrainSettings, steps_per_epoch: int, meter: ThroughputMeter) -> Budget:
    """The budget that the settings give; ``meter`` counts the seconds."""
    if settings.seconds is not None:
        return TimeBudget(settings, settings.seconds, meter)
    return StepBudget(settings, settings.steps or (settings.epochs or 0) * steps_per_epoch, steps_per_epoch)
