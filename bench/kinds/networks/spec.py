"""Specification of a networks study: NetworksSpec, the networks to train, their precisions and training time."""

from typing import Literal

from pydantic import Field, field_validator

from bench.trials.study_base import StudyBase
from posemodel.config import MIN_SIZE, Precision


class NetworksSpec(StudyBase):
    """Train each network for the same time in float32 and bfloat16, and compare AP, images/s and learning curves."""

    kind: Literal["networks"] = "networks"
    device: Literal["cuda", "mps", "cpu"]
    networks: tuple[str, ...]
    """Networks to train: names, or paths of classes, `my_package:MyNet`."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    """Number formats to train in: fp32, bf16 (convolutions in bfloat16; weights, loss and optimizer stay float32)."""
    size: int | None = Field(default=None, ge=MIN_SIZE, examples=[368])
    """Side of the networks' input in pixels; default: each network's own size."""
    batch_size: int = Field(default=32, ge=1)
    """Images per batch."""
    num_workers: int = Field(default=0, ge=0)
    """Number of worker processes that load batches; 0: load in the training process itself."""
    seconds: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Training time of each network in each precision, in seconds; evaluation is not counted."""
    evaluations: int = Field(default=6, ge=1)
    """Number of AP evaluations during each training."""
    scored_images: int | None = Field(default=None, ge=1, examples=[500])
    """Most images of the val split to score, spread evenly over it; default: all."""
    foreground_weight: float = Field(default=4.0, ge=1)
    """Loss weight of cells inside a target (map value 1) relative to background cells; 1 is the published loss."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial weights and the data order."""

    @field_validator("networks", "precisions")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len({*value}) < len(value):
            raise ValueError("must name at least one, each once")
        return value

    def size_text(self) -> str:
        """Return the study in one line."""
        return (
            f"{', '.join(self.networks)} in {' and '.join(self.precisions)}: {self.seconds:g} s of training each, "
            f"batch {self.batch_size}, on {self.device}"
        )


SPEC = NetworksSpec
