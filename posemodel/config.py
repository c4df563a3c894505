"""Validated settings of a training run: data files, augmentation, loader, network input, schedule and budget.

All models are frozen and refuse unknown fields, so that a mistyped setting is an error instead of being ignored.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from posemodel.dotted_paths import with_colon

Device = Literal["auto", "cuda", "mps", "cpu"]
StartMethod = Literal["fork", "spawn", "forkserver"]
Schedule = Literal["constant", "cosine", "step", "fixed"]
TrainSchedule = Literal["constant", "cosine", "step", "multistep", "plateau", "fixed"]
"""Learning-rate schedules of a single run; studies offer only those that need no further settings (``Schedule``)."""
LossReduction = Literal["cell", "sum", "mean"]
Precision = Literal["fp32", "bf16"]
TargetsMaker = Literal["auto", "loader", "device"]
Exif = Literal["ignore", "follow"]
"""EXIF orientation of images: ``ignore`` reads pixels as stored, ``follow`` turns them as the tag says."""

CACHE_VARIABLE = "POSEBENCH_CACHE"
"""Environment variable that names the folder of the annotation cache (see ``posemodel.data.index_cache``)."""
MIN_SIZE = 32
"""Smallest side of a network input in pixels; people are not recognizable in smaller ones."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A fraction from 0 to 1."""


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a validation as one line: the field, what is wrong, and the value if it is short."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    value = f" (got {first['input']!r})" if field and isinstance(first["input"], (str, int, float)) else ""
    return f"{field}: " * bool(field) + first["msg"].removeprefix("Value error, ") + value


def augment_table(value: Any) -> Any:
    """Return `augment = true` or `false` as a dictionary that sets ``enabled``; return any other value unchanged."""
    return {"enabled": value} if isinstance(value, bool) else value


class Settings(BaseModel):
    """Base of all settings: frozen, unknown fields are refused, and a field's docstring is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DataFiles(Settings):
    """Files given by path, used instead of those in the data folder, and what is said about the keypoints.

    Example:
        files = DataFiles(train_annotations="people/train.json", train_images="people/pictures")
        settings = TrainSettings(files=files, epochs=10)
    """

    train_annotations: Path | None = Field(default=None, examples=["people/train.json"])
    """Annotation file of the split `train`, used instead of the data folder's; it needs `train_images`."""
    train_images: Path | None = Field(default=None, examples=["people/pictures"])
    """Folder of the images that `train_annotations` names."""
    val_annotations: Path | None = Field(default=None, examples=["people/val.json"])
    """Annotation file of the split `val`, which also serves as `report`; it needs `val_images`."""
    val_images: Path | None = Field(default=None, examples=["people/pictures"])
    """Folder of the images that `val_annotations` names."""
    category: str | None = Field(default=None, examples=["dog"])
    """Name of the category that is trained on and scored, if the annotation files have several with keypoints."""
    skeleton_file: Path | None = Field(default=None, examples=["people/skeleton.toml"])
    """TOML file with limbs, mirror pairs, sigmas, derived parts or names of the keypoints, for what the annotation
    files leave open; without it, a `skeleton.toml` in the data folder is read."""
    sigmas: Path | None = Field(default=None, examples=["people/sigmas.json"])
    """File with the OKS sigma of each keypoint (JSON, TOML or text), used instead of those of the skeleton file."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        for split in ("train", "val"):
            names = f"{split}_annotations", f"{split}_images"
            present = [name for name in names if getattr(self, name) is not None]
            if len(present) == 1:
                missing = next(name for name in names if name not in present)
                raise ValueError(f"{present[0]} needs {missing}: give an annotation file and the folder of its images")
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Checkpoints and stored studies that say nothing about keypoints stay what they were before these settings.
        values: dict[str, Any] = serialize(self)
        later = ("category", "skeleton_file", "sigmas")
        return {name: value for name, value in values.items() if value is not None or name not in later}

    def own_files(self) -> "DataFiles":
        """Return these settings alone, without fields that a subclass adds."""
        return DataFiles(**{name: getattr(self, name) for name in DataFiles.model_fields})

    @property
    def first_annotations(self) -> Path | None:
        """The annotation file recorded as the data if there is no folder: that of `train`, else of `val`, else None."""
        return self.train_annotations or self.val_annotations


class AugmentSettings(Settings):
    """Random variation of training images: one affine warp (flip, scale, rotation, shift), then colour.

    Example:
        settings = TrainSettings(data="coco", epochs=10, augment=AugmentSettings(rotation=40, flip=0))
    """

    enabled: bool = True
    """Vary the training images; if false, the other fields have no effect."""
    flip: Share = 0.5
    """Probability of a left-right flip, from 0 to 1."""
    scale_min: float = Field(default=0.7, gt=0)
    """Smallest zoom factor, relative to the image letterboxed into the network's input."""
    scale_max: float = Field(default=1.5, gt=0)
    """Largest zoom factor, relative to the image letterboxed into the network's input."""
    rotation: float = Field(default=30.0, ge=0, le=180)
    """Largest rotation in degrees, in either direction."""
    shift: Share = 0.1
    """Largest displacement of the crop, as a share of its side (0 to 1)."""
    brightness: Share = 0.15
    """Largest brightness offset, as a share of the full range of pixel values (0 to 1)."""
    contrast: Share = 0.2
    """Largest relative change of contrast (0 to 1), drawn for each colour channel around one common factor."""

    @model_validator(mode="after")
    def _check_scale_order(self) -> Self:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is above scale_max {self.scale_max}")
        return self


