"""The pose network's data loading and training step as a workload: what `posebench train` does, measured."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.lr_scheduler import LambdaLR

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.device_step import on_device
from bench.measure.loader.loop import Step
from bench.measure.loader.samples import Spread
from bench.measure.loader.workload import OpenLoader, WaitingStep, as_open_loader, effective_pin_memory
from posemodel.config import AugmentSettings, DataFiles, Exif, TargetsMaker
from posemodel.data.batch import Batch
from posemodel.data.dataset import PoseDataset, targets_in_workers
from posemodel.data.layout import NO_FILES, DataSet
from posemodel.data.loader import build_loader
from posemodel.data.open_split import open_split
from posemodel.device import synchronize
from posemodel.errors import DataError
from posemodel.network import build_network, input_geometry
from posemodel.network.own import check_output
from posemodel.training.step import TrainingStep
from posemodel.training.throughput import ThroughputMeter

LEARNING_RATE = 1e-5
"""Small, because steps are only timed and their losses must stay finite."""


@dataclass(frozen=True)
class PoseWorkload:
    """Samples of a COCO folder's split, augmented as in training, and a training step with SGD.

    Attributes:
        data: Folder in COCO's layout.
        network: A name that `posemodel.network.build_network` knows.
        size: Side of its input in pixels; None: the network's own.
        split: The split whose images with labelled people are loaded.
        targets: Where the target maps are made: in the workers or on the device.
        seed: Seed of samples and weights.
        device: Type of the device that trains.
        step_s: Seconds that a step waits instead of training; None: it trains.
        skip_bad: Leave out bad images and annotations.
        files: Annotation files and image folders given outside the usual layout.
        exif: Whether pictures are turned by their EXIF orientation.
    """

    data: Path
    network: str
    size: int | None = None
    split: str = "train"
    targets: TargetsMaker = "auto"
    seed: int = 0
    device: str = "cpu"
    step_s: float | None = None
    skip_bad: bool = False
    files: DataFiles = NO_FILES
    exif: Exif = "ignore"

    def open_loader(self, configuration: LoaderConfiguration, batches: int) -> OpenLoader:
        """Open the loader, see `Workload`. Raises DataError if no image has a labelled object."""
        data = DataSet(self.data, self.files)
        split = open_split(data, self.split, skip_bad=self.skip_bad, exif=self.exif).labelled_only()
        if not len(split):
            raise DataError(f"{split.annotations}: no image with a labelled {split.noun} is left to load.")
        dataset = PoseDataset(
            split,
            input_geometry(self.network, self.size),
            augment=AugmentSettings(),
            seed=self.seed,
            with_targets=targets_in_workers(self.targets, torch.device(self.device)),
        )
        settings = configuration.model_copy(update={"pin_memory": effective_pin_memory(configuration)})
        samples = Spread(dataset, batches * configuration.batch_size)
        # Spread mixes, since a shuffle would depend on the epoch's length, which differs with num_workers.
        loader, sampler = build_loader(samples, settings, training=False, seed=self.seed)  # type: ignore[arg-type]
        return as_open_loader(loader, sampler, configuration)

    def make_step(self) -> Step:
        """Make the step, see `Workload`."""
        if self.step_s is not None:
            return WaitingStep(self.step_s)()
        device = torch.device(self.device)
        data = DataSet(self.data, self.files)
        split = open_split(data, self.split, skip_bad=self.skip_bad, look_at_images=False, exif=self.exif)
        network = build_network(self.network, skeleton=split.skeleton, seed=self.seed)
        geometry = input_geometry(self.network, self.size)
        check_output(network, geometry.size, self.network)
        network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9)
        schedule = LambdaLR(optimizer, lambda _step: 1.0)
        train = TrainingStep(network, optimizer, schedule, geometry, ThroughputMeter(device))
        return on_device(train, self.device) if self.device != "mps" else _awaited(train, device)


def _awaited(train: TrainingStep, device: torch.device) -> Step:
    """Return the step with a wait for the device at its end: MPS does not report the times of single steps."""

    def step(batch: Batch) -> None:
        train(batch)
        synchronize(device)

    return step
