"""Specification of a joint study: JointSpec, one search over optimizer, hyperparameters and loader settings."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.kinds.joint.objectives import AP_AND_SPEED, AXES, Objective
from bench.report.shown_score import ShownScore
from bench.report.stored_score import shown_score_of
from bench.settings.declarations import Declaration, Flag
from bench.settings.layers import Setting, space_key
from bench.settings.shared_settings import NETWORK_FLAG, SPACES_SETTING, WORKLOAD_FLAG
from bench.trials.study_base import TrainingStudy
from bench.workloads.of_study import trained_text, workload_of
from posemodel.config import MIN_SIZE, Precision, Schedule

SamplerName = Literal["tpe", "random", "quasi-random"]
LEAST_STEPS = 4
"""Minimum number of steps of a trial whose speed is measured; the first step is left out as not yet steady."""
MAX_TRIALS = 1000
"""Maximum number of search trials: their seeds are at most that number; confirm seeds are above it."""


class JointSpec(TrainingStudy):
    """Search optimizer, hyperparameters, batch size and loader settings together for the best configuration."""

    resolved_before: ClassVar[Mapping[str, Declaration]] = {**TrainingStudy.resolved_before, "spaces": SPACES_SETTING}
    extends_by: ClassVar[tuple[str, ...]] = ("trials",)
    estimates: ClassVar[bool] = True
    kind: Literal["joint"] = "joint"
    skip_bad: bool = False
    """Leave out bad images and annotations, and count them, instead of refusing the data set."""
    network: Annotated[str, NETWORK_FLAG] = "small"
    """Network to train: its name, or the path of a class, `my_package:MyNet`."""
    size: Annotated[int, Field(ge=MIN_SIZE)] | None
    """Side of the network's input in pixels, a multiple of the network's stride. Only for the workload pose."""
    device: Literal["cuda", "mps", "cpu"]
    objective: Objective = AP_AND_SPEED
    """Goal of the search: the best trade-offs of AP (or your workload's score) and images/s, or the highest AP after
    equal training time."""
    sampler: SamplerName = "tpe"
    """How configurations are chosen: tpe (Optuna, from the results so far), random, or a fixed quasi-random plan."""
    optimizers: tuple[str, ...]
    """Optimizers to choose from: names of posebench's optimizers or of `torch.optim` classes (case ignored), dotted
    paths, wrappers over another (`my_package.SAM(adamw)`), or one for matrices with one for the rest (`muon+adamw`).
    `posebench optimizers` lists them."""
    spaces: dict[str, dict[str, dict[str, Any]]]
    """Search space of each optimizer: {"lr": {"log": [low, high]}, "x": {"values": [...]}, "betas": {"value": ...}}."""
    num_workers: tuple[int, ...]
    """Numbers of loader worker processes to choose from; 0: load in the training process itself."""
    pin_memory: tuple[bool, ...]
    """Use pinned memory for batches: true, false or both to choose from; not searched without an accelerator."""
    batch_size: tuple[int, ...]
    """Batch sizes (images, or samples of your workload) to choose from."""
    fixed: tuple[dict[str, Any], ...] = ()
    """Configurations to try first; the sampler fills in settings that they leave out."""
    trials: int = Field(ge=1, le=MAX_TRIALS)
    """Number of search trials."""
    startup_trials: int = Field(default=10, ge=1)
    """Number of random trials before TPE uses the results so far."""
    images: int | None = Field(default=None, ge=1)
    """Training images (or samples of your workload) of each trial, whatever its batch size: the budget of the objective
    `ap-and-speed`."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Training time of each trial in seconds, evaluation not counted: the budget of the objective `ap-at-time`."""
    seeds: int = Field(default=3, ge=1)
    """Number of fresh seeds on which each candidate is trained again before it is recommended."""
    schedule: Schedule = "cosine"
    """Learning rate schedule after a warm-up of 5 % of the budget; step: x 0.1 at 50 % and at 75 %; fixed: no warm-up.
    Optimizers whose method fixes its own keep that."""
    weight_decay: Annotated[float, Flag(("--wd", "--weight-decay"))] = Field(default=0.0, ge=0)
    """Weight decay of all optimizers."""
    foreground_weight: float = Field(default=1.0, ge=1)
    """Loss weight of cells inside a target (map value 1) relative to background cells; 1 is the published loss."""
    precision: Precision = "fp32"
    """Number format of training: fp32, or bf16 (convolutions in bfloat16; weights, loss and optimizer stay float32)."""
    augment: bool = True
    """Augment the training images: random flip, scale, rotation, shift and colour."""
    trial_time_limit: float | None = Field(default=None, gt=0, examples=[3600.0])
    """Seconds after which a trial is stopped and recorded as `timed_out`."""
    seed: int = Field(default=0, ge=0)
    """Seed of the sampler and of the quasi-random plan."""
    first_trials: int | None = Field(default=None, ge=1)
    """Number of search trials before the study was extended; the ids of its slots hold that number."""
    workload: Annotated[dict[str, Any], WORKLOAD_FLAG] = Field(default={})
    """Something to train instead of a pose network: `name` of the workload, and its own settings."""

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
            raise ValueError(f"objective {self.objective}: its budget is {own}: give {own}, and leave {other} out")
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
    def settle_settings(cls, settings: dict[str, Setting], device: str) -> dict[str, Setting]:
        """Keep only the objective's own budget if a file gives both, and drop pinning on devices that do not use it."""
        objective, pinned = settings["objective"], settings["pin_memory"]
        name = "seconds" if objective.value == AP_AND_SPEED else "images"
        if settings[name].origin.startswith(("preset", "file")):
            settings = settings | {name: Setting(None, f"{settings[name].origin} (not for {objective.value})")}
        if settings["fixed"].origin.startswith("preset"):
            settings = settings | {"fixed": _fitting_fixed(settings)}
        if device != "cuda" and pinned.value is not None and True in pinned.value:
            settings = settings | {"pin_memory": Setting((False,), f"device {device}: pinning has no effect there")}
            fixed = tuple(
                each | ({"pin_memory": False} if "pin_memory" in each else {}) for each in settings["fixed"].value
            )
            settings = settings | {"fixed": Setting(fixed, settings["fixed"].origin)}
        return settings

    @property
    def before_extension(self) -> "JointSpec":
        """The study as it was before it was extended."""
        if self.first_trials is None:
            return self
        return self.model_copy(update={"trials": self.first_trials, "first_trials": None})

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the metrics that are searched for: the score, and the speed."""
        score = self.measure.column
        return (score, "images_per_s") if self.objective == AP_AND_SPEED else (score,)

    @property
    def measure(self) -> ShownScore:
        """The score of what its trials train."""
        return shown_score_of(workload_of(self))

    def steps(self, batch_size: int) -> int | None:
        """Return the steps of a trial with this batch size; None if the budget is in seconds."""
        return None if self.images is None else math.ceil(self.images / batch_size)

    def length_text(self) -> str:
        """Return the budget of a trial in words."""
        return (
            f"{self.images:,} {self.measure.samples}" if self.images is not None else f"{self.seconds:g} s of training"
        )

    def size_text(self) -> str:
        """Return the study in one line."""
        loader = ", ".join(f"{axis} {_joined(getattr(self, axis))}" for axis in AXES)
        return (
            f"{self.trials} trials of {self.length_text()} ({self.sampler}; {len(self.fixed)} given) over "
            f"{_joined(self.optimizers)} and {loader}; the picks with {self.seeds} fresh seeds each; "
            f"{trained_text(self)}, on {self.device}"
        )

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any], data: Any) -> "JointSpec":
        """Return the study of an identity (plus the paths of its other files) with its data set in folder ``data``."""
        return cls.from_stored({**identity, "data": data})


def _joined(values: Sequence[Any]) -> str:
    return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def _fitting_fixed(settings: Mapping[str, Setting]) -> Setting:
    """Return a preset's fixed configurations that fit the other layers' settings, at most as many as trials."""
    fixed = settings["fixed"]
    names = {space_key(name) for name in settings["optimizers"].value}
    changed = {space_key(name) for name, by in settings["spaces"].origins.items() if not by.startswith("preset")}
    fit = [
        each
        for each in fixed.value
        if space_key(each["optimizer"]) in names - changed
        and all(each[axis] in settings[axis].value for axis in AXES if axis in each)
    ]
    return Setting(tuple(fit[: settings["trials"].value]), fixed.origin)


SPEC = JointSpec
