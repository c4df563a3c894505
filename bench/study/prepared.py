"""A resolved study, or a series of them over one data set, and the settings that are no part of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bench.study.probe import Measured
from bench.trials.study_base import StudyBase

S = TypeVar("S", bound=StudyBase)


@dataclass(frozen=True)
class Prepared(Generic[S]):
    """What is run when a command asks for a study."""

    name: str
    """Name of the study, or of the series."""
    specs: tuple[S, ...]
    """The study; of a series, each in turn."""
    workers: int = 1
    """Trials that run at once."""
    data_s: float = 0.0
    """Seconds that making the synthetic data set has taken."""
    awaited_images: int | None = None
    """Size of the synthetic data set that is still to be made; None where the data stands."""
    labelled_images: Mapping[str, int] = field(default_factory=dict)
    """Samples with labels in `train`, `select` and `report`; empty where nothing is known."""
    measured: Measured | None = None
    """What its trials cost here, where that has been measured for this command already."""

    @property
    def spec(self) -> S:
        """The study; of a series, its first."""
        return self.specs[0]

    @property
    def is_series(self) -> bool:
        """Whether there is more than one study."""
        return len(self.specs) > 1
