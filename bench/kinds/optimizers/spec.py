"""An optimizers study, fully resolved: from a study file and its overrides."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from bench.kinds.optimizers.budget import STEP_BUDGET, TIME_BUDGET, settle_budget
from bench.optimizers.weight_decay import FLAGS, METAVAR, WeightDecay
from bench.settings.declared import Declaration, Flag
from bench.settings.layers import DEFAULT, Setting
from bench.settings.shared import NETWORK, SPACES
from bench.trials.phases import SECOND, TUNE, Phase
from bench.trials.score_names import LOSS_SCORE, ScoreName
from bench.trials.study_base import TrainingStudy
from bench.workloads.of_study import workload_of
from posemodel.config import MIN_SIZE, Precision, Schedule
from posemodel.errors import SettingsError

PrunerName = Literal["none", "median", "hyperband"]
FEWEST_LOOKS, MOST_LOOKS = 3, 6
"""Tunings at the first and the last look of a study that goes on until it is decided."""
MAX_TUNINGS, MAX_TRIALS = 10, 100
"""Tunings of an optimizer, and tune trials of each: tune seeds count up to their product, confirm seeds begin above."""


def _each_schedule_once(schedules: tuple[str, ...]) -> tuple[str, ...]:
    if len({*schedules}) < len(schedules):
        raise ValueError("must name each schedule once")
    return schedules


class StudySpec(TrainingStudy):
    """Which optimizer, tuned and then trained, is best: each is tuned several times, and each time confirmed."""

    outside: ClassVar[tuple[str, ...]] = (*TrainingStudy.outside, "assume_spread")
    resolved: ClassVar[Mapping[str, Declaration]] = {**TrainingStudy.resolved, "spaces": SPACES}
    extends_by: ClassVar[tuple[str, ...]] = ("tunings",)
    takes_more_optimizers: ClassVar[bool] = True
    estimates: ClassVar[bool] = True
    kind: Literal["optimizers"] = "optimizers"
    skip_bad: bool = False
    """Leave bad images and annotations out, and count them, instead of refusing the data set."""
    network: Annotated[str, NETWORK] = "small"
    """The network that is trained, by its name."""
    size: Annotated[int, Field(ge=MIN_SIZE)] | None
    """Side of the network's input in pixels; a multiple of the network's stride. None: of another workload."""
    optimizers: tuple[str, ...]
    """Optimizers to compare: registry names, names of `torch.optim` classes in any case, or dotted paths."""
    spaces: dict[str, dict[str, dict[str, Any]]]
    """Tuning space of each optimizer: {"lr": {"log": [low, high]}, "x": {"values": [...]}, "betas": {"value": ...}}."""
    tunings: int = Field(default=3, ge=1, le=MAX_TUNINGS)
    """Independent tunings of each optimizer: how far their results lie apart is the error of every claim."""
    trials: int = Field(ge=1, le=MAX_TRIALS)
    """Tune trials of each tuning, in rounds."""
    seeds: int = Field(default=1, ge=1)
    """Confirm seeds of each tuning; the k-th of a tuning is the same weights and data order for all optimizers."""
    tune_steps: int | None = Field(default=None, ge=1)
    """Steps of a tune trial of the last round; those of earlier rounds have half as many."""
    steps: int | None = Field(default=None, ge=1)
    """Steps of a confirm trial; both phases have a budget in steps, or both in seconds of training."""
    tune_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[60.0])
    """Seconds of training of a tune trial, in place of steps."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[240.0])
    """Seconds of training of a confirm trial, evaluation not counted."""
    evaluations: int = Field(default=8, ge=1)
    """AP evaluations in a confirm trial: its learning curve, and how finely the time to a target is known."""
    target: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[0.2])
    """AP given beforehand; the report says how long each optimizer takes to reach it."""
    score: ScoreName = "ap"
    """What the study judges by. val_loss: the validation loss, for budgets so short that AP stays at 0; say it before
    the study, and compare by AP as soon as that is above chance."""
    pruner: PrunerName = "none"
    """Ends hopeless tune trials early, never confirm trials; favours optimizers and settings that start fast."""
    tune_evaluations: int = Field(default=5, ge=1)
    """AP evaluations in a tune trial where there is a pruner; without one it has a single one, at its end."""
    confirm_unscored: bool = False
    """Confirm finalists even where no tune trial has scored: to see whether everything works, not who is best."""
    controls: bool = False
    """Run the untuned limit of AdaBound's kind (SGD with momentum) on the confirm seeds beside each of that kind."""
    batch_size: int = Field(default=8, ge=1)
    """Images in a batch, for all optimizers."""
    num_workers: int = Field(default=0, ge=0)
    """Processes that load batches; 0 loads them in the training process itself."""
    pin_memory: bool = False
    """Put batches into pinned memory; without an accelerator it does nothing."""
    schedule: Schedule = "cosine"
    """Schedule of the learning rate, after a warm-up of 5 %; step: x 0.1 at 50 % and at 75 % of the budget. A file may
    list several: a study for each."""
    weight_decay: Annotated[WeightDecay, Flag(FLAGS, METAVAR)] = 0.0
    """Weight decay of all optimizers alike; one that has none can only be compared at 0. A range, { log = [low, high] }
    or log(A,B) where it is typed, is tuned for each optimizer, decoupled where the class can."""
    foreground_weight: float = Field(default=1.0, ge=1)
    """Weight in the loss of cells where a map is fully on, relative to background cells; 1 is the published loss."""
    precision: Precision = "fp32"
    """bf16: convolutions in bfloat16; weights, loss and optimizer stay float32."""
    augment: bool = True
    """Vary the training images: flip, scale, rotation, shift, colour."""
    device: Literal["cuda", "mps", "cpu"]
    trial_time_limit: float | None = Field(default=None, gt=0, examples=[3600.0])
    """Seconds after which a trial is given up as `timed_out`."""
    plan_seed: int = Field(default=0, ge=0)
    """Seed of the tune points: another one is another study of the same procedures."""
    until_decided: bool = False
    """After 3 tunings go on, tuning by tuning, while two optimizers that are still in may be the best."""
    max_tunings: int = Field(default=MOST_LOOKS, ge=FEWEST_LOOKS, le=MOST_LOOKS)
    """Tunings at most where the study goes on until it is decided."""
    looks: tuple[Annotated[int, Field(ge=2, lt=MAX_TUNINGS)], ...] = Field(default=(), examples=[(3,)])
    """Tunings at which the study was looked at before it was extended: each look halves the level of later claims."""
    added: int = Field(default=0, ge=0)
    """So many of the optimizers, the last ones, came later: their trials stand behind those of all others."""
    assume_spread: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[0.02], exclude=True)
    """Standard deviation of one tuning's mean AP: tells beforehand which gaps the study will find, and nothing else."""
    workload: dict[str, Any] = Field(default={})
    """What the trials train, in place of a pose network: `name`, and settings of its own."""

    @field_validator("optimizers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value) or not value:
            raise ValueError("must name at least one optimizer, each once")
        return value

    @model_validator(mode="after")
    def _one_kind_of_budget(self) -> Self:
        given = [name for name in (*STEP_BUDGET, *TIME_BUDGET) if getattr(self, name) is not None]
        if tuple(given) not in (STEP_BUDGET, TIME_BUDGET):
            raise ValueError(
                "give tune_steps and steps, or tune_seconds and seconds: both phases have one kind of budget "
                f"(given: {', '.join(given) or 'none'})"
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
        """The type that a given value of a setting must have; of `schedule` a list as well: a series of studies."""
        if name == "schedule" and isinstance(value, (list, tuple)):
            return Annotated[tuple[Schedule, ...], Field(min_length=1), AfterValidator(_each_schedule_once)]
        return super().type_of(name, value)

    @classmethod
    def settle_layers(cls, settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
        """Leave one kind of budget, that of the highest layer that gives one; a preset's target is one of AP."""
        settle_budget(settings, layers)
        if settings["score"].value == LOSS_SCORE and settings["target"].origin.startswith("preset"):
            settings["target"] = Setting(None, DEFAULT)

    @model_validator(mode="after")
    def _first_look(self) -> Self:
        if self.until_decided and self.tunings != FEWEST_LOOKS:
            raise ValueError(
                f"until_decided first looks after {FEWEST_LOOKS} tunings: leave tunings at that, and set max_tunings "
                f"(tunings: {self.tunings})"
            )
        return self

    @model_validator(mode="after")
    def _looks_before_the_last(self) -> Self:
        if self.looks and self.until_decided:
            raise ValueError("looks: a study that goes on until it is decided has looks of its own: leave them out")
        if list(self.looks) != sorted({*self.looks}) or any(look >= self.tunings for look in self.looks):
            raise ValueError(f"looks must rise, and be fewer tunings than the study has ({self.tunings})")
        if self.added >= len(self.optimizers):
            raise ValueError(f"added: {self.added} are not fewer than the optimizers ({len(self.optimizers)})")
        return self

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> Self:
        """A study as it was stored; SettingsError where it is of another kind, or of the first protocol."""
        if document.get("kind", "optimizers") == "optimizers":
            refuse_first_protocol(document)
        return super().stored(document)

    @property
    def highest_tunings(self) -> int:
        """Tunings to which such a study can be extended."""
        return MOST_LOOKS if self.until_decided else MAX_TUNINGS

    def length(self, phase: Phase) -> tuple[float, str]:
        """The budget of a phase's trials, and its unit: `step` or `second`."""
        steps, seconds = (self.tune_steps, self.tune_seconds) if phase == TUNE else (self.steps, self.seconds)
        return (steps, workload_of(self).budget_unit) if steps is not None else (seconds or 0.0, SECOND)

    def length_text(self, phase: Phase) -> str:
        """The budget of a phase's trials in words: `180 steps`, `20 seconds of training`."""
        amount, unit = self.length(phase)
        number = f"{amount:,}" if isinstance(amount, int) else f"{amount:g}"
        return f"{number} {unit}{'' if amount == 1 else 's'}{' of training' if unit == SECOND else ''}"


def refuse_first_protocol(document: Mapping[str, Any]) -> None:
    """SettingsError for a stored study that tuned each optimizer once; ``document``: its specification."""
    if "tunings" not in document:
        raise SettingsError(
            f"study {document.get('name')}: is of the first protocol, which tuned each optimizer once; posebench 0.1 "
            "reads it and goes on with it. Begin a study of another --name for the second protocol."
        )


SPEC = StudySpec
