"""A networks study as data: NetworksSpec, which networks are trained, in which precisions, and for how long each."""

from typing import Literal

from pydantic import Field, field_validator

from bench.trials.study_base import StudyBase
from posemodel.config import MIN_SIZE, Precision


class NetworksSpec(StudyBase):
    """What each network of the family learns in equal time on this machine, in float32 and in bfloat16."""

    kind: Literal["networks"] = "networks"
    device: Literal["cuda", "mps", "cpu"]
    networks: tuple[str, ...]
    """Networks that are trained, by name."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    """fp32, or bf16: convolutions in bfloat16; weights, loss and optimizer stay float32."""
    size: int | None = Field(default=None, ge=MIN_SIZE, examples=[368])
    """Side of the networks' input in pixels; without one, each network's own."""
    batch_size: int = Field(default=32, ge=1)
    """Images in a batch."""
    num_workers: int = Field(default=0, ge=0)
    """Processes that load batches; 0 loads them in the training process itself."""
    seconds: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Seconds of training of each network in each precision, evaluation not counted."""
    evaluations: int = Field(default=6, ge=1)
    """AP evaluations of each training."""
    scored_images: int | None = Field(default=None, ge=1, examples=[500])
    """Images of the val split that are scored, at most, spread evenly; without it, all."""
    foreground_weight: float = Field(default=4.0, ge=1)
    """Weight in the loss of cells where a map is fully on, relative to background cells; 1 is the published loss."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial weights and of the data order."""

    @field_validator("networks", "precisions")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len({*value}) < len(value):
            raise ValueError("must name at least one, each once")
        return value

    def size_text(self) -> str:
        """The study in one line."""
        return (
            f"{', '.join(self.networks)} in {' and '.join(self.precisions)}: {self.seconds:g} s of training each, "
            f"batch {self.batch_size}, on {self.device}"
        )


SPEC = NetworksSpec
