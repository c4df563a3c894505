"""A joint study as data: JointSpec, one search over optimizer, its hyperparameters and the loader's settings."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.kinds.joint.objectives import AP_AND_SPEED, AXES, Objective
from bench.settings.declared import Declaration, Flag
from bench.settings.layers import Setting, space_key
from bench.settings.shared import NETWORK, SPACES
from bench.trials.study_base import TrainingStudy
from bench.workloads.of_study import trained_text
from posemodel.config import MIN_SIZE, Precision, Schedule

SamplerName = Literal["tpe", "random", "quasi-random"]
LEAST_STEPS = 4
"""Of a trial, that its speed can be measured: the first is none of steady training."""
MAX_TRIALS = 1000
"""Search trials: their seeds count up to it, and confirm seeds begin above it."""


class JointSpec(TrainingStudy):
    """Which optimizer, hyperparameters and loader settings go well together: one search over all of them at once."""

    resolved: ClassVar[Mapping[str, Declaration]] = {**TrainingStudy.resolved, "spaces": SPACES}
    extends_by: ClassVar[tuple[str, ...]] = ("trials",)
    estimates: ClassVar[bool] = True
    kind: Literal["joint"] = "joint"
    skip_bad: bool = False
    """Leave bad images and annotations out, and count them, instead of refusing the data set."""
    network: Annotated[str, NETWORK] = "small"
    """The network that is trained, by its name."""
    size: Annotated[int, Field(ge=MIN_SIZE)] | None
    """Input side in pixels. None: of another workload."""
    device: Literal["cuda", "mps", "cpu"]
    objective: Objective = AP_AND_SPEED
    """What is searched for: a front of AP and images/s, or the highest AP after equal time."""
    sampler: SamplerName = "tpe"
    """Who chooses: Optuna's TPE by what it has seen, chance, or a quasi-random plan made beforehand."""
    optimizers: tuple[str, ...]
    """Optimizers to choose from: our names, those of `torch.optim` classes in any case, or dotted paths."""
    spaces: dict[str, dict[str, dict[str, Any]]]
    """Space of each optimizer: {"lr": {"log": [low, high]}, "x": {"values": [...]}, "betas": {"value": ...}}."""
    num_workers: tuple[int, ...]
    """Numbers of worker processes to choose from; 0 loads batches in the training process itself."""
    pin_memory: tuple[bool, ...]
    """Whether batches are put into pinned memory; without an accelerator it does nothing, and is not searched."""
    batch_size: tuple[int, ...]
    """Images in a batch, to choose from."""
    fixed: tuple[dict[str, Any], ...] = ()
    """Known good configurations, tried first; what one of them leaves open is chosen by the sampler."""
    trials: int = Field(ge=1, le=MAX_TRIALS)
    """Search trials."""
    startup_trials: int = Field(default=10, ge=1)
    """Trials before TPE goes by what it has seen; until then it chooses by chance."""
    images: int | None = Field(default=None, ge=1)
    """Images that each trial trains on, whatever its batch size: the budget of `ap-and-speed`."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds of training of each trial, evaluation not counted: the budget of `ap-at-time`."""
    seeds: int = Field(default=3, ge=1)
    """Fresh seeds with which each pick is trained again before it is recommended."""
    schedule: Schedule = "cosine"
    """Schedule of the learning rate, after a warm-up of 5 %; step: x 0.1 at 50 % and at 75 % of the budget."""
    weight_decay: Annotated[float, Flag(("--wd", "--weight-decay"))] = Field(default=0.0, ge=0)
    """Weight decay of all optimizers alike."""
    foreground_weight: float = Field(default=1.0, ge=1)
    """Weight in the loss of cells where a map is fully on, relative to background cells; 1 is the published loss."""
    precision: Precision = "fp32"
    """bf16: convolutions in bfloat16; weights, loss and optimizer stay float32."""
    augment: bool = True
    """Vary the training images: flip, scale, rotation, shift, colour."""
    trial_time_limit: float | None = Field(default=None, gt=0, examples=[3600.0])
    """Seconds after which a trial is given up as `timed_out`."""
    seed: int = Field(default=0, ge=0)
    """Of the sampler, and of the quasi-random plan."""
    first_trials: int | None = Field(default=None, ge=1)
    """Search trials that the study was begun with, where it was extended: the ids of its places hold that number."""
    workload: dict[str, Any] = Field(default={})
    """What the trials train, in place of a pose network: `name`, and settings of its own."""

    @field_validator("optimizers", *AXES)
    @classmethod
    def _some_each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value or len({*value}) < len(value):
            raise ValueError("must name at least one, each once")
        return value

    @field_validator("num_workers")
    @classmethod
    def _not_negative(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(each < 0 for each in value):
            raise ValueError("must be 0 or more")
        return value

    @field_validator("batch_size")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(each < 1 for each in value):
            raise ValueError("must be 1 or more")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        own, other = ("images", "seconds") if self.objective == AP_AND_SPEED else ("seconds", "images")
        if getattr(self, own) is None or getattr(self, other) is not None:
            raise ValueError(f"objective {self.objective}: its budget is given in {own}, and {other} is left out")
        most = max(self.batch_size)
        if self.images is not None and self.images < LEAST_STEPS * most:
            raise ValueError(
                f"images: {self.images} are too few for batch_size {most}: speed is measured over at least "
                f"{LEAST_STEPS} steps, so give {LEAST_STEPS * most} or more"
            )
        if len(self.fixed) > self.trials:
            raise ValueError(f"fixed: {len(self.fixed)} configurations are more than trials ({self.trials})")
        return self

    @classmethod
    def settled(cls, settings: dict[str, Setting], device: str) -> dict[str, Setting]:
        """Leave the objective's own budget, where a file gives both; and pin nothing where nothing copies from it."""
        objective, pinned = settings["objective"], settings["pin_memory"]
        name = "seconds" if objective.value == AP_AND_SPEED else "images"
        if settings[name].origin.startswith(("preset", "file")):
            settings = settings | {name: Setting(None, f"{settings[name].origin} (not for {objective.value})")}
        if settings["fixed"].origin.startswith("preset"):
            settings = settings | {"fixed": _fitting(settings)}
        if device != "cuda" and pinned.value is not None and True in pinned.value:
            settings = settings | {"pin_memory": Setting((False,), f"device {device}: pinning has no effect there")}
            fixed = tuple(
                each | ({"pin_memory": False} if "pin_memory" in each else {}) for each in settings["fixed"].value
            )
            settings = settings | {"fixed": Setting(fixed, settings["fixed"].origin)}
        return settings

    @property
    def as_first(self) -> "JointSpec":
        """The study as it was begun, before it was extended."""
        if self.first_trials is None:
            return self
        return self.model_copy(update={"trials": self.first_trials, "first_trials": None})

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics that are maximised."""
        return ("ap", "images_per_s") if self.objective == AP_AND_SPEED else ("ap",)

    def steps(self, batch_size: int) -> int | None:
        """Steps of a trial with that batch size; None where its budget is in seconds."""
        return None if self.images is None else math.ceil(self.images / batch_size)

    def length_text(self) -> str:
        """The budget of a trial in words."""
        return f"{self.images:,} images" if self.images is not None else f"{self.seconds:g} s of training"

    def size_text(self) -> str:
        """The study in one line."""
        loader = ", ".join(f"{axis} {_listed(getattr(self, axis))}" for axis in AXES)
        return (
            f"{self.trials} trials of {self.length_text()} ({self.sampler}; {len(self.fixed)} given) over "
            f"{_listed(self.optimizers)} and {loader}; the picks with {self.seeds} fresh seeds each; "
            f"{trained_text(self)}, on {self.device}"
        )

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any], data: Any) -> "JointSpec":
        """The study of an identity (and the places of its other files), its data set in this folder."""
        return cls.stored({**identity, "data": data})


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def _fitting(settings: Mapping[str, Setting]) -> Setting:
    """Of a preset's known good configurations those that fit what somebody else has set; no more than trials."""
    given = settings["fixed"]
    names = {space_key(name) for name in settings["optimizers"].value}
    changed = {space_key(name) for name, by in settings["spaces"].origins.items() if not by.startswith("preset")}
    fit = [
        each
        for each in given.value
        if space_key(each["optimizer"]) in names - changed
        and all(each[axis] in settings[axis].value for axis in AXES if axis in each)
    ]
    return Setting(tuple(fit[: settings["trials"].value]), given.origin)


SPEC = JointSpec
