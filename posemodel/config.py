"""Typed, validated settings of the network's data, training and loop; an unknown field is an error."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Device = Literal["auto", "cuda", "mps", "cpu"]
StartMethod = Literal["fork", "spawn", "forkserver"]
Schedule = Literal["constant", "cosine", "step"]
TrainSchedule = Literal["constant", "cosine", "step", "multistep", "plateau"]
"""Of one run; a study chooses among those that need nothing further said."""
LossReduction = Literal["cell", "sum", "mean"]
Precision = Literal["fp32", "bf16"]
TargetsPlace = Literal["auto", "loader", "device"]
Exif = Literal["ignore", "follow"]
"""Pixels as stored, or turned as the pictures' EXIF orientation says."""

CACHE_VARIABLE = "POSEBENCH_CACHE"
"""Environment variable: the folder of the annotations' index (see ``posemodel.data.index_cache``)."""
MIN_SIZE = 32
"""Pixels: below this a person is no picture."""

Share = Annotated[float, Field(ge=0, le=1)]


def in_words(error: ValidationError) -> str:
    """The first fault of a validation as one line: the field, what is wrong, and the value if it is a plain one."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    value = f" (got {first['input']!r})" if field and isinstance(first["input"], (str, int, float)) else ""
    return f"{field}: " * bool(field) + first["msg"].removeprefix("Value error, ") + value


class Settings(BaseModel):
    """Base of all settings: frozen, and a mistyped field is refused. The text below a field is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DataFiles(Settings):
    """Annotation files and image folders that are named outright: they take the place of the data folder's own."""

    train_annotations: Path | None = Field(default=None, examples=["people/train.json"])
    """Annotation file of the split `train`, in place of the data folder's; it needs `train_images`."""
    train_images: Path | None = Field(default=None, examples=["people/pictures"])
    """Folder of the images that `train_annotations` names."""
    val_annotations: Path | None = Field(default=None, examples=["people/val.json"])
    """Annotation file of the split `val`, which `report` stands for too; it needs `val_images`."""
    val_images: Path | None = Field(default=None, examples=["people/pictures"])
    """Folder of the images that `val_annotations` names."""

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        for split in ("train", "val"):
            names = f"{split}_annotations", f"{split}_images"
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) == 1:
                missing = next(name for name in names if name not in given)
                raise ValueError(f"{given[0]} needs {missing}: give an annotation file and the folder of its images")
        return self

    def own_files(self) -> "DataFiles":
        """These four settings alone, of a model that has others too."""
        return DataFiles(**{name: getattr(self, name) for name in DataFiles.model_fields})

    @property
    def first_annotations(self) -> Path | None:
        """The annotation file that names the data set where no folder is given; None where none is named."""
        return self.train_annotations or self.val_annotations


class AugmentSettings(Settings):
    """How a training image is varied: one affine warp (flip, scale, rotation, shift), then colour."""

    enabled: bool = True
    flip: Share = 0.5
    """Probability of a left-right flip."""
    scale_min: float = Field(default=0.7, gt=0)
    """Smallest zoom relative to the letterboxed image."""
    scale_max: float = Field(default=1.5, gt=0)
    rotation: float = Field(default=30.0, ge=0, le=180)
    """Largest rotation in degrees, either way."""
    shift: Share = 0.1
    """Largest displacement of the crop, as a share of its side."""
    brightness: Share = 0.15
    """Largest brightness offset, as a share of full scale."""
    contrast: Share = 0.2
    """Largest relative change of contrast, drawn per colour channel around one common factor."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is above scale_max {self.scale_max}")
        return self


class LoaderSettings(Settings):
    """What torch.utils.data.DataLoader is given; names are PyTorch's."""

    batch_size: int = Field(default=8, ge=1)
    num_workers: int = Field(default=0, ge=0)
    pin_memory: bool = False
    prefetch_factor: int | None = Field(default=None, ge=1)
    persistent_workers: bool = False
    start_method: StartMethod | None = None
    """None: the platform's default."""

    @model_validator(mode="after")
    def _workers_needed(self) -> Self:
        if self.num_workers == 0:
            for name in ("prefetch_factor", "persistent_workers"):
                if getattr(self, name):
                    raise ValueError(f"{name} needs num_workers of at least 1")
        return self


class GroupSettings(Settings):
    """Which weights learn faster than the learning rate says, and which are spared the weight decay."""

    later_stage_lr: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Multiplier of the rate of the stages after the first; norms stay at 1, as published."""
    bias_lr: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Multiplier of the rate of biases, norms' included; on top of the one above."""
    bias_weight_decay: bool = True
    norm_weight_decay: bool = True
    depthwise_weight_decay: bool = True
    """Of convolutions that look at each channel by itself."""


class PlateauSettings(Settings):
    """When `plateau` lowers the rate; names and defaults are those of PyTorch's ReduceLROnPlateau."""

    patience: int = Field(default=10, ge=0)
    """Validations without a better loss that are put up with."""
    cooldown: int = Field(default=0, ge=0)
    """Validations after a lowering that do not count."""
    threshold: float = Field(default=1e-4, ge=0, lt=1)
    """Share by which a loss must fall to be better."""


