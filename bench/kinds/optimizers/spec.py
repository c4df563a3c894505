"""Specification of an optimizers study: StudySpec, its settings fully resolved, and their checks."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from bench.kinds.optimizers.budget import STEP_BUDGET, TIME_BUDGET, settle_budget
from bench.optimizers.weight_decay import FLAGS, METAVAR, WeightDecay
from bench.settings.declarations import Declaration, Flag
from bench.settings.layers import DEFAULT, Setting
from bench.settings.shared_settings import NETWORK_FLAG, SPACES_SETTING, WORKLOAD_FLAG
from bench.trials.phases import SECOND, TUNE, Phase
from bench.trials.score_names import LOSS_SCORE, ScoreName
from bench.trials.study_base import TrainingStudy
from bench.workloads import POSE
from bench.workloads.of_study import TABLE, name_of, workload_of
from posemodel.config import MIN_SIZE, Precision, Schedule
from posemodel.errors import SettingsError

PrunerName = Literal["none", "median", "hyperband"]
FIRST_LOOK_TUNINGS, LAST_LOOK_TUNINGS = 3, 6
"""Number of tunings at the first and the last look of a study with `until_decided`."""
MAX_TUNINGS, MAX_TRIALS = 10, 100
"""Maximum number of tunings of an optimizer, and of tune trials of a tuning.

