"""One step of training: forward, loss, backward, optimizer and schedule, with what it costs counted."""

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from posemodel.config import InputSettings
from posemodel.data.loader import Batch
from posemodel.loss import pose_loss
from posemodel.network import PoseNetwork
from posemodel.prediction import to_device
from posemodel.throughput import ThroughputMeter


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
    ) -> None:
        """``meter.device`` is where ``network`` is."""
        self.network = network
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.geometry = geometry
        self.meter = meter
        self.foreground_weight = foreground_weight
        self.lr = 0.0
        """Learning rate of the last step."""
        self._loss_sum = torch.zeros((), device=meter.device)
        self._losses = 0

    def __call__(self, batch: Batch) -> None:
        """Train on one batch."""
        moved = to_device(batch, self.meter.device, self.geometry)
        loss, _ = pose_loss(self.network(moved.images), moved, foreground_weight=self.foreground_weight)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.lr = self.scheduler.get_last_lr()[0]
        with self.meter.optimizer_step():
            self.optimizer.step()
        self.scheduler.step()
        self._loss_sum += loss.detach()
        self._losses += 1
        self.meter.count(len(batch.images))

    def mean_loss(self) -> float:
        """Mean loss of the steps since it was last asked for; waits for the device."""
        mean = (self._loss_sum / self._losses).item()
        self._loss_sum.zero_()
        self._losses = 0
        return mean
