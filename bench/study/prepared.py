"""A resolved study (or series over one data set) with the run-time values that are not part of its specification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bench.engines.cluster.settings import Cluster
from bench.measure.gpus import Gpu
from bench.study.probe import Measured
from bench.trials.study_base import StudyBase

S = TypeVar("S", bound=StudyBase)


@dataclass(frozen=True)
class Prepared(Generic[S]):
    """A study, or series of studies, ready to run."""

    name: str
    """Name of the study, or of the series."""
    specs: tuple[S, ...]
    """The study, or the studies of the series in the order in which they run."""
    workers: int = 1
    """Trials that run at once on this machine; 0: they run elsewhere."""
    data_s: float = 0.0
    """Seconds spent on making the synthetic data set."""
    awaited_images: int | None = None
    """Images of the synthetic data set that is still to be made; None if the data exists."""
    labelled_images: Mapping[str, int] = field(default_factory=dict)
    """Number of labelled samples in `train`, `select` and `report`; empty if unknown."""
    measured: Measured | None = None
    """Trial costs on this machine, if this command has already measured them."""
    gpus: Sequence[Gpu] = ()
    """The GPU of each worker; empty: the device as it is."""
    checkpoints: str | None = None
    """Shared folder or URL where interrupted trials keep their state; None: nowhere."""
    cluster: Cluster | None = None
    """Cluster on which the trials run; None: none."""

    @property
    def spec(self) -> S:
        """The study, or the first of the series."""
        return self.specs[0]

    @property
    def is_series(self) -> bool:
        """True if there is more than one study."""
        return len(self.specs) > 1