class LoaderSettings(Settings):
    """Arguments of ``torch.utils.data.DataLoader``, under PyTorch's names.

    Example:
        settings = TrainSettings(data="coco", epochs=10, loader=LoaderSettings(batch_size=16, num_workers=4))
    """

    batch_size: int = Field(default=8, ge=1)
    """Images per batch."""
    num_workers: int = Field(default=0, ge=0)
    """Processes that load images; 0 loads them in the training process."""
    pin_memory: bool = False
    """Put batches into pinned (page-locked) memory, from which copies to a GPU are faster."""
    prefetch_factor: int | None = Field(default=None, ge=1)
    """Batches that each worker loads ahead; None is PyTorch's default of 2. It needs `num_workers` of at least 1."""
    persistent_workers: bool = False
    """Keep the workers alive between epochs; it needs `num_workers` of at least 1."""
    start_method: StartMethod | None = None
    """Start method of the worker processes (fork, spawn or forkserver); None is the platform's default."""

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if self.num_workers == 0:
            for name in ("prefetch_factor", "persistent_workers"):
                if getattr(self, name):
                    raise ValueError(f"{name} needs num_workers of at least 1")
        return self


class GroupSettings(Settings):
    """Learning-rate multipliers and weight-decay exemptions for groups of parameters."""

    later_stage_lr: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Factor on the learning rate of the stages after the first; their normalization layers keep 1, as published."""
    bias_lr: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Factor on the learning rate of biases, those of normalization layers included; it multiplies `later_stage_lr`."""
    bias_weight_decay: bool = True
    """Apply the weight decay to biases too."""
    norm_weight_decay: bool = True
    """Apply the weight decay to the weights of normalization layers too."""
    depthwise_weight_decay: bool = True
    """Apply the weight decay to depthwise convolutions (one filter per channel) too."""


class PlateauSettings(Settings):
    """Conditions for lowering the rate on a plateau; names and defaults are those of PyTorch's ReduceLROnPlateau."""

    patience: int = Field(default=10, ge=0)
    """Validations without a better loss that are tolerated before the learning rate is lowered."""
    cooldown: int = Field(default=0, ge=0)
    """Validations after a lowering during which `patience` does not count."""
    threshold: float = Field(default=1e-4, ge=0, lt=1)
    """Share (0 to 1) by which the validation loss must fall to count as better."""


