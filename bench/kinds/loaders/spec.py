"""A loader study as data: LoaderSpec, everything that its results depend on but the machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.settings.declared import Declaration
from bench.settings.layers import AUTO, COMMAND_LINE, Setting
from bench.settings.shared import NETWORK, OF_EVERY_KIND
from bench.trials.study_base import PictureStudy, Runner
from posemodel.config import MIN_SIZE, StartMethod, TargetsPlace

AXES = ("num_workers", "batch_size", "pin_memory")
"""Measured in every combination."""
AROUND_AXES = ("prefetch_factor", "persistent_workers", "start_method", "cv2_threads")
"""Varied one at a time around the best combination."""
NEED_WORKERS = ("prefetch_factor", "persistent_workers", "start_method")
"""Settings that mean nothing without workers."""

FEW_BLOCKS = 4
"""The least blocks where a command line gives the most, and nobody the least."""


class LoaderSpec(PictureStudy):
    """Which settings of the data loader feed the network best, and what limits it."""

    runner: ClassVar[Runner] = "measurement"
    outside: ClassVar[tuple[str, ...]] = (*PictureStudy.outside, "random_samples", "minutes")
    resolved: ClassVar[Mapping[str, Declaration]] = {
        **OF_EVERY_KIND,
        "num_workers": Declaration(
            tuple[int, ...] | Literal["auto"],
            AUTO,
            "Numbers of worker processes to try; 0 loads in the training process itself. auto: 0, 1, 2, 4 ... up to "
            "the cores that this process may use.",
        ),
        "batch_size": Declaration(
            tuple[int, ...] | Literal["auto"],
            AUTO,
            "Images in a batch, each to be tried. auto: 4, 8 and 16 on a CPU, 8, 16 and 32 on a GPU.",
        ),
        "pin_memory": Declaration(
            tuple[bool, ...],
            (True, False),
            "Whether batches are put into pinned memory, each to be tried. Without an accelerator pinning does "
            "nothing, and is not measured.",
        ),
    }
    kind: Literal["loaders"] = "loaders"
    data: Path
    """Folder in COCO's layout; of a `dataset` of one's own, the working folder."""
    data_digest: str
    """Fingerprint of the annotations; of a `dataset`, its dotted path, its length and the source that defines it; with
    a `loader`, of its path and its source too."""
    dataset: str = Field(default="", examples=["my_package.data:MyDataset"])
    """A data set by dotted path, map-style or an IterableDataset, in place of the COCO folder."""
    loader: str = Field(default="", examples=["my_package.data:make_loader"])
    """A function by dotted path that returns a loader of one's own (any iterable of batches), measured beside
    DataLoader's configurations, once for each batch size. It gets those of batch_size, num_workers (the largest that is
    tried) and pin_memory that it takes, by name. The step gets its batches as they are: with a COCO folder they must be
    `posemodel.data.loader.Batch`."""
    step: str = Field(default="", examples=["my_package.data:make_step"])
    """With `dataset`: a function by dotted path that makes the step on a batch."""
    collate: str = Field(default="", examples=["my_package.data:collate"])
    """With `dataset`: the function that makes a batch of its samples, by dotted path; "": its own `collate_fn`, if it
    has one, else PyTorch's default."""
    worker_init: str = Field(default="", examples=["my_package.data:open_files"])
    """With `dataset`: the function that prepares each worker, by dotted path: DataLoader's worker_init_fn."""
    random_samples: bool = False
    """With `dataset`: whether its samples are random by design, or depend on the worker that makes them: what
    configurations deliver is then not compared. No part of what a study is: it can be said of one that is measured."""
    step_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[50.0])
    """In place of a real step one that waits so many milliseconds, as an accelerator would keep its host waiting."""
    network: Annotated[str, NETWORK] = "small"
    """The network whose samples and step are measured, by its name."""
    size: int | None = Field(default=None, ge=MIN_SIZE)
    """Side of the network's input in pixels; without one, the network's own."""
    split: str = "train"
    """The part of the data set that is loaded."""
    targets: TargetsPlace = "auto"
    """Who makes the target maps: the loader's workers, or the device from the people; auto: a GPU makes its own."""
    device: Literal["cuda", "mps", "cpu"]
    num_workers: tuple[int, ...]
    batch_size: tuple[int, ...]
    pin_memory: tuple[bool, ...]
    prefetch_factor: tuple[int, ...] = ()
    """Batches that each worker loads ahead; tried around the best combination beside PyTorch's default."""
    persistent_workers: tuple[bool, ...] = ()
    """Whether workers outlive an epoch; tried around the best combination beside PyTorch's default."""
    start_method: tuple[StartMethod, ...] = ()
    """How workers are started; tried around the best combination beside the platform's default."""
    cv2_threads: tuple[int, ...] = ()
    """OpenCV's threads in each worker, 0 for none of its own; tried around the best combination beside the default."""
    slice_s: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Seconds of a slice, about: what each configuration has before it is the next one's turn."""
    turns: int = Field(default=1, ge=1)
    """How often a block goes through its configurations forth and back: more where starting processes takes long."""
    min_blocks: int = Field(default=4, ge=1)
    """Fresh processes of each configuration, at least."""
    blocks: int = Field(default=28, ge=1)
    """Fresh processes of each configuration, at most."""
    interval: float = Field(default=0.03, gt=0, lt=1)
    """Blocks end once each ratio to the reference is known to this share, to either side, and the choice is settled."""
    margin: float = Field(default=0.03, gt=0, lt=1)
    """What a cheaper configuration may lose against the fastest, as a share, by the end of its interval."""
    minutes: float = Field(default=8.0, gt=0, allow_inf_nan=False)
    """Of measuring, at most: what is not settled by then is said. No part of what a study is: with more it goes on."""
    hashed_batches: int = Field(default=8, ge=1, le=256)
    """Batches of each configuration that are compared with those of the others: all must yield the same samples."""
    largest_batch: bool = False
    """Search the largest batch that fits into memory."""
    largest_batch_limit: int = Field(default=4096, ge=1)
    """Images of the largest batch that is tried in that search."""
    stall_s: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Seconds without a batch after which a measurement is given up as `timed_out`."""
    seed: int = Field(default=0, ge=0)
    """Seed of samples, weights and the order of the measurements."""

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
        if self.min_blocks > self.blocks:
            raise ValueError(f"min_blocks ({self.min_blocks}) is more than blocks ({self.blocks})")
        if self.step and not self.dataset:
            raise ValueError("step: is for a dataset of one's own; the COCO folder's step trains the network")
        if self.collate and not self.dataset:
            raise ValueError("collate: is for a dataset of one's own; the COCO folder has its own")
        if self.step and self.step_ms is not None:
            raise ValueError("step and step_ms: give one of the two")
        if self.worker_init and not self.dataset:
            raise ValueError("worker_init: is for a dataset of one's own; the COCO folder's workers need none")
        if self.random_samples and not self.dataset:
            raise ValueError("random_samples: is for a dataset of one's own; the COCO folder's samples can be compared")
        if self.largest_batch and (not self.has_step or self.step_ms is not None):
            raise ValueError("largest_batch: needs a step that takes memory; give step, or leave step_ms out")
        return self

    @classmethod
    def settle_layers(cls, settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
        """Where `blocks` is typed, `min_blocks` is at most that and FEW_BLOCKS, unless somebody gave it."""
        typed = layers[-1]
        if "blocks" in typed and not any("min_blocks" in layer for layer in layers[1:]):
            settings["min_blocks"] = Setting(min(typed["blocks"].value, FEW_BLOCKS), f"{COMMAND_LINE} (blocks)")

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


SPEC = LoaderSpec
