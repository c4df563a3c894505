"""Which cluster a study runs on, and what each of its trials needs there."""

import importlib.util
from dataclasses import dataclass

from posemodel.errors import SettingsError

EXTRA = 'pip install "posebench[ray]"'


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster as the place of a study's trials."""

    address: str | None = None
    """Address of its head, HOST:PORT; None: the one of RAY_ADDRESS, one that runs here, or one that is started here."""
    most: int | None = None
    """Largest number of trials at once; None: as many as there are places."""
    device: str = "cpu"
    """Device on which the trials train; `cuda`: each gets a GPU, or a share of one."""
    trials_per_gpu: int = 1
    cores: int = 1
    """Processor cores for each trial: its own, and one for each worker of its loader."""

    @property
    def gpu_share(self) -> float:
        """Share of a GPU that a trial needs; 0 if it needs none."""
        return 1 / self.trials_per_gpu if self.device == "cuda" else 0.0

    @property
    def text(self) -> str:
        """The cluster in words."""
        return "the Ray cluster" if self.address is None else f"the Ray cluster at {self.address}"


def require_ray() -> None:
    """Raise SettingsError if the extra is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise SettingsError(f"engine: Ray is not installed here. Install it with {EXTRA}, on each node too.")
