"""One choice of DataLoader settings; a combination that cannot work is refused before anything runs."""

import multiprocessing
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from posemodel.config import LoaderSettings, first_problem
from posemodel.data.loader import CV2_THREADS_PER_WORKER
from posemodel.errors import SettingsError

DEFAULT_PREFETCH_FACTOR = 2
"""PyTorch's default with workers."""


class LoaderConfiguration(LoaderSettings):
    """The arguments of torch.utils.data.DataLoader, and OpenCV's threads in each process that makes samples."""

    cv2_threads: int = Field(default=CV2_THREADS_PER_WORKER, ge=0)
    """OpenCV's threads in each such process; 0: OpenCV runs in the calling thread (its own meaning of 0)."""

    @model_validator(mode="after")
    def _start_method_works(self) -> Self:
        if self.start_method is not None:
            if self.num_workers == 0:
                raise ValueError("start_method needs num_workers of at least 1")
            available = multiprocessing.get_all_start_methods()
            if self.start_method not in available:
                raise ValueError(f"start_method {self.start_method} does not exist on this system; try {available[0]}")
        return self

    @property
    def batches_in_flight(self) -> int:
        """Maximum number of batches that are requested from the workers and not yet delivered."""
        return self.num_workers * (self.prefetch_factor or DEFAULT_PREFETCH_FACTOR)

    @property
    def round_length(self) -> int:
        """Number of batches after which the same worker delivers again."""
        return max(1, self.num_workers)


def configuration(**settings: Any) -> LoaderConfiguration:
    """Build a LoaderConfiguration. Raises SettingsError that names the setting if the combination cannot work.

    Example:
        configuration(batch_size=8, num_workers=2, prefetch_factor=4)
    """
    try:
        return LoaderConfiguration(**settings)
    except ValidationError as error:
        raise SettingsError(f"loader configuration: {first_problem(error)}") from None
