"""Specification of a loader study: LoaderSpec, all settings that its results depend on except the machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.settings.declarations import Declaration
from bench.settings.layers import AUTO, COMMAND_LINE, Setting
from bench.settings.shared_settings import NETWORK_FLAG, SHARED_SETTINGS
from bench.trials.study_base import PictureStudy, Runner
from posemodel.config import MIN_SIZE, StartMethod, TargetsMaker

AXES = ("num_workers", "batch_size", "pin_memory")
"""Settings that are measured in every combination."""
AROUND_AXES = ("prefetch_factor", "persistent_workers", "start_method", "cv2_threads")
"""Settings that are varied one at a time around the best combination."""
NEED_WORKERS = ("prefetch_factor", "persistent_workers", "start_method")
"""Settings that have no effect without workers."""

FEW_BLOCKS = 4
"""Upper limit of `min_blocks` if the command line gives `blocks` and no layer gives `min_blocks`."""


class LoaderSpec(PictureStudy):
    """Measure which data loader settings feed the network fastest on this machine, and what limits the speed."""

    runner: ClassVar[Runner] = "measurement"
    not_in_identity: ClassVar[tuple[str, ...]] = (*PictureStudy.not_in_identity, "random_samples", "minutes")
    resolved_before: ClassVar[Mapping[str, Declaration]] = {
        **SHARED_SETTINGS,
        "num_workers": Declaration(
            tuple[int, ...] | Literal["auto"],
            AUTO,
            "Numbers of worker processes to try; 0: load in the training process itself. auto: 0, 1, 2, 4 ... up to "
            "the cores that this process may use.",
        ),
        "batch_size": Declaration(
            tuple[int, ...] | Literal["auto"],
            AUTO,
            "Batch sizes (images) to try. auto: 4, 8 and 16 on a CPU, 8, 16 and 32 on a GPU.",
        ),
        "pin_memory": Declaration(
            tuple[bool, ...],
            (True, False),
            "Use pinned memory for batches: true, false or both to try. Without an accelerator pinning has no effect "
            "and is not measured.",
        ),
    }
    kind: Literal["loaders"] = "loaders"
    data: Path
    """Data set folder in COCO's layout; with a `dataset` of the user, the working folder."""
    data_digest: str
    """Digest of the annotations; with a `dataset`, of its dotted path, length and source code instead; with a `loader`,
    of its path and source code too."""
    dataset: str = Field(default="", examples=["my_package.data:MyDataset"])
    """Your data set class by dotted path, map-style or an IterableDataset, instead of the COCO folder."""
    loader: str = Field(default="", examples=["my_package.data:make_loader"])
    """Function by dotted path that returns your own loader (any iterable of batches), measured next to DataLoader once
    for each batch size. It gets batch_size, num_workers (the largest tried) and pin_memory as keyword arguments, as
    far as it takes them. Its batches go to the step unchanged: with a COCO folder they must be
    `posemodel.data.batch.Batch`."""
    step: str = Field(default="", examples=["my_package.data:make_step"])
    """With `dataset`: function by dotted path that returns the training step, a function of a batch."""
    collate: str = Field(default="", examples=["my_package.data:collate"])
    """With `dataset`: collate function by dotted path, which makes a batch of samples; default: the data set's
    `collate_fn` if it has one, else PyTorch's."""
    worker_init: str = Field(default="", examples=["my_package.data:open_files"])
    """With `dataset`: function by dotted path that prepares each worker, DataLoader's worker_init_fn."""
    random_samples: bool = False
    """With `dataset`: true if its samples are random or depend on the worker; it is then not checked that all
    configurations deliver the same samples. Can be changed after the study has begun."""
    step_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[50.0])
    """Replace the training step by a wait of this many milliseconds, as for an accelerator that computes."""
    network: Annotated[str, NETWORK_FLAG] = "small"
    """Network whose samples and training step are measured: its name, or a class by its path, `my_package:MyNet`."""
    size: int | None = Field(default=None, ge=MIN_SIZE)
    """Side of the network's input in pixels; default: the network's own size."""
    split: str = "train"
    """Split of the data set to load."""
    targets: TargetsMaker = "auto"
    """Where target maps are made: by the loader's workers or on the device; auto: on a GPU if there is one."""
    device: Literal["cuda", "mps", "cpu"]
    num_workers: tuple[int, ...]
    batch_size: tuple[int, ...]
    pin_memory: tuple[bool, ...]
    prefetch_factor: tuple[int, ...] = ()
    """Numbers of batches that each worker loads ahead, tried on the best combination besides PyTorch's default."""
    persistent_workers: tuple[bool, ...] = ()
    """Keep workers alive between epochs: true, false or both, tried on the best combination besides the default."""
    start_method: tuple[StartMethod, ...] = ()
    """Start methods of worker processes, tried on the best combination besides the platform's default."""
    cv2_threads: tuple[int, ...] = ()
    """OpenCV threads in each worker (0: no extra threads), tried on the best combination besides the default."""
    slice_s: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Approximate length of a slice in seconds: how long a configuration runs before the next one's turn."""
    turns: int = Field(default=1, ge=1)
    """Rounds through the configurations of a block, forth and back; raise it if starting processes takes long."""
    min_blocks: int = Field(default=4, ge=1)
    """Fewest blocks: each measures every configuration in a fresh process."""
    blocks: int = Field(default=28, ge=1)
    """Most blocks: each measures every configuration in a fresh process."""
    interval: float = Field(default=0.03, gt=0, lt=1)
    """Target half-width of the speed ratios' intervals, as a share; measuring stops once all are that narrow and the
    choice is clear."""
    margin: float = Field(default=0.03, gt=0, lt=1)
    """Largest loss of speed against the fastest (as a share, by the bound of its interval) at which a cheaper
    configuration is preferred."""
    minutes: float = Field(default=8.0, gt=0, allow_inf_nan=False)
    """Time limit of measuring, in minutes. The report names what is undecided by then; run again with more to go on."""
    hashed_batches: int = Field(default=8, ge=1, le=256)
    """Number of batches per configuration that are compared: all configurations must deliver the same samples."""
    largest_batch: bool = False
    """Also search the largest batch size that fits into memory."""
    largest_batch_limit: int = Field(default=4096, ge=1)
    """Largest batch size (images) that `largest_batch` tries."""
    stall_s: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Seconds without a batch after which a measurement is stopped and recorded as `timed_out`."""
    seed: int = Field(default=0, ge=0)
    """Seed of the samples, the weights and the order of measurements."""

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
            raise ValueError("step: needs a dataset of your own; with a COCO folder the step trains the network")
        if self.collate and not self.dataset:
            raise ValueError("collate: needs a dataset of your own; a COCO folder has its own collate function")
        if self.step and self.step_ms is not None:
            raise ValueError("step and step_ms: give one of the two")
        if self.worker_init and not self.dataset:
            raise ValueError("worker_init: needs a dataset of your own; a COCO folder's workers need none")
        if self.random_samples and not self.dataset:
            raise ValueError("random_samples: needs a dataset of your own; a COCO folder's samples can be compared")
        if self.largest_batch and (not self.has_step or self.step_ms is not None):
            raise ValueError("largest_batch: needs a step that uses memory: give step, or leave step_ms out")
        return self

    @classmethod
    def settle_layers(cls, settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
        """Lower `min_blocks` to the `blocks` of the command line and to FEW_BLOCKS, unless a layer gives it."""
        typed = layers[-1]
        if "blocks" in typed and not any("min_blocks" in layer for layer in layers[1:]):
            settings["min_blocks"] = Setting(min(typed["blocks"].value, FEW_BLOCKS), f"{COMMAND_LINE} (blocks)")

    @property
    def has_step(self) -> bool:
        """True if there is a training step; else only loading is measured."""
        return not self.dataset or bool(self.step) or self.step_ms is not None

    @property
    def copies_batches(self) -> bool:
        """True if the step copies batches to its device; otherwise pinned memory has no use."""
        return self.step_ms is None and (not self.dataset or bool(self.step))


def _each_once(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if len({*value}) < len(value):
        raise ValueError("must name each value once")
    return value


SPEC = LoaderSpec
