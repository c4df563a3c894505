"""One training step: forward, loss, backward, optimizer, schedule; its images and times are measured.

Optimizers that need more than `step()` after one backward pass are driven by `posemodel.training.driving`.
"""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from posemodel.config import InputSettings, LossReduction
from posemodel.data.batch import Batch, to_device
from posemodel.errors import SettingsError
from posemodel.network import Maps, PoseNetwork
from posemodel.skeleton import Skeleton
from posemodel.training.averages import WeightAverage
from posemodel.training.driving import ORDINARY, Driver, Driving
from posemodel.training.loss import pose_loss
from posemodel.training.mean_loss import MeanLoss
from posemodel.training.processes import mean_over_processes
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
        scheduler: LambdaLR | None,
        geometry: InputSettings,
        meter: ThroughputMeter,
        *,
        driving: Driving = ORDINARY,
        foreground_weight: float = 1.0,
        loss_reduction: LossReduction = "cell",
        accumulate: int = 1,
        processes: int = 1,
        average: WeightAverage | None = None,
        losses: MeanLoss | None = None,
    ) -> None:
        """Make the step of a training run.

        Args:
            network: The network, on the device of ``meter``.
            optimizer: Optimizer of the network's parameters.
            scheduler: Schedule of the optimizer's learning rates; advanced by the number of gradient evaluations. None
                for an optimizer without learning rates.
            geometry: Input size and stride of the network.
            meter: Counts images and times of the steps.
            driving: What the optimizer needs of a step.
            foreground_weight: See `posemodel.training.loss.pose_loss`.
            loss_reduction: Reduction of the loss that is minimised; `mean_loss` always reports `cell`.
            accumulate: Number of batches in a step.
            processes: Number of processes that train together; the images of all are counted.
            average: Average of the weights that is updated after each step.
            losses: Sums up the losses for `mean_loss`; None: a new one.

        Raises SettingsError if several processes cannot drive the optimizer.
        """
        if driving.graph and processes > 1:
            raise SettingsError(
                f"optimizer: {type(optimizer).__name__} differentiates gradients again, which PyTorch cannot average "
                "over processes. Train in one process, or use another optimizer."
            )
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
        self.driver = Driver(optimizer, driving, network, meter)
        self._ordinary = driving.ordinary
        self.lr: float | None = None
        """Learning rate of the last step, without the groups' multipliers; None if the optimizer has none."""
        self._skeleton = network.skeleton
        factors = gradient_factors(loss_reduction, geometry, network.skeleton)
        self._factors = {name: each / accumulate for name, each in factors.items()}
        self._images = self._batches = 0
        """Numbers of images and batches so far in the current step."""
        self._kept: list[Batch] = []
        """Batches of the current step, on the device, if the optimizer may evaluate gradients on them again."""
        self.losses = MeanLoss(meter.device) if losses is None else losses

    def __call__(self, batch: Batch, remaining: int | None = None) -> int:
        """Train on a batch and return the number of gradient evaluations of the step.

        Args:
            batch: The next batch of the loader.
            remaining: Gradient evaluations left in the budget, None if it is a time; see `Driver.step`.

        Returns:
            0 if the step needs more batches (``accumulate``); 1 for an ordinary step.
        """
        self._batches += 1
        self._images += len(batch.images)
        complete = self._batches == self.accumulate
        moved = to_device(batch, self.meter.device, self.geometry, self._skeleton)
        if not self._ordinary:
            self._kept.append(moved)
            return self._driven_step(remaining) if complete else 0
        with contextlib.nullcontext() if complete else self._local_gradients():
            loss, terms = pose_loss(self.network(moved.images), moved, foreground_weight=self.foreground_weight)
            if self._batches == 1:
                self.optimizer.zero_grad()
            self._reduced(loss, terms).backward()
        self.losses.add(loss)
        if not complete:
            return 0
        self._read_rate()
        with self.meter.optimizer_step():
            self.optimizer.step()
        return self._finished(1)

    def _driven_step(self, remaining: int | None) -> int:
        """Let the driver take a step on the batches that were kept."""
        batches, self._kept = self._kept, []
        self._read_rate()
        evaluate = partial(self._evaluate, batches, self.losses.batches)
        return self._finished(self.driver.step(evaluate, remaining=remaining))

    def _evaluate(self, batches: Sequence[Batch], losses_before: int) -> torch.Tensor:
        """Compute the gradients of a step's batches at the present weights, and return the loss that is minimised.

        The first evaluation of a step, with ``losses_before`` losses before it, counts for `mean_loss`. The loss that a
        closure returns is the mean over all processes, so that all decide alike.
        """
        first = self.losses.batches == losses_before
        self.network.zero_grad()
        total = torch.zeros((), device=self.meter.device)
        for number, moved in enumerate(batches, 1):
            with contextlib.nullcontext() if number == len(batches) else self._local_gradients():
                loss, terms = pose_loss(self.network(moved.images), moved, foreground_weight=self.foreground_weight)
                reduced = self._reduced(loss, terms)
                reduced.backward(create_graph=self.driver.driving.graph)
            total += reduced.detach()
            if first:
                self.losses.add(loss)
        return mean_over_processes(total, self.processes)

    def _read_rate(self) -> None:
        if self.scheduler is not None:
            self.lr = float(self.scheduler.get_last_lr()[0])  # some optimizers keep it as a tensor

    def _finished(self, evaluations: int) -> int:
        """Advance what follows the optimizer's step, and return its number of gradient evaluations."""
        if self.scheduler is not None:
            self.scheduler.last_epoch += evaluations - 1
            self.scheduler.step()
        if self.average is not None:
            self.average.update()
        self.meter.count(self._images * self.processes * evaluations)
        self._images = self._batches = 0
        return evaluations

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
        return self.losses.take()