Tune seeds are at most their product; confirm seeds are above it.
"""


def _each_schedule_once(schedules: tuple[str, ...]) -> tuple[str, ...]:
    if len({*schedules}) < len(schedules):
        raise ValueError("must name each schedule once")
    return schedules


class StudySpec(TrainingStudy):
    """Tune each optimizer several times, train the tuned settings on fresh seeds, and say which optimizers differ."""

    not_in_identity: ClassVar[tuple[str, ...]] = (*TrainingStudy.not_in_identity, "assume_spread")
    resolved_before: ClassVar[Mapping[str, Declaration]] = {**TrainingStudy.resolved_before, "spaces": SPACES_SETTING}
    extends_by: ClassVar[tuple[str, ...]] = ("tunings",)
    takes_more_optimizers: ClassVar[bool] = True
    estimates: ClassVar[bool] = True
    kind: Literal["optimizers"] = "optimizers"
    skip_bad: bool = False
    """Leave out bad images and annotations, and count them, instead of refusing the data set."""
    network: Annotated[str, NETWORK_FLAG] = "small"
    """Network to train: its name, or the path of a class, `my_package:MyNet`."""
    size: Annotated[int, Field(ge=MIN_SIZE)] | None
    """Side of the network's input in pixels, a multiple of the network's stride. Only for the workload pose."""
    optimizers: tuple[str, ...]
    """Optimizers to compare: names of posebench's optimizers or of `torch.optim` classes (case ignored), dotted
    paths, wrappers over another (`my_package.SAM(adamw)`), or one for matrices with one for the rest (`muon+adamw`).
    `posebench optimizers` lists them."""
    spaces: dict[str, dict[str, dict[str, Any]]]
    """Search space of each optimizer: {"lr": {"log": [low, high]}, "x": {"values": [...]}, "betas": {"value": ...}}."""
    tunings: int = Field(default=3, ge=1, le=MAX_TUNINGS)
    """Number of independent tunings of each optimizer; the spread of their results is the error of every comparison."""
    trials: int = Field(ge=1, le=MAX_TRIALS)
    """Number of tune trials in each tuning; they are planned in rounds."""
    seeds: int = Field(default=1, ge=1)
    """Number of fresh seeds on which each tuning's settings are trained; all optimizers share initial weights and data
    order of a seed."""
    tune_steps: int | None = Field(default=None, ge=1)
    """Training steps of a tune trial in the last round; trials of earlier rounds have half as many."""
    steps: int | None = Field(default=None, ge=1)
    """Training steps of a confirm trial. Give `tune_steps` and `steps`, or `tune_seconds` and `seconds`."""
    tune_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[60.0])
    """Training time of a tune trial in seconds, instead of steps."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[240.0])
    """Training time of a confirm trial in seconds, instead of steps; evaluation is not counted."""
    evaluations: int = Field(default=8, ge=1)
    """Number of score evaluations in a confirm trial: points of its learning curve, also for the time to `target`."""
    target: float | None = Field(default=None, allow_inf_nan=False, examples=[0.2])
    """Score to reach, an AP for pose networks; the report says how long each optimizer takes to reach it."""
    score: ScoreName = "ap"
    """Score by which optimizers are compared: ap (of another workload: its own score), or val_loss (validation loss)
    for budgets so short that AP stays at 0. Choose it before the study runs; use ap as soon as that is above chance."""
    pruner: PrunerName = "none"
    """Optuna pruner that stops hopeless tune trials early; it favours settings that learn fast at the start."""
    tune_evaluations: int = Field(default=5, ge=1)
    """Number of score evaluations in a tune trial with a pruner; without a pruner there is one, at the end."""
    confirm_unscored: bool = False
    """Train finalists even if no tune trial has scored; for a test that everything runs, not for a comparison."""
    controls: bool = False
    """Also train untuned SGD with momentum, the limit of AdaBound and its variants (those without decoupled weight
    decay), on their confirm seeds."""
    batch_size: int = Field(default=8, ge=1)
    """Images per batch, for all optimizers."""
    num_workers: int = Field(default=0, ge=0)
    """Number of worker processes that load batches; 0: load in the training process itself."""
    pin_memory: bool = False
    """Load batches into pinned memory; has no effect without an accelerator."""
    schedule: Schedule = "cosine"
    """Learning rate schedule after a warm-up of 5 % of the budget; step: x 0.1 at 50 % and at 75 %; fixed: no warm-up.
    Optimizers whose method fixes its own keep that. A study file may list several, which makes a study of each."""
    weight_decay: Annotated[WeightDecay, Flag(FLAGS, METAVAR)] = 0.0
    """Weight decay of all optimizers; must be 0 if one of them has none. A range, { log = [low, high] } in a file or
    log(A,B) as a flag, is tuned for each optimizer (decoupled where its class offers that)."""
    foreground_weight: float = Field(default=1.0, ge=1)
    """Loss weight of cells inside a target (map value 1) relative to background cells; 1 is the published loss."""
    precision: Precision = "fp32"
    """Number format of training: fp32, or bf16 (convolutions in bfloat16; weights, loss and optimizer stay float32)."""
    augment: bool = True
    """Augment the training images: random flip, scale, rotation, shift and colour."""
    device: Literal["cuda", "mps", "cpu"]
    trial_time_limit: float | None = Field(default=None, gt=0, examples=[3600.0])
    """Seconds after which a trial is stopped and recorded as `timed_out`."""
    plan_seed: int = Field(default=0, ge=0)
    """Seed that chooses the settings of the tune trials; another seed is an independent repetition of the study."""
    until_decided: bool = False
    """After 3 tunings, add one tuning at a time until a single optimizer can still be the best."""
    max_tunings: int = Field(default=LAST_LOOK_TUNINGS, ge=FIRST_LOOK_TUNINGS, le=LAST_LOOK_TUNINGS)
    """Most tunings of each optimizer with `until_decided`."""
    looks: tuple[Annotated[int, Field(ge=2, lt=MAX_TUNINGS)], ...] = Field(default=(), examples=[(3,)])
    """Numbers of tunings at which the study's results were seen before it was extended; each look halves the
    significance level of later tests."""
    added: int = Field(default=0, ge=0)
    """Number of optimizers at the end of `optimizers` that were added later; their trials come after all others."""
    assume_spread: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[0.02], exclude=True)
    """Assumed standard deviation of the mean score between tunings; only used to predict which gaps a study finds."""
    workload: Annotated[dict[str, Any], WORKLOAD_FLAG] = Field(default={})
    """Something to train instead of a pose network: `name` of the workload, and its own settings."""

    @field_validator("optimizers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value) or not value:
            raise ValueError("must name at least one optimizer, each once")
        return value

    @model_validator(mode="after")
    def _one_kind_of_budget(self) -> Self:
        budgets = [name for name in (*STEP_BUDGET, *TIME_BUDGET) if getattr(self, name) is not None]
        if tuple(budgets) not in (STEP_BUDGET, TIME_BUDGET):
            raise ValueError(
                "give tune_steps and steps, or tune_seconds and seconds: both phases need the same kind of budget "
                f"(given: {', '.join(budgets) or 'none'})"
            )
        return self

    @model_validator(mode="after")
    def _judged_by_loss(self) -> Self:
        if self.score != LOSS_SCORE:
            return self
        if self.pruner != "none":
            raise ValueError(f"pruner {self.pruner} ends trials by their AP: with score val_loss it must be none")
        if self.target is not None:
            raise ValueError(f"target {self.target:g} is an AP: leave it out with score val_loss")
        return self

    @classmethod
    def type_of(cls, name: str, value: Any) -> Any:
        """Return the type that a setting's value must have; `schedule` may also be a list, for a series of studies."""
        if name == "schedule" and isinstance(value, (list, tuple)):
            return Annotated[tuple[Schedule, ...], Field(min_length=1), AfterValidator(_each_schedule_once)]
        return super().type_of(name, value)

    @classmethod
    def settle_layers(cls, settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
        """Keep the highest layer's kind of budget (steps or seconds); drop a preset's target if AP is not the score."""
        settle_budget(settings, layers)
        is_ap = settings["score"].value != LOSS_SCORE and name_of(settings[TABLE].value) == POSE
        if not is_ap and settings["target"].origin.startswith("preset"):
            settings["target"] = Setting(None, DEFAULT)

    @model_validator(mode="after")
    def _first_look(self) -> Self:
        if self.until_decided and self.tunings != FIRST_LOOK_TUNINGS:
            raise ValueError(
                f"until_decided first looks after {FIRST_LOOK_TUNINGS} tunings: leave tunings at that, and set "
                f"max_tunings (tunings: {self.tunings})"
            )
        return self

    @model_validator(mode="after")
    def _looks_before_the_last(self) -> Self:
        if self.looks and self.until_decided:
            raise ValueError("looks: until_decided sets its own looks: leave looks out")
        if list(self.looks) != sorted({*self.looks}) or any(look >= self.tunings for look in self.looks):
            raise ValueError(f"looks must rise and be below the number of tunings ({self.tunings})")
        if self.added >= len(self.optimizers):
            raise ValueError(f"added: {self.added} must be below the number of optimizers ({len(self.optimizers)})")
        return self

    @classmethod
    def from_stored(cls, document: Mapping[str, Any]) -> Self:
        """Return a stored study; SettingsError if it is of another kind or of the first protocol."""
        if document.get("kind", "optimizers") == "optimizers":
            refuse_first_protocol(document)
        return super().from_stored(document)

    @property
    def highest_tunings(self) -> int:
        """Maximum number of tunings to which the study can be extended."""
        return LAST_LOOK_TUNINGS if self.until_decided else MAX_TUNINGS

    def length(self, phase: Phase) -> tuple[float, str]:
        """Return the budget of a phase's trials and its unit: `step` (or the workload's own unit) or `second`."""
        steps, seconds = (self.tune_steps, self.tune_seconds) if phase == TUNE else (self.steps, self.seconds)
        return (steps, workload_of(self).budget_unit) if steps is not None else (seconds or 0.0, SECOND)

    def length_text(self, phase: Phase) -> str:
        """Return the budget of a phase's trials in words: `180 steps`, `20 seconds of training`."""
        amount, unit = self.length(phase)
        number = f"{amount:,}" if isinstance(amount, int) else f"{amount:g}"
        return f"{number} {unit}{'' if amount == 1 else 's'}{' of training' if unit == SECOND else ''}"


def refuse_first_protocol(document: Mapping[str, Any]) -> None:
    """Raise SettingsError for the stored specification of a study that tuned each optimizer only once."""
    if "tunings" not in document:
        raise SettingsError(
            f"study {document.get('name')}: is of the first protocol, which tuned each optimizer once; posebench 0.1 "
            "reads it and goes on with it. For the second protocol, begin a study with another --name."
        )


SPEC = StudySpec