class InputSettings(Settings):
    """Geometry of a network: the side of its square input and the resolution of its output maps.

    Example:
        InputSettings(size=368, stride=8).cells  # 46
    """

    size: int = Field(default=368, ge=MIN_SIZE)
    """Side of the network's square input in pixels; a multiple of `stride`."""
    stride: int = Field(default=8, ge=1)
    """Input pixels per cell of the output maps."""

    @model_validator(mode="after")
    def _check_whole_cells(self) -> Self:
        if self.size % self.stride:
            below = self.size - self.size % self.stride
            raise ValueError(f"size {self.size} is no multiple of the stride {self.stride}: try {below}")
        return self

    @property
    def cells(self) -> int:
        """Side of the output maps in cells."""
        return self.size // self.stride


class TrainSettings(Settings):
    """Settings of one training run, apart from its optimizer.

    Example:
        settings = TrainSettings(data="coco", network="small", epochs=10, augment=False)
        result = train(settings, lambda parameters: torch.optim.Adam(parameters, lr=1e-3))
    """

    data: Path
    """Folder of the data set; it may be left out if `files` names the data."""
    files: DataFiles = DataFiles()
    """Annotation files and image folders given by path, used instead of those in the data folder."""
    exif: Exif = "ignore"
    """Treatment of EXIF orientation: `ignore` reads pixels as stored, `follow` turns images as the tag says."""
    train_split: str = "train"
    """Split whose images are trained on."""
    val_split: str = "val"
    """Split that is scored during training. If the data set has no files for `select` or `val`, a tenth of `train`
    serves as that split and is not trained on."""
    labelled_only: bool = False
    """Score only the images of the val split that have labelled people (training always uses only those)."""
    val_images: int | None = Field(default=None, ge=1)
    """Score at most this many images, spread evenly over the val split; None scores all."""
    hold_out_select: bool = False
    """Keep the tenths of `train` that serve as `select` and `report` out of the training images, whichever split is
    scored."""
    skip_bad: bool = False
    """Leave bad images and annotations out, and count them, instead of refusing the data set."""

    network: str = "rtpose_vgg"
    """Name of the network, one of `posemodel.NETWORKS`, or the path of a class, `my_package:MyNet`."""
    size: int | None = Field(default=None, ge=MIN_SIZE)
    """Side of the network's input in pixels; None is the size at which `weights` were trained, else the default."""
    weights: Path | None = None
    """Checkpoint of the same network to start from (fine-tuning); of one for another skeleton, all that fits."""
    backbone_weights: Path | None = None
    """VGG19's ImageNet weights (a torchvision state dict) for the backbone of a network that is built on VGG19."""
    frozen_backbone_epochs: int = Field(default=0, ge=0)
    """Epochs at the beginning during which the backbone is not trained."""

    steps: int | None = Field(default=None, ge=1)
    """Length of the run in steps; give exactly one of `steps`, `epochs` and `seconds`. A step is one gradient
    evaluation: an optimizer that needs several for each update takes fewer updates."""
    epochs: int | None = Field(default=None, ge=1)
    """Length of the run in passes over the training images; each gradient evaluation of a batch is a pass over it."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Length of the run in seconds of training, not counting evaluations and checkpoints; the number of steps then
    depends on the machine."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are combined into one step: the same as one large batch, except for batch norm."""
    schedule: TrainSchedule = "cosine"
    """Learning-rate schedule after the warm-up. step: x 0.1 at 50 % and at 75 % of the budget; multistep: x `gamma` at
    each of `milestones`; plateau: x `gamma` when the validation loss no longer falls (validated once an epoch unless
    `val_every` is given); fixed: the given rate from the first step on, without warm-up (for optimizers that adapt it
    themselves)."""
    milestones: tuple[Share, ...] = ()
    """Shares of the budget (0 to 1, rising) at which the schedule `multistep` lowers the learning rate."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    """Factor by which the schedules `multistep` and `plateau` lower the learning rate."""
    plateau: PlateauSettings = PlateauSettings()
    """Conditions under which the schedule `plateau` lowers the learning rate."""
    warmup: Share = 0.05
    """Share of the budget (steps or seconds, 0 to 1) over which the learning rate rises linearly; the schedule `fixed`
    does without."""
    foreground_weight: float = Field(default=1.0, ge=1)
    """Weight in the loss of cells whose target is 1, relative to background cells (target 0); 1 is the published loss.
    """
    loss_reduction: LossReduction = "cell"
    """Reduction of the loss that is minimized; to use a published learning rate unchanged, choose the reduction of that
    training. cell: a sum over channels and mean over cells, this project's loss, and always the one reported; sum: a
    sum over channels and cells (Caffe's EuclideanLoss); mean: a mean over channels and cells (PyTorch's MSELoss)."""
    groups: GroupSettings = GroupSettings()
    """Learning-rate multipliers and weight-decay exemptions for groups of parameters."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay per update of an exponential moving average of the weights, which is then validated and saved; None keeps
    no average. Optimizers that average the weights themselves (schedule-free ones) take none."""

    targets: TargetsMaker = "auto"
    """Where the target maps are computed from the keypoints: in the loader's workers, or on the training device; auto:
    on the device if it is a GPU, else in the workers."""
    precision: Precision = "fp32"
    """Number format of the convolutions. bf16: bfloat16 (autocast); weights, loss and optimizer stay float32."""
    augment: AugmentSettings = AugmentSettings()
    """Random variation of the training images; `False` and `True` switch it off and on (with the defaults)."""
    loader: LoaderSettings = LoaderSettings()
    """Batch size and worker processes of the data loader."""
    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, order of images and augmentation."""
    device: Device = "auto"
    """Device to train on; auto is CUDA, else MPS, else the CPU."""

    log_every: int = Field(default=10, ge=1)
    """Steps per window over which loss and throughput are measured and logged."""
    val_every: int | None = Field(default=None, ge=1)
    """Steps between validation losses; None is ten times in the run. The last step always has one."""
    ap_every: int | None = Field(default=None, ge=1)
    """Steps between AP evaluations; None evaluates at the end only."""
    evaluations: int | None = Field(default=None, ge=1)
    """Number of AP evaluations at equal shares of `seconds`, the last at the end; None evaluates at the end only."""
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; None writes one at every validation."""
    time_limit: float | None = Field(default=None, gt=0)
    """Seconds of wall time after which the run is given up (status `timed_out`); None sets no limit."""

    @field_validator("network")
    @classmethod
    def _one_spelling(cls, value: str) -> str:
        return with_colon(value)

    @field_validator("augment", mode="before")
    @classmethod
    def _augment_from_switch(cls, value: Any) -> Any:
        return augment_table(value)

    @model_validator(mode="before")
    @classmethod
    def _default_data_to_annotations(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("data") is not None or not values.get("files"):
            return values
        annotations = DataFiles.model_validate(values["files"]).first_annotations
        return values if annotations is None else values | {"data": annotations}

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        lengths = [name for name in ("steps", "epochs", "seconds") if getattr(self, name) is not None]
        if len(lengths) != 1:
            also = f", not {' and '.join(lengths)}" if lengths else ""
            raise ValueError(f"give one of steps, epochs and seconds{also}")
        if self.evaluations is not None and self.seconds is None:
            raise ValueError("evaluations are shares of a budget in seconds: with steps or epochs, give ap_every")
        return self

    @model_validator(mode="after")
    def _check_milestones(self) -> Self:
        if (self.schedule == "multistep") != bool(self.milestones):
            raise ValueError("the schedule multistep needs milestones, and no other takes them")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {', '.join(map(str, self.milestones))}")
        return self

    @model_validator(mode="after")
    def _check_initial_weights(self) -> Self:
        if self.weights is not None and self.backbone_weights is not None:
            raise ValueError("weights holds a complete network: leave backbone_weights out")
        return self
