"""A study as data: StudySpec from a study file and its overrides, TrialSpec with an id from its content."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, SerializeAsAny, TypeAdapter, ValidationInfo, field_validator, model_validator

from bench.identity import COUNTED_BEFORE, digest, identifying
from bench.space import Value
from bench.study_base import PictureStudy
from bench.workloads import POSE, workload
from bench.workloads.of_study import workload_of
from bench.workloads.protocol import Run
from posemodel.config import MIN_SIZE, Precision, Schedule, Settings

Phase = Literal["tune", "confirm", "search"]
TUNE: Phase = "tune"
CONFIRM: Phase = "confirm"
SEARCH: Phase = "search"
"""Of a joint study: a sampler chooses what is tried, trial after trial."""
PRESETS = ("smoke", "small", "full")
PrunerName = Literal["none", "median", "hyperband"]
STEP_BUDGET, TIME_BUDGET = ("tune_steps", "steps"), ("tune_seconds", "seconds")
"""Fields of a study's budget, tune and confirm; it has one of the two."""
SECOND = "second"
"""The unit of a budget in seconds of training."""
MAX_TRIALS = 1000
"""Tune trials of one optimizer: tune seeds count up to it, and confirm seeds begin above it."""


class StudySpec(PictureStudy):
    """One optimizers study, fully resolved: everything that its results depend on."""

    kind: Literal["optimizers"] = "optimizers"
    skip_bad: bool = False
    """Leave bad images and annotations out, and count them, instead of refusing the data set."""
    network: str = "small"
    """The network that is trained, by its name."""
    size: Annotated[int, Field(ge=MIN_SIZE)] | None
    """Side of the network's input in pixels; a multiple of the network's stride. None: of another workload."""
    optimizers: tuple[str, ...]
    """Optimizers to compare: registry names, names of `torch.optim` classes in any case, or dotted paths."""
    spaces: dict[str, dict[str, dict[str, Any]]]
    """Tuning space of each optimizer: {"lr": {"log": [low, high]}, "x": {"values": [...]}, "betas": {"value": ...}}."""
    trials: int = Field(ge=1, le=MAX_TRIALS)
    """Tune trials for each optimizer."""
    seeds: int = Field(ge=1)
    """Confirm seeds for each optimizer; seed k is the same weights and data order for all."""
    tune_steps: int | None = Field(default=None, ge=1)
    """Steps of a tune trial."""
    steps: int | None = Field(default=None, ge=1)
    """Steps of a confirm trial; both phases have a budget in steps, or both in seconds of training."""
    tune_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[60.0])
    """Seconds of training of a tune trial, in place of steps."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[240.0])
    """Seconds of training of a confirm trial, evaluation not counted."""
    evaluations: int = Field(default=5, ge=1)
    """AP evaluations in a confirm trial: its learning curve."""
    pruner: PrunerName = "none"
    """Ends hopeless tune trials early, never confirm trials; favours optimizers and settings that start fast."""
    tune_evaluations: int = Field(default=5, ge=1)
    """AP evaluations in a tune trial where there is a pruner; without one it has a single one, at its end."""
    controls: bool = True
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
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of all optimizers alike; one that has none can only be compared at 0."""
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
    """Seed that scrambles the quasi-random tune points."""
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

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> Self:
        """A study as it was stored, by an earlier version too: that one ran no controls.

        SettingsError where it is a study of another kind.
        """
        return super().stored({"controls": False} | dict(document))

    def length(self, phase: Phase) -> tuple[float, str]:
        """The budget of a phase's trials, and its unit: `step` or `second`."""
        steps, seconds = (self.tune_steps, self.tune_seconds) if phase == TUNE else (self.steps, self.seconds)
        return (steps, workload_of(self).budget_unit) if steps is not None else (seconds or 0.0, SECOND)

    def length_text(self, phase: Phase) -> str:
        """The budget of a phase's trials in words: `180 steps`, `20 seconds of training`."""
        amount, unit = self.length(phase)
        return f"{amount:g} {unit}{'' if amount == 1 else 's'}{' of training' if unit == SECOND else ''}"


class TrialSpec(Settings):
    """The unit of work: one optimizer with its settings, one seed, one training run."""

    phase: Phase
    index: int
    """Position in the plan."""
    optimizer: str
    """The name that tables show."""
    built_by: str = ""
    """The optimizer that is built, where that is another one: a control's. Empty: `optimizer` itself."""
    control_of: str = ""
    """The optimizer whose control this trial is; empty for all others."""
    hyperparameters: dict[str, Value]
    at_border: tuple[str, ...] = ()
    """Tuned hyperparameters whose value sits at the border of its range (confirm phase)."""
    weight_decay: float = 0.0
    data_digest: str
    slot: str = ""
    """Id in place of the content's: that of the search's slot, or the one that the ledger already has."""
    id_counts: tuple[str, ...] = ()
    """Later settings of the run that count in the id at their defaults: its kind of study came after them."""
    workload: str = POSE
    """Name of what is trained."""
    train: SerializeAsAny[Settings]
    """The training run, as its workload has it."""

    @field_validator("train", mode="before")
    @classmethod
    def _as_its_workload_has_it(cls, value: Any, info: ValidationInfo) -> Any:
        run = workload(info.data.get("workload", POSE)).run
        return value if isinstance(value, run) else run.model_validate(value)

    @property
    def id(self) -> str:
        """That of the slot, or a digest of the content, the same on every machine (folders are left out)."""
        return self.slot or self._digest(self.id_counts)

    @property
    def earlier_ids(self) -> frozenset[str]:
        """What earlier versions called the same trial."""
        return frozenset(self._digest(counted) for counted in COUNTED_BEFORE) - {self.id}

    def _digest(self, counted: Collection[str]) -> str:
        content = identifying(self, exclude=("index", "at_border", "slot", "id_counts", "train"))
        return digest(content | {"train": identifying(self.train, exclude=("data", "files"), counted=counted)})

    @property
    def run(self) -> Run:
        """The training run, as the suite reads it."""
        return cast("Run", self.train)

    @property
    def builds(self) -> str:
        """Name of the optimizer that is built."""
        return self.built_by or self.optimizer

    def with_data(self, data: Path) -> "TrialSpec":
        """The same trial with its data set in another folder."""
        return self.model_copy(update={"train": self.train.model_copy(update={"data": data})})

    @property
    def seed(self) -> int:
        """Seed of the initial weights and of the data order."""
        return self.run.seed


class Slot(Settings):
    """A place in a search's plan: what is tried there is chosen when a worker takes it."""

    phase: Phase = SEARCH
    index: int
    """Position in the plan."""
    study: str
    """Digest of the study's identity."""
    fixed: Mapping[str, int | float | bool | str] = Field(default_factory=dict)
    """Choices that are made beforehand, by the names of the search: those of a known good configuration."""

    @property
    def id(self) -> str:
        """The same on every machine, whatever is chosen."""
        return digest({"phase": self.phase, "index": self.index, "study": self.study})


Planned = TrialSpec | Slot
"""What a plan holds."""


def planned_from_json(text: str) -> Planned:
    """The inverse of ``model_dump_json`` of either."""
    return _PLANNED.validate_json(text)


_PLANNED: TypeAdapter[Planned] = TypeAdapter(Planned)
