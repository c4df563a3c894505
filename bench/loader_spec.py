"""A loader study as data: LoaderSpec, everything that its results depend on but the machine."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.study_base import StudyBase
from posemodel.config import MIN_SIZE, StartMethod, TargetsPlace

LOADERS: Literal["loaders"] = "loaders"
AXES = ("num_workers", "batch_size", "pin_memory")
"""Measured in every combination."""
AROUND_AXES = ("prefetch_factor", "persistent_workers", "start_method", "cv2_threads")
"""Varied one at a time around the best combination."""
NEED_WORKERS = ("prefetch_factor", "persistent_workers", "start_method")
"""Settings that mean nothing without workers."""


class LoaderSpec(StudyBase):
    """One loader study, fully resolved."""

    kind: Literal["loaders"] = LOADERS
    data: Path
    """Folder in COCO's layout; of a `dataset` of one's own, the working folder."""
    data_digest: str
    """Fingerprint of the annotations; of a `dataset`, its dotted path, its length and the source that defines it."""
    dataset: str = ""
    """A map-style data set by dotted path, in place of the COCO folder."""
    step: str = ""
    """A function by dotted path that makes the step on a batch of that data set."""
    collate: str = ""
    """The function that makes a batch of that data set's samples, by dotted path; "": its own `collate_fn`, if it has
    one, else PyTorch's default."""
    step_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """In place of a real step one that waits so long, as an accelerator would keep its host waiting."""
    network: str = "small"
    size: int | None = Field(default=None, ge=MIN_SIZE)
    split: str = "train"
    targets: TargetsPlace = "auto"
    device: Literal["cuda", "mps", "cpu"]
    num_workers: tuple[int, ...]
    batch_size: tuple[int, ...]
    pin_memory: tuple[bool, ...]
    prefetch_factor: tuple[int, ...] = ()
    persistent_workers: tuple[bool, ...] = ()
    start_method: tuple[StartMethod, ...] = ()
    cv2_threads: tuple[int, ...] = ()
    """Of these four, what is tried around the best combination beside PyTorch's defaults."""
    min_repeats: int = Field(default=3, ge=1)
    repeats: int = Field(default=5, ge=1)
    """Fresh processes for each arm of a configuration, at most."""
    interval: float = Field(default=0.05, gt=0, lt=1)
    """Repeats end once the 95 % interval of images/s is within so much of its middle, to either side."""
    epochs: int = Field(default=3, ge=1)
    seconds: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """Of the measured loop, about: epochs have as many batches as fit."""
    hashed_batches: int = Field(default=8, ge=1, le=256)
    """Of each configuration, compared with those of the others."""
    largest_batch: bool = False
    """Search the largest batch that fits."""
    largest_batch_limit: int = Field(default=4096, ge=1)
    stall_s: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Without a batch for so long, a measurement is given up as `timed_out`."""
    seed: int = Field(default=0, ge=0)
    """Of samples, weights and the order of the measurements."""

    @field_validator(*AXES)
    @classmethod
    def _some_each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("must have at least one value")
        return _each_once(value)

    @field_validator(*AROUND_AXES)
    @classmethod
    def _none_or_each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return _each_once(value)

    @field_validator("num_workers", "cv2_threads")
    @classmethod
    def _not_negative(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(each < 0 for each in value):
            raise ValueError("must be 0 or more")
        return value

    @field_validator("batch_size", "prefetch_factor")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(each < 1 for each in value):
            raise ValueError("must be 1 or more")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min_repeats > self.repeats:
            raise ValueError(f"min_repeats ({self.min_repeats}) is more than repeats ({self.repeats})")
        if self.step and not self.dataset:
            raise ValueError("step: is for a dataset of one's own; the COCO folder's step trains the network")
        if self.collate and not self.dataset:
            raise ValueError("collate: is for a dataset of one's own; the COCO folder has its own")
        if self.step and self.step_ms is not None:
            raise ValueError("step and step_ms: give one of the two")
        if self.largest_batch and (not self.has_step or self.step_ms is not None):
            raise ValueError("largest_batch: needs a step that takes memory; give step, or leave step_ms out")
        return self

    @property
    def has_step(self) -> bool:
        """Whether something is computed; else there is only loading to measure."""
        return not self.dataset or bool(self.step) or self.step_ms is not None

    @property
    def copies_batches(self) -> bool:
        """Whether the step copies batches to its device: else pinning them could only cost."""
        return self.step_ms is None and (not self.dataset or bool(self.step))


def _each_once(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if len({*value}) < len(value):
        raise ValueError("must name each value once")
    return value
