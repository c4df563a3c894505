"""A trial as data: TrialSpec with an id from its content, and Slot, a place in a search."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from pydantic import Field, SerializeAsAny, TypeAdapter, ValidationInfo, field_validator

from bench.optimizers.space import Value
from bench.settings.weights_files import WEIGHTS
from bench.trials.identity import COUNTED_BEFORE, digest, identifying
from bench.trials.phases import SEARCH, Phase
from bench.workloads import POSE, workload
from bench.workloads.protocol import Run
from posemodel.config import DataFiles, Settings, TrainSettings

FIRST_CONFIRM_SEED = 1001
"""Confirm seeds are fresh: no tune trial has seen them."""


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
    weights_digest: str = ""
    """Fingerprint of the weights that it starts from; empty: from nothing."""
    slot: str = ""
    """Id in place of the content's: that of the search's slot, or the one that the ledger already has."""
    id_counts: tuple[str, ...] = ()
    """Later settings of the run that count in the id at their defaults: its kind of study came after them."""
    workload: str = POSE
    """Name of what is trained."""
    tuning: int | None = None
    """The number of the tuning that it belongs to; None: of a kind of study that has none."""
    round: int | None = None
    """The number of its round within the tuning; None: in none."""
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
        # Of a file of weights the digest counts, not its place; `backbone_weights` stands in ids of the first version.
        run = self._with(dict.fromkeys(WEIGHTS)) if isinstance(self.train, TrainSettings) else self.train
        return digest(content | {"train": identifying(run, exclude=("data", "files"), counted=counted)})

    @property
    def run(self) -> Run:
        """The training run, as the suite reads it."""
        return cast("Run", self.train)

    @property
    def builds(self) -> str:
        """Name of the optimizer that is built."""
        return self.built_by or self.optimizer

    def with_data(self, data: Path, places: Mapping[str, Path] = MappingProxyType({})) -> "TrialSpec":
        """The same trial with its data set in another folder.

        ``places``: of the study's other files, see `StudyBase.places`.
        """
        moved: dict[str, Any] = {"data": data}
        if isinstance(self.train, TrainSettings):
            moved |= {name: places[name] for name in WEIGHTS if name in places}
            files = {name: path for name, path in places.items() if name in DataFiles.model_fields}
            moved |= {"files": DataFiles(**files)} if files else {}
        return self.model_copy(update={"train": self._with(moved)})

    def _with(self, changes: Mapping[str, Any]) -> Settings:
        """Its run with other values of some settings."""
        return self.train.model_copy(update=changes)

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