class InputSettings(Settings):
    """The square that the network sees and the maps' geometry."""

    size: int = Field(default=368, ge=MIN_SIZE)
    """Side of the network's input in pixels; a multiple of the network's stride."""
    stride: int = Field(default=8, ge=1)
    """Input pixels per cell of the maps."""

    @model_validator(mode="after")
    def _whole_cells(self) -> Self:
        if self.size % self.stride:
            below = self.size - self.size % self.stride
            raise ValueError(f"size {self.size} is no multiple of the stride {self.stride}: try {below}")
        return self

    @property
    def cells(self) -> int:
        """Side of the maps in cells."""
        return self.size // self.stride


class TrainSettings(Settings):
    """One training run, apart from its optimizer."""

    data: Path
    """Folder of the data set; where `files` name it, it may be left out."""
    files: DataFiles = DataFiles()
    """Annotation files and image folders that are named outright, in place of the data folder's own."""
    exif: Exif = "ignore"
    """Whether pictures are turned as their EXIF orientation says; `ignore` reads pixels as they are stored."""
    train_split: str = "train"
    val_split: str = "val"
    """Scored during training. `select`, and `val` where it has no files: a tenth of `train`, then not trained on."""
    labelled_only: bool = False
    """Score only the images of the val split that have labelled people (training always uses only those)."""
    val_images: int | None = Field(default=None, ge=1)
    """Score at most so many images, spread evenly over the val split (None: all of it)."""
    hold_out_select: bool = False
    """Keep the tenths of `train` that stand in for `select` and `report` out of the training images, whichever split is
    scored."""
    skip_bad: bool = False
    """Leave bad images and annotations out, and count them, instead of refusing the data set."""

    network: str = "rtpose_vgg"
    size: int | None = Field(default=None, ge=MIN_SIZE)
    """None: the size that ``weights`` were trained at, else the network's own default."""
    weights: Path | None = None
    """A checkpoint of the same network to start from, for fine-tuning."""
    backbone_weights: Path | None = None
    """A torchvision VGG19 state dict (ImageNet), for networks whose backbone is VGG19."""
    frozen_backbone_epochs: int = Field(default=0, ge=0)

    steps: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds of training, evaluation and checkpoints not counted: the number of steps then depends on the machine."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients make one step: as one batch of their images would, but for batch norm."""
    schedule: TrainSchedule = "cosine"
    """After the warm-up; step: x 0.1 at 50 % and at 75 % of the budget; multistep: x `gamma` at each of `milestones`;
    plateau: x `gamma` when the validation loss no longer falls (validated once an epoch unless `val_every` is given).
    """
    milestones: tuple[Share, ...] = ()
    """Of multistep: shares of the budget."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    """Of multistep and plateau."""
    plateau: PlateauSettings = PlateauSettings()
    warmup: Share = 0.05
    """Share of the budget (steps or seconds) over which the learning rate rises linearly."""
    foreground_weight: float = Field(default=1.0, ge=1)
    """Weight of cells where a map is fully on, relative to background cells (1: the published loss)."""
    loss_reduction: LossReduction = "cell"
    """What is minimised, so that a learning rate published for it can be used as it is; reported is always `cell`.
    cell: this project's loss, a mean over cells; sum: over cells (Caffe's EuclideanLoss); mean: over channels and cells
    (PyTorch's MSELoss).
    """
    groups: GroupSettings = GroupSettings()
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is validated and saved."""

    targets: TargetsPlace = "auto"
    """Who makes the target maps: the loader's workers, or the device from the people; auto: a GPU makes its own."""
    precision: Precision = "fp32"
    """bf16: convolutions in bfloat16 (autocast); weights, loss and optimizer stay float32."""
    augment: AugmentSettings = AugmentSettings()
    loader: LoaderSettings = LoaderSettings()
    seed: int = Field(default=0, ge=0)
    device: Device = "auto"

    log_every: int = Field(default=10, ge=1)
    """Steps per measured window."""
    val_every: int | None = Field(default=None, ge=1)
    """Steps between validation losses (None: ten times in the run); the last step always has one."""
    ap_every: int | None = Field(default=None, ge=1)
    """Steps between AP evaluations (None: at the end only)."""
    evaluations: int | None = Field(default=None, ge=1)
    """With `seconds`: AP evaluations at equal shares of the time, the last at the end (None: at the end only)."""
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints (None: at every validation)."""
    time_limit: float | None = Field(default=None, gt=0)
    """Seconds of wall time after which the run is given up (status `timed_out`)."""

    @model_validator(mode="before")
    @classmethod
    def _data_of_files(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("data") is not None or not values.get("files"):
            return values
        first = DataFiles.model_validate(values["files"]).first_annotations
        return values if first is None else values | {"data": first}

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = [name for name in ("steps", "epochs", "seconds") if getattr(self, name) is not None]
        if len(given) != 1:
            also = f", not {' and '.join(given)}" if given else ""
            raise ValueError(f"give one of steps, epochs and seconds{also}")
        if self.evaluations is not None and self.seconds is None:
            raise ValueError("evaluations are shares of a budget in seconds: with steps or epochs, give ap_every")
        return self

    @model_validator(mode="after")
    def _milestones_of_multistep(self) -> Self:
        if (self.schedule == "multistep") != bool(self.milestones):
            raise ValueError("the schedule multistep needs milestones, and no other takes them")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {', '.join(map(str, self.milestones))}")
        return self

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if self.weights is not None and self.backbone_weights is not None:
            raise ValueError("weights holds a whole network: leave backbone_weights out")
        return self
