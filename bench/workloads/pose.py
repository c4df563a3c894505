"""The workload `pose`: train a pose network of `posemodel` on a data set in COCO's layout, scored by COCO AP."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from bench.settings.layers import Setting, errors_about
from bench.workloads.protocol import (
    Assignment,
    Budget,
    Costs,
    FoundData,
    MakeData,
    MakeOptimizer,
    OnCosts,
    OnMetrics,
    OnOpen,
    ProbeData,
    Trained,
)
from bench.workloads.score import Score
from posemodel.config import MIN_SIZE, AugmentSettings, DataFiles, Exif, TrainSettings

if TYPE_CHECKING:
    from bench.measure.loader.pose_workload import PoseWorkload
    from bench.workloads.pose_work import PoseWork

SCORES = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "ar50", "ar75", "ar_medium", "ar_large")
"""Names of COCO's ten metrics, as in `posemodel.scoring.scorer.Scores`."""


class PoseSettings(DataFiles):
    """Settings of network and training that are equal for all trials of a study.

    They are at the top level of study files, as in all earlier versions.
    """

    network: str
    """Network that is trained: its name, or the path of a class, `my_package:MyNet`."""
    size: int = Field(ge=MIN_SIZE)
    """Side of the network's input in pixels."""
    skip_bad: bool = False
    """Leave bad images and annotations out and count them, instead of refusing the data set."""
    exif: Exif = "ignore"
    """Whether images are rotated according to their EXIF orientation."""
    foreground_weight: float = Field(default=1.0, ge=1)
    """Weight in the loss of cells where a target map is 1, relative to background cells."""
    augment: bool = True
    """Augment the training images."""
    weights: Path | None = None
    """Checkpoint that every run starts from."""
    backbone_weights: Path | None = None
    """Checkpoint of VGG19 trained on ImageNet that the backbone of every run starts from."""

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if self.weights is not None and self.backbone_weights is not None:
            raise ValueError("weights holds a whole network: leave backbone_weights out")
        return self


class Pose:
    """The workload that trains a pose network and scores it by COCO AP."""

    name = "pose"
    settings = PoseSettings
    run = TrainSettings
    score = Score("ap", "maximize", low=0.0, high=1.0, chance=0.0, failure=0.0)
    final_metrics: ClassVar[frozenset[str]] = frozenset({*SCORES, "ap_best", "ap_best_step", "reference_loss"})
    budget_unit = "step"
    sample_name = "images"

    def check(self, own: PoseSettings, settings: Mapping[str, Setting]) -> None:
        """Raise SettingsError if the network cannot have this input size or does not fit the given weights."""
        with errors_about(settings, "network", "size"):
            _work().geometry(own.network, own.size)
        if own.weights is not None or own.backbone_weights is not None:
            _work().check_weights(own, settings)

    def find_data(
        self, settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None
    ) -> FoundData:
        """Find the data set of `data`, or the synthetic one of `synthetic_images`, made if it is incomplete."""
        return _work().find(settings, make_data, on_open)

    def plan(self, own: PoseSettings, assignment: Assignment) -> TrainSettings:
        """Make the settings of one run; all trials train on the same images, those of `train` without the tenths that
        serve as `select` and `report`."""
        return TrainSettings(
            data=assignment.data,
            files=own.own_files(),
            exif=own.exif,
            val_split=assignment.split,
            hold_out_select=True,
            skip_bad=own.skip_bad,
            network=own.network,
            size=own.size,
            weights=own.weights,
            backbone_weights=own.backbone_weights,
            **_length_settings(assignment.budget),
            schedule=assignment.schedule,
            foreground_weight=own.foreground_weight,
            precision=assignment.precision,
            augment=AugmentSettings(enabled=own.augment),
            loader=assignment.loader,
            seed=assignment.seed,
            device=assignment.device,
            time_limit=assignment.time_limit,
        )

    def train(
        self,
        run: TrainSettings,
        make_optimizer: MakeOptimizer,
        *,
        on_metrics: OnMetrics | None = None,
        should_prune: Callable[[float], bool] | None = None,
        should_stop: Callable[[], bool] | None = None,
        should_save: Callable[[], bool] | None = None,
        on_saved: Callable[[], object] | None = None,
        folder: Path | None = None,
    ) -> Trained:
        """Train with `posemodel.training.loop`; ``folder`` holds its state, `resume.pt`."""
        return _work().train(
            run,
            make_optimizer,
            on_metrics=on_metrics,
            should_prune=should_prune,
            should_stop=should_stop,
            should_save=should_save,
            on_saved=on_saved,
            folder=folder,
        )

    def loading(self, run: TrainSettings) -> "PoseWorkload":
        """Return the samples and the training step of a run, for loader measurements."""
        return _work().load(run)

    def probe_data(
        self, own: PoseSettings, data: Path, awaited_images: int | None, batch_size: int
    ) -> AbstractContextManager[ProbeData]:
        """Provide the study's images for measuring costs, or a few synthetic ones in a temporary folder."""
        return _work().probe(own, data, awaited_images, batch_size)

    def costs(
        self,
        runs: Mapping[str, TrainSettings],
        factories: Mapping[str, MakeOptimizer],
        *,
        seconds: float,
        on_costs: OnCosts,
    ) -> Costs:
        """Measure the real loop for some seconds, each optimizer's step, and an evaluation of some images."""
        return _work().measure(runs, factories, seconds=seconds, on_costs=on_costs)


POSE = Pose()


def settled_by_weights(settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """Return the settings with network and size of the checkpoint `weights`, if any, where they were not given."""
    has_weights = "weights" in settings and settings["weights"].value is not None
    return _work().settle(settings) if has_weights else settings


def _work() -> "type[PoseWork]":
    from bench.workloads.pose_work import PoseWork  # imports PyTorch, which settings, plans and records do not need

    return PoseWork


def _length_settings(budget: Budget) -> dict[str, Any]:
    """Return a budget as settings of the training loop."""
    if budget.steps is None:
        return {"seconds": budget.seconds, "evaluations": budget.evaluations}
    every = -(-budget.steps // budget.evaluations)
    length: dict[str, Any] = {"steps": budget.steps, "val_every": every, "ap_every": every}
    return length | ({} if budget.window is None else {"log_every": budget.window})
