"""Simulate PyTorch's DataLoader: the time of a loop from known costs of samples and steps.

The rules are those of ``torch/utils/data/dataloader.py`` (2.x): batch j goes to worker j modulo num_workers;
``num_workers * prefetch_factor`` indices are sent ahead, and one more each time a batch is delivered, before the
consumer gets it; a worker takes its indices in turn; batches are delivered in order. Starting workers and moving
batches between processes cost nothing here, so a real loop is slower by their time.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.measure.loader.configuration import DEFAULT_PREFETCH_FACTOR
from bench.measure.loader.timeline import Timeline
from posemodel.errors import SettingsError


def batch_costs(sample_costs: ArrayLike, batch_size: int) -> NDArray[np.float64]:
    """Seconds (N,) that a worker takes for each batch: sums of its samples' (S,); an incomplete last one is dropped.

    Raises SettingsError where there are fewer samples than one batch takes.
    """
    costs = np.asarray(sample_costs, dtype=float)
    if len(costs) < batch_size:
        raise SettingsError(f"batch_size: {batch_size} is more than the {len(costs)} samples. Take a smaller one.")
    whole = len(costs) // batch_size
    return costs[: whole * batch_size].reshape(whole, batch_size).sum(axis=1)


def simulate_round_robin(
    costs: ArrayLike,
    computes: ArrayLike,
    *,
    num_workers: int,
    prefetch_factor: int = DEFAULT_PREFETCH_FACTOR,
    epochs: int = 1,
) -> Timeline:
    """When each batch of a loop is asked for, delivered and done with.

    Args:
        costs: (N,) seconds to make each batch of an epoch, or (epochs, N) where they differ.
        computes: Seconds of the step on each batch: one for all, (N,) or (epochs, N).
        num_workers: 0 makes each batch in the consumer, when it is asked for.
        prefetch_factor: Batches sent ahead for each worker.
        epochs: Passes one after the other; each begins with empty queues.
    """
    all_costs = np.atleast_2d(np.asarray(costs, dtype=float))
    all_costs = np.broadcast_to(all_costs, (epochs, all_costs.shape[1]))
    all_computes = np.broadcast_to(np.asarray(computes, dtype=float), all_costs.shape)
    now, passes = 0.0, []
    for cost, compute in zip(all_costs, all_computes, strict=True):
        times = _epoch(cost, compute, num_workers, num_workers * prefetch_factor, now)
        now = times[2, -1]
        passes.append(times)
    asked, delivered, done = np.concatenate(passes, axis=1)
    return Timeline(asked, delivered, done, np.repeat(np.arange(epochs), all_costs.shape[1]))


def _epoch(
    costs: NDArray[np.float64], computes: NDArray[np.float64], workers: int, ahead: int, began: float
) -> NDArray[np.float64]:
    """Times (3, N) asked, delivered and done of one pass."""
    asked, delivered, done = np.empty((3, len(costs)))
    free = [began] * workers
    """When each worker has made what it was given."""
    now = began
    for j, (cost, compute) in enumerate(zip(costs, computes, strict=True)):
        asked[j] = now
        if workers == 0:
            delivered[j] = now + cost
        else:
            sent = began if j < ahead else delivered[j - ahead]
            free[j % workers] = max(free[j % workers], sent) + cost
            delivered[j] = max(now, free[j % workers])
        now = done[j] = delivered[j] + compute
    return np.stack([asked, delivered, done])
