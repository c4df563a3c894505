"""The weights by which a schedule-free optimizer is judged, with their statistics, in a network of their own."""

import copy

import torch

from posemodel.network import PoseNetwork
from posemodel.training.averages import WeightAverage
from posemodel.training.batch_norm import NormImages, recompute_statistics, tracking_norms
from posemodel.training.driving import Driver


class JudgedNetwork:
    """A copy of the trained network with the weights that are judged (`Driver.judged`).

    The running statistics of batch norm belong to the weights at which gradients are evaluated; the copy's are computed
    anew, as the authors of schedule-free methods ask (Defazio et al., The Road Less Scheduled, NeurIPS 2024). A
    backbone that is frozen keeps its statistics. The trained network stays exactly as it is.
    """

    def __init__(
        self, network: PoseNetwork, driver: Driver, images: NormImages, average: WeightAverage | None = None
    ) -> None:
        """Follow ``network``, which ``driver`` trains; ``images`` give the statistics of batch norm.

        Where the loop averages the weights, ``average`` has those that are judged.
        """
        self._trained, self._driver, self._images, self._average = network, driver, images, average
        self._network = copy.deepcopy(network).eval()
        self._update: int | None = None

    def network(self, update: int) -> PoseNetwork:
        """Return the copy after this number of updates, in evaluation mode; it is computed once for each."""
        if update != self._update:
            self._follow()
            self._update = update
        return self._network

    @torch.no_grad()
    def _follow(self) -> None:
        with self._driver.judged():
            judged = self._trained if self._average is None else self._average.network()
            for own, weight in zip(self._network.parameters(), judged.parameters(), strict=True):
                own.copy_(weight)
        for buffer, kept in zip(self._network.buffers(), self._trained.buffers(), strict=True):
            buffer.copy_(kept)
        pairs = zip(tracking_norms(self._network), tracking_norms(self._trained), strict=True)
        stale = [own for own, norm in pairs if norm.training]
        if stale:
            recompute_statistics(self._network, stale, self._images.batches())
