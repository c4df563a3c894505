"""Trials of a sizes study: the same training at several input sizes."""

import math
from typing import Literal

from pydantic import Field

from bench.engines.trial import TrialKind
from bench.trials.spec import CONFIRM, TrialSpec
from bench.trials.study_base import StudyBase
from bench.trials.training import run_trial
from posemodel.config import MIN_SIZE, LoaderSettings, TrainSettings

OPTIMIZER = "adam"


class Study(StudyBase):
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


def plan(spec: Study) -> list[TrialSpec]:
    """Seed by seed, so that a study that is cut off is balanced."""
    wanted = [(seed, size) for seed in range(spec.seeds) for size in spec.sizes if size >= MIN_SIZE]
    steps = math.ceil(spec.images / spec.batch_size)
    return [
        TrialSpec(
            phase=CONFIRM,
            index=index,
            optimizer=OPTIMIZER,
            hyperparameters={"lr": spec.lr},
            data_digest=spec.data_digest,
            train=TrainSettings(
                data=spec.data,
                val_split="report",
                hold_out_select=True,
                network=spec.network,
                size=size,
                steps=steps,
                val_every=steps,
                ap_every=steps,
                log_every=1,
                loader=LoaderSettings(batch_size=spec.batch_size),
                seed=seed,
                device=spec.device,
            ),
        )
        for index, (seed, size) in enumerate(wanted)
    ]


TRIALS = TrialKind(run_trial)
