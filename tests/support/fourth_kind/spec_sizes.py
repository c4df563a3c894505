"""The specification of the kind `sizes`."""

from typing import Literal

from pydantic import Field

from bench.trials.study_base import StudyBase


class SizesSpec(StudyBase):
    """At which input size the network reaches the highest AP after equally many images."""

    kind: Literal["sizes"] = "sizes"
    device: Literal["cuda", "mps", "cpu"]
    network: str = "small"
    """The network that is trained, by its name."""
    sizes: tuple[int, ...]
    """Input sides in pixels."""
    seeds: int = Field(default=3, ge=1)
    """Trainings at each size."""
    images: int = Field(ge=1)
    """Images that each trains on."""
    batch_size: int = Field(default=4, ge=1)
    """Images in a batch."""
    lr: float = Field(default=1e-3, gt=0)
    """Adam's learning rate."""


SPEC = SizesSpec
