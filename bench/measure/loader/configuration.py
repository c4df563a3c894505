"""One choice of loader settings, refused before anything runs where it cannot work."""

import multiprocessing
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from posemodel.config import LoaderSettings, in_words
from posemodel.data.loader import CV2_THREADS_PER_WORKER
from posemodel.errors import SettingsError

DEFAULT_PREFETCH_FACTOR = 2
"""PyTorch's own, where there are workers."""


class LoaderConfiguration(LoaderSettings):
    """What torch.utils.data.DataLoader is given, and OpenCV's threads in each process that makes samples."""

    cv2_threads: int = Field(default=CV2_THREADS_PER_WORKER, ge=0)
    """0: OpenCV works in the thread that calls it (its own meaning of 0)."""

    @model_validator(mode="after")
    def _start_method_works(self) -> Self:
        if self.start_method is not None:
            if self.num_workers == 0:
                raise ValueError("start_method needs num_workers of at least 1")
            there = multiprocessing.get_all_start_methods()
            if self.start_method not in there:
                raise ValueError(f"start_method {self.start_method} is not known to this system: try {there[0]}")
        return self

    @property
    def batches_in_flight(self) -> int:
        """Batches asked of the workers and not yet delivered, at most."""
        return self.num_workers * (self.prefetch_factor or DEFAULT_PREFETCH_FACTOR)

    @property
    def round_length(self) -> int:
        """Batches after which the same worker delivers again."""
        return max(1, self.num_workers)


def configuration(**settings: Any) -> LoaderConfiguration:
    """A LoaderConfiguration; SettingsError names the setting where a combination cannot work."""
    try:
        return LoaderConfiguration(**settings)
    except ValidationError as error:
        raise SettingsError(f"loader configuration: {in_words(error)}") from None
