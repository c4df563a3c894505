"""One step of training: forward, loss, backward, optimizer and schedule, with what it costs counted."""

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
from posemodel.skeleton import NUM_HEATMAPS, NUM_PAFS
from posemodel.training.averages import WeightAverage
from posemodel.training.loss import pose_loss
from posemodel.training.throughput import ThroughputMeter


def gradient_factors(reduction: LossReduction, geometry: InputSettings) -> dict[str, float]:
    """What each branch's part of `posemodel.training.loss.pose_loss` is multiplied by to be the loss of that name.

    `cell` is its own: squares summed over channels and cells, divided by 2 x images x cells. `sum` divides by 2 x
    images (Caffe's EuclideanLoss), `mean` by images x cells x channels (PyTorch's MSELoss).
    """
    if reduction == "sum":
        return dict.fromkeys(Maps._fields, float(geometry.cells**2))
    if reduction == "mean":
        return {"heatmaps": 2 / NUM_HEATMAPS, "pafs": 2 / NUM_PAFS}
    return dict.fromkeys(Maps._fields, 1.0)


class TrainingStep:
    """Takes a batch and leaves the network one step further; nothing in it waits for the device."""

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
        """``meter.device`` is where ``network`` is.

        ``accumulate`` batches make a step; ``processes`` train on as many images each, which count. ``average`` takes
        in the weights after each step.
        """
        self.network: nn.Module = network
        """What is called: the network, or what averages its gradients over processes."""
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.geometry = geometry
        self.meter = meter
        self.foreground_weight = foreground_weight
        self.accumulate = accumulate
        self.processes = processes
        self.average = average
        self.lr = 0.0
        """Learning rate of the last step; where groups have their own, of the weights that follow it itself."""
        self._factors = {name: each / accumulate for name, each in gradient_factors(loss_reduction, geometry).items()}
        self._images = self._batches = 0
        """Of the step that is being made."""
        self._loss_sum = torch.zeros((), device=meter.device)
        self._losses = 0

    def __call__(self, batch: Batch) -> bool:
        """Train on one batch; False where the step still waits for others (``accumulate``)."""
        self._batches += 1
        self._images += len(batch.images)
        complete = self._batches == self.accumulate
        moved = to_device(batch, self.meter.device, self.geometry)
        with contextlib.nullcontext() if complete else self._gradients_kept_here():
            loss, terms = pose_loss(self.network(moved.images), moved, foreground_weight=self.foreground_weight)
            if self._batches == 1:
                self.optimizer.zero_grad(set_to_none=True)
            self._minimised(loss, terms).backward()
        self._loss_sum += loss.detach()
        self._losses += 1
        if not complete:
            return False
        self.lr = float(self.scheduler.get_last_lr()[0])  # some optimizers keep theirs as a tensor
        with self.meter.optimizer_step():
            self.optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update()
        self.meter.count(self._images * self.processes)
        self._images = self._batches = 0
        return True

    def _minimised(self, loss: torch.Tensor, terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss whose gradient is taken: the reported one where nothing scales it."""
        factors = self._factors
        if len(set(factors.values())) == 1:
            factor = factors["heatmaps"]
            return loss if factor == 1 else loss * factor
        return torch.stack([term * factors[name.rpartition("_")[2]] for name, term in terms.items()]).sum()

    def _gradients_kept_here(self) -> contextlib.AbstractContextManager[None]:
        """Only a step's last batch averages gradients over the processes: sums of them all, once."""
        network = self.network
        return network.no_sync() if isinstance(network, DistributedDataParallel) else contextlib.nullcontext()

    def mean_loss(self) -> float:
        """Mean loss of the batches since it was last asked for; waits for the device."""
        mean = (self._loss_sum / self._losses).item()
        self._loss_sum.zero_()
        self._losses = 0
        return mean
