"""Specification of a trial: `TrialSpec`, with an id from its content, or `Slot`, a search trial not chosen yet."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from pydantic import Field, SerializeAsAny, TypeAdapter, ValidationInfo, field_validator

from bench.optimizers.space import Value
from bench.settings.weights_files import WEIGHTS
from bench.trials.identity import EARLIER_ID_SETTINGS, digest, identifying
from bench.trials.phases import SEARCH, Phase
from bench.workloads import POSE, workload
from bench.workloads.protocol import Run
from posemodel.config import DataFiles, Settings, TrainSettings

FIRST_CONFIRM_SEED = 1001
"""First seed of confirm trials; no tune trial uses these seeds."""


class TrialSpec(Settings):
    """The unit of work: one optimizer with its settings, one seed, one training run."""

    phase: Phase
    index: int
    """Position in the plan."""
    optimizer: str
    """Optimizer name shown in tables."""
    built_by: str = ""
    """Optimizer that is built, if it differs from `optimizer` (for a control); empty: `optimizer` itself."""
    control_of: str = ""
    """Optimizer for which this trial is a control; empty for all other trials."""
    hyperparameters: dict[str, Value]
    at_border: tuple[str, ...] = ()
    """Tuned hyperparameters whose value is at the border of its range (confirm phase)."""
    weight_decay: float = 0.0
    data_digest: str
    weights_digest: str = ""
    """Fingerprint of the initial weights file; empty if training starts without one."""
    slot: str = ""
    """Id that replaces the digest of the content: that of the search's slot, or an id already in the ledger."""
    id_counts: tuple[str, ...] = ()
    """Run settings added in later versions that are part of the id even at their defaults, since the kind of study is
    newer."""
    workload: str = POSE
    """Name of the workload that the trial trains."""
    tuning: int | None = None
    """Number of the tuning that it belongs to; None if its kind of study has no tunings."""
    round: int | None = None
    """Number of its round within the tuning; None if it belongs to no round."""
    own_schedule: str | None = None
    """Schedule that it trains with, if the optimizer's method fixes another than the study's; None: the study's."""
    train: SerializeAsAny[Settings]
    """Settings of the training run, of the workload's own class."""

    @field_validator("train", mode="before")
    @classmethod
    def _validate_run(cls, value: Any, info: ValidationInfo) -> Any:
        run = workload(info.data.get("workload", POSE)).run
        return value if isinstance(value, run) else run.model_validate(value)

    @property
    def id(self) -> str:
        """Id of the slot, or a digest of the content; the same on every machine, as paths are left out."""
        return self.slot or self._digest(self.id_counts)

    @property
    def earlier_ids(self) -> frozenset[str]:
        """Ids of the same trial in earlier versions of posebench."""
        return frozenset(self._digest(counted) for counted in EARLIER_ID_SETTINGS) - {self.id}

    @property
    def content_digest(self) -> str:
        """Digest of what is trained: for a slot's trial, unlike its id, also of the settings chosen for it."""
        return self._digest(())

    def _digest(self, counted: Collection[str]) -> str:
        content = identifying(self, exclude=("index", "at_border", "slot", "id_counts", "own_schedule", "train"))
        # Weights files count by digest, not by path; their fields stay as None, as ids of the first version had them.
        run = self._run_with(dict.fromkeys(WEIGHTS)) if isinstance(self.train, TrainSettings) else self.train
        return digest(content | {"train": identifying(run, exclude=("data", "files"), counted=counted)})

    @property
    def run(self) -> Run:
        """The training run, typed by the fields that every workload's run has."""
        return cast("Run", self.train)

    @property
    def builds(self) -> str:
        """Name of the optimizer to build."""
        return self.built_by or self.optimizer

    def with_data(self, data: Path, file_paths: Mapping[str, Path] = MappingProxyType({})) -> "TrialSpec":
        """Return the same trial with its data set in another folder.

        ``file_paths``: paths of the study's other files by setting, see `StudyBase.file_paths`.
        """
        moved: dict[str, Any] = {"data": data}
        if isinstance(self.train, TrainSettings):
            moved |= {name: file_paths[name] for name in WEIGHTS if name in file_paths}
            files = {name: path for name, path in file_paths.items() if name in DataFiles.model_fields}
            moved |= {"files": DataFiles(**files, category=self.train.files.category)} if files else {}
        return self.model_copy(update={"train": self._run_with(moved)})

    def _run_with(self, changes: Mapping[str, Any]) -> Settings:
        """Return the run with some settings changed."""
        return self.train.model_copy(update=changes)

    @property
    def seed(self) -> int:
        """Seed of the initial weights and of the data order."""
        return self.run.seed


class Slot(Settings):
    """A planned search trial whose settings are chosen when a worker claims it."""

    phase: Phase = SEARCH
    index: int
    """Position in the plan."""
    study: str
    """Digest of the study's identity."""
    fixed: Mapping[str, int | float | bool | str] = Field(default_factory=dict)
    """Parameters fixed in advance, by their names in the search: those of a known good configuration."""

    @property
    def id(self) -> str:
        """Id of the slot; the same on every machine, independent of the settings chosen for it."""
        return digest({"phase": self.phase, "index": self.index, "study": self.study})


Planned = TrialSpec | Slot
"""Entry of a plan: a trial, or a slot for one."""


def planned_from_json(text: str) -> Planned:
    """Read a plan entry from its ``model_dump_json``."""
    return _PLANNED.validate_json(text)


_PLANNED: TypeAdapter[Planned] = TypeAdapter(Planned)
