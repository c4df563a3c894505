"""One training step: forward, loss, backward, optimizer, schedule; its images and times are measured."""

import contextlib
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from posemodel.config import InputSettings, LossReduction
from posemodel.data.batch import Batch, to_device
from posemodel.network import Maps, PoseNetwork
from posemodel.skeleton import Skeleton
from posemodel.training.averages import WeightAverage
from posemodel.training.loss import pose_loss
from posemodel.training.throughput import ThroughputMeter


def gradient_factors(reduction: LossReduction, geometry: InputSettings, skeleton: Skeleton) -> dict[str, float]:
    """Return the factors for heatmaps and PAFs that turn the terms of `pose_loss` into another reduction of the loss.

    `cell` is `pose_loss` itself: squares summed over channels and cells, divided by 2 x images x cells. `sum` divides
    by 2 x images (Caffe's EuclideanLoss), `mean` by images x cells x channels (PyTorch's MSELoss).
    """
    if reduction == "sum":
        return dict.fromkeys(Maps._fields, float(geometry.cells**2))
    if reduction == "mean":
        # Without limbs the term of the PAFs is 0, whatever its factor.
        return {"heatmaps": 2 / skeleton.num_heatmaps, "pafs": 2 / max(skeleton.num_pafs, 1)}
    return dict.fromkeys(Maps._fields, 1.0)


class TrainingStep:
    """Trains a network on a batch per call, without waiting for the device."""

    def __init__(
        self,
        network: PoseNetwork,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        geometry: InputSettings,
        meter: ThroughputMeter,
        *,
        foreground_weight: float = 1.0,
        loss_reduction: LossReduction = "cell",
        accumulate: int = 1,
        processes: int = 1,
        average: WeightAverage | None = None,
    ) -> None:
        """Make the step of a training run.

        Args:
            network: The network, on the device of ``meter``.
            optimizer: Optimizer of the network's parameters.
            scheduler: Schedule of the optimizer's learning rates; advanced once per step.
            geometry: Input size and stride of the network.
            meter: Counts images and times of the steps.
            foreground_weight: See `posemodel.training.loss.pose_loss`.
            loss_reduction: Reduction of the loss that is minimised; `mean_loss` always reports `cell`.
            accumulate: Number of batches in a step.
            processes: Number of processes that train together; the images of all are counted.
            average: Average of the weights that is updated after each step.
        """
        self.network: nn.Module = network
        """The network, or its wrapper that averages gradients over processes."""
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.geometry = geometry
        self.meter = meter
        self.foreground_weight = foreground_weight
        self.accumulate = accumulate
        self.processes = processes
        self.average = average
        self.lr = 0.0
        """Learning rate of the last step, without the groups' multipliers."""
        self._skeleton = network.skeleton
        factors = gradient_factors(loss_reduction, geometry, network.skeleton)
        self._factors = {name: each / accumulate for name, each in factors.items()}
        self._images = self._batches = 0
        """Numbers of images and batches so far in the current step."""
        self._loss_sum = torch.zeros((), device=meter.device)
        self._losses = 0

    def __call__(self, batch: Batch) -> bool:
        """Train on a batch; return False if the step needs more batches (``accumulate``)."""
        self._batches += 1
        self._images += len(batch.images)
        complete = self._batches == self.accumulate
        moved = to_device(batch, self.meter.device, self.geometry, self._skeleton)
        with contextlib.nullcontext() if complete else self._local_gradients():
            loss, terms = pose_loss(self.network(moved.images), moved, foreground_weight=self.foreground_weight)
            if self._batches == 1:
                self.optimizer.zero_grad(set_to_none=True)
            self._reduced(loss, terms).backward()
        self._loss_sum += loss.detach()
        self._losses += 1
        if not complete:
            return False
        self.lr = float(self.scheduler.get_last_lr()[0])  # some optimizers keep it as a tensor
        with self.meter.optimizer_step():
            self.optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update()
        self.meter.count(self._images * self.processes)
        self._images = self._batches = 0
        return True

    def _reduced(self, loss: torch.Tensor, terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss to minimise: `pose_loss`, or its terms scaled for another reduction, over ``accumulate``."""
        factors = self._factors
        if len(set(factors.values())) == 1:
            factor = factors["heatmaps"]
            return loss if factor == 1 else loss * factor
        return torch.stack([term * factors[name.rpartition("_")[2]] for name, term in terms.items()]).sum()

    def _local_gradients(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which gradients are not averaged over processes: for all batches of a step but the last,
        whose backward pass averages the sum."""
        network = self.network
        return network.no_sync() if isinstance(network, DistributedDataParallel) else contextlib.nullcontext()

    def mean_loss(self) -> float:
        """Return the mean loss of the batches since the last call; waits for the device."""
        mean = (self._loss_sum / self._losses).item()
        self._loss_sum.zero_()
        self._losses = 0
        return mean
